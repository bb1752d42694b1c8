//! What functions, checks and defaults do, from their sources.

use std::borrow::Cow;

use pg_query::protobuf::Node;
use pg_query::{NodeEnum, ParserOptions};
use serde_json::Value as Json;

use super::catalog::{Function, FunctionKind, Relation, RelationKind};
use super::query::Rows;
use super::scope::{Arguments, Entry, Scope, Visible};
use super::tree::{inner, kind};
use super::value::{Flow, Value};
use super::walk::{Walk, Within};
use super::{Control, parse};

impl<'a> Walk<'a> {
    /// The body of a function that is not of the server's own.
    pub(super) fn body(&mut self, function: &'a Function) -> Flow {
        let name = function.function_name();
        for (setting, value) in &function.config {
            if setting != "search_path" {
                self.found.control.push(Control::ChangesSettings);
            }
            if setting == "standard_conforming_strings" && value != "on" {
                self.unknown(format!("function {name} reads backslashes in strings otherwise"));
            }
        }
        let path = function.config.iter().find(|(setting, _)| setting == "search_path");
        let outside = self.outside.take();
        let path = path
            .map(|(_, value)| Cow::Owned(self.path_of(value, function.security_definer)))
            .or_else(|| outside.clone());
        let before = path.map(|path| std::mem::replace(&mut self.path, path));
        // A function may be replaced while it is in use: what it reads is never settled by the caller's statement alone.
        let flow = self.inside(Within::Body(name.clone()), |walk| {
            if let Some(defaults) = &function.default_expressions {
                walk.text_expression(defaults, &Scope::default());
            }
            match function.language.as_str() {
                "sql" => walk.sql_body(function),
                "plpgsql" => walk.plpgsql_body(function),
                language => {
                    walk.unknown(format!("function {name} is written in {language}, which is not read"));
                    Flow::Unknown(format!("function {name} is not read"))
                }
            }
        });
        if let Some(before) = before {
            self.path = before;
        }
        self.outside = outside;
        self.found.touches_tagged |= !flow.is_clear();
        flow
    }

    /// A search path as a function's configuration has it: the server's implicit schemas and those that it names.
    fn path_of(&self, value: &str, other_role: bool) -> Vec<String> {
        let names: Vec<String> = value
            .split(',')
            .map(|name| name.trim().trim_matches('"').replace("\"\"", "\""))
            .map(|name| if name == "$user" { self.session.role.to_owned() } else { name })
            .filter(|name| !name.is_empty())
            .filter(|name| self.catalog.is_usable(name, self.session.role) != Some(false) || other_role)
            .collect();
        let mut path: Vec<String> = Vec::new();
        if !names.iter().any(|n| n == "pg_temp") {
            path.extend(self.session.search_path.iter().find(|s| s.starts_with("pg_temp_")).cloned());
        }
        if !names.iter().any(|n| n == "pg_catalog") {
            path.push("pg_catalog".to_owned());
        }
        path.extend(names);
        path
    }

    fn arguments(&self, function: &'a Function, variables: bool) -> Arguments {
        let named = function
            .arguments
            .iter()
            .enumerate()
            .map(|(index, type_oid)| {
                let name = function.argument_names.get(index).cloned().flatten();
                (name, self.argument_value(*type_oid))
            })
            .chain(
                function
                    .out_columns
                    .iter()
                    .map(|(name, type_oid)| (Some(name.clone()), Value::clear(Some(*type_oid)))),
            )
            .collect();
        Arguments { function: function.name.clone(), named, variables }
    }

    /// An argument of a table's row type holds what the table holds.
    fn argument_value(&self, type_oid: super::catalog::Oid) -> Value {
        let relation = self
            .catalog
            .type_by_oid(type_oid)
            .filter(|t| t.kind == super::catalog::TypeKind::Composite)
            .and_then(|t| self.catalog.relation_by_oid(t.relation));
        match relation {
            Some(relation) => Value::whole(self.stored_columns(relation), Some(type_oid)),
            None => Value::clear(Some(type_oid)),
        }
    }

