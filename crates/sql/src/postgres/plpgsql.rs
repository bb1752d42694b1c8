//! What code in PL/pgSQL does: its static SQL is read; text that it runs is not.
//!
//! libpg_query says in JSON what its parser of that language found. Of record variables that leaves out what they begin
//! with, so that this is read from the source itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_query::protobuf::ParseResult;
use pg_query::{NodeEnum, ParserOptions};
use serde_json::Value as Json;

use super::Control;
use super::assigning::{Becomes, undeclared};
use super::catalog::{Function, FunctionKind, Oid, Relation, TypeKind};
use super::cleared::RUNS_TEXT;
use super::declarations::{Declaration, DeclaredType, Written, declarations};
use super::parse;
use super::scope::{Arguments, Scope};
use super::tree::kind;
use super::value::{Flow, INT4, TEXT, Value};
use super::walk::Walk;

impl<'a> Walk<'a> {
    pub(super) fn plpgsql_body(&mut self, function: &'a Function) -> Flow {
        let trigger = matches!(function.returns.0, TRIGGER | EVENT_TRIGGER);
        let mut arguments = self.arguments(function, true);
        arguments.returns = Some(function.returns).filter(|_| !trigger && function.returns.0 != VOID);
        if trigger {
            let row = self.trigger_row.clone().or_else(|| self.row_given_to(function));
            arguments.named.extend(trigger_names(row.as_ref()));
        }
        for type_oid in function.arguments.iter().chain([&function.returns]) {
            self.must_pass(*type_oid);
        }
        // The types are only for the parser, which knows none of the server's own beyond pg_catalog.
        let inputs = function.arguments.iter().enumerate().map(|(place, type_oid)| {
            // One without a name is known by its number.
            let name = function.argument_names.get(place).cloned().flatten();
            let name = name.as_deref().map(ident).unwrap_or_default();
            format!("{name} pg_catalog.{}", self.stand_in(*type_oid))
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
        let above = std::mem::take(&mut self.passes_on);
        let flow = self.plpgsql(&head, &function.source, arguments, &function.name);
        if std::mem::replace(&mut self.passes_on, above) {
            self.opaque.insert(function.oid);
        }
        flow
    }

    /// How the parser is told of what a trigger's function finds.
    pub(super) fn trigger_head(&self) -> String {
        let parameters: Vec<String> = trigger_parameters().collect();
        format!("CREATE FUNCTION body({}) RETURNS pg_catalog.record", parameters.join(", "))
    }

    /// Code with what stands before it, and what it finds beside its own variables.
    pub(super) fn plpgsql(&mut self, head: &str, source: &str, mut arguments: Arguments, name: &str) -> Flow {
        self.found.by_path = true;
        if !self.spend(source.len() / 4) {
            return Flow::Clear;
        }
        let variables = declarations(source).filter(|_| parse::same_numbers(source, self.major));
        let Some(variables) = variables else { return self.not_read(name) };
        let given = arguments.named.len();
        let text = self.declares(source, &variables, &mut arguments);
        let quote = (0..1_000).map(|n| format!("$durward{n}$")).find(|quote| !text.contains(quote.as_str()));
        let quote = quote.unwrap_or_default();
        let text = format!("{head} LANGUAGE plpgsql AS {quote}{text}{quote}");
        let parsed = catch_unwind(|| pg_query::parse_plpgsql(&text)).ok().and_then(Result::ok);
        let Some(parsed) = parsed.filter(|parsed| has_all(parsed, &variables)) else {
            return self.not_read(name);
        };
        undeclared(&parsed, &mut arguments);
        self.records(&parsed, &variables, given, &mut arguments);
        self.passes_on = variables.iter().any(|variable| variable.alias) || returns_variable(&parsed);
        let scope = Scope { arguments: Some(&arguments), ..Scope::default() };
        let touched = std::mem::take(&mut self.found.touches_tagged);
        let mut flow = Flow::Clear;
        for variable in variables {
            let Some(default) = variable.default.and_then(|default| source.get(default)) else { continue };
            let named = arguments.named.iter().find(|(n, _)| n.as_deref() == Some(&variable.name));
            let becomes = Becomes::one(named.and_then(|(_, value)| value.type_oid));
            flow = flow.both(self.code_text(default, Some(EXPRESSION), &scope, (name, &becomes)));
        }
        self.code(&parsed, &scope, (name, &Becomes::Anything), &mut flow);
        if returns_variable(&parsed) {
            self.variables_become(source, &arguments);
        }
        if self.found.touches_tagged && tells_errors(&parsed, source) {
            // Errors quote the rows that they are about.
            flow = Flow::Unknown(format!("{name} gives the words of errors, which may quote what is tagged"));
        }
        self.found.touches_tagged |= touched;
        if fetches_elsewhere(&parsed) {
            flow = Flow::Unknown(format!("{name} fetches from a cursor that may have been opened elsewhere"));
        }
        flow.computed()
    }

    fn not_read(&mut self, name: &str) -> Flow {
        self.unknown(format!("the body of {name} cannot be read"));
        Flow::Unknown("a body that cannot be read".to_owned())
    }

    /// Types of declared variables run their checks when values are put into them. The parser knows only types of
    /// `pg_catalog` by their qualified names, so the qualifiers of the others are taken off.
    fn declares(&mut self, source: &str, variables: &[Declaration], arguments: &mut Arguments) -> String {
        let mut text = String::with_capacity(source.len());
        let mut copied = 0_usize;
        for variable in variables {
            let declared = variable.of.as_ref().and_then(|of| self.declared(of, source));
            let (type_oid, value_type) = declared.unzip();
            let value_type = value_type.flatten();
            // A name that inner blocks declare again may be either.
            let again = arguments.named.iter_mut().find(|(n, _)| n.as_deref() == Some(&variable.name));
            match again {
                Some((_, value)) if value.row.is_some() => value.type_oid = None,
                Some((_, value)) if value.type_oid != value_type => *value = Value::default(),
                Some(_) => (),
                None => arguments.named.push((Some(variable.name.clone()), Value::clear(value_type))),
            }
            let Some(of) = &variable.of else { continue };
            let known = type_oid.and_then(|oid| self.catalog.type_by_oid(oid));
            let system = match known {
                Some(known) => known.schema == "pg_catalog",
                None => of.names.len() == 1 || of.names.first().is_some_and(|schema| schema == "pg_catalog"),
            };
            let (to, instead) = match of.kind {
                Written::OfRow => (of.place.end, "record"),
                Written::Array { of_place: false } | Written::Plain if system => (of.place.start, ""),
                Written::Array { .. } => (of.place.end, "pg_catalog.text[]"),
                Written::Plain => match type_oid {
                    Some(oid) => (of.place.end, self.stand_in(oid)),
                    None => (of.bare, ""),
                },
                Written::OfColumn => (of.bare, ""),
            };
            let from = of.place.start;
            text.push_str(source.get(copied..from).unwrap_or_default());
            text.push_str(instead);
            copied = to;
        }
        text.push_str(source.get(copied..).unwrap_or_default());
        text
    }

    /// The type of a variable, or of its elements where it is an array; and of the whole, where that is known.
    fn declared(&mut self, of: &DeclaredType, source: &str) -> Option<(Oid, Option<Oid>)> {
        let catalog = self.catalog;
        let names: Vec<&str> = of.names.iter().map(String::as_str).collect();
        let column = |relation: Option<&'a Relation>, column: &str| {
            relation.and_then(|r| r.column(column)).map(|c| c.type_oid)
        };
        let written = match of.kind {
            Written::Plain | Written::Array { of_place: false } => {
                source.get(of.place.clone()).and_then(|text| self.written_type(text))
            }
            Written::OfColumn | Written::OfRow | Written::Array { of_place: true } => None,
        };
        // Of what is not read so, an array's elements are not known where they are used.
        let is_array = matches!(of.kind, Written::Array { .. });
        let whole = |found: Option<Oid>| found.map(|oid| (oid, Some(oid).filter(|_| !is_array)));
        let found = match (names.as_slice(), of.kind) {
            _ if written.is_some() => written,
            ([table, name], Written::OfColumn) => whole(column(self.relation_seen(table), name)),
            ([schema, table, name], Written::OfColumn) => {
                whole(column(catalog.relation(schema, table), name))
            }
            (_, Written::OfColumn) => None,
            ([name], _) => whole(self.type_seen(name).map(|t| t.oid)),
            ([schema, name], _) => whole(catalog.type_named(schema, name).map(|t| t.oid)),
            _ => None,
        };
        if let Some((type_oid, _)) = found {
            self.must_pass(type_oid);
        }
        found
    }

    /// Whatever is anywhere in a PL/pgSQL tree: expressions and statements as texts.
    fn code(&mut self, tree: &Json, scope: &Scope<'_, 'a>, of: (&str, &Becomes), flow: &mut Flow) {
        let (name, above) = of;
        self.deeper(|walk| match tree {
            Json::Array(items) => items.iter().for_each(|item| walk.code(item, scope, of, flow)),
            Json::Object(fields) => {
                for (key, value) in fields {
                    if key == "PLpgSQL_stmt_return" && returns_row(value) {
                        // The row that a trigger was given goes where it was going.
                        continue;
                    }
                    if key.starts_with("PLpgSQL_stmt_dyn") || key == "dynquery" {
                        walk.unknown(format!("{name} {RUNS_TEXT}"));
                        walk.found.control.push(Control::ChangesSettings);
                    } else if key.starts_with("PLpgSQL_stmt_") && !STATEMENTS.contains(&key.as_str()) {
                        walk.unknown(format!("{name} has a statement that is not understood ({key})"));
                    }
                    if key == "PLpgSQL_expr" {
                        let query = value.get("query").and_then(Json::as_str).unwrap_or_default();
                        let mode = value.get("parseMode").and_then(Json::as_i64);
                        *flow = std::mem::take(flow).both(walk.code_text(query, mode, scope, of));
                    } else {
                        let becomes = match scope.arguments {
                            Some(arguments) => Becomes::under(key, value, above, arguments),
                            None => Becomes::Anything,
                        };
                        walk.code(value, scope, (name, &becomes), flow);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
        });
    }

    /// One of the code's texts, and what its values become.
    fn code_text(
        &mut self,
        text: &str,
        mode: Option<i64>,
        scope: &Scope<'_, 'a>,
        (name, becomes): (&str, &Becomes),
    ) -> Flow {
        let modes: &[ParserOptions] = match mode {
            Some(0) => &[ParserOptions::DEFAULT],
            Some(EXPRESSION) => &[ParserOptions::PLPGSQL_EXPR],
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
        let Some(parsed) = modes.iter().find_map(|mode| read(text, *mode)) else {
            self.unknown(format!("the body of {name} has an expression that cannot be read"));
            return Flow::Unknown("an expression that cannot be read".to_owned());
        };
        let mut flow = Flow::Clear;
        for raw in &parsed.stmts {
            let Some(statement) = raw.stmt.as_deref() else { continue };
            let place;
            let mut becomes = becomes;
            let rows = match kind(statement) {
                Some(NodeEnum::PlassignStmt(assign)) => {
                    place = self.assigned_place(assign, scope.arguments);
                    becomes = &place;
                    // The place in an array, or the field, that it goes to.
                    for step in &assign.indirection {
                        if let Some(NodeEnum::AIndices(indices)) = kind(step) {
                            for bound in [&indices.lidx, &indices.uidx] {
                                flow = flow.both(self.uses_boxed(bound, scope));
                            }
                        }
                    }
                    assign.val.as_deref().map(|select| self.select(select, scope)).unwrap_or_default()
                }
                _ => self.in_body(statement, scope),
            };
            self.become_of(&rows, becomes);
            flow = flow.both(self.consume_flow(&rows.all()));
        }
        flow
    }

    /// What the parser takes in place of a type: its own of the same shape, for it knows none beyond `pg_catalog`.
    fn stand_in(&self, type_oid: Oid) -> &'static str {
        let mut this = self.catalog.type_by_oid(type_oid);
        while let Some(domain) = this.filter(|t| t.kind == TypeKind::Domain) {
            this = self.catalog.type_by_oid(domain.base);
        }
        match this {
            Some(found) if found.kind == TypeKind::Composite => "record",
            // What is opened and fetched from has to be one.
            Some(found) if found.oid.0 == REFCURSOR => "refcursor",
            Some(_) | None => "text",
        }
    }
}

/// What a trigger's function finds beside its own variables, where it is given a row like this.
pub(super) fn trigger_names(row: Option<&Value>) -> Vec<(Option<String>, Value)> {
    let value = |name: &str, type_oid: Option<Oid>| match row {
        Some(row) if matches!(name, "new" | "old") => row.clone(),
        Some(_) | None => Value::clear(type_oid),
    };
    TRIGGER_NAMES.iter().map(|(name, type_oid)| (Some((*name).to_owned()), value(name, *type_oid))).collect()
}

/// A text of the code's as SQL. The library's own look at the tree can panic on trees that it does not expect.
fn read(text: &str, mode: ParserOptions) -> Option<ParseResult> {
    let parsed = catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, mode)));
    parsed.ok().and_then(Result::ok).map(|parsed| parsed.protobuf)
}

/// Whether the parser found the variables, too.
fn has_all(parsed: &Json, variables: &[Declaration]) -> bool {
    let datums = functions(parsed).filter_map(|f| f.get("datums")).filter_map(Json::as_array).flatten();
    let names: Vec<&str> = datums
        .filter_map(Json::as_object)
        .flat_map(|datum| datum.values())
        .filter_map(|datum| datum.get("refname").and_then(Json::as_str))
        .collect();
    let is_there =
        |name: &str| names.iter().any(|n| *n == name || n.len() >= MOST_OF_A_NAME && name.starts_with(n));
    variables.iter().all(|variable| variable.alias || is_there(&variable.name))
}

/// The same of a query.
pub(super) fn read_query(text: &str) -> Option<ParseResult> {
    read(text, ParserOptions::DEFAULT)
}

/// All that the code has places for.
pub(super) fn datums(parsed: &Json) -> &[Json] {
    let datums = functions(parsed).find_map(|function| function.get("datums")).and_then(Json::as_array);
    datums.map(Vec::as_slice).unwrap_or_default()
}

/// What the parser says of each function; there is one.
fn functions(parsed: &Json) -> impl Iterator<Item = &Json> {
    parsed.as_array().into_iter().flatten().filter_map(|each| each.get("PLpgSQL_function"))
}

/// Whether code takes the words of errors into its hands. What returns a variable alone says nothing of it in the tree.
fn tells_errors(tree: &Json, source: &str) -> bool {
    let stacked =
        |key: &str, value: &Json| key == "PLpgSQL_stmt_getdiag" && value.get("is_stacked").is_some();
    source.to_ascii_lowercase().contains("sqlerrm") || anywhere(tree, &stacked)
}

/// Whether code fetches from a cursor by a variable that may hold the name of one that was opened before: by its caller, or
/// by the client, who is given of it only what may be seen.
fn fetches_elsewhere(parsed: &Json) -> bool {
    functions(parsed).any(|function| {
        let datums = function.get("datums").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut given: Vec<usize> = Vec::new();
        assigned(function, &mut given);
        let may_be_elsewhere = |place: usize| {
            let variable = datums.get(place).and_then(|datum| datum.get("PLpgSQL_var"));
            // Arguments stand in no line.
            variable.is_none_or(|v| v.get("lineno").is_none() || v.get("default_val").is_some())
                || given.contains(&place)
        };
        anywhere(function, &|key, value| {
            matches!(key, "PLpgSQL_stmt_fetch" | "PLpgSQL_stmt_forc")
                && value.get("is_move").is_none()
                && may_be_elsewhere(number(value.get("curvar")))
        })
    })
}

/// The variables into which code puts values, by their numbers.
fn assigned(tree: &Json, given: &mut Vec<usize>) {
    match tree {
        Json::Array(items) => items.iter().for_each(|item| assigned(item, given)),
        Json::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "PLpgSQL_stmt_assign" | "PLpgSQL_stmt_foreach_a" => {
                        given.push(number(value.get("varno")))
                    }
                    "PLpgSQL_diag_item" => given.push(number(value.get("target"))),
                    "PLpgSQL_row" => {
                        let fields = value.get("fields").and_then(Json::as_array).into_iter().flatten();
                        given.extend(fields.map(|field| number(field.get("varno"))));
                    }
                    _ => (),
                }
                assigned(value, given);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
    }
}

