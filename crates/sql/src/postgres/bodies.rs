//! What functions, checks and defaults do, from their sources.

use std::borrow::Cow;

use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::calling::Known;
use super::catalog::{Function, FunctionKind, Oid, Relation, RelationKind};
use super::cleared::NOT_READ;
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
        // Whatever its body's names are bound to: it may have another body by then.
        self.found.by_path = true;
        let outside = self.outside.take();
        let names = self.names_of(function, outside.as_ref());
        let before = std::mem::replace(&mut self.names, names);
        let flow = self.inside(Within::Body(name.clone()), |walk| {
            if let Some(defaults) = &function.default_expressions {
                walk.text_expression(defaults, &Scope::default());
            }
            if let Some(flow) = walk.as_cleared(function) {
                return flow;
            }
            match function.language.as_str() {
                "sql" => walk.sql_body(function),
                "plpgsql" => walk.plpgsql_body(function),
                language => {
                    walk.unknown(format!("function {name} is written in {language}, {NOT_READ}"));
                    Flow::Unknown(format!("function {name} is not read"))
                }
            }
        });
        self.names = before;
        self.outside = outside;
        self.found.touches_tagged |= !flow.is_clear();
        flow
    }

    /// Whether the body was read, so that of a row that it is given it uses the columns that were found there and no others.
    pub(super) fn follows_rows(&self, function: &Function) -> bool {
        // What a result's column is called may hide an argument, and counts among their numbers.
        let plain =
            function.kind == FunctionKind::Function && !function.variadic && function.out_columns.is_empty();
        let read = match function.language.as_str() {
            "sql" => true,
            "plpgsql" => !self.opaque.contains(&function.oid),
            _ => false,
        };
        let being_read =
            |(of, known): (&(Oid, _), &Known)| of.0 == function.oid && matches!(known, Known::Reading(_));
        plain
            && read
            && !function.is_builtin()
            && self.catalog.standing(function).is_none()
            && !self.called.iter().any(being_read)
    }

    pub(super) fn arguments(&self, function: &'a Function, variables: bool) -> Arguments {
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
        Arguments { function: function.name.clone(), named, variables, ..Arguments::default() }
    }

    /// An argument of a table's row type holds what the table holds.
    fn argument_value(&self, type_oid: Oid) -> Value {
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
    pub(super) fn in_body(&mut self, statement: &Node, scope: &Scope<'_, 'a>) -> Rows {
        let controls = self.found.control.len();
        let rows = self.perform(kind(statement), scope);
        self.found.defines_within |= self.found.fires;
        // What it does to the session it does at a moment that is not known.
        let session = self.found.control.split_off(controls);
        let keeps = |c: &Control| matches!(c, Control::Ddl | Control::TempObject);
        self.found.defines_within |= session.iter().any(keeps);
        self.found.moves_path |= session.iter().any(|c| !keeps(c) && c.moves_names());
        if session.iter().any(|c| !keeps(c)) {
            self.found.control.push(Control::ChangesSettings);
        }
        self.found.control.extend(session.into_iter().filter(keeps));
        self.consume_flow(&rows.all());
        rows
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
        record: false,
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
