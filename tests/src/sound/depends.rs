//! What the server keeps of views and of bodies that it holds resolved, beside our reading of their texts: every relation, column
//! and function that `pg_depend` has for them must be in it.

use std::collections::{BTreeMap, BTreeSet};

use model::{Action, ColumnName, FunctionName, Resource, TableName};
use sql::postgres::catalog::Oid;
use sql::postgres::{Lineage, Outputs, Statement};

use super::compare::{Report, names, sources, tagged, under};
use super::server::{Known, Server};

/// What one view or function depends on.
#[derive(Default)]
struct Depends {
    /// What the server calls it.
    name: String,
    /// What is read of it: its query, or a call.
    texts: Vec<String>,
    relations: BTreeSet<TableName>,
    columns: BTreeSet<(u32, i16)>,
    functions: BTreeSet<FunctionName>,
}

/// Each entry with what it is of, and what is sent to use that. What is only spoken of by a constant (`'t'::regclass`) has no column,
/// and neither has what is counted, so of tables without one nothing is asked but whether they are read. Composite types hold no rows.
const ENTRIES: &str = "
    WITH held AS (
        SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass AS class, r.oid AS oid, c.oid AS of,
            pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
            pg_catalog.format('SELECT * FROM %I.%I', n.nspname, c.relname) AS uses, c.relkind = 'v' AS is_followed
        FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE r.rulename = '_RETURN' AND c.oid >= 16384
        UNION ALL
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0, pg_catalog.format('%I.%I', n.nspname, p.proname),
            pg_catalog.format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, n.nspname, p.proname,
                (SELECT pg_catalog.string_agg('NULL::' || pg_catalog.format_type(t.oid, NULL), ', ' ORDER BY t.place)
                 FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY t(oid, place))), true
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosqlbody IS NOT NULL AND p.oid >= 16384)
    SELECT h.name, h.of::text, h.uses, h.is_followed::text, d.refclassid::pg_catalog.regclass::text,
        coalesce(n.nspname, f.nspname)::text, coalesce(c.relname, p.proname)::text,
        d.refobjid::text, d.refobjsubid::text
    FROM held h JOIN pg_catalog.pg_depend d ON d.classid = h.class AND d.objid = h.oid AND d.deptype = 'n'
    LEFT JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.refobjid
        AND c.relkind NOT IN ('S', 'c')
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_operator o
        ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
        OR d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
    WHERE c.oid IS NOT NULL AND c.oid <> h.of OR p.oid IS NOT NULL";

/// Compares all views and bodies that there are.
pub(super) async fn compare(server: &mut Server, report: &mut Report) {
    if server.major() < 14 {
        // No function holds a resolved body there.
        return;
    }
    let path = "BEGIN; SET LOCAL search_path = pg_catalog";
    server.run(path).await.unwrap();
    let rows = server.rows(ENTRIES).await;
    server.run("ROLLBACK").await.unwrap();
    let rows = rows.unwrap_or_else(|why| panic!("pg_depend: {why}"));
    server.changed();
    let known = match server.known().await {
        Ok(known) => known,
        Err(why) => panic!("the catalogue cannot be read: {why}"),
    };
    for depends in gathered(known, &rows).values() {
        for (n, text) in depends.texts.iter().enumerate() {
            // What decides within a view is its owner's doing, and shows where its query stands by itself.
            let by_itself = n > 0;
            report.compared_depends(known, depends, text, by_itself);
        }
    }
}

fn gathered(known: &Known, rows: &[Vec<Option<String>>]) -> BTreeMap<String, Depends> {
    let mut all: BTreeMap<String, Depends> = BTreeMap::new();
    for row in rows {
        let [
            Some(name),
            Some(of),
            Some(uses),
            followed,
            Some(class),
            schema,
            object,
            Some(oid),
            Some(column),
        ] = row.as_slice()
        else {
            continue;
        };
        let (of, oid): (u32, u32) = (of.parse().unwrap(), oid.parse().unwrap());
        let depends = all.entry(uses.clone()).or_default();
        if depends.name.is_empty() {
            depends.name.clone_from(name);
            let definition = known.catalog.relation_by_oid(Oid(of)).and_then(|r| r.definition.clone());
            // What is stored is read as it is.
            let uses = (followed.as_deref() == Some("true")).then(|| uses.clone());
            depends.texts = vec![uses.unwrap_or_else(|| "SELECT".to_owned())];
            depends.texts.extend(definition);
        }
        let (Some(schema), Some(object)) = (schema.clone(), object.clone()) else { continue };
        if class.ends_with("pg_class") {
            depends.relations.insert(TableName { schema, name: object });
            let number: i16 = column.parse().unwrap();
            // Columns of views are those of the tables below them, which they are compared with themselves.
            let is_view = known.catalog.relation_by_oid(Oid(oid)).is_none_or(|r| r.definition.is_some());
            if number != 0 && !is_view {
                depends.columns.insert((oid, number));
            }
        } else {
            depends.functions.insert(FunctionName { schema, name: object });
        }
    }
    all
}

impl Report {
    fn compared_depends(&mut self, known: &Known, depends: &Depends, text: &str, by_itself: bool) {
        if text == "SELECT" {
            return;
        }
        let Ok(analysis) = under(known, &["pg_catalog".to_owned()], text) else { return };
        let [statement] = analysis.statements.as_slice() else { return };
        if statement.effects.iter().any(|e| e.action == Action::Unknown) {
            self.unclear += 1;
            return;
        }
        self.compared += 1;
        let mut lacks: Vec<String> = Vec::new();
        for table in &depends.relations {
            let seen = statement.facts.tables.contains(table)
                || statement.effects.iter().any(|effect| names(effect, table));
            if !seen {
                lacks.push(format!("relation {table}"));
            }
        }
        for function in &depends.functions {
            if !statement.facts.functions.contains(function) && !self.is_harmless(known, function) {
                lacks.push(format!("function {function}"));
            }
        }
        if by_itself && let Some(have) = columns(statement) {
            for column in tagged(known, depends.columns.iter().copied()) {
                if !have.contains(&column) {
                    lacks.push(format!("column {column}"));
                }
            }
        }
        if !lacks.is_empty() {
            self.unsound.push(format!("{} of {}\n    {text}", lacks.join("; "), depends.name));
        }
    }
}

/// The columns that come out or decide something; `None` where what comes out is withheld as a whole.
fn columns(statement: &Statement) -> Option<BTreeSet<&ColumnName>> {
    let outputs = match &statement.outputs {
        Outputs::Columns(columns) => columns.as_slice(),
        Outputs::None => &[],
        Outputs::Opaque(_) => return None,
    };
    if outputs.iter().any(|output| matches!(output.lineage, Lineage::Unknown(_))) {
        return None;
    }
    let mut have: BTreeSet<&ColumnName> = outputs.iter().flat_map(sources).collect();
    for effect in statement.effects.iter().filter(|effect| effect.action == Action::Probe) {
        if let Resource::Column(column) = &effect.resource {
            have.insert(column);
        }
    }
    Some(have)
}