/// A number; it is left out where it is 0.
pub(super) fn number(value: Option<&Json>) -> usize {
    value.and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn anywhere(tree: &Json, is: &dyn Fn(&str, &Json) -> bool) -> bool {
    match tree {
        Json::Array(items) => items.iter().any(|item| anywhere(item, is)),
        Json::Object(fields) => fields.iter().any(|(key, value)| is(key, value) || anywhere(value, is)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// Whether code returns a variable as it is: the tree does not say which. What the parser adds at the end stands in no line.
fn returns_variable(tree: &Json) -> bool {
    anywhere(tree, &|key, value| {
        matches!(key, "PLpgSQL_stmt_return" | "PLpgSQL_stmt_return_next")
            && value.get("expr").is_none()
            && number(value.get("lineno")) != 0
    })
}

/// `RETURN NEW`, `RETURN OLD`
fn returns_row(statement: &Json) -> bool {
    let query = statement.pointer("/expr/PLpgSQL_expr/query").and_then(Json::as_str).unwrap_or_default();
    matches!(query.trim().to_ascii_lowercase().as_str(), "new" | "old")
}

fn trigger_parameters() -> impl Iterator<Item = String> {
    TRIGGER_NAMES.iter().map(|(name, _)| {
        let type_name = if matches!(*name, "new" | "old") { "record" } else { "text" };
        format!("{} pg_catalog.{type_name}", ident(name))
    })
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The parser's mode for an expression (`RAW_PARSE_PLPGSQL_EXPR`).
const EXPRESSION: i64 = 2;
/// Names are cut at about this length (`NAMEDATALEN`).
const MOST_OF_A_NAME: usize = 60;
/// `void`
const VOID: u32 = 2278;
/// `name`
const NAME: Oid = Oid(19);
/// `refcursor`
const REFCURSOR: u32 = 1790;
/// `trigger`
const TRIGGER: u32 = 2279;
/// `event_trigger`
const EVENT_TRIGGER: u32 = 3838;
/// What a trigger function finds in place of arguments.
const TRIGGER_NAMES: &[(&str, Option<Oid>)] = &[
    ("new", None),
    ("old", None),
    ("tg_name", Some(NAME)),
    ("tg_when", Some(TEXT)),
    ("tg_level", Some(TEXT)),
    ("tg_op", Some(TEXT)),
    ("tg_relid", Some(Oid(26))),
    ("tg_relname", Some(NAME)),
    ("tg_table_name", Some(NAME)),
    ("tg_table_schema", Some(NAME)),
    ("tg_nargs", Some(INT4)),
    ("tg_argv", Some(Oid(1009))),
    ("tg_event", Some(TEXT)),
    ("tg_tag", Some(TEXT)),
];

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
