//! Spans as OTLP says them in JSON: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>. Ids are hexadecimal,
//! numbers of 64 bits are texts.

use serde_json::{Value as Json, json};

use super::span::{Clock, Ids, Span, Value};
use crate::audit::hex;

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const KINDS: (u8, u8) = (1, 2);
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// An `ExportTraceServiceRequest`.
pub(super) fn request(service: &str, spans: &[Span], clock: Clock) -> Json {
    let resource =
        [("service.name", Value::from(service)), ("service.version", Value::from(env!("CARGO_PKG_VERSION")))];
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeSpans": [{
            "scope": { "name": "durward", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(|one| span(one, clock)).collect::<Vec<_>>(),
        }],
    }] })
}

fn span(span: &Span, clock: Clock) -> Json {
    let Span { ids, parent, name, serves, begun, ended, attributes: said, link, failed } = span;
    let (internal, server) = KINDS;
    let mut out = json!({
        "traceId": hex(&ids.trace),
        "spanId": hex(&ids.span),
        "name": name,
        "kind": if *serves { server } else { internal },
        "startTimeUnixNano": clock.nanoseconds(*begun).to_string(),
        "endTimeUnixNano": clock.nanoseconds(*ended).to_string(),
        "attributes": attributes(said),
    });
    if let Some(out) = out.as_object_mut() {
        if let Some(parent) = parent {
            out.insert("parentSpanId".to_owned(), hex(parent).into());
        }
        if let Some(Ids { trace, span }) = link {
            out.insert("links".to_owned(), json!([{ "traceId": hex(trace), "spanId": hex(span) }]));
        }
        if let Some(why) = failed {
            out.insert("status".to_owned(), json!({ "code": ERROR, "message": why }));
        }
    }
    out
}

fn attributes(said: &[(&'static str, Value)]) -> Vec<Json> {
    let text = |text: &String| json!({ "stringValue": text });
    said.iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(one) => text(one),
                Value::Number(number) => json!({ "intValue": number.to_string() }),
                Value::List(list) => {
                    json!({ "arrayValue": { "values": list.iter().map(text).collect::<Vec<_>>() } })
                }
            };
            json!({ "key": name, "value": value })
        })
        .collect()
}
