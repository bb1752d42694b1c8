//! What there is in a database: asked of its catalogue as any session of the principal's may, and told with the tags that the
//! gateway keeps.

use std::collections::BTreeMap;

use model::TargetName;
use serde_json::{Value, json};

use super::{Caller, Tools, optional, text};
use crate::answer::{Answer, Refusal, delimited};
use crate::client::{Bounds, Outcome};
use crate::rpc::Object;
use crate::values::Given;

/// So many tables one page has.
const PAGE: u32 = 50;
/// So many columns and keys are told of one table.
const MOST: u32 = 1600;
const BYTES: usize = 1 << 20;

/// Tables and views outside of the system's schemas, by name; those that have a word in their name or their columns' names.
const TABLES: &str = "SELECT n.nspname, c.relname, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' \
     WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' ELSE 'table' END, \
     CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, pg_catalog.obj_description(c.oid, 'pg_class') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition AND n.nspname <> 'information_schema' \
     AND n.nspname NOT LIKE 'pg\\_%' AND ($1::text IS NULL OR c.relname ILIKE $1 OR EXISTS (SELECT 1 FROM \
     pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname ILIKE $1)) \
     ORDER BY 1, 2 LIMIT $2 OFFSET $3";

const COLUMNS: &str = "SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
     CASE WHEN a.attgenerated <> '' THEN 'generated: ' WHEN a.attidentity = 'a' THEN 'identity, always' WHEN a.attidentity = 'd' \
     THEN 'identity' WHEN d.adbin IS NOT NULL THEN 'default ' ELSE '' END || coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''), \
     pg_catalog.col_description(c.oid, a.attnum), \
     (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e \
     WHERE e.enumtypid IN (a.atttypid, t.typelem, t.typbasetype)) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND c.relname = $2 AND ($1::text IS NULL OR n.nspname = $1) \
     AND ($1::text IS NOT NULL OR pg_catalog.pg_table_is_visible(c.oid)) ORDER BY a.attnum LIMIT $3";

const KEYS: &str = "SELECT pg_catalog.pg_get_constraintdef(o.oid) \
     FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relname = $2 AND n.nspname = $1 AND o.contype IN ('p', 'u', 'f', 'c') ORDER BY o.contype DESC, o.conname LIMIT $3";

impl Tools {
    /// Lists tables, or one table's columns and keys.
    pub(super) async fn describe(&self, caller: &Caller, arguments: &Object) -> Result<Answer, Refusal> {
        let target = TargetName::new(text(arguments, "target")?);
        match optional(arguments, "table")? {
            Some(table) => self.describe_table(caller, &target, table).await,
            None => self.describe_tables(caller, &target, arguments).await,
        }
    }

    async fn describe_tables(
        &self,
        caller: &Caller,
        target: &TargetName,
        arguments: &Object,
    ) -> Result<Answer, Refusal> {
        let page = match arguments.get("page") {
            None | Some(Value::Null) => 1,
            Some(page) => page
                .as_u64()
                .and_then(|page| u32::try_from(page).ok())
                .filter(|page| (1..=10_000).contains(page))
                .ok_or_else(|| Refusal::argument("page is a number from 1".to_owned()))?,
        };
        let word = optional(arguments, "search")?;
        let pattern = word.map(|word| {
            let literal = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("%{literal}%")
        });
        let from = (page - 1) * PAGE;
        let values = [pattern, Some((PAGE + 1).to_string()), Some(from.to_string())];
        let mut rows = self.look(caller, target, TABLES, &values).await?.rows;
        let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        rows.truncate(most);
        let mut tables = Vec::new();
        let mut lines = Vec::new();
        for row in rows {
            let [schema, name, kind, estimate, comment] = cells(row);
            let estimate = estimate.and_then(|rows| rows.parse::<i64>().ok());
            let table = json!({
                "schema": schema, "name": name, "kind": kind, "rows": estimate, "comment": comment,
            });
            let name = format!("{}.{}", schema.unwrap_or_default(), name.unwrap_or_default());
            let mut line = vec![json!(name), json!(kind)];
            line.extend(estimate.map(|rows| json!(format!("~{rows} rows"))));
            line.extend(comment.map(Value::from));
            lines.push(Value::Array(line).to_string());
            tables.push(table);
        }
        let head = match (tables.is_empty(), more) {
            (true, _) => {
                return Ok(Answer::new(
                    "No table is there by this name.".to_owned(),
                    json!({ "tables": [] }),
                ));
            }
            (false, true) => format!("Page {page}; there are more. "),
            (false, false) => String::new(),
        };
        Ok(Answer::new(head + &delimited(&lines), json!({ "tables": tables, "more": more })))
    }

