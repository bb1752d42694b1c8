//! A text of several statements as the statements that it holds, each of which is sent by itself.

use pg_query::NodeEnum;
use pg_query::protobuf::{ReindexObjectType, TransactionStmtKind};

use super::canonical::canonical;
use super::parse::parse;
use super::tree::{inner, is_on, kind, options};
use super::{Options, Refusal};

/// One statement of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its canonical text, without comments: what is shown of it is what is sent. As it was written where it has none.
    pub text: String,
    /// What it is that the server runs in no transaction.
    pub apart: Option<&'static str>,
}

/// The statements of a text, in their order. A `BEGIN` before all of them and a `COMMIT` behind are not in it: they say what holds
/// anyway.
///
/// # Errors
/// It cannot be parsed.
pub fn pieces(text: &str, major: u32) -> Result<Vec<Part>, Refusal> {
    let parsed = parse(text, major, &Options::default())?;
    let mut all = Vec::with_capacity(parsed.statements.len());
    for raw in &parsed.statements {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0);
        let end = match usize::try_from(raw.stmt_len) {
            Ok(length) if length > 0 => start + length,
            _ => text.len(),
        };
        // What stands before its first word is for whoever reads the file.
        let first = parsed.tokens.iter().find(|token| {
            use pg_query::protobuf::Token::{CComment, SqlComment};
            let at = usize::try_from(token.start).unwrap_or(0);
            at >= start && !matches!(token.token(), SqlComment | CComment)
        });
        let start = first.and_then(|token| usize::try_from(token.start).ok()).unwrap_or(start);
        let node = inner(&raw.stmt);
        let text = text.get(start..end).unwrap_or_default().trim_end();
        let text = canonical(text).unwrap_or_else(|| text.to_owned());
        all.push((node, Part { text, apart: node.and_then(apart) }));
    }
    let is_wrapped = all.len() > 2
        && all.first().is_some_and(|(node, _)| is(*node, TransactionStmtKind::TransStmtBegin))
        && all.last().is_some_and(|(node, _)| is(*node, TransactionStmtKind::TransStmtCommit));
    let mut parts: Vec<Part> = all.into_iter().map(|(_, part)| part).collect();
    if is_wrapped {
        parts.pop();
        parts.remove(0);
    }
    Ok(parts)
}

/// Whether it is a plain `BEGIN` or `COMMIT`.
fn is(node: Option<&NodeEnum>, wanted: TransactionStmtKind) -> bool {
    let Some(NodeEnum::TransactionStmt(statement)) = node else { return false };
    statement.kind() == wanted && statement.options.is_empty() && !statement.chain
}

