//! Where traces are not built in, asking for them is an error: nobody should look for spans that never come.

use std::path::Path;

use gateway::traces::Traces;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::Settings;

/// What is asked for, which can be nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tracing {}

/// The same as it is typed.
pub(crate) enum TypedTraces {}

impl<'de> Deserialize<'de> for TypedTraces {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this durward was built without traces: build it with `cargo build --release --features otel`",
        ))
    }
}

impl TypedTraces {
    pub(crate) fn below(self, _home: &Path) -> Tracing {
        match self {}
    }
}

/// Starts nothing.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<Traces> {
    match &settings.traces {
        None => Ok(Traces {}),
        Some(never) => match *never {},
    }
}