    fn sql_body(&mut self, function: &'a Function) -> Flow {
        let arguments = self.arguments(function, false);
        let scope = Scope { arguments: Some(&arguments), ..Scope::default() };
        let text: Cow<'_, str> = match &function.sql_body {
            Some(body) => atomic(body),
            None => Cow::Borrowed(&function.source),
        };
        self.found.by_path |= function.sql_body.is_none();
        if !self.spend(text.len() / 8) {
            return Flow::Clear;
        }
        let Ok(parsed) = parse::parse(&text, self.major, self.options) else {
            self.unknown(format!("the body of function {} cannot be read", function.name));
            return Flow::Unknown("a body that cannot be read".to_owned());
        };
        let mut flow = Flow::Clear;
        for raw in &parsed.statements {
            let Some(statement) = raw.stmt.as_deref() else { continue };
            let rows = match &function.sql_body {
                Some(_) => self.as_printed(|walk| walk.in_body(statement, &scope)),
                None => self.in_body(statement, &scope),
            };
            flow = rows.all();
        }
        flow.computed()
    }

    /// A statement within a body.
    fn in_body(&mut self, statement: &Node, scope: &Scope<'_, 'a>) -> Rows {
        let controls = self.found.control.len();
        let rows = self.perform(kind(statement), scope);
        // What it does to the session it does at a moment that is not known.
        let session = self.found.control.split_off(controls);
        let keeps = |c: &Control| matches!(c, Control::Ddl | Control::TempObject);
        self.found.moves_path |= session.iter().any(|c| !keeps(c) && c.moves_names());
        if session.iter().any(|c| !keeps(c)) {
            self.found.control.push(Control::ChangesSettings);
        }
        self.found.control.extend(session.into_iter().filter(keeps));
        self.consume_flow(&rows.all());
        rows
    }

    fn plpgsql_body(&mut self, function: &'a Function) -> Flow {
        let trigger = matches!(function.returns.0, TRIGGER | EVENT_TRIGGER);
        let mut arguments = self.arguments(function, true);
        if trigger {
            arguments.named.extend(self.trigger_names());
        }
        for type_oid in function.arguments.iter().chain([&function.returns]) {
            self.must_pass(*type_oid);
        }
        // The types are only for the parser, which knows none of the server's own beyond pg_catalog.
        let named = function.argument_names.iter().zip(&function.arguments);
        let inputs = named.filter_map(|(name, type_oid)| {
            Some(format!("{} pg_catalog.{}", ident(name.as_deref()?), self.stand_in(*type_oid)))
        });
        let outputs = function
            .out_columns
            .iter()
            .map(|(name, type_oid)| format!("OUT {} pg_catalog.{}", ident(name), self.stand_in(*type_oid)));
        let returns = match (trigger, function.out_columns.len(), function.returns_set) {
            (true, _, _) => "RETURNS pg_catalog.record",
            (false, 0, true) => "RETURNS SETOF pg_catalog.text",
            (false, 0, false) if function.returns.0 == VOID => "RETURNS void",
            (false, 0, false) => "RETURNS pg_catalog.text",
            (false, 1, true) => "RETURNS SETOF pg_catalog.text",
            (false, _, true) => "RETURNS SETOF pg_catalog.record",
            (false, _, false) => "",
        };
        let special = trigger_parameters().filter(|_| trigger);
        let (what, returns) = match function.kind {
            FunctionKind::Procedure => ("PROCEDURE", ""),
            FunctionKind::Function | FunctionKind::Aggregate | FunctionKind::Window => ("FUNCTION", returns),
        };
        let parameters: Vec<String> = inputs.chain(outputs).chain(special).collect();
        let head = format!("CREATE {what} body({}) {returns}", parameters.join(", "));
        self.plpgsql(&head, &function.source, arguments, &function.name)
    }

    /// What a trigger's function finds beside its own variables.
    pub(super) fn trigger_names(&self) -> Vec<(Option<String>, Value)> {
        let value = |name: &str| match &self.trigger_row {
            Some(row) if matches!(name, "new" | "old") => row.clone(),
            Some(_) | None => Value::default(),
        };
        TRIGGER_NAMES.iter().map(|name| (Some((*name).to_owned()), value(name))).collect()
    }

    /// How the parser is told of them.
    pub(super) fn trigger_head(&self) -> String {
        let parameters: Vec<String> = trigger_parameters().collect();
        format!("CREATE FUNCTION body({}) RETURNS pg_catalog.record", parameters.join(", "))
    }

    /// PL/pgSQL: its static SQL is read; text that it runs is not.
    pub(super) fn plpgsql(&mut self, head: &str, source: &str, mut arguments: Arguments, name: &str) -> Flow {
        self.found.by_path = true;
        if !self.spend(source.len() / 4) {
            return Flow::Clear;
        }
        let source = self.declarations(source, &mut arguments);
        let quote =
            (0..1_000).map(|n| format!("$durward{n}$")).find(|quote| !source.contains(quote.as_str()));
        let quote = quote.unwrap_or_default();
        let text = format!("{head} LANGUAGE plpgsql AS {quote}{source}{quote}");
        let parsed = std::panic::catch_unwind(|| pg_query::parse_plpgsql(&text)).ok().and_then(Result::ok);
        let Some(parsed) = parsed else {
            self.unknown(format!("the body of {name} cannot be read"));
            return Flow::Unknown("a body that cannot be read".to_owned());
        };
        let scope = Scope { arguments: Some(&arguments), ..Scope::default() };
        let mut flow = Flow::Clear;
        self.code(&parsed, &scope, name, &mut flow);
        flow.computed()
    }

    /// Types of declared variables run their checks when values are put into them. The parser knows only types of
    /// `pg_catalog` by their qualified names, so the qualifiers of the others are taken off.
    fn declarations(&mut self, source: &str, arguments: &mut Arguments) -> String {
        let Ok(tokens) = parse::tokens(source) else { return source.to_owned() };
        let words: Vec<&str> = tokens.iter().map(|token| parse::piece(source, token)).collect();
        let is = |index: usize, word: &str| words.get(index).is_some_and(|w| w.eq_ignore_ascii_case(word));
        let mut kept = String::with_capacity(source.len());
        let mut copied = 0_usize;
        let mut index = 0;
        while index < words.len() {
            if !is(index, "declare") {
                index += 1;
                continue;
            }
            index += 1;
            while index < words.len() && !is(index, "begin") {
                // name [CONSTANT] type …;
                let mut at = index + 1;
                at += usize::from(is(at, "constant"));
                let mut parts = vec![at];
                while is(at + 1, ".") {
                    at += 2;
                    parts.push(at);
                }
                let of_column = is(at + 1, "%") && is(at + 2, "type");
                let names: Vec<String> =
                    parts.iter().filter_map(|p| words.get(*p)).map(|w| unquoted(w)).collect();
                let type_oid = self.declared(&names, of_column);
                if let Some(name) = words.get(index).map(|w| unquoted(w)) {
                    // A name that inner blocks declare again may be either.
                    let again = arguments.named.iter_mut().find(|(n, _)| n.as_deref() == Some(&name));
                    match again {
                        Some((_, value)) if value.type_oid != type_oid => *value = Value::default(),
                        Some(_) => (),
                        None => arguments.named.push((Some(name), Value::clear(type_oid))),
                    }
                }
                let row = type_oid.is_some_and(|t| self.stand_in(t) == "record");
                let bare = if of_column { 2 } else { 1 };
                let qualified =
                    parts.len() > bare && names.first().is_some_and(|schema| schema != "pg_catalog");
                if let (Some(first), Some(last), Some(bare)) =
                    (parts.first(), parts.last(), parts.len().checked_sub(bare).and_then(|at| parts.get(at)))
                    && let (Some(from), Some(bare), Some(last)) =
                        (tokens.get(*first), tokens.get(*bare), tokens.get(*last))
                {
                    let from = place(from.start);
                    if row && !of_column {
                        kept.push_str(source.get(copied..from).unwrap_or_default());
                        kept.push_str("record");
                        copied = place(last.end);
                    } else if qualified {
                        kept.push_str(source.get(copied..from).unwrap_or_default());
                        copied = place(bare.start);
                    }
                }
                while index < words.len() && !is(index, ";") && !is(index, "begin") {
                    index += 1;
                }
                index += usize::from(is(index, ";"));
            }
        }
        kept.push_str(source.get(copied..).unwrap_or_default());
        kept
    }

    fn declared(&mut self, names: &[String], of_column: bool) -> Option<super::catalog::Oid> {
        let catalog = self.catalog;
        let found = match names {
            [table, column] if of_column => self
                .path
                .iter()
                .find_map(|s| catalog.relation(s, table))
                .and_then(|r| r.column(column))
                .map(|c| c.type_oid),
            [schema, table, column] if of_column => {
                catalog.relation(schema, table).and_then(|r| r.column(column)).map(|c| c.type_oid)
            }
            [name] => self.path.iter().find_map(|s| catalog.type_named(s, name)).map(|t| t.oid),
            [schema, name] => catalog.type_named(schema, name).map(|t| t.oid),
            _ => None,
        };
        if let Some(type_oid) = found {
            self.must_pass(type_oid);
        }
        found
    }

    /// Whatever is anywhere in a PL/pgSQL tree: expressions and statements as texts.
    fn code(&mut self, tree: &Json, scope: &Scope<'_, 'a>, name: &str, flow: &mut Flow) {
        self.deeper(|walk| match tree {
            Json::Array(items) => items.iter().for_each(|item| walk.code(item, scope, name, flow)),
            Json::Object(fields) => {
                for (key, value) in fields {
                    if key == "PLpgSQL_stmt_return" && returns_row(value) {
                        // The row that a trigger was given goes where it was going.
                        continue;
                    }
                    if key.starts_with("PLpgSQL_stmt_dyn") || key == "dynquery" {
                        walk.unknown(format!("{name} runs text as SQL"));
                        walk.found.control.push(Control::ChangesSettings);
                    } else if key.starts_with("PLpgSQL_stmt_") && !STATEMENTS.contains(&key.as_str()) {
                        walk.unknown(format!("{name} has a statement that is not understood ({key})"));
                    }
                    if key == "PLpgSQL_expr" {
                        let query = value.get("query").and_then(Json::as_str).unwrap_or_default();
                        let mode = value.get("parseMode").and_then(Json::as_i64);
                        *flow = std::mem::take(flow).both(walk.code_text(query, mode, scope, name));
                    } else {
                        walk.code(value, scope, name, flow);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
        });
    }

    fn code_text(&mut self, text: &str, mode: Option<i64>, scope: &Scope<'_, 'a>, name: &str) -> Flow {
        let modes: &[ParserOptions] = match mode {
            Some(0) => &[ParserOptions::DEFAULT],
            Some(2) => &[ParserOptions::PLPGSQL_EXPR],
            Some(3..=5) => &[
                ParserOptions::PLPGSQL_ASSIGN1,
                ParserOptions::PLPGSQL_ASSIGN2,
                ParserOptions::PLPGSQL_ASSIGN3,
            ],
            _ => &[
                ParserOptions::DEFAULT,
                ParserOptions::PLPGSQL_EXPR,
                ParserOptions::PLPGSQL_ASSIGN1,
                ParserOptions::PLPGSQL_ASSIGN2,
                ParserOptions::PLPGSQL_ASSIGN3,
            ],
        };
        if !self.spend(text.len() / 4) {
            return Flow::Clear;
        }
        let parsed = modes.iter().find_map(|mode| pg_query::parse(text, *mode).ok());
        let Some(parsed) = parsed else {
            self.unknown(format!("the body of {name} has an expression that cannot be read"));
            return Flow::Unknown("an expression that cannot be read".to_owned());
        };
        let mut flow = Flow::Clear;
        for raw in &parsed.protobuf.stmts {
            let Some(statement) = raw.stmt.as_deref() else { continue };
            let rows = match kind(statement) {
                Some(NodeEnum::PlassignStmt(assign)) => {
                    assign.val.as_deref().map(|select| self.select(select, scope)).unwrap_or_default()
                }
                _ => self.in_body(statement, scope),
            };
            // What is assigned becomes of the variable's type.
            for column in rows.columns.iter().flat_map(|c| c.iter()) {
                self.assigns(&column.value);
            }
            flow = flow.both(self.consume_flow(&rows.all()));
        }
        flow
    }

    /// An expression of the database's own, over a relation's columns: a check, a default, an index expression.
    pub(super) fn internal(&mut self, text: &str, relation: &'a Relation) {
        let mut scope = Scope::default();
        scope.entries.push(own_entry(self, relation));
        scope.visible.push(Visible::Entry(0));
        self.inside(Within::Internal, |walk| {
            walk.text_expression(text, &scope);
        });
    }

    /// An expression, or several with commas between, as text with qualified names.
    pub(super) fn text_expression(&mut self, text: &str, scope: &Scope<'_, 'a>) {
        self.spend(text.len() / 8);
        let parsed = pg_query::parse(&format!("SELECT {text}"), 0).ok();
        let target = parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::SelectStmt(select)) = target else {
            return self.unknown(format!("an expression of the database that cannot be read: {text}"));
        };
        for target in &select.target_list {
            if let Some(NodeEnum::ResTarget(target)) = kind(target)
                && let Some(node) = target.val.as_deref()
            {
                self.as_printed(|walk| walk.uses(node, scope));
            }
        }
    }

    /// What the parser takes in place of a type: its own of the same shape, for it knows none beyond `pg_catalog`.
    fn stand_in(&self, type_oid: super::catalog::Oid) -> &'static str {
        use super::catalog::TypeKind;
        let mut this = self.catalog.type_by_oid(type_oid);
        while let Some(domain) = this.filter(|t| t.kind == TypeKind::Domain) {
            this = self.catalog.type_by_oid(domain.base);
        }
        if this.is_some_and(|t| t.kind == TypeKind::Composite) { "record" } else { "text" }
    }
}