    async fn describe_table(
        &self,
        caller: &Caller,
        target: &TargetName,
        table: &str,
    ) -> Result<Answer, Refusal> {
        let quoted = model::parts(table).filter(|_| table.contains('"'));
        let (schema, name) = match (quoted.as_deref(), table.split_once('.')) {
            (Some([name]), _) => (None, name.as_str()),
            (Some([schema, name]), _) => (Some(schema.clone()), name.as_str()),
            (_, Some((schema, name))) => (Some(schema.to_owned()), name),
            (_, None) => (None, table),
        };
        let most = Some(MOST.to_string());
        let values = [schema, Some(name.to_owned()), most.clone()];
        let rows = self.look(caller, target, COLUMNS, &values).await?.rows;
        let mut columns = Vec::new();
        let mut lines = Vec::new();
        let mut place = None;
        let mut tags = BTreeMap::new();
        for row in rows {
            let [schema, relation, column, kind, not_null, default, comment, labels] = cells(row);
            let default = default.filter(|default| !default.is_empty());
            if place.is_none() {
                let found = (schema.unwrap_or_default(), relation.unwrap_or_default());
                tags = self.gateway.tags_inside(target, &found.0, &found.1);
                place = Some(found);
            }
            let column = column.unwrap_or_default();
            let tagged = tags.get(&column).cloned().unwrap_or_default();
            let not_null = not_null.as_deref() == Some("t");
            let mut line = vec![json!(column), json!(kind)];
            if not_null {
                line.push(json!("not null"));
            }
            line.extend(labels.as_ref().map(|labels| json!(format!("one of {labels}"))));
            line.extend(default.as_ref().map(|default| json!(default)));
            if !tagged.is_empty() {
                line.push(json!(format!("tagged {}", tagged.join(", "))));
            }
            line.extend(comment.as_ref().map(|comment| json!(format!("comment: {comment}"))));
            lines.push(Value::Array(line).to_string());
            columns.push(json!({
                "name": column, "type": kind, "not_null": not_null, "default": default, "labels": labels, "tags": tagged, "comment": comment,
            }));
        }
        let Some((schema, name)) = place else {
            return Err(Refusal::argument(format!("there is no table {table} that you may see"))
                .hinting("describe with search finds names.".to_owned()));
        };
        let values = [Some(schema.clone()), Some(name.clone()), most];
        let keys: Vec<String> =
            self.look(caller, target, KEYS, &values).await?.rows.into_iter().flatten().flatten().collect();
        lines.extend(keys.iter().map(|key| json!([key]).to_string()));
        let data = json!({ "schema": schema, "table": name, "columns": columns, "keys": keys });
        Ok(Answer::new(format!("{} columns. {}", columns.len(), delimited(&lines)), data))
    }

    async fn look(
        &self,
        caller: &Caller,
        target: &TargetName,
        sql: &str,
        values: &[Option<String>],
    ) -> Result<Outcome, Refusal> {
        let values: Vec<Given> = values.iter().cloned().map(|v| v.map_or(Given::Null, Given::Text)).collect();
        let mut lent = self.pool.lend(&caller.whose(), target).await?;
        let outcome = lent.client.run(sql, &values, Bounds { rows: MOST, bytes: BYTES }, |_, _| ()).await?;
        self.pool.give_back(lent).await;
        match &outcome.error {
            Some(said) => Err(Refusal::said(said, outcome.own).by(outcome.policies.clone())),
            None => Ok(outcome),
        }
    }
}

/// A row's cells, as many as are asked for.
fn cells<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().flatten())
}
