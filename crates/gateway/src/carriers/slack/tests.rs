use model::News;

use super::super::tests::request;
use super::*;
use crate::presence::Place;

fn place(origin: &str) -> Place {
    Place { origin: origin.to_owned(), host: String::new() }
}

fn body(request: &Request, place: Option<&Place>) -> Value {
    let news = News { request: request.id.clone(), status: request.status, at: 0 };
    shown(&Message::of(&news, request, place), None)
}

/// All strings that Slack would read as markup: its own are the fallback's alone, since blocks hold plain text.
fn kinds(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            all.extend(fields.get("type").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| kinds(value, all));
        }
        Value::Array(items) => items.iter().for_each(|value| kinds(value, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[test]
fn what_is_told_mentions_and_links_nobody() {
    let mut asked = request(&[false]);
    asked.status = Status::Pending;
    asked.principal = "agent:<!channel> & <https://evil.example|click>".to_owned();
    asked.summary = "```\n<@U1> *approved*".to_owned();
    let shown = body(&asked, Some(&place("https://gate.example.com")));
    assert!(!shown["text"].as_str().expect("a text").contains('<'));
    let mut all = Vec::new();
    kinds(&shown, &mut all);
    assert!(!all.iter().any(|kind| kind == "mrkdwn"), "{all:?}");
    assert_eq!(all.iter().filter(|kind| *kind == "link").count(), 1);
    assert!(shown.to_string().contains("https://gate.example.com/requests/r1"));
    let local = body(&asked, Some(&place("http://localhost:7300"))).to_string();
    assert!(local.contains("durward requests show r1") && !local.contains("localhost"), "{local}");
}

#[test]
fn values_are_shown_where_every_rule_says_so() {
    for (carry, shows) in [(&[false][..], false), (&[true, false][..], false), (&[true][..], true)] {
        let shown = body(&request(carry), None).to_string();
        assert_eq!(shown.contains("x-value"), shows, "{carry:?}");
        assert!(!shown.contains("x-words") && !shown.contains("x-row"), "{shown}");
    }
}

#[test]
fn what_is_wrong_with_one_message_is_told_from_what_is_wrong_with_all() {
    for (answer, told) in [
        (r#"{"ok":true,"channel":"C1","ts":"1.5"}"#, Told::Taken(Some("C1 1.5".to_owned()))),
        (
            r#"{"ok":false,"error":"message_not_found"}"#,
            Told::Refused("it says message_not_found".to_owned()),
        ),
        (r#"{"ok":false,"error":"invalid_auth"}"#, Told::Down("it says invalid_auth".to_owned())),
        ("<html>", Told::Down("what it says is not what Slack says".to_owned())),
        (r#"{"ok":false}"#, Told::Down("what it says is not what Slack says".to_owned())),
    ] {
        assert_eq!(heard(answer.as_bytes(), None), told, "{answer}");
    }
    let again = heard(br#"{"ok":true,"channel":"C1","ts":"1.5"}"#, Some("C1 1.1".to_owned()));
    assert_eq!(again, Told::Taken(Some("C1 1.1".to_owned())), "the first one is changed");
}
