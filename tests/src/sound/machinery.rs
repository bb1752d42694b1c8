//! What the server does by itself when rows change, by its catalogue: triggers, rules, defaults, checks, indexes, policies,
//! foreign keys, partitions, and tables behind views.

use std::collections::BTreeSet;

use super::objects::Objects;
use super::server::{Server, bodies, class};
use super::tree::{self, Node, Part};

/// Rows of a relation change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Insert,
    Update,
    Delete,
}

impl Change {
    const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// `CMD_UPDATE` and the others.
    fn of(command: i64) -> Option<Self> {
        match command {
            2 => Some(Self::Update),
            3 => Some(Self::Insert),
            4 => Some(Self::Delete),
            _ => None,
        }
    }

    /// `TRIGGER_TYPE_INSERT` and the others, and `pg_rewrite.ev_type`.
    fn marks(self) -> (i64, char) {
        match self {
            Self::Insert => (4, '3'),
            Self::Delete => (8, '4'),
            Self::Update => (16, '2'),
        }
    }
}

pub(super) type Changes = BTreeSet<(u32, Change)>;

/// The relations that a resolved statement changes, at any depth.
pub(super) fn changes(part: &Part, found: &mut Changes) {
    part.nodes(&mut |node| {
        if node.kind == "QUERY" {
            of_query(node, found);
        }
        for (_, parts) in node.fields() {
            parts.iter().for_each(|part| changes(part, found));
        }
    });
}

fn of_query(query: &Node, found: &mut Changes) {
    let index = usize::try_from(query.number("resultRelation")).unwrap_or(0);
    let Some(Part::Node(table)) = index.checked_sub(1).and_then(|index| query.list("rtable").get(index))
    else {
        return;
    };
    let Ok(relation) = u32::try_from(table.number("relid")) else { return };
    found.extend(Change::of(query.number("commandType")).map(|change| (relation, change)));
    if query.node("onConflict").is_some_and(|conflict| conflict.number("action") == 2) {
        found.insert((relation, Change::Update));
    }
    for action in query.list("mergeActionList") {
        if let Part::Node(action) = action {
            found.extend(Change::of(action.number("commandType")).map(|change| (relation, change)));
        }
    }
}

impl Server {
    /// Adds what takes part when these change.
    pub(super) async fn machinery(&self, first: Changes, objects: &mut Objects) -> Result<(), String> {
        let mut seen = Changes::new();
        let mut left: Vec<(u32, Change)> = first.into_iter().collect();
        while let Some((relation, change)) = left.pop() {
            if seen.insert((relation, change)) {
                objects.relations.entry(relation).or_default();
                let more = self.one(relation, change, objects).await?;
                left.extend(more);
            }
        }
        Ok(())
    }

    async fn one(&self, relation: u32, change: Change, objects: &mut Objects) -> Result<Changes, String> {
        let mut more = Changes::new();
        let (bit, letter) = change.marks();
        let writes = change != Change::Delete;

        let text = format!(
            "SELECT h.inhrelid::pg_catalog.text, c.relkind::pg_catalog.text FROM pg_catalog.pg_inherits h
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) h.inhparent
             WHERE h.inhparent OPERATOR(pg_catalog.=) {relation} AND c.relkind IN ('r', 'p')"
        );
        for row in self.rows(&text).await? {
            let [Some(child), Some(kind)] = row.as_slice() else { continue };
            // Rows of partitioned tables may move; inserts are routed. What is inserted into another table stays there.
            let changes: &[Change] = match (kind.as_str(), change) {
                ("p", Change::Update) => &Change::ALL,
                ("p", Change::Insert) => &[Change::Insert],
                (_, Change::Insert) => &[],
                (_, Change::Update) => &[Change::Update],
                (_, Change::Delete) => &[Change::Delete],
            };
            more.extend(changes.iter().map(|change| (child.parse().unwrap(), *change)));
        }

