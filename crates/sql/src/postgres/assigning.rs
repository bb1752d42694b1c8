//! What the values in PL/pgSQL code become: its variables have types, and so have the places in its statements.

use pg_query::NodeEnum;
use pg_query::protobuf::{PlAssignStmt, ScanToken, Token, TypeName};
use serde_json::Value as Json;

use super::catalog::{Function, Oid, Relation, TypeKind};
use super::declarations::unquoted;
use super::query::Rows;
use super::scope::Arguments;
use super::tree::{inner, kind, string};
use super::value::{BOOL, Col, INT4, RECORD, TEXT, Value};
use super::walk::Walk;

/// What becomes of the values of one of the code's texts.
#[derive(Debug, Clone, Default)]
pub(super) enum Becomes {
    /// They are written out as their types are, or not looked at.
    Nothing,
    /// Values of any type.
    #[default]
    Anything,
    /// Values of these types, column by column, where they are known.
    Of(Vec<Option<Oid>>),
}

impl Becomes {
    pub(super) fn one(type_oid: Option<Oid>) -> Self {
        Self::Of(vec![type_oid])
    }

    /// What stands under this word of the parser's, within something that becomes as `above` says.
    pub(super) fn under(key: &str, value: &Json, above: &Self, arguments: &Arguments) -> Self {
        match key {
            "cond" | "PLpgSQL_case_when" => Self::one(Some(BOOL)),
            "lower" | "upper" | "step" => Self::one(Some(INT4)),
            "t_expr" | "PLpgSQL_stmt_raise" | "PLpgSQL_stmt_perform" => Self::Nothing,
            "PLpgSQL_stmt_execsql" => {
                value.get("target").map_or(Self::Nothing, |target| Self::of_target(target, arguments))
            }
            "PLpgSQL_stmt_fors" => {
                value.get("var").map_or(Self::Anything, |target| Self::of_target(target, arguments))
            }
            "PLpgSQL_stmt_return" | "PLpgSQL_stmt_return_next" => Self::one(arguments.returns),
            "PLpgSQL_var" => Self::one(refname(value).and_then(|name| of_variable(name, arguments))),
            // They go wherever the cursor is fetched into.
            "cursor_explicit_expr" => Self::Anything,
            statement if statement.starts_with("PLpgSQL_stmt_") => Self::Anything,
            _ => above.clone(),
        }
    }

    /// The variables that a row goes to. A record takes it as it is.
    fn of_target(target: &Json, arguments: &Arguments) -> Self {
        if let Some(row) = target.get("PLpgSQL_row") {
            let fields = row.get("fields").and_then(Json::as_array).into_iter().flatten();
            let name = |field: &Json| field.get("name").and_then(Json::as_str).map(str::to_owned);
            // With a dot it is a field of another, or a block's variable.
            let plain = fields.map(|field| name(field).filter(|name| !name.contains('.')));
            return Self::Of(plain.map(|name| of_variable(&name?, arguments)).collect());
        }
        let record = target.get("PLpgSQL_rec").and_then(refname).and_then(|name| variable(name, arguments));
        match record {
            Some(value) if value.type_oid == Some(RECORD) => Self::Nothing,
            Some(_) | None => Self::Anything,
        }
    }
}

impl<'a> Walk<'a> {
    /// Values become what their place says.
    pub(super) fn become_of(&mut self, rows: &Rows, becomes: &Becomes) {
        for (n, column) in rows.columns.iter().flat_map(|columns| columns.iter()).enumerate() {
            match becomes {
                Becomes::Nothing => (),
                Becomes::Anything => self.assigns(&column.value),
                Becomes::Of(types) => self.become_one(types.get(n).copied().flatten(), &column.value),
            }
        }
    }

    fn become_one(&mut self, target: Option<Oid>, value: &Value) {
        let is_of_its_own =
            |oid: &Oid| self.catalog.type_by_oid(*oid).is_some_and(|known| known.kind != TypeKind::Pseudo);
        match target {
            Some(target) if value.type_oid == Some(target) => (),
            Some(target) if is_of_its_own(&target) => self.cast(target, value),
            // What stands for others is whatever the call makes of it.
            Some(_) | None => self.assigns(value),
        }
    }

    /// Variables that code returns as they are become of the result's type; the parser does not say which.
    pub(super) fn variables_become(&mut self, source: &str, arguments: &Arguments) {
        let Some(returns) = arguments.returns else { return };
        for (qualifier, name) in returned(source) {
            let is_block = |of: &String| arguments.labels.contains(of) || arguments.function == *of;
            let place = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
            let value = match place.and_then(|place| place.checked_sub(1)) {
                Some(place) => arguments.named.get(place).map(|(_, value)| value.clone()),
                None => variable(&name, arguments).cloned(),
            };
            if let Some(value) = value.filter(|_| qualifier.as_ref().is_none_or(is_block)) {
                self.become_one(Some(returns), &value);
            }
        }
    }

    /// The type of what an assignment is to: of a variable, of an array for a place in it, of a column of a trigger's row.
    pub(super) fn assigned_place(&self, assign: &PlAssignStmt, arguments: Option<&Arguments>) -> Becomes {
        let Some(arguments) = arguments else { return Becomes::Anything };
        let Some(value) = variable(&assign.name, arguments) else { return Becomes::Anything };
        let is_place = |step| matches!(kind(step), Some(NodeEnum::AIndices(_)));
        if assign.indirection.iter().all(is_place) {
            return Becomes::one(value.type_oid);
        }
        match (assign.indirection.as_slice(), &value.row) {
            ([step], Some(row)) if !arguments.labels.contains(&assign.name) => {
                let field = string(step).and_then(|name| row.iter().find(|column| &*column.name == name));
                Becomes::one(field.and_then(|column| column.value.type_oid))
            }
            _ => Becomes::Anything,
        }
    }

