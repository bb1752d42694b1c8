//! The gateway's own statements towards a target: a closed list. Nothing else is ever sent in the gateway's name.
//!
//! They run in the extended protocol under a reserved name, so that the client's unnamed statement and portal stay
//! what they were, and without a Sync where the client's own sequence is not at its end, so that no transaction of the
//! client's is committed by us.

use std::collections::BTreeSet;

use model::TableName;
use wire::Malformed;
use wire::postgres::build;

use super::control::Rows;
use super::guard::Lock;
use super::understanding::SessionFacts;

/// The name of our statement and portal at the server. Clients may not use it.
pub(super) const RESERVED: &str = "durward_own";

/// Stands in for a message that was refused where PostgreSQL must believe that it failed. No version's grammar accepts
/// it, so it has no effect but to abort what a failed statement aborts.
pub(super) const CERTAIN_FAILURE: &str = "/* durward */ refused by policy";

/// What our statements in a session are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Search path, role and temporary schema as the server sees them now.
    SessionFacts,
    /// The catalogue as this session sees it: after DDL that is not committed yet.
    SessionCatalogue,
    /// What this session has beside the shared catalogue. Reading all of it would lock what views name until the client's
    /// transaction ends.
    TemporaryObjects,
}

/// The effective schemas in their order, implicit ones included.
const SEARCH_PATH: &str = "SELECT pg_catalog.unnest(pg_catalog.current_schemas(true))::pg_catalog.text";
/// The role that decides about rights, the schema of temporary objects (`-` for none), which triggers and rules fire, and whether
/// transactions begin read only. No
/// operator and no unqualified function is used: a user's own could be found in their place.
const ROLE: &str = "SELECT current_user::pg_catalog.text, \
    pg_catalog.pg_my_temp_schema()::pg_catalog.regnamespace::pg_catalog.text, \
    pg_catalog.current_setting('session_replication_role'), \
    pg_catalog.current_setting('default_transaction_read_only')";
/// While the catalogue is read in a session of the client's, names must be printed qualified, so the search path is empty.
/// Both settings are local to the transaction; the old value is put back by [`RESTORE_PATH`], and by the server itself where
/// the transaction ends or fails. A `SET LOCAL` on top of the client's own `SET` or `SET LOCAL` with the same value in the
/// end leaves nothing behind: what COMMIT and ROLLBACK restore stays what it was.
const SAVE_PATH: &str = "SELECT pg_catalog.set_config('durward.search_path', \
    pg_catalog.current_setting('search_path'), true)";
const EMPTY_PATH: &str = "SELECT pg_catalog.set_config('search_path', '', true)";
const RESTORE_PATH: &str = "SELECT pg_catalog.set_config('search_path', \
    pg_catalog.current_setting('durward.search_path'), true)";

/// What a transaction has changed so far, and what was left of earlier ones: by table, each with the partitioned table that
/// it is part of. No operator and no unqualified function is used: a user's own could be found in their place.
pub(super) const CHANGED: &str = "SELECT s.relid::pg_catalog.text, s.schemaname::pg_catalog.text, s.relname::pg_catalog.text, \
    pg_catalog.pg_partition_root(s.relid)::pg_catalog.oid::pg_catalog.text, \
    s.n_tup_ins::pg_catalog.text, s.n_tup_upd::pg_catalog.text, s.n_tup_del::pg_catalog.text \
    FROM pg_catalog.pg_stat_xact_user_tables AS s WHERE (s.n_tup_ins OPERATOR(pg_catalog.+) s.n_tup_upd \
    OPERATOR(pg_catalog.+) s.n_tup_del) OPERATOR(pg_catalog.>) 0::pg_catalog.int8";
/// What is sent around a simple Query outside of a block.
pub(super) const BEGIN: &str = "BEGIN";
/// Constraints and triggers that wait for the end of the transaction run, and count, before it.
pub(super) const SETTLE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
/// The effect stays.
pub(super) const COMMIT: &str = "COMMIT";
/// The effect is taken back.
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// What a plan is asked for in: it only reads, sees one moment, and takes so long at most.
pub(super) fn look(milliseconds: u32) -> String {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = pg_catalog";
    format!("{begin}; {}", limits(milliseconds))
}