/// A relation under its own name, for its own expressions and for the rows that a statement changes.
pub(super) fn own_entry<'a>(walk: &mut Walk<'a>, relation: &'a Relation) -> Entry<'a> {
    // What a view's columns hold its definition says.
    let columns = match relation.kind {
        RelationKind::View => walk.relation_columns(relation),
        RelationKind::Table
        | RelationKind::Partitioned
        | RelationKind::Foreign
        | RelationKind::MaterializedView
        | RelationKind::Sequence
        | RelationKind::Composite
        | RelationKind::Index => super::scope::Columns::Listed(walk.stored_columns(relation)),
    };
    Entry {
        alias: Some(Cow::Borrowed(&relation.name)),
        relation: Some(relation),
        schema: Some(&relation.schema),
        columns,
        system_columns: has_system_columns(relation),
        scalar: false,
        qualified_only: false,
    }
}

/// Whether its rows have `ctid` and its kin: rows that are stored have.
pub(super) fn has_system_columns(relation: &Relation) -> bool {
    match relation.kind {
        RelationKind::Table
        | RelationKind::Partitioned
        | RelationKind::Foreign
        | RelationKind::MaterializedView
        | RelationKind::Sequence => true,
        RelationKind::View | RelationKind::Composite | RelationKind::Index => false,
    }
}

