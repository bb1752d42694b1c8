//! What a statement really does on the server: the queries that it carries out, rewritten, those of functions and triggers
//! included (`debug_print_rewritten`); locks, rows and functions by the server's own counters; notices of functions.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::{DbError, SqlState};

use super::machinery::{self, Change, Changes};
use super::objects::Objects;
use super::script::{is_copied_out, words_of};
use super::server::{FIRST_USER, Server, words};
use super::tree;

/// What a statement did.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// What rewritten queries name.
    pub(super) named: Objects,
    /// Which relations rewritten queries change.
    pub(super) changes: Changes,
    /// Relations and the modes in which they are locked: of indexes and of what is stored beside a table, the table.
    pub(super) locks: BTreeMap<u32, BTreeSet<String>>,
    /// Relations whose rows were inserted, updated or deleted.
    pub(super) rows: Changes,
    /// Functions that ran, by OID and by what they said themselves.
    pub(super) functions: BTreeSet<u32>,
    pub(super) said: BTreeSet<String>,
    /// Something that only locks hold: an advisory one.
    pub(super) advisory: bool,
    /// The transaction has a number: something was written.
    pub(super) wrote: bool,
    /// Default partitions, as they were before: their bounds change whenever a sibling comes or goes.
    pub(super) defaults: BTreeSet<u32>,
    /// Settings that have another value.
    pub(super) configured: BTreeSet<String>,
    /// The server's refusal.
    pub(super) refused: Option<String>,
}

/// What becomes of what is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Kept,
    Undone,
}

/// What must stand by itself, or is about the transaction or the session alone.
const PLAIN: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare transaction",
    "set",
    "reset",
    "vacuum",
    "alter system",
    "create database",
    "drop database",
    "create tablespace",
    "drop tablespace",
    "discard",
    "create subscription",
    "drop subscription",
];

/// Functions of tests say that they run with these words before their names.
pub(super) const RAN: &str = "ran ";

const LOOK: &str = "SET LOCAL client_min_messages = 'log'; SET LOCAL debug_print_rewritten = on; SET LOCAL debug_pretty_print = off";

impl Server {
    /// Carries a text out, or copies data in by it, and says what that did; `None` where it cannot be seen. Outside a block
    /// it gets one of its own.
    pub(super) async fn observed(&mut self, text: &str, data: Option<&str>, then: Then) -> Option<Happened> {
        let lower = words_of(text);
        let plain = PLAIN.iter().any(|word| lower == *word || lower.starts_with(&format!("{word} ")));
        let before = self.client.batch_execute("SAVEPOINT durward_seen; RELEASE durward_seen").await;
        let alone = before.as_ref().is_err_and(|e| e.code() == Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION));
        if plain || (before.is_err() && !alone) || is_copied_out(text) {
            drop(self.carry_out(text, data).await);
            return None;
        }
        if !alone && then == Then::Kept {
            self.client.batch_execute(LOOK).await.ok()?;
            return self.look(text, data).await;
        }
        self.client.batch_execute(&format!("BEGIN; {LOOK}")).await.ok()?;
        let happened = self.look(text, data).await;
        if then == Then::Undone {
            self.client.batch_execute("ROLLBACK").await.ok()?;
            return happened;
        }
        let by_itself = [SqlState::ACTIVE_SQL_TRANSACTION, SqlState::INVALID_TRANSACTION_TERMINATION];
        let refused = happened.as_ref().and_then(|h| h.refused.as_deref());
        if refused.is_some_and(|why| by_itself.iter().any(|state| why.starts_with(state.code()))) {
            self.client.batch_execute("ROLLBACK").await.ok()?;
            drop(self.carry_out(text, data).await);
            return None;
        }
        let mut happened = happened?;
        self.hear();
        drop(self.client.batch_execute("COMMIT").await);
        // What was deferred happens now.
        happened.take(self.hear());
        Some(happened)
    }

    async fn look(&mut self, text: &str, data: Option<&str>) -> Option<Happened> {
        let before = self.rows(&state()).await.ok()?;
        self.hear();
        let refused = self.carry_out(text, data).await.err();
        let mut happened = Happened::default();
        happened.take(self.hear());
        if let Some(error) = refused {
            happened.refused = Some(words(&error));
            return Some(happened);
        }
        if self.client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.is_err() {
            return Some(happened);
        }
        happened.take(self.hear());
        let after = self.rows(&state()).await.ok()?;
        happened.differs(&before, &after);
        let own = happened.named.operators.iter().filter(|oid| **oid >= FIRST_USER);
        let own: Vec<String> = own.map(u32::to_string).collect();
        if !own.is_empty() {
            let text = format!(
                "SELECT o.oprcode::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_operator o WHERE o.oid IN ({})",
                own.join(", ")
            );
            let functions = self.rows(&text).await.ok()?;
            happened
                .named
                .functions
                .extend(functions.iter().flatten().flatten().filter_map(|oid| oid.parse::<u32>().ok()));
        }
        let of_views = self.of_own_views(&happened.named).await.ok()?;
        happened.named.functions.retain(|oid| !of_views.contains(oid));
        Some(happened)
    }

    /// The functions that the server's own views call. They are no way to more than the view shows: the view is decided on by
    /// its name and its columns.
    async fn of_own_views(&self, named: &Objects) -> Result<BTreeSet<u32>, String> {
        let mut inside = Objects::default();
        let mut left: BTreeSet<u32> = named.relations.keys().copied().collect();
        let mut followed = BTreeSet::new();
        loop {
            left.retain(|oid| *oid < FIRST_USER && followed.insert(*oid));
            if left.is_empty() {
                return Ok(inside.functions);
            }
            let oids: Vec<String> = left.iter().map(u32::to_string).collect();
            let text = format!(
                "SELECT r.ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite r
                 WHERE r.ev_class IN ({}) AND r.rulename OPERATOR(pg_catalog.=) '_RETURN'",
                oids.join(", ")
            );
            for action in self.rows(&text).await?.iter().flatten().flatten() {
                inside.gather(&tree::parse(action));
            }
            left = inside.relations.keys().copied().collect();
        }
    }
}

