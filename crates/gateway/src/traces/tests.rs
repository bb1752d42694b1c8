//! What spans say, and what becomes of those that nobody takes.

use std::time::{Duration, Instant};

use serde_json::json;

use super::on::{Moment, Tracer, Understood};
use super::span::{Clock, Ids, Span, Value};
use super::{Collector, Decided, otlp, start};
use crate::audit::DecisionId;
use crate::metrics::Stage;
use crate::spine::Stop;

fn collector(address: &str, headers: &[(&str, &str)]) -> Collector {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned().into())).collect();
    Collector {
        address: address.to_owned(),
        headers,
        authorities: None,
        service: "test".to_owned(),
        sample: 1_000_000,
    }
}

#[test]
fn secrets_do_not_go_in_clear_and_names_of_headers_are_names() {
    let secret = &[("authorization", "x")][..];
    for (address, headers, fine) in [
        ("https://c.example/v1/traces", secret, true),
        ("http://c.example/v1/traces", &[], true),
        ("http://c.example/v1/traces", secret, false),
        ("http://127.0.0.1:4318/v1/traces", secret, true),
        ("http://127.0.0.1.evil.example/v1/traces", secret, false),
        ("ftp://c.example/", &[], false),
        ("https://c.example/", &[("a b", "x")], false),
        ("https://c.example/", &[("", "x")], false),
    ] {
        assert_eq!(start(collector(address, headers)).is_ok(), fine, "{address} {headers:?}");
    }
}

#[test]
fn ids_are_those_of_sessions_and_decisions_and_no_two_are_alike() {
    let decision = |n| DecisionId { session: "s1".into(), n };
    let all = [
        Ids::of_session("s1"),
        Ids::of_session("s2"),
        Ids::of_operation(&decision(1)),
        Ids::of_operation(&decision(2)),
    ];
    for (n, ids) in all.iter().enumerate() {
        assert!(all.iter().skip(n + 1).all(|other| other.trace != ids.trace && other.span != ids.span));
        assert_ne!(ids.nth(1).span, ids.span);
        assert_eq!(ids.nth(1).trace, ids.trace);
    }
    assert_eq!(Ids::of_session("s1"), all[0]);
}

#[test]
fn a_span_is_said_as_the_protocol_says_it() {
    let (clock, now) = (Clock::now(), Instant::now());
    let ids = Ids { trace: [0xab; 16], span: [1; 8] };
    let span = Span {
        ids,
        parent: Some([2; 8]),
        name: "select".into(),
        serves: true,
        begun: now,
        ended: now + Duration::from_secs(1),
        attributes: vec![
            ("a", Value::from("b")),
            ("n", Value::Number(7)),
            ("l", Value::List(vec!["x".to_owned()])),
        ],
        link: Some(Ids { trace: [3; 16], span: [4; 8] }),
        failed: Some("22012".to_owned()),
    };
    let said = otlp::request("gate", &[span], clock);
    let resource = &said["resourceSpans"][0];
    assert_eq!(
        resource["resource"]["attributes"][0],
        json!({ "key": "service.name", "value": { "stringValue": "gate" } })
    );
    let said = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!(said["traceId"], "ab".repeat(16));
    assert_eq!((&said["spanId"], &said["parentSpanId"]), (&json!("01".repeat(8)), &json!("02".repeat(8))));
    assert_eq!((&said["name"], &said["kind"]), (&json!("select"), &json!(2)));
    assert_eq!(said["links"], json!([{ "traceId": "03".repeat(16), "spanId": "04".repeat(8) }]));
    assert_eq!(said["status"], json!({ "code": 2, "message": "22012" }));
    assert_eq!(
        said["attributes"],
        json!([
            { "key": "a", "value": { "stringValue": "b" } },
            { "key": "n", "value": { "intValue": "7" } },
            { "key": "l", "value": { "arrayValue": { "values": [{ "stringValue": "x" }] } } },
        ])
    );
    assert!(said["startTimeUnixNano"].as_str().is_some_and(|ns| ns.len() == 19), "{said}");
}

/// A collector that is not there takes nothing, and a session neither waits for it nor keeps what it does not take.
#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let (traces, exporter) = start(collector("http://127.0.0.1:1/v1/traces", &[])).expect("a way");
    let mut tracer = Tracer::new(&traces, "s1");
    let begun = Instant::now();
    for n in 1..=10_000 {
        let decision = DecisionId { session: "s1".into(), n };
        let understood = Understood::since(Moment::now());
        let _ = tracer
            .allowed(&Decided { decision: &decision, kind: "select", understood, policies: &[] }, n % 2 == 0);
    }
    tracer.stage(Stage::Login, Moment::now());
    tracer.close(&Stop::Done);
    assert!(begun.elapsed() < Duration::from_secs(20), "nothing waits");
    assert!(traces.0.as_ref().is_some_and(|sender| sender.dropped() > 0), "there is a bound");
    let task = tokio::spawn(exporter.run());
    traces.flush().await;
    drop((traces, tracer));
    task.await.expect("it ends when nobody is left");
}

/// Of many traces about as many are sent as was asked for, each time the same, and what was refused in any case.
#[tokio::test]
async fn so_many_traces_are_sent_as_was_asked_for_and_every_refusal() {
    for (sample, least, most) in [(0, 0, 0), (100_000, 800, 1200), (1_000_000, 10_000, 10_000)] {
        let address = "http://127.0.0.1:1/v1/traces";
        let (traces, _exporter) = start(Collector { sample, ..collector(address, &[]) }).expect("a way");
        let sender = traces.0.clone().expect("a way");
        let decision = |n| DecisionId { session: "s1".into(), n };
        let taken = (1..=10_000).filter(|n| sender.takes(&Ids::of_operation(&decision(*n)))).count();
        assert!((least..=most).contains(&taken), "{taken} of {sample} in a million");
        // Nobody takes what waits, so that what is sent beyond the bound is counted.
        let mut tracer = Tracer::new(&traces, "s1");
        let said = |n| {
            let id = decision(n);
            (id, Understood::since(Moment::now()))
        };
        for n in 1..=5_000 {
            let (decision, understood) = said(n);
            let decided = Decided { decision: &decision, kind: "select", understood, policies: &[] };
            tracer.refused(&decided, "42501");
        }
        assert!(sender.dropped() > 0, "each refusal is sent, with {sample} in a million");
        let before = sender.dropped();
        for n in 5_001..=6_000 {
            let (decision, understood) = said(n);
            let decided = Decided { decision: &decision, kind: "select", understood, policies: &[] };
            let _ = tracer.allowed(&decided, false);
        }
        assert_eq!(sender.dropped() > before, sample > 0, "{sample} in a million");
    }
}
