//! Addresses, as they are typed.

use std::borrow::Cow;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::typed;

/// One address, or several in a list.
pub(super) struct Addresses(pub(super) Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Addresses;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address, such as \"127.0.0.1:7432\", or several in a list")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                typed::address(text).map(|one| Addresses(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(typed::address(&text).map_err(serde::de::Error::custom)?);
                }
                Ok(Addresses(all))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// An address and a port.
pub(super) const ADDRESS: &str = r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$";

impl JsonSchema for Addresses {
    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string", "pattern": ADDRESS });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// The address of one listener.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = ADDRESS))]
pub(super) struct Listen(pub(super) SocketAddr);

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        typed::address(&text).map(Self)
    }
}

/// The same of this machine alone.
pub(super) const LOOPBACK: &str = r"^(\[::1\]|127\.[0-9.]+):[0-9]{1,5}$";