        let text = format!(
            "SELECT t.oid::pg_catalog.text, t.tgfoid::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_trigger t
             WHERE t.tgrelid OPERATOR(pg_catalog.=) {relation} AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
             AND (t.tgtype OPERATOR(pg_catalog.&) {bit}::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0"
        );
        let mut dependents = Vec::new();
        for row in self.rows(&text).await? {
            let [Some(trigger), Some(function)] = row.as_slice() else { continue };
            objects.functions.insert(function.parse().unwrap());
            dependents.push(format!("({}, {trigger})", class("pg_trigger")));
        }

        let generated =
            if change == Change::Insert { "" } else { "AND a.attgenerated OPERATOR(pg_catalog.<>) ''" };
        let mut lists = vec![(
            "pg_policy",
            format!(
                "SELECT p.oid::pg_catalog.text FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c
                 ON c.oid OPERATOR(pg_catalog.=) p.polrelid WHERE c.relrowsecurity AND c.oid OPERATOR(pg_catalog.=) {relation}"
            ),
        )];
        if writes {
            lists.push((
                "pg_attrdef",
                format!(
                    "SELECT d.oid::pg_catalog.text FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a
                     ON a.attrelid OPERATOR(pg_catalog.=) d.adrelid AND a.attnum OPERATOR(pg_catalog.=) d.adnum
                     WHERE d.adrelid OPERATOR(pg_catalog.=) {relation} {generated}"
                ),
            ));
            lists.push((
                "pg_constraint",
                format!(
                    "SELECT k.oid::pg_catalog.text FROM pg_catalog.pg_constraint k
                     WHERE k.conrelid OPERATOR(pg_catalog.=) {relation} AND k.contype OPERATOR(pg_catalog.=) 'c'"
                ),
            ));
            lists.push((
                "pg_class",
                format!(
                    "SELECT i.indexrelid::pg_catalog.text FROM pg_catalog.pg_index i
                     WHERE i.indrelid OPERATOR(pg_catalog.=) {relation} AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)"
                ),
            ));
            let types = format!(
                "SELECT a.atttypid::pg_catalog.text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid OPERATOR(pg_catalog.=) {relation} AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
            );
            let types = self.rows(&types).await?;
            objects.types.extend(types.iter().flatten().flatten().filter_map(|oid| oid.parse::<u32>().ok()));
        }
        for (catalogue, text) in lists {
            let oids = self.rows(&text).await?;
            dependents
                .extend(oids.iter().flatten().flatten().map(|oid| format!("({}, {oid})", class(catalogue))));
        }
        self.depends(&dependents, objects).await?;

        let text = format!(
            "SELECT r.ev_action::pg_catalog.text, r.ev_qual::pg_catalog.text FROM pg_catalog.pg_rewrite r
             WHERE r.ev_class OPERATOR(pg_catalog.=) {relation} AND r.ev_type OPERATOR(pg_catalog.=) '{letter}'
             AND r.ev_enabled IN ('O', 'A')"
        );
        let rules = self.rows(&text).await?;
        for part in rules.iter().flatten().flatten() {
            bodies(objects, part);
            changes(&tree::parse(part), &mut more);
        }

        let (action, letters) = match change {
            Change::Insert => ("", ""),
            Change::Update => ("confupdtype", "'c', 'n', 'd'"),
            Change::Delete => ("confdeltype", "'c', 'n', 'd'"),
        };
        if !action.is_empty() {
            let text = format!(
                "SELECT k.conrelid::pg_catalog.text, k.{action}::pg_catalog.text FROM pg_catalog.pg_constraint k
                 WHERE k.confrelid OPERATOR(pg_catalog.=) {relation} AND k.contype OPERATOR(pg_catalog.=) 'f'
                 AND k.{action} IN ({letters})"
            );
            for row in self.rows(&text).await? {
                let [Some(child), Some(how)] = row.as_slice() else { continue };
                let follows =
                    if change == Change::Delete && how == "c" { Change::Delete } else { Change::Update };
                more.insert((child.parse().unwrap(), follows));
            }
        }

        if rules.is_empty() && dependents.iter().all(|d| !d.contains("pg_trigger")) {
            let text = format!(
                "SELECT r.ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c
                 ON c.oid OPERATOR(pg_catalog.=) r.ev_class WHERE c.relkind OPERATOR(pg_catalog.=) 'v'
                 AND r.rulename OPERATOR(pg_catalog.=) '_RETURN' AND c.oid OPERATOR(pg_catalog.=) {relation}"
            );
            for action in self.rows(&text).await?.iter().flatten().flatten() {
                tree::parse(action).nodes(&mut |query| {
                    for table in query.list("rtable") {
                        let Part::Node(table) = table else { continue };
                        let behind = u32::try_from(table.number("relid")).ok();
                        let behind = behind.filter(|oid| table.number("rtekind") == 0 && *oid != relation);
                        more.extend(behind.filter(|oid| *oid != 0).map(|oid| (oid, change)));
                    }
                });
            }
        }
        Ok(more)
    }
}
