//! Record variables of PL/pgSQL code: they have the columns of what is put into them.

use serde_json::Value as Json;

use super::assigning::refname;
use super::declarations::Declaration;
use super::plpgsql::{datums, number, read_query};
use super::scope::{Arguments, Scope};
use super::value::{Col, RECORD, Value};
use super::walk::Walk;

/// Something is put into a record: by its name, and the query whose rows it is where that is certain.
struct Put<'t> {
    record: &'t str,
    query: Option<&'t str>,
}

impl<'a> Walk<'a> {
    /// Gives those record variables their columns into which nothing is put but rows of queries that have the same. The first
    /// names are those that code was given, and not its own.
    pub(super) fn records(
        &mut self,
        tree: &Json,
        variables: &[Declaration],
        given: usize,
        arguments: &mut Arguments,
    ) {
        let is_one = |name: &str| {
            let declared = |variable: &&Declaration| variable.name == name;
            let starts_empty = |variable: &&Declaration| !variable.alias && variable.default.is_none();
            variables.iter().filter(declared).count() == 1
                && variables.iter().filter(declared).all(|variable| starts_empty(&variable))
        };
        let mut puts = Vec::new();
        put_in(tree, datums(tree), &mut puts);
        let mut done: Vec<&str> = Vec::new();
        for Put { record, .. } in &puts {
            if done.contains(record) || !is_one(record) {
                continue;
            }
            done.push(record);
            let is_open = |value: &Value| value.type_oid == Some(RECORD) && value.row.is_none();
            let place = arguments.named.iter().position(|(n, v)| n.as_deref() == Some(*record) && is_open(v));
            let Some(place) = place.filter(|place| *place >= given) else { continue };
            let queries = puts.iter().filter(|put| put.record == *record).map(|put| put.query);
            let Some(queries) = queries.collect::<Option<Vec<&str>>>() else { continue };
            let columns = self.columns_of_all(&queries, arguments);
            if let (Some(columns), Some((_, value))) = (columns, arguments.named.get_mut(place)) {
                *value = Value::whole(columns.into(), Some(RECORD));
            }
        }
    }

    fn columns_of_all(&mut self, queries: &[&str], arguments: &Arguments) -> Option<Vec<Col>> {
        let mut same: Option<Vec<Col>> = None;
        for query in queries {
            let columns = self.columns_of(query, arguments)?;
            if same.get_or_insert_with(|| columns.clone()) != &columns {
                return None;
            }
        }
        same
    }

    /// The names and types of a query's columns; what they hold is looked at where the code is.
    fn columns_of(&mut self, query: &str, arguments: &Arguments) -> Option<Vec<Col>> {
        if !self.spend(query.len() / 4) {
            return None;
        }
        let parsed = read_query(query)?;
        let [raw] = parsed.stmts.as_slice() else { return None };
        let scope = Scope { arguments: Some(arguments), ..Scope::default() };
        let rows = self.in_body(raw.stmt.as_deref()?, &scope).settled();
        let column = |column: &Col| Some(column.with(Value::clear(Some(column.value.type_oid?))));
        rows.columns?.iter().map(column).collect()
    }
}

/// What is put into records anywhere in the tree.
fn put_in<'t>(tree: &'t Json, datums: &'t [Json], puts: &mut Vec<Put<'t>>) {
    match tree {
        Json::Array(items) => items.iter().for_each(|item| put_in(item, datums, puts)),
        Json::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "datums" => continue,
                    "PLpgSQL_stmt_execsql" => puts.extend(put(value, "target", value.get("sqlstmt"))),
                    "PLpgSQL_stmt_fors" => puts.extend(put(value, "var", value.get("query"))),
                    "PLpgSQL_stmt_forc" => {
                        // It opens the cursor by itself, with the query that this was declared with.
                        let cursor = datums.get(number(value.get("curvar")));
                        let query =
                            cursor.and_then(|cursor| cursor.pointer("/PLpgSQL_var/cursor_explicit_expr"));
                        puts.extend(put(value, "var", query));
                    }
                    "PLpgSQL_stmt_assign" | "PLpgSQL_stmt_foreach_a" => {
                        let record = datums.get(number(value.get("varno"))).and_then(name_of_record);
                        puts.extend(record.map(|record| Put { record, query: None }));
                    }
                    // Its INOUT arguments stand nowhere in the tree.
                    "PLpgSQL_stmt_call" => {
                        let records = datums.iter().filter_map(name_of_record);
                        puts.extend(records.map(|record| Put { record, query: None }));
                    }
                    _ => puts.extend(["target", "var"].into_iter().filter_map(|to| put(value, to, None))),
                }
                put_in(value, datums, puts);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
    }
}

fn put<'t>(statement: &'t Json, to: &str, query: Option<&'t Json>) -> Option<Put<'t>> {
    let record = statement.get(to).and_then(name_of_record)?;
    Some(Put { record, query: query.and_then(|q| q.pointer("/PLpgSQL_expr/query")).and_then(Json::as_str) })
}

fn name_of_record(datum: &Json) -> Option<&str> {
    datum.get("PLpgSQL_rec").and_then(refname)
}
