//! `durward schema`: what files may say, as JSON Schema, made from the very types that read them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::args::Kind;
use crate::show;

pub(crate) fn run(kind: Option<Kind>) -> anyhow::Result<()> {
    if let Some(kind) = kind {
        return Ok(show::json(of(kind).as_value())?);
    }
    let mut all = Map::new();
    for (name, kind) in [("config", Kind::Config), ("state", Kind::State), ("tests", Kind::Tests)] {
        all.insert(name.to_owned(), of(kind).to_value());
    }
    Ok(show::json(&Value::Object(all))?)
}

fn of(kind: Kind) -> Schema {
    match kind {
        Kind::Config => schema::<crate::config::Typed>("durward.toml"),
        Kind::State => schema::<crate::wanted::StateFile>(
            "Targets, tags, issuers, clients and groups, for durward apply",
        ),
        Kind::Tests => schema::<gateway::cases::Tests>("Tests of policies, for durward policy test"),
    }
}

fn schema<T: JsonSchema>(title: &str) -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema
}

#[cfg(test)]
mod tests;