impl Happened {
    /// Takes what the server told meanwhile.
    fn take(&mut self, notices: Vec<DbError>) {
        for notice in notices {
            match (notice.message(), notice.detail()) {
                ("rewritten parse tree:", Some(tree)) => {
                    let part = tree::parse(tree);
                    self.named.gather(&part);
                    machinery::changes(&part, &mut self.changes);
                }
                (message, _) => self.said.extend(message.strip_prefix(RAN).map(str::to_owned)),
            }
        }
    }

    /// What a state has that was not so before.
    fn differs(&mut self, before: &[Vec<Option<String>>], after: &[Vec<Option<String>>]) {
        self.defaults = before.iter().filter_map(|row| default_partition(row)).collect();
        let before: BTreeSet<&[Option<String>]> = before.iter().map(Vec::as_slice).collect();
        for row in after.iter().filter(|row| !before.contains(row.as_slice())) {
            let [Some(what), Some(oid), value] = row.as_slice() else { continue };
            let oid: u32 = oid.parse().unwrap();
            match what.as_str() {
                "lock" => drop(self.locks.entry(oid).or_default().insert(value.clone().unwrap_or_default())),
                "insert" => drop(self.rows.insert((oid, Change::Insert))),
                "update" => drop(self.rows.insert((oid, Change::Update))),
                "delete" => drop(self.rows.insert((oid, Change::Delete))),
                "function" => drop(self.functions.insert(oid)),
                "default" => (),
                "advisory" => self.advisory = true,
                "transaction" => self.wrote = true,
                _ => self.configured.extend(value.clone()),
            }
        }
    }
}

fn default_partition(row: &[Option<String>]) -> Option<u32> {
    let [Some(what), Some(oid), _] = row else { return None };
    (what == "default").then(|| oid.parse().unwrap())
}

/// What the server counts and holds for this session now.
fn state() -> String {
    let pairs = [("insert", "inserted"), ("update", "updated"), ("delete", "deleted")];
    let counted = pairs.map(|(what, counted)| {
        format!(
            "UNION ALL SELECT '{what}', c.oid::pg_catalog.text, pg_catalog.pg_stat_get_xact_tuples_{counted}(c.oid)::pg_catalog.text
             FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.oid OPERATOR(pg_catalog.>=) '{FIRST_USER}'
             AND pg_catalog.pg_stat_get_xact_tuples_{counted}(c.oid) OPERATOR(pg_catalog.>) 0 "
        )
    });
    format!(
        "SELECT 'lock', coalesce(i.indrelid, t.oid, l.relation)::pg_catalog.text, l.mode FROM pg_catalog.pg_locks l
         LEFT JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) l.relation
         LEFT JOIN pg_catalog.pg_class t ON t.reltoastrelid OPERATOR(pg_catalog.=) l.relation
         WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype OPERATOR(pg_catalog.=) 'relation'
         UNION ALL SELECT 'advisory', '0', pg_catalog.count(*)::pg_catalog.text FROM pg_catalog.pg_locks l
         WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype OPERATOR(pg_catalog.=) 'advisory'
         {}
         UNION ALL SELECT 'function', p.oid::pg_catalog.text, pg_catalog.pg_stat_get_xact_function_calls(p.oid)::pg_catalog.text
         FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.>=) '{FIRST_USER}'
         AND pg_catalog.pg_stat_get_xact_function_calls(p.oid) IS NOT NULL
         UNION ALL SELECT 'default', p.partdefid::pg_catalog.text, NULL FROM pg_catalog.pg_partitioned_table p
         WHERE p.partdefid OPERATOR(pg_catalog.<>) '0'
         UNION ALL SELECT 'transaction', '0', pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text
         UNION ALL SELECT 'setting', '0', pg_catalog.concat(s.name, ' = ', s.setting) FROM pg_catalog.pg_settings s
         WHERE pg_catalog.strpos(s.name, '.') OPERATOR(pg_catalog.=) 0",
        counted.concat()
    )
}
