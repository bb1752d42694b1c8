//! Functions whose code cannot be read and that a person has read instead: by their signature and a digest of all that they
//! are made of.

use aws_lc_rs::digest::{Context, SHA256};
use hashbrown::HashMap;
use model::{ColumnName, Effect};

use super::{Catalog, Function, FunctionKind, Oid, TypeKind};

/// What a person has found a function to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// [`Catalog::digest`] of what they read.
    pub digest: String,
    /// What it does.
    pub effects: Vec<Effect>,
    /// The tagged columns whose values its result and its messages may hold.
    pub holds: Vec<ColumnName>,
}

/// How a function stands that is cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is what was read.
    As(&'a Cleared),
    /// It is another than the one that was read.
    Changed,
    /// It has no search path of its own without `$user`: what its names mean is its caller's choice.
    ByCallersPath,
}

impl Catalog {
    /// The same catalogue with these functions cleared, by their signatures.
    #[must_use]
    pub fn clearing(mut self, cleared: HashMap<String, Cleared>) -> Self {
        self.cleared = cleared;
        self
    }

    /// Signatures of functions that are cleared, whether or not they are there.
    pub fn cleared_signatures(&self) -> impl Iterator<Item = &str> {
        self.cleared.keys().map(String::as_str)
    }

    /// All functions, in no order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// How a function stands, if it is cleared.
    pub fn standing(&self, function: &Function) -> Option<Standing<'_>> {
        if self.cleared.is_empty() {
            return None;
        }
        let cleared = self.cleared.get(&self.signature_of(function))?;
        if cleared.digest != self.digest(function) {
            return Some(Standing::Changed);
        }
        let path = function.config.iter().find(|(setting, _)| setting == "search_path");
        match path {
            Some((_, path)) if !path.contains("$user") => Some(Standing::As(cleared)),
            Some(_) | None => Some(Standing::ByCallersPath),
        }
    }

    /// `schema.name(type, …)`, with the types of its input arguments.
    pub fn signature_of(&self, function: &Function) -> String {
        let types: Vec<String> = function.arguments.iter().map(|oid| self.type_words(*oid)).collect();
        format!("{}.{}({})", word(&function.schema), word(&function.name), types.join(", "))
    }

    /// A digest of all that decides what a function does: `sha256:…`. It stays the same in another database, and in a copy.
    pub fn digest(&self, function: &Function) -> String {
        let Function {
            oid: _,
            schema: _,
            name: _,
            kind,
            arguments,
            argument_names,
            defaults: _,
            default_expressions,
            variadic,
            returns,
            returns_set,
            out_columns,
            language,
            source,
            sql_body,
            config,
            security_definer,
            parts: _,
            extension,
        } = function;
        let kind = match kind {
            FunctionKind::Function => "function",
            FunctionKind::Procedure => "procedure",
            FunctionKind::Aggregate => "aggregate",
            FunctionKind::Window => "window",
        };
        let flag = |flag: bool| if flag { "1" } else { "0" }.to_owned();
        let mut fields = vec![
            kind.to_owned(),
            language.clone(),
            source.clone(),
            sql_body.clone().unwrap_or_default(),
            default_expressions.clone().unwrap_or_default(),
            flag(*variadic),
            flag(*returns_set),
            flag(*security_definer),
            self.type_words(*returns),
            extension.clone().unwrap_or_default(),
        ];
        for list in [
            arguments.iter().map(|oid| self.type_words(*oid)).collect::<Vec<_>>(),
            argument_names.iter().map(|name| name.clone().unwrap_or_default()).collect(),
            out_columns.iter().flat_map(|(name, oid)| [name.clone(), self.type_words(*oid)]).collect(),
            config.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        ] {
            fields.push(list.len().to_string());
            fields.extend(list);
        }
        let mut context = Context::new(&SHA256);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field.as_bytes());
        }
        let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// A type as people write it.
    fn type_words(&self, oid: Oid) -> String {
        let Some(known) = self.type_by_oid(oid) else { return oid.0.to_string() };
        if known.kind == TypeKind::Base && known.is_array() && known.element != oid {
            return format!("{}[]", self.type_words(known.element));
        }
        match known.schema.as_str() {
            "pg_catalog" => crate::postgres::calls::shown_type(known).to_owned(),
            schema => format!("{}.{}", word(schema), word(&known.name)),
        }
    }
}

/// A name, in quotes where it needs them.
fn word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
