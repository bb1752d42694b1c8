//! Small things that people type: times, addresses, lists.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub(crate) use gateway::written::{at, at_key, toml};

/// `30s`, `15m`, `8h`, `7d`, in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is no time; write 30s, 15m, 8h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0).ok_or_else(bad)
}

/// A moment as RFC 3339 writes it, `2027-01-31T18:00:00Z`, in seconds since 1970.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let moment: Result<jiff::Timestamp, _> = text.parse();
    moment.map(jiff::Timestamp::as_second).map_err(|_| {
        format!("\"{text}\" is no moment; write it with its offset, as 2027-01-31T18:00:00Z or 2027-01-31T18:00:00+01:00")
    })
}

/// A time as people type it.
#[derive(Clone)]
pub(crate) struct Time(pub(crate) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Time;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time with its unit in quotes, such as \"45s\", \"15m\", \"8h\" or \"7d\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                seconds(text).map(|s| Time(Duration::from_secs(s))).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^0*[1-9][0-9]*[smhd]$",
            "description": "A time with its unit: 45s, 15m, 8h, 7d."
        })
    }
}

/// One text, or several in a list.
pub(crate) struct OneOrMore(pub(crate) BTreeSet<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or several in a list")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore([text.to_owned()].into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut all = BTreeSet::new();
                while let Some(text) = list.next_element()? {
                    all.insert(text);
                }
                Ok(OneOrMore(all))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// `127.0.0.1:7432`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is no address to listen on; write address and port, such as 127.0.0.1:7432")
    })
}

/// How fast something is played; `max` is as fast as it goes.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(f64::INFINITY);
    }
    let factor: Option<f64> = text.parse().ok().filter(|factor| (0.01..=1000.0).contains(factor));
    factor.ok_or_else(|| "a factor from 0.01 to 1000, or max".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [
            ("30s", Some(30)),
            ("8h", Some(28_800)),
            ("7d", Some(604_800)),
            ("8", None),
            ("0s", None),
            ("", None),
            ("h", None),
            ("5ü", None),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }
}
