//! Which names are not certain behind earlier statements of the same message: where the search path is not known, a name may
//! be found in any schema, and what was made stands in no catalogue yet.

use std::sync::Arc;

use hashbrown::HashSet;
use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::catalog::{Operator, Relation, Type};
use super::tree::string;
use super::walk::Walk;

/// Why names are not certain, and what may have come since the catalogue was read.
#[derive(Debug, Clone)]
pub(super) struct Unsettled {
    /// In words for the client.
    pub why: &'static str,
    /// What was made.
    pub made: Arc<Made>,
}

/// Names of what earlier statements made.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    names: HashSet<String>,
    /// Code ran, or a cast was made: there may be anything.
    anything: bool,
    /// An event trigger is new, or is enabled.
    fires: bool,
}

impl Made {
    /// Adds what a statement makes that changes the catalogue; `code` where functions of users may run with it.
    pub(super) fn by(&mut self, statement: Option<&NodeEnum>, code: bool) {
        self.fires |=
            matches!(statement, Some(NodeEnum::CreateEventTrigStmt(_) | NodeEnum::AlterEventTrigStmt(_)));
        match statement.and_then(names).filter(|_| !code) {
            Some(names) => {
                for name in names {
                    // Each type has an array type, and each range a multirange.
                    self.names.insert(format!("_{name}"));
                    self.names.insert(format!("{name}_multirange"));
                    self.names.insert(name.replace("range", "multirange"));
                    self.names.insert(name);
                }
            }
            None => self.anything = true,
        }
    }

    fn may_hold(&self, name: &str) -> bool {
        self.anything || self.names.contains(name)
    }
}

impl<'a> Walk<'a> {
    /// A relation's name was looked up: whether it is certain that the server finds the same.
    pub(super) fn relation_is_settled(&mut self, schema: &str, name: &str, found: Option<&Relation>) {
        let Some(Unsettled { why, made }) = self.unsettled.clone() else { return };
        let elsewhere = || {
            self.catalog.schemas_of_relations(name).any(|schema| schema != "pg_catalog")
                || made.may_hold(name)
        };
        let is_system = found.is_some_and(|relation| relation.schema == "pg_catalog");
        if !is_system || schema.is_empty() && elsewhere() {
            self.unknown(why);
        }
    }

    /// The same of a type.
    pub(super) fn type_is_settled(&mut self, schema: Option<&str>, name: &str, found: Option<&Type>) {
        let Some(Unsettled { why, made }) = self.unsettled.clone() else { return };
        let elsewhere = || {
            self.catalog.schemas_of_types(name).any(|schema| schema != "pg_catalog") || made.may_hold(name)
        };
        let is_system = found.is_some_and(|found| found.schema == "pg_catalog");
        if !is_system || schema.is_none() && elsewhere() || made.anything {
            self.unknown(why);
        }
    }

    /// The same of a function or procedure, of which all are the server's own that were found.
    pub(super) fn function_is_settled(&mut self, schema: Option<&str>, name: &str, is_system: bool) {
        let Some(Unsettled { why, made }) = self.unsettled.clone() else { return };
        let is_certain = match schema {
            Some("pg_catalog") => !made.may_hold(name),
            Some(_) => false,
            None => {
                is_system
                    && !made.may_hold(name)
                    && self.catalog.functions_named(name).all(super::catalog::Function::is_builtin)
            }
        };
        if !is_certain {
            self.unknown(why);
        }
    }

    /// Event triggers run: those that are known, and those that are new.
    pub(super) fn events_are_settled(&mut self) {
        if let Some(Unsettled { why, made }) = self.unsettled.clone()
            && made.fires
        {
            self.unknown(why);
        }
    }

    /// Whether an operator may be meant that is written with this schema.
    pub(super) fn may_mean(&self, schema: Option<&str>, operator: &Operator) -> bool {
        match schema {
            Some(schema) => operator.schema == schema,
            None => self.unsettled.is_some() || self.sees(&operator.schema),
        }
    }

