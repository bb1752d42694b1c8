//! The API's description in OpenAPI, made of the same list that its routes are made of, and of the types that are read and
//! written: it can say nothing that is not so.

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use gateway::gateway::Gateway;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::api;

type Of = fn(&mut SchemaGenerator) -> Schema;

/// One thing that the API does.
pub(crate) struct Operation {
    method: &'static str,
    path: &'static str,
    says: &'static str,
    handler: MethodRouter<Arc<Gateway>>,
    asks: Option<Of>,
    takes: Option<Of>,
    gives: Option<Of>,
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        says: &'static str,
        handler: MethodRouter<Arc<Gateway>>,
    ) -> Self {
        Self { method, path, says, handler, asks: None, takes: None, gives: None }
    }

    pub(crate) fn get(path: &'static str, says: &'static str, handler: MethodRouter<Arc<Gateway>>) -> Self {
        Self::new("get", path, says, handler)
    }

    pub(crate) fn post(path: &'static str, says: &'static str, handler: MethodRouter<Arc<Gateway>>) -> Self {
        Self::new("post", path, says, handler)
    }

    pub(crate) fn put(path: &'static str, says: &'static str, handler: MethodRouter<Arc<Gateway>>) -> Self {
        Self::new("put", path, says, handler)
    }

    /// What its query is.
    pub(crate) fn asks<T: JsonSchema>(self) -> Self {
        Self { asks: Some(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// What its body is.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// What its answer is.
    pub(crate) fn gives<T: JsonSchema>(self) -> Self {
        Self { gives: Some(SchemaGenerator::subschema_for::<T>), ..self }
    }
}

/// The routes of a list.
pub(crate) fn routes(all: Vec<Operation>) -> Router<Arc<Gateway>> {
    all.into_iter().fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
}

/// All of it.
pub(crate) fn document() -> Value {
    let mut schemas = SchemaSettings::openapi3().into_generator();
    let mut paths: Map<String, Value> = Map::new();
    let all = [(api::operations(), "administrator"), (api::of_requests(), "approver")];
    for (operations, who) in all {
        for operation in operations {
            let path = format!("/api/v1{}", operation.path);
            let described = described(&operation, who, &mut schemas);
            let place = paths.entry(path).or_insert_with(|| json!({}));
            if let Some(place) = place.as_object_mut() {
                place.insert(operation.method.to_owned(), described);
            }
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Durward",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What an administrator does, and what approvers answer. The command line uses it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "administrator": { "type": "http", "scheme": "bearer", "description": "The administrator's secret, dwa_…" },
                "approver": { "type": "http", "scheme": "bearer", "description": "An approver's secret, dwp_…" },
            },
        },
    })
}

fn described(operation: &Operation, who: &str, schemas: &mut SchemaGenerator) -> Value {
    let mut security = vec![json!({ "administrator": [] })];
    if who == "approver" {
        security.push(json!({ "approver": [] }));
    }
    let mut parameters: Vec<Value> = parts(operation.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(asks) = operation.asks {
        let schema = asks(schemas);
        parameters.extend(queried(&schema, schemas));
    }
    let answer = match operation.gives {
        Some(gives) => gives(schemas).to_value(),
        None => json!({}),
    };
    let problem = json!({
        "description": "Why it was not done: a code for programs, a reason for people (RFC 9457)",
        "content": { "application/problem+json": { "schema": {
            "type": "object",
            "required": ["status", "code", "reason"],
            "properties": { "status": { "type": "integer" }, "code": { "type": "string" }, "reason": { "type": "string" },
                "about": { "type": "object", "description": "The target, issuer or client that is wrong in a configuration, and its member",
                    "properties": { "name": { "type": "string" }, "member": { "type": "string" } } } },
        } } },
    });
    let mut described = json!({
        "operationId": name(operation),
        "summary": operation.says,
        "security": security,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done", "content": { "application/json": { "schema": answer } } },
            "default": problem,
        },
    });
    if let (Some(takes), Some(described)) = (operation.takes, described.as_object_mut()) {
        let body =
            json!({ "required": true, "content": { "application/json": { "schema": takes(schemas) } } });
        described.insert("requestBody".to_owned(), body);
    }
    described
}

/// `post_tokens_id_revoke`.
fn name(operation: &Operation) -> String {
    let words = operation.path.split(['/', '{', '}', '-']).filter(|word| !word.is_empty());
    std::iter::once(operation.method).chain(words).collect::<Vec<_>>().join("_")
}

/// The names in a path.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A query's fields, each as a parameter.
fn queried(schema: &Schema, schemas: &SchemaGenerator) -> Vec<Value> {
    let schema = schema.as_value();
    let named = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let defined = named.and_then(|name| schemas.definitions().get(name)).unwrap_or(schema);
    let fields = defined.get("properties").and_then(Value::as_object);
    let one = |(name, field): (&String, &Value)| json!({ "name": name, "in": "query", "schema": field });
    fields.into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` of a document.
    fn refs(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| refs(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
        }
    }

    #[test]
    fn everything_that_it_names_is_there_and_no_operation_twice() {
        let document = document();
        let mut named = BTreeSet::new();
        refs(&document, &mut named);
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            let path = name.strip_prefix('#').expect("a place in it");
            assert!(document.pointer(path).is_some(), "{name}");
        }
        let mut ids = BTreeSet::new();
        let paths = document["paths"].as_object().expect("paths");
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().expect("methods") {
                assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|says| says.len() > 5), "{method} {path}");
            }
        }
        assert_eq!(ids.len(), api::operations().len() + api::of_requests().len());
    }

    #[test]
    fn bodies_and_queries_are_what_is_read() {
        let document = document();
        let body = document.pointer("/components/schemas/NewToken/properties").expect("a schema");
        assert!(body.get("seconds").is_some() && body.get("on_behalf_of").is_some(), "{body}");
        let asked = &document["paths"]["/api/v1/sessions/search"]["get"]["parameters"];
        assert!(
            asked.as_array().expect("a list").iter().any(|field| field["name"] == "principal"),
            "{asked}"
        );
        let target = document.pointer("/components/schemas/TargetConfig/properties/password").expect("in");
        assert_eq!(target["writeOnly"], true, "{target}");
        let password = document.pointer("/components/schemas/Password").expect("a schema");
        assert!(password.to_string().contains("string"), "{password}");
    }
}
