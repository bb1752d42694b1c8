//! The word for a statement's kind, as a policy and the journal know it.

use pg_query::NodeEnum;
use pg_query::protobuf::{ObjectType, SelectStmt};

use super::tree::{inner, kind};

/// `select`, `create table`, …
pub(super) fn word(node: Option<&NodeEnum>) -> String {
    let word = match node {
        None => "unknown",
        Some(NodeEnum::SelectStmt(select)) if select.into_clause.is_some() => "select into",
        Some(NodeEnum::SelectStmt(select)) if changes_rows(select) => "select with writes",
        Some(NodeEnum::SelectStmt(select)) if !select.values_lists.is_empty() => "values",
        Some(NodeEnum::SelectStmt(_)) => "select",
        Some(NodeEnum::InsertStmt(_)) => "insert",
        Some(NodeEnum::UpdateStmt(_)) => "update",
        Some(NodeEnum::DeleteStmt(_)) => "delete",
        Some(NodeEnum::MergeStmt(_)) => "merge",
        Some(NodeEnum::CopyStmt(copy)) if copy.is_from => "copy from",
        Some(NodeEnum::CopyStmt(_)) => "copy to",
        Some(NodeEnum::VariableSetStmt(_)) => "set",
        Some(NodeEnum::VariableShowStmt(_)) => "show",
        Some(NodeEnum::CreateStmt(_)) => "create table",
        Some(NodeEnum::CreateTableAsStmt(create)) if create.objtype() == ObjectType::ObjectMatview => {
            "create materialized view"
        }
        Some(NodeEnum::CreateTableAsStmt(_)) => "create table as",
        Some(NodeEnum::ViewStmt(_)) => "create view",
        Some(NodeEnum::IndexStmt(_)) => "create index",
        Some(NodeEnum::CreateSeqStmt(_)) => "create sequence",
        Some(NodeEnum::CreateTrigStmt(_)) => "create trigger",
        Some(NodeEnum::RuleStmt(_)) => "create rule",
        Some(NodeEnum::RefreshMatViewStmt(_)) => "refresh materialized view",
        Some(NodeEnum::CreatedbStmt(_)) => "create database",
        Some(NodeEnum::DropdbStmt(_)) => "drop database",
        Some(NodeEnum::DropStmt(drop)) => return format!("drop {}", object(drop.remove_type())),
        Some(NodeEnum::RenameStmt(rename)) => return format!("rename {}", object(rename.rename_type())),
        Some(NodeEnum::AlterTableStmt(alter)) => return format!("alter {}", object(alter.objtype())),
        Some(NodeEnum::DeclareCursorStmt(_)) => "declare cursor",
        Some(NodeEnum::ClosePortalStmt(_)) => "close",
        Some(NodeEnum::ConstraintsSetStmt(_)) => "set constraints",
        Some(NodeEnum::CheckPointStmt(_)) => "checkpoint",
        Some(NodeEnum::TransactionStmt(transaction)) => {
            use pg_query::protobuf::TransactionStmtKind as Kind;
            match transaction.kind() {
                Kind::TransStmtBegin | Kind::TransStmtStart => "begin",
                Kind::TransStmtCommit => "commit",
                Kind::TransStmtRollback => "rollback",
                Kind::TransStmtSavepoint => "savepoint",
                Kind::TransStmtRelease => "release savepoint",
                Kind::TransStmtRollbackTo => "rollback to savepoint",
                Kind::TransStmtPrepare => "prepare transaction",
                Kind::TransStmtCommitPrepared => "commit prepared",
                Kind::TransStmtRollbackPrepared => "rollback prepared",
                Kind::Undefined => "unknown",
            }
        }
        Some(other) => return spoken(&format!("{other:?}")),
    };
    word.to_owned()
}

/// Whether a common table expression changes rows; the grammar has those at the top alone.
fn changes_rows(select: &SelectStmt) -> bool {
    let ctes = select.with_clause.iter().flat_map(|with| &with.ctes);
    ctes.filter_map(kind).any(|cte| {
        !matches!(cte, NodeEnum::CommonTableExpr(cte) if matches!(inner(&cte.ctequery), Some(NodeEnum::SelectStmt(_))))
    })
}

/// `AlterRoleStmt(…)` as `alter role`.
fn spoken(debug: &str) -> String {
    let name: String = debug.chars().take_while(char::is_ascii_alphanumeric).collect();
    let name = name.strip_suffix("Stmt").unwrap_or(&name);
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

fn object(object: ObjectType) -> String {
    let words = spoken(&format!("{object:?}"));
    let words = words.strip_prefix("object ").unwrap_or(&words);
    match words {
        "matview" => "materialized view".to_owned(),
        other => other.to_owned(),
    }
}