    /// The columns of the rows that triggers give a function, where all their tables have the same; what they hold is not said.
    pub(super) fn row_given_to(&self, function: &Function) -> Option<Value> {
        let calls = |relation: &&'a Relation| relation.triggers.iter().any(|t| t.function == function.oid);
        let catalog = self.catalog;
        let mut relations = catalog.relations().filter(calls);
        let first = relations.next()?;
        let columns = |relation: &'a Relation| relation.columns.iter().map(|c| (c.name.as_str(), c.type_oid));
        let row = columns(first).map(|(name, type_oid)| Col::new(name, Value::clear(Some(type_oid))));
        relations.all(|other| columns(other).eq(columns(first))).then(|| Value::whole(row.collect(), None))
    }

    /// A type as code writes it: of an array its elements', and the whole.
    pub(super) fn written_type(&mut self, text: &str) -> Option<(Oid, Option<Oid>)> {
        let written = type_name(text)?;
        let catalog = self.catalog;
        let parts = super::tree::type_words(&written)?;
        let found = match parts.schema {
            Some("pg_temp") => self.temporary().and_then(|schema| catalog.type_named(schema, parts.name)),
            Some(schema) => catalog.type_named(schema, parts.name),
            None => self.type_seen(parts.name),
        }?;
        let whole = if written.array_bounds.is_empty() { found.oid } else { found.array_type };
        Some((found.oid, Some(whole).filter(|oid| oid.0 != 0)))
    }
}

/// The names behind the word `RETURN`, each with its qualifier.
fn returned(source: &str) -> Vec<(Option<String>, String)> {
    let tokens = super::parse::tokens(source).unwrap_or_default();
    let comment = |token: &&ScanToken| !matches!(token.token(), Token::SqlComment | Token::CComment);
    let place =
        |token: &ScanToken| source.get(usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?);
    let words: Vec<&str> = tokens.iter().filter(comment).filter_map(place).collect();
    let behind =
        (0..words.len()).filter(|at| words.get(*at).is_some_and(|w| w.eq_ignore_ascii_case("return")));
    behind
        .filter_map(|at| {
            let rest = words.get(at + 1..)?;
            let next = rest.first().is_some_and(|word| word.eq_ignore_ascii_case("next"));
            match rest.get(usize::from(next)..)? {
                [name, ";", ..] => Some((None, unquoted(name))),
                [qualifier, ".", name, ";", ..] => Some((Some(unquoted(qualifier)), unquoted(name))),
                _ => None,
            }
        })
        .collect()
}

/// Variables that no section declares: those that the language has, and those of loops over numbers.
pub(super) fn undeclared(tree: &Json, arguments: &mut Arguments) {
    for (name, type_oid) in [("found", BOOL), ("sqlstate", TEXT), ("sqlerrm", TEXT)] {
        also(name, type_oid, arguments);
    }
    let mut counts = Vec::new();
    found_in(tree, &mut counts, &mut arguments.labels);
    for name in counts {
        also(&name, INT4, arguments);
    }
}

/// Where there is another of the name, it may be either.
fn also(name: &str, type_oid: Oid, arguments: &mut Arguments) {
    match arguments.named.iter_mut().find(|(n, _)| n.as_deref() == Some(name)) {
        Some((_, value)) if value.row.is_some() => value.type_oid = None,
        Some((_, value)) if value.type_oid != Some(type_oid) => *value = Value::default(),
        Some(_) => (),
        None => arguments.named.push((Some(name.to_owned()), Value::clear(Some(type_oid)))),
    }
}

/// What loops count with, and the names of blocks.
fn found_in(tree: &Json, counts: &mut Vec<String>, labels: &mut Vec<String>) {
    match tree {
        Json::Array(items) => items.iter().for_each(|item| found_in(item, counts, labels)),
        Json::Object(fields) => {
            for (key, value) in fields {
                if key == "PLpgSQL_stmt_fori" {
                    let variable = value.pointer("/var/PLpgSQL_var").and_then(refname);
                    counts.extend(variable.map(str::to_owned));
                } else if key == "label" {
                    labels.extend(value.as_str().map(str::to_owned));
                }
                found_in(value, counts, labels);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
    }
}

pub(super) fn refname(datum: &Json) -> Option<&str> {
    datum.get("refname").and_then(Json::as_str)
}

fn variable<'v>(name: &str, arguments: &'v Arguments) -> Option<&'v Value> {
    arguments.named.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, value)| value)
}

fn of_variable(name: &str, arguments: &Arguments) -> Option<Oid> {
    variable(name, arguments).and_then(|value| value.type_oid)
}

/// A text that is a type's name to the server's grammar, and nothing else.
fn type_name(text: &str) -> Option<TypeName> {
    let parsed = pg_query::parse(&format!("SELECT NULL::{text}"), 0).ok()?.protobuf;
    let [one] = parsed.stmts.as_slice() else { return None };
    let Some(NodeEnum::SelectStmt(select)) = inner(&one.stmt) else { return None };
    let bare = select.from_clause.is_empty() && select.where_clause.is_none() && select.larg.is_none();
    let [target] = select.target_list.as_slice() else { return None };
    let Some(NodeEnum::ResTarget(target)) = kind(target) else { return None };
    let Some(NodeEnum::TypeCast(cast)) = inner(&target.val) else { return None };
    let is_null = matches!(inner(&cast.arg), Some(NodeEnum::AConst(constant)) if constant.isnull);
    let written = cast.type_name.as_ref().filter(|_| bare && is_null && target.name.is_empty())?;
    (!written.setof && !written.pct_type).then(|| written.clone())
}