/// What cannot run in a transaction, by the server's `PreventInTransactionBlock`.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other statement can")]
fn apart(node: &NodeEnum) -> Option<&'static str> {
    let has = |all, name: &str| options(all).any(|option| option.defname == name && is_on(option));
    match node {
        NodeEnum::IndexStmt(index) if index.concurrent => Some("CREATE INDEX CONCURRENTLY"),
        NodeEnum::DropStmt(drop) if drop.concurrent => Some("DROP INDEX CONCURRENTLY"),
        NodeEnum::ReindexStmt(reindex) if has(&reindex.params, "concurrently") => {
            Some("REINDEX CONCURRENTLY")
        }
        NodeEnum::ReindexStmt(reindex) => match reindex.kind() {
            ReindexObjectType::ReindexObjectSchema => Some("REINDEX SCHEMA"),
            ReindexObjectType::ReindexObjectSystem => Some("REINDEX SYSTEM"),
            ReindexObjectType::ReindexObjectDatabase => Some("REINDEX DATABASE"),
            ReindexObjectType::Undefined
            | ReindexObjectType::ReindexObjectIndex
            | ReindexObjectType::ReindexObjectTable => None,
        },
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd => Some("VACUUM"),
        NodeEnum::ClusterStmt(cluster) if cluster.relation.is_none() => Some("CLUSTER of all tables"),
        NodeEnum::CreatedbStmt(_) => Some("CREATE DATABASE"),
        NodeEnum::DropdbStmt(_) => Some("DROP DATABASE"),
        NodeEnum::AlterDatabaseStmt(alter) if has(&alter.options, "tablespace") => {
            Some("ALTER DATABASE SET TABLESPACE")
        }
        NodeEnum::CreateTableSpaceStmt(_) => Some("CREATE TABLESPACE"),
        NodeEnum::DropTableSpaceStmt(_) => Some("DROP TABLESPACE"),
        NodeEnum::AlterSystemStmt(_) => Some("ALTER SYSTEM"),
        NodeEnum::CreateSubscriptionStmt(_) => Some("CREATE SUBSCRIPTION"),
        NodeEnum::DropSubscriptionStmt(_) => Some("DROP SUBSCRIPTION"),
        NodeEnum::AlterSubscriptionStmt(_) => Some("ALTER SUBSCRIPTION"),
        NodeEnum::AlterTableStmt(alter) => alter.cmds.iter().find_map(|command| {
            let Some(NodeEnum::AlterTableCmd(command)) = kind(command) else { return None };
            let Some(NodeEnum::PartitionCmd(partition)) = inner(&command.def) else { return None };
            partition.concurrent.then_some("DETACH PARTITION CONCURRENTLY")
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_statements_that_it_holds() {
        let texts = |text: &str| {
            pieces(text, 15).expect("statements").into_iter().map(|s| s.text).collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("SELECT 1", &["SELECT 1"][..]),
            ("SELECT 1; ;\n-- why\nSELECT 2 ;", &["SELECT 1", "SELECT 2"]),
            ("BEGIN; CREATE TABLE a (); DROP TABLE a; COMMIT;", &["CREATE TABLE a ()", "DROP TABLE a"]),
            // What is not whole stays, and is refused for what it is.
            ("BEGIN; SELECT 1", &["BEGIN", "SELECT 1"]),
            ("BEGIN READ ONLY; SELECT 1; COMMIT", &["BEGIN READ ONLY", "SELECT 1", "COMMIT"]),
            ("BEGIN; COMMIT", &["BEGIN", "COMMIT"]),
            ("SELECT 'a;b' /* ; */; SELECT $$;$$", &["SELECT 'a;b'", "SELECT $$;$$"]),
            // What only looks like a comment, or is out of sight, stands where it is read.
            (
                "DELETE FROM t WHERE a = 1 -- one row\r OR true; DELETE FROM t\n\n\n\n\nWHERE $$'$$ = b OR true --'",
                &["DELETE FROM t WHERE a = 1 OR true", "DELETE FROM t WHERE $$'$$ = b OR true"],
            ),
            ("", &[]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
        assert!(pieces("SELECT 1; NO SUCH", 15).is_err());
    }

    #[test]
    fn what_the_server_runs_in_no_transaction_is_known() {
        for (text, expected) in [
            ("CREATE INDEX CONCURRENTLY i ON t (a)", Some("CREATE INDEX CONCURRENTLY")),
            ("CREATE INDEX i ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", Some("DROP INDEX CONCURRENTLY")),
            ("DROP INDEX i", None),
            ("REINDEX TABLE CONCURRENTLY t", Some("REINDEX CONCURRENTLY")),
            ("REINDEX TABLE t", None),
            ("REINDEX SCHEMA s", Some("REINDEX SCHEMA")),
            ("VACUUM t", Some("VACUUM")),
            ("ANALYZE t", None),
            ("CLUSTER", Some("CLUSTER of all tables")),
            ("CREATE DATABASE d", Some("CREATE DATABASE")),
            ("ALTER SYSTEM SET work_mem = '1MB'", Some("ALTER SYSTEM")),
            ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", Some("DETACH PARTITION CONCURRENTLY")),
            ("ALTER TABLE t DETACH PARTITION p", None),
            ("ALTER TYPE e ADD VALUE 'x'", None),
        ] {
            let found = pieces(text, 15).expect("a statement");
            assert_eq!(found.first().expect("one").apart, expected, "{text}");
        }
    }
}