    /// Whether an operator of this name may be there that is not the server's own.
    pub(super) fn may_have_own_operator(&mut self, name: &str) -> bool {
        if let Some(Unsettled { why, made }) = self.unsettled.clone()
            && made.may_hold(name)
        {
            self.unknown(why);
        }
        self.catalog.derived().has_own_operator(name)
    }
}

/// The names under which a statement makes anything; `None` where that is not known.
#[expect(clippy::wildcard_enum_match_arm, reason = "what other statements make is not known")]
fn names(statement: &NodeEnum) -> Option<Vec<String>> {
    let range = |range: Option<&pg_query::protobuf::RangeVar>| {
        Some(range.map(|range| range.relname.clone()).into_iter().collect())
    };
    let last = |nodes: &[Node]| Some(vec![nodes.last().and_then(string)?.to_owned()]);
    match statement {
        NodeEnum::CreateStmt(create) => range(create.relation.as_ref()),
        NodeEnum::CreateForeignTableStmt(create) => range(create.base_stmt.as_ref()?.relation.as_ref()),
        NodeEnum::CreateTableAsStmt(create) => range(create.into.as_ref()?.rel.as_ref()),
        NodeEnum::SelectStmt(select) => range(select.into_clause.as_ref()?.rel.as_ref()),
        NodeEnum::ViewStmt(view) => range(view.view.as_ref()),
        NodeEnum::CreateSeqStmt(create) => range(create.sequence.as_ref()),
        NodeEnum::CompositeTypeStmt(create) => range(create.typevar.as_ref()),
        NodeEnum::CreateEnumStmt(create) => last(&create.type_name),
        NodeEnum::CreateDomainStmt(create) => last(&create.domainname),
        NodeEnum::CreateFunctionStmt(create) => last(&create.funcname),
        NodeEnum::DefineStmt(define) => last(&define.defnames),
        NodeEnum::CreateRangeStmt(create) => {
            let named = super::tree::options(&create.params).any(|o| o.defname == "multirange_type_name");
            if named { None } else { last(&create.type_name) }
        }
        NodeEnum::RenameStmt(rename) => Some(vec![rename.newname.clone()]),
        NodeEnum::IndexStmt(index) => Some(vec![index.idxname.clone()]),
        // What has a name of the server's own in one of these takes types of the extension's own.
        NodeEnum::CreateExtensionStmt(_) => Some(Vec::new()),
        NodeEnum::CreateSchemaStmt(create) => create.schema_elts.is_empty().then(Vec::new),
        NodeEnum::AlterTableStmt(_)
        | NodeEnum::AlterDomainStmt(_)
        | NodeEnum::AlterObjectSchemaStmt(_)
        | NodeEnum::AlterOwnerStmt(_)
        | NodeEnum::AlterSeqStmt(_)
        | NodeEnum::AlterEnumStmt(_)
        | NodeEnum::AlterPolicyStmt(_)
        | NodeEnum::AlterFunctionStmt(_)
        | NodeEnum::AlterDefaultPrivilegesStmt(_)
        | NodeEnum::AlterRoleStmt(_)
        | NodeEnum::AlterRoleSetStmt(_)
        | NodeEnum::CreateEventTrigStmt(_)
        | NodeEnum::CreateRoleStmt(_)
        | NodeEnum::DropRoleStmt(_)
        | NodeEnum::AlterEventTrigStmt(_)
        | NodeEnum::CommentStmt(_)
        | NodeEnum::CreatePolicyStmt(_)
        | NodeEnum::CreateStatsStmt(_)
        | NodeEnum::CreateTrigStmt(_)
        | NodeEnum::DropStmt(_)
        | NodeEnum::GrantStmt(_)
        | NodeEnum::GrantRoleStmt(_)
        | NodeEnum::RefreshMatViewStmt(_)
        | NodeEnum::RuleStmt(_)
        | NodeEnum::TruncateStmt(_)
        | NodeEnum::VacuumStmt(_)
        | NodeEnum::ReindexStmt(_)
        | NodeEnum::ClusterStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_)
        | NodeEnum::CopyStmt(_) => Some(Vec::new()),
        _ => None,
    }
}