/// How long one question may take, and wait for locks.
pub(super) fn limits(milliseconds: u32) -> String {
    format!("SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = 500")
}

/// A statement of the client's that is planned and not run.
pub(super) fn explain(statement: &str) -> String {
    format!("EXPLAIN (FORMAT JSON) {statement}")
}

/// The server keeps a plan as long as the path is the same and all that it uses is there, whatever else is found under its names by
/// now (`RevalidateCachedQuery` in `plancache.c`; `PREPARE` in the manual). What the gateway understands anew has to be planned
/// anew: prepared statements, and what functions run.
const FORGET_PLANS: &str = "DISCARD PLANS";

/// What [`Purpose::SessionFacts`] asks, behind which plans are made by what it says.
pub(super) fn facts_anew() -> Vec<String> {
    let mut all = session_facts();
    all.push(FORGET_PLANS.to_owned());
    all
}

/// How names are resolved in a session.
pub(super) fn session_facts() -> Vec<String> {
    vec![SEARCH_PATH.to_owned(), ROLE.to_owned()]
}

/// What [`Purpose::SessionCatalogue`] and [`Purpose::TemporaryObjects`] ask: the facts, then the catalogue's own questions under an empty search path.
pub(super) fn session_catalogue(questions: &[String]) -> Vec<String> {
    let mut all = session_facts();
    all.extend([SAVE_PATH.to_owned(), EMPTY_PATH.to_owned()]);
    all.extend_from_slice(questions);
    all.extend([RESTORE_PATH.to_owned(), FORGET_PLANS.to_owned()]);
    all
}

/// Lets the server refuse to write, or not: see [`super::guard`].
pub(super) fn lock(lock: Lock) -> &'static str {
    match lock {
        Lock::On => "SET default_transaction_read_only = on",
        Lock::Off => "SET default_transaction_read_only = off",
        Lock::Block { .. } => "SET TRANSACTION READ ONLY",
    }
}

/// The facts in the answers to either purpose, and whether transactions begin read only.
pub(super) fn facts_of(answers: &[Rows]) -> Result<(SessionFacts, bool), &'static str> {
    let read = || {
        let [path, role, ..] = answers else { return None };
        let [row] = role.as_slice() else { return None };
        let [Some(role), temporary, Some(fires), Some(read_only)] = row.as_slice() else { return None };
        let search_path = path.iter().map(|row| row.first().cloned().flatten()).collect::<Option<_>>()?;
        let temporary = temporary.clone().filter(|name| name != "-");
        Some((SessionFacts { search_path, role: role.clone(), temporary }, fires, read_only))
    };
    match read() {
        Some((facts, fires, read_only)) if fires == "origin" || fires == "local" => {
            Ok((facts, read_only == "on"))
        }
        Some(_) => Err("session_replication_role is replica, so other triggers and rules fire than usually"),
        None => Err("an unexpected answer about the session"),
    }
}

/// The answers to the catalogue's own questions.
pub(super) fn catalogue_of(answers: &mut Vec<Rows>) -> Vec<Rows> {
    answers.truncate(answers.len().saturating_sub(2));
    answers.split_off(answers.len().min(4))
}

/// Appends one of our statements: parse, bind, execute and close, all under the reserved name.
pub(super) fn ask(out: &mut Vec<u8>, sql: &str) {
    begin(out, sql);
    fixed(build::bind(out, RESERVED, RESERVED, &[], &[], &[]));
    fixed(build::execute(out, RESERVED, 0));
    fixed(build::close_portal(out, RESERVED));
    fixed(build::close_statement(out, RESERVED));
}

/// What no message can carry fails as what is refused does, in its place: no part of it is sent.
fn begin(out: &mut Vec<u8>, sql: &str) {
    if build::parse(out, RESERVED, sql, &[]).is_err() {
        fail_extended(out, false);
    }
}

