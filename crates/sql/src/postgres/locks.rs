//! Which lock a statement takes, and whether a table is written anew for it
//! (<https://www.postgresql.org/docs/18/explicit-locking.html>, <https://www.postgresql.org/docs/18/sql-altertable.html>).

use std::collections::BTreeSet;
use std::fmt;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableType, ColumnDef, ConstrType, Constraint, LockStmt, Node, ObjectType,
    PartitionCmd, RangeVar,
};

use super::catalog::{Catalog, Event, Relation};
use super::parse::parse;
use super::tree::{inner, is_on, kind, options, strings};
use super::{Options, Session};

/// So many statements of a message are told of.
const STATEMENTS: usize = 20;
/// And so many names of what hangs on a table.
const NAMES: usize = 10;

/// The lock modes of tables, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    /// `SELECT`
    AccessShare,
    /// `SELECT … FOR UPDATE`
    RowShare,
    /// `INSERT`, `UPDATE`, `DELETE`
    RowExclusive,
    /// `VACUUM`, `CREATE INDEX CONCURRENTLY`
    ShareUpdateExclusive,
    /// `CREATE INDEX`
    Share,
    /// `CREATE TRIGGER`
    ShareRowExclusive,
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY`
    Exclusive,
    /// `DROP TABLE`
    AccessExclusive,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessShare => "ACCESS SHARE: others go on, but for changes of its definition",
            Self::RowShare => "ROW SHARE: others go on, but for those who want the same rows",
            Self::RowExclusive => "ROW EXCLUSIVE: others read and write other rows",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE: others read and write",
            Self::Share => "SHARE: others read, and nobody writes",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE: others read, and nobody writes",
            Self::Exclusive => "EXCLUSIVE: others read, and nobody writes",
            Self::AccessExclusive => "ACCESS EXCLUSIVE: nobody else reads or writes",
        })
    }
}

/// What a statement costs others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    /// The strongest lock.
    lock: Option<Lock>,
    /// What takes as long as its table is large.
    work: Vec<&'static str>,
}

const REWRITES: &str = "the table is written anew, while it is locked";
const READS: &str = "every row of the table is read, while it is locked";

/// What a statement costs others, as far as its own words say it.
#[expect(clippy::wildcard_enum_match_arm, reason = "of others nothing is said")]
fn cost(statement: &NodeEnum) -> Cost {
    let plain = |lock| Cost { lock: Some(lock), work: Vec::new() };
    let working = |lock, work| Cost { lock: Some(lock), work: vec![work] };
    if let NodeEnum::AlterTableStmt(alter) = statement {
        let mut all = Cost::default();
        for command in &alter.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = kind(command) else { continue };
            let cost = command_cost(command);
            all.lock = all.lock.max(cost.lock);
            all.work.extend(cost.work);
        }
        all.work.dedup();
        return all;
    }
    match statement {
        NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_) => plain(Lock::RowExclusive),
        NodeEnum::CopyStmt(copy) if copy.is_from => plain(Lock::RowExclusive),
        NodeEnum::SelectStmt(select) if !select.locking_clause.is_empty() => plain(Lock::RowShare),
        NodeEnum::SelectStmt(_) | NodeEnum::CopyStmt(_) => plain(Lock::AccessShare),
        NodeEnum::IndexStmt(index) if index.concurrent => {
            working(Lock::ShareUpdateExclusive, "every row of the table is read, twice")
        }
        NodeEnum::IndexStmt(_) => working(Lock::Share, READS),
        NodeEnum::CreateTrigStmt(_) => plain(Lock::ShareRowExclusive),
        NodeEnum::CreateStatsStmt(_) | NodeEnum::CommentStmt(_) => plain(Lock::ShareUpdateExclusive),
        NodeEnum::DropStmt(drop) if drop.concurrent => plain(Lock::ShareUpdateExclusive),
        NodeEnum::DropStmt(_)
        | NodeEnum::TruncateStmt(_)
        | NodeEnum::RenameStmt(_)
        | NodeEnum::RuleStmt(_) => plain(Lock::AccessExclusive),
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd && has(&vacuum.options, "full") => {
            working(Lock::AccessExclusive, REWRITES)
        }
        NodeEnum::VacuumStmt(_) => plain(Lock::ShareUpdateExclusive),
        NodeEnum::ClusterStmt(_) => working(Lock::AccessExclusive, REWRITES),
        NodeEnum::ReindexStmt(reindex) if has(&reindex.params, "concurrently") => {
            plain(Lock::ShareUpdateExclusive)
        }
        NodeEnum::ReindexStmt(_) => working(Lock::AccessExclusive, READS),
        NodeEnum::RefreshMatViewStmt(refresh) if refresh.concurrent => plain(Lock::Exclusive),
        NodeEnum::RefreshMatViewStmt(_) => working(Lock::AccessExclusive, REWRITES),
        NodeEnum::LockStmt(lock) => Cost { lock: named(lock), work: Vec::new() },
        _ => Cost::default(),
    }
}

fn has(all: &[Node], name: &str) -> bool {
    options(all).any(|option| option.defname == name && is_on(option))
}

/// `LOCK TABLE … IN … MODE`, by the numbers of `lockdefs.h`.
fn named(lock: &LockStmt) -> Option<Lock> {
    Some(match lock.mode {
        1 => Lock::AccessShare,
        2 => Lock::RowShare,
        3 => Lock::RowExclusive,
        4 => Lock::ShareUpdateExclusive,
        5 => Lock::Share,
        6 => Lock::ShareRowExclusive,
        7 => Lock::Exclusive,
        8 => Lock::AccessExclusive,
        _ => return None,
    })
}

/// One form of `ALTER TABLE`. What is not told apart counts as the strongest.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not told apart counts as the strongest")]
fn command_cost(command: &AlterTableCmd) -> Cost {
    use AlterTableType as T;
    let plain = |lock| Cost { lock: Some(lock), work: Vec::new() };
    let working = |work| Cost { lock: Some(Lock::AccessExclusive), work: vec![work] };
    match command.subtype() {
        T::AtSetStatistics
        | T::AtSetOptions
        | T::AtResetOptions
        | T::AtClusterOn
        | T::AtDropCluster
        | T::AtSetRelOptions
        | T::AtResetRelOptions
        | T::AtDetachPartitionFinalize => plain(Lock::ShareUpdateExclusive),
        T::AtValidateConstraint => {
            Cost { lock: Some(Lock::ShareUpdateExclusive), work: vec!["every row of the table is read"] }
        }
        T::AtAttachPartition => Cost {
            lock: Some(Lock::ShareUpdateExclusive),
            work: vec!["every row of the new partition is read, while that is locked"],
        },
        T::AtDetachPartition
            if matches!(
                inner(&command.def),
                Some(NodeEnum::PartitionCmd(PartitionCmd { concurrent: true, .. }))
            ) =>
        {
            plain(Lock::ShareUpdateExclusive)
        }
        T::AtEnableTrig
        | T::AtEnableAlwaysTrig
        | T::AtEnableReplicaTrig
        | T::AtDisableTrig
        | T::AtEnableTrigAll
        | T::AtDisableTrigAll
        | T::AtEnableTrigUser
        | T::AtDisableTrigUser => plain(Lock::ShareRowExclusive),
        T::AtAddConstraint => match inner(&command.def) {
            Some(NodeEnum::Constraint(constraint)) => constraint_cost(constraint),
            _ => plain(Lock::AccessExclusive),
        },
        T::AtAddColumn => match inner(&command.def) {
            Some(NodeEnum::ColumnDef(column)) => column_cost(column),
            _ => plain(Lock::AccessExclusive),
        },
        T::AtAlterColumnType => {
            working("the table is written anew, while it is locked, unless the new type is stored alike")
        }
        T::AtSetExpression | T::AtSetLogged | T::AtSetUnLogged | T::AtSetAccessMethod => working(REWRITES),
        T::AtSetTableSpace => working("the table is copied, while it is locked"),
        T::AtSetNotNull => {
            working("every row of the table is read, while it is locked, unless a constraint says so already")
        }
        _ => plain(Lock::AccessExclusive),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike")]
fn constraint_cost(constraint: &Constraint) -> Cost {
    let lock = match constraint.contype() {
        // On both tables.
        ConstrType::ConstrForeign => Lock::ShareRowExclusive,
        _ => Lock::AccessExclusive,
    };
    let reads = !constraint.skip_validation && constraint.indexname.is_empty();
    Cost { lock: Some(lock), work: if reads { vec![READS] } else { Vec::new() } }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "others cost nothing")]
fn column_cost(column: &ColumnDef) -> Cost {
    let mut work = Vec::new();
    for constraint in &column.constraints {
        let Some(NodeEnum::Constraint(constraint)) = kind(constraint) else { continue };
        match constraint.contype() {
            ConstrType::ConstrIdentity => work.push(REWRITES),
            ConstrType::ConstrGenerated if constraint.generated_kind != "v" => work.push(REWRITES),
            ConstrType::ConstrDefault if !is_constant(inner(&constraint.raw_expr)) => {
                work.push("the table is written anew, while it is locked, if the default is volatile");
            }
            ConstrType::ConstrUnique | ConstrType::ConstrPrimary | ConstrType::ConstrCheck => {
                work.push(READS)
            }
            _ => (),
        }
    }
    work.dedup();
    Cost { lock: Some(Lock::AccessExclusive), work }
}

fn is_constant(expression: Option<&NodeEnum>) -> bool {
    match expression {
        Some(NodeEnum::AConst(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => is_constant(inner(&cast.arg)),
        _ => false,
    }
}

/// What statements cost others and what hangs on their tables, in words.
pub fn words(text: &str, session: &Session<'_>) -> Vec<String> {
    let major = session.catalog.server_version / 10_000;
    let Ok(parsed) = parse(text, major, &Options::default()) else { return Vec::new() };
    let mut all = Vec::new();
    for raw in parsed.statements.iter().take(STATEMENTS) {
        let Some(statement) = inner(&raw.stmt) else { continue };
        let Cost { lock, work } = cost(statement);
        all.extend(lock.map(|lock| format!("takes the lock {lock}")));
        all.extend(work.into_iter().map(str::to_owned));
        for relation in tables(statement).iter().filter_map(|(schema, name)| found(session, schema, name)) {
            hangs_on(session.catalog, relation, statement, &mut all);
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|line| seen.insert(line.clone()));
    all
}

/// What hangs on a table, as far as it matters for what is done with it.
fn hangs_on(catalog: &Catalog, relation: &Relation, statement: &NodeEnum, all: &mut Vec<String>) {
    let table = relation.table_name();
    match relation.children.len() {
        0 => (),
        1 => all.push(format!("one table is part of {table}, or inherits from it")),
        more => all.push(format!("{more} tables are part of {table}, or inherit from it")),
    }
    let events = events(statement);
    let triggers = relation.triggers.iter().filter(|t| t.events.iter().any(|event| events.contains(event)));
    all.extend(told(&format!("triggers of {table} run"), triggers.map(|t| t.name.clone()).collect()));
    if !matches!(statement, NodeEnum::DropStmt(_) | NodeEnum::AlterTableStmt(_) | NodeEnum::TruncateStmt(_)) {
        return;
    }
    let referring = relation.referenced_by.iter().filter_map(|key| catalog.relation_by_oid(key.table));
    let referring = referring.map(|r| r.table_name().to_string()).collect();
    all.extend(told(&format!("tables refer to {table} by foreign keys"), referring));
    let spelled = format!("{}.{}", relation.schema, relation.name);
    let reads = |r: &&Relation| r.definition.as_deref().is_some_and(|text| speaks_of(text, &spelled));
    let views = catalog.relations().filter(reads).map(|r| r.table_name().to_string()).collect();
    all.extend(told(&format!("views read {table}"), views));
}

/// Names behind what they are, a few of them.
fn told(what: &str, names: BTreeSet<String>) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMES);
    let told: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let more = if more > 0 { format!(" and {more} others") } else { String::new() };
    Some(format!("{what}: {}{more}", told.join(", ")))
}

/// Whether a text has a name in it, not as the beginning or end of another.
fn speaks_of(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn events(statement: &NodeEnum) -> Vec<Event> {
    if matches!(statement, NodeEnum::InsertStmt(_) | NodeEnum::CopyStmt(_)) {
        vec![Event::Insert]
    } else if matches!(statement, NodeEnum::UpdateStmt(_)) {
        vec![Event::Update]
    } else if matches!(statement, NodeEnum::DeleteStmt(_)) {
        vec![Event::Delete]
    } else if matches!(statement, NodeEnum::MergeStmt(_)) {
        vec![Event::Insert, Event::Update, Event::Delete]
    } else if matches!(statement, NodeEnum::TruncateStmt(_)) {
        vec![Event::Truncate]
    } else {
        Vec::new()
    }
}

/// The tables that a statement is about, with their schemas where these are written.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is about no table has none")]
fn tables(statement: &NodeEnum) -> Vec<(String, String)> {
    let range = |range: &Option<RangeVar>| {
        range.iter().map(|r| (r.schemaname.clone(), r.relname.clone())).collect::<Vec<_>>()
    };
    match statement {
        NodeEnum::InsertStmt(insert) => range(&insert.relation),
        NodeEnum::UpdateStmt(update) => range(&update.relation),
        NodeEnum::DeleteStmt(delete) => range(&delete.relation),
        NodeEnum::MergeStmt(merge) => range(&merge.relation),
        NodeEnum::CopyStmt(copy) if copy.is_from => range(&copy.relation),
        NodeEnum::AlterTableStmt(alter) => range(&alter.relation),
        NodeEnum::IndexStmt(index) => range(&index.relation),
        NodeEnum::TruncateStmt(truncate) => {
            let each = |node: &Node| {
                if let Some(NodeEnum::RangeVar(r)) = kind(node) {
                    Some((r.schemaname.clone(), r.relname.clone()))
                } else {
                    None
                }
            };
            truncate.relations.iter().filter_map(each).collect()
        }
        NodeEnum::DropStmt(drop) if drop.remove_type() == ObjectType::ObjectTable => {
            let each = |node: &Node| {
                let Some(NodeEnum::List(list)) = kind(node) else { return None };
                let names = strings(&list.items)?;
                let (name, before) = names.split_last()?;
                Some((before.last().map_or(String::new(), |s| (*s).to_owned()), (*name).to_owned()))
            };
            drop.objects.iter().filter_map(each).collect()
        }
        _ => Vec::new(),
    }
}

fn found<'a>(session: &Session<'a>, schema: &str, name: &str) -> Option<&'a Relation> {
    if schema.is_empty() {
        return session.search_path.iter().find_map(|schema| session.catalog.relation(schema, name));
    }
    session.catalog.relation(schema, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lock: Lock, work: &str) {
        let parsed = parse(text, 18, &Options::default()).expect("it parses");
        let statement = parsed.statements.first().and_then(|raw| inner(&raw.stmt)).expect("a statement");
        let found = cost(statement);
        assert_eq!(
            (found.lock, found.work.join("; ").contains(work)),
            (Some(lock), true),
            "{text}: {found:?}"
        );
        assert_eq!(found.work.is_empty(), work.is_empty(), "{text}: {found:?}");
    }

    /// As PostgreSQL's pages on explicit locking and ALTER TABLE have it.
    #[test]
    fn each_form_takes_the_lock_that_is_documented() {
        use Lock::{
            AccessExclusive, Exclusive, RowExclusive, Share, ShareRowExclusive, ShareUpdateExclusive,
        };
        for (text, lock, work) in [
            ("UPDATE t SET a = 1", RowExclusive, ""),
            ("SELECT * FROM t FOR UPDATE", Lock::RowShare, ""),
            ("CREATE INDEX ON t (a)", Share, "every row"),
            ("CREATE INDEX CONCURRENTLY ON t (a)", ShareUpdateExclusive, "twice"),
            ("DROP TABLE t", AccessExclusive, ""),
            ("TRUNCATE t", AccessExclusive, ""),
            ("VACUUM t", ShareUpdateExclusive, ""),
            ("VACUUM (FULL) t", AccessExclusive, "written anew"),
            ("REINDEX TABLE CONCURRENTLY t", ShareUpdateExclusive, ""),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", Exclusive, ""),
            ("LOCK TABLE t IN SHARE MODE", Share, ""),
            ("COMMENT ON TABLE t IS 'x'", ShareUpdateExclusive, ""),
            ("ALTER TABLE t ADD COLUMN a int", AccessExclusive, ""),
            ("ALTER TABLE t ADD COLUMN a int DEFAULT 5", AccessExclusive, ""),
            (
                "ALTER TABLE t ADD COLUMN a float DEFAULT random()",
                AccessExclusive,
                "if the default is volatile",
            ),
            ("ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS IDENTITY", AccessExclusive, "written anew"),
            ("ALTER TABLE t ALTER COLUMN a TYPE bigint", AccessExclusive, "written anew"),
            ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", AccessExclusive, "every row"),
            ("ALTER TABLE t ALTER COLUMN a SET STATISTICS 5", ShareUpdateExclusive, ""),
            ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u", ShareRowExclusive, "every row"),
            ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u NOT VALID", ShareRowExclusive, ""),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", AccessExclusive, "every row"),
            ("ALTER TABLE t VALIDATE CONSTRAINT f", ShareUpdateExclusive, "every row"),
            ("ALTER TABLE t DISABLE TRIGGER x", ShareRowExclusive, ""),
            ("ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (1)", ShareUpdateExclusive, "new partition"),
            ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", ShareUpdateExclusive, ""),
            ("ALTER TABLE t DETACH PARTITION p", AccessExclusive, ""),
            ("ALTER TABLE t SET (fillfactor = 50), ALTER COLUMN a DROP DEFAULT", AccessExclusive, ""),
            ("ALTER TABLE t SET UNLOGGED", AccessExclusive, "written anew"),
        ] {
            check(text, lock, work);
        }
    }

    #[test]
    fn a_name_is_not_found_within_another() {
        for (text, found) in [
            ("SELECT a FROM shop.t", true),
            ("SELECT a FROM shop.t2", false),
            ("SELECT a FROM workshop.t", false),
            ("SELECT shop.t.a", true),
        ] {
            assert_eq!(speaks_of(text, "shop.t"), found, "{text}");
        }
    }
}