/// `void`
const VOID: u32 = 2278;
/// `trigger`
const TRIGGER: u32 = 2279;
/// `event_trigger`
const EVENT_TRIGGER: u32 = 3838;
/// What a trigger function finds in place of arguments.
const TRIGGER_NAMES: &[&str] = &[
    "new",
    "old",
    "tg_name",
    "tg_when",
    "tg_level",
    "tg_op",
    "tg_relid",
    "tg_relname",
    "tg_table_name",
    "tg_table_schema",
    "tg_nargs",
    "tg_argv",
    "tg_event",
    "tg_tag",
];

/// `RETURN NEW`, `RETURN OLD`
fn returns_row(statement: &Json) -> bool {
    let query = statement.pointer("/expr/PLpgSQL_expr/query").and_then(Json::as_str).unwrap_or_default();
    matches!(query.trim().to_ascii_lowercase().as_str(), "new" | "old")
}

fn trigger_parameters() -> impl Iterator<Item = String> {
    TRIGGER_NAMES.iter().map(|name| {
        let type_name = if matches!(*name, "new" | "old") { "record" } else { "text" };
        format!("{} pg_catalog.{type_name}", ident(name))
    })
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as the server folds it.
fn unquoted(word: &str) -> String {
    match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => word.to_ascii_lowercase(),
    }
}