/// Appends the question what a statement or a portal of the client's is. Its name came in a message, which ends it; what could
/// not have come so is asked for by a name that is never there.
pub(super) fn describe(out: &mut Vec<u8>, kind: u8, name: &str) {
    if build::describe(out, kind, name).is_err() {
        fixed(build::describe(out, kind, RESERVED));
    }
}

/// Texts that stand in this file have no zero byte: a test looks.
fn fixed(built: Result<(), Malformed>) {
    debug_assert!(built.is_ok(), "a text of our own that no message can carry");
}

/// A statement that is only prepared: that locks these relations until the transaction ends, against being altered or dropped.
pub(super) fn lock_tables(tables: &BTreeSet<TableName>) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let names = tables.iter().map(|t| format!("{}.{}", quoted(&t.schema), quoted(&t.name)));
    format!("SELECT FROM {}", names.collect::<Vec<_>>().join(", "))
}

/// Appends a statement of ours that is prepared and dropped again, and not run.
pub(super) fn prepare(out: &mut Vec<u8>, sql: &str) {
    begin(out, sql);
    fixed(build::close_statement(out, RESERVED));
}

/// Appends the stand-in for a refused simple Query.
pub(super) fn fail_simple(out: &mut Vec<u8>) {
    fixed(build::query(out, CERTAIN_FAILURE));
}

/// Appends the stand-in for a refused message of the extended protocol. A failed Parse of the unnamed statement drops the
/// one before it, so only the stand-in for such a Parse is one, too; others are parsed under the reserved name.
pub(super) fn fail_extended(out: &mut Vec<u8>, unnamed: bool) {
    fixed(build::parse(out, if unnamed { "" } else { RESERVED }, CERTAIN_FAILURE, &[]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_no_message_can_carry_fails_whole_in_its_place() {
        let sent = |sql: &str| {
            let mut out = Vec::new();
            ask(&mut out, sql);
            out
        };
        assert_eq!(sent("SELECT 1\0 WHERE false"), sent(CERTAIN_FAILURE));
        assert_ne!(sent("SELECT 1"), sent(CERTAIN_FAILURE));
        let name = |name: &str| {
            let mut out = Vec::new();
            describe(&mut out, b'S', name);
            out
        };
        assert_eq!(name("a\0b"), name(RESERVED));
        assert_ne!(name("a"), name(RESERVED));
        for fixed in [RESERVED, CERTAIN_FAILURE] {
            assert!(!fixed.contains('\0'));
        }
    }

    #[test]
    fn whatever_moves_names_has_the_server_forget_its_plans() {
        let catalogue = [1, 2, 3].map(|n| format!("SELECT {n}"));
        for asked in [facts_anew(), session_catalogue(&catalogue)] {
            assert_eq!(asked.last().map(String::as_str), Some(FORGET_PLANS));
        }
        let answers = session_catalogue(&catalogue).into_iter().map(|text| vec![vec![Some(text)]]);
        let of_catalogue = catalogue_of(&mut answers.collect());
        assert_eq!(
            of_catalogue.iter().flatten().flatten().flatten().collect::<Vec<_>>(),
            catalogue.iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn where_other_triggers_fire_than_usually_nothing_is_certain() {
        let row = |cells: &[Option<&str>]| cells.iter().map(|c| c.map(str::to_owned)).collect::<Vec<_>>();
        let path = vec![row(&[Some("pg_catalog")]), row(&[Some("shop")])];
        let facts = |role: &[Option<&str>]| facts_of(&[path.clone(), vec![row(role)]]);
        for fires in ["origin", "local"] {
            let (known, read_only) =
                facts(&[Some("app"), Some("-"), Some(fires), Some("on")]).expect("facts");
            assert!(read_only);
            assert_eq!((known.role.as_str(), known.temporary), ("app", None));
            assert_eq!(known.search_path, ["pg_catalog", "shop"]);
        }
        assert!(
            facts(&[Some("app"), Some("-"), Some("replica"), Some("off")])
                .is_err_and(|why| why.contains("replica"))
        );
        assert!(facts(&[Some("app"), Some("-")]).is_err());
    }
}