fn place(at: i32) -> usize {
    usize::try_from(at).unwrap_or(0)
}

/// `BEGIN ATOMIC …; END` and `RETURN …` as statements.
fn atomic(body: &str) -> Cow<'_, str> {
    let body = body.trim();
    if let Some(inside) = body.strip_prefix("BEGIN ATOMIC").and_then(|b| b.strip_suffix("END")) {
        return Cow::Borrowed(inside);
    }
    match body.strip_prefix("RETURN ") {
        Some(expression) => Cow::Owned(format!("SELECT {expression}")),
        None => Cow::Borrowed(body),
    }
}

/// Statements of PL/pgSQL whose effects are those of the expressions in them.
const STATEMENTS: &[&str] = &[
    "PLpgSQL_stmt_block",
    "PLpgSQL_stmt_assign",
    "PLpgSQL_stmt_if",
    "PLpgSQL_stmt_case",
    "PLpgSQL_stmt_loop",
    "PLpgSQL_stmt_while",
    "PLpgSQL_stmt_fori",
    "PLpgSQL_stmt_fors",
    "PLpgSQL_stmt_forc",
    "PLpgSQL_stmt_foreach_a",
    "PLpgSQL_stmt_exit",
    "PLpgSQL_stmt_return",
    "PLpgSQL_stmt_return_next",
    "PLpgSQL_stmt_return_query",
    "PLpgSQL_stmt_raise",
    "PLpgSQL_stmt_assert",
    "PLpgSQL_stmt_execsql",
    "PLpgSQL_stmt_getdiag",
    "PLpgSQL_stmt_open",
    "PLpgSQL_stmt_fetch",
    "PLpgSQL_stmt_close",
    "PLpgSQL_stmt_perform",
    "PLpgSQL_stmt_call",
    "PLpgSQL_stmt_commit",
    "PLpgSQL_stmt_rollback",
];
