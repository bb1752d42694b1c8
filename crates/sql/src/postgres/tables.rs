//! Statements about tables: what they compute when they are made, altered and tended.

use model::{Action, Effect, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDomainStmt, AlterTableStmt, AlterTableType, ConstrType, Constraint, CreateStmt, Node, ObjectType,
    PartitionBoundSpec, RangeVar, TypeName,
};

use super::catalog::{FIRST_USER_OID, Relation, RelationKind};
use super::scope::{Arguments, Columns, Scope, Visible};
use super::tree::{inner, kind, qualified};
use super::value::{Flow, Value};
use super::walk::Walk;

/// What computes nothing but what is computed for every `ALTER TABLE`: rows that are there may be written anew.
const COMPUTES_NOTHING: &[AlterTableType] = {
    use AlterTableType as Kind;
    &[
        Kind::AtColumnDefault,
        Kind::AtDropNotNull,
        Kind::AtSetNotNull,
        Kind::AtDropExpression,
        Kind::AtSetStatistics,
        Kind::AtSetOptions,
        Kind::AtResetOptions,
        Kind::AtSetStorage,
        Kind::AtSetCompression,
        Kind::AtDropColumn,
        Kind::AtAlterConstraint,
        Kind::AtValidateConstraint,
        Kind::AtDropConstraint,
        Kind::AtAlterColumnGenericOptions,
        Kind::AtChangeOwner,
        Kind::AtClusterOn,
        Kind::AtDropCluster,
        Kind::AtSetLogged,
        Kind::AtSetUnLogged,
        Kind::AtDropOids,
        Kind::AtSetAccessMethod,
        Kind::AtSetTableSpace,
        Kind::AtSetRelOptions,
        Kind::AtResetRelOptions,
        Kind::AtReplaceRelOptions,
        Kind::AtEnableTrig,
        Kind::AtEnableAlwaysTrig,
        Kind::AtEnableReplicaTrig,
        Kind::AtDisableTrig,
        Kind::AtEnableTrigAll,
        Kind::AtDisableTrigAll,
        Kind::AtEnableTrigUser,
        Kind::AtDisableTrigUser,
        Kind::AtEnableRule,
        Kind::AtEnableAlwaysRule,
        Kind::AtEnableReplicaRule,
        Kind::AtDisableRule,
        Kind::AtAddOf,
        Kind::AtDropOf,
        Kind::AtReplicaIdentity,
        Kind::AtEnableRowSecurity,
        Kind::AtDisableRowSecurity,
        Kind::AtForceRowSecurity,
        Kind::AtNoForceRowSecurity,
        Kind::AtGenericOptions,
        Kind::AtSetIdentity,
        Kind::AtDropIdentity,
    ]
};

impl<'a> Walk<'a> {
    pub(super) fn create_table(&mut self, create: &CreateStmt) {
        self.defines();
        if let Some(range) = &create.relation {
            self.creates(range);
        }
        for parent in &create.inh_relations {
            if let Some(NodeEnum::RangeVar(range)) = kind(parent) {
                self.on_range(range, Action::Alter);
                if create.partbound.is_some()
                    && let Some(parent) = self.relation(range)
                {
                    // Rows of the default partition are held against its bounds.
                    self.held(parent);
                }
            }
        }
        if let Some(bounds) = &create.partbound {
            self.bounds(bounds);
        }
        if let Some(key) = &create.partspec {
            for part in &key.part_params {
                if let Some(NodeEnum::PartitionElem(part)) = kind(part)
                    && let Some(node) = part.expr.as_deref()
                {
                    self.compares(node, &new_table());
                }
            }
        }
        for element in &create.table_elts {
            match kind(element) {
                Some(NodeEnum::ColumnDef(column)) => {
                    if let Some(name) = &column.type_name
                        && !is_serial(name)
                    {
                        self.type_named(name);
                    }
                    self.constraints(&column.constraints, &new_table());
                }
                Some(NodeEnum::TableLikeClause(like)) => {
                    if let Some(relation) = like.relation.as_ref().and_then(|range| self.relation(range)) {
                        // Its indexes may be made again, which computes what is constant in them.
                        self.held(relation);
                    }
                }
                Some(NodeEnum::Constraint(_)) => {
                    self.constraints(std::slice::from_ref(element), &new_table());
                }
                _ => self.unknown("a part of CREATE TABLE that is not understood"),
            }
        }
        self.constraints(&create.constraints, &new_table());
    }

    /// Rows that are there are held against each other or against those of another table, and whether they pass is told.
    pub(super) fn held_against<'n>(&mut self, names: impl Iterator<Item = &'n str>, scope: &Scope<'_, 'a>) {
        for name in names.filter(|name| !name.is_empty()) {
            let value = scope.column(name).unwrap_or_default();
            self.consume(&value);
        }
    }

    /// A foreign key looks into the table that it refers to, and locks it.
    fn constraints(&mut self, nodes: &[Node], scope: &Scope<'_, 'a>) {
        for node in nodes {
            if let Some(NodeEnum::Constraint(constraint)) = kind(node) {
                self.excluded(constraint, scope);
                let (keys, refers) = (constraint.keys.iter(), constraint.fk_attrs.iter());
                if constraint.contype() != ConstrType::ConstrCheck {
                    // Of a foreign key, later, too: what is done to the other table tells what stands here.
                    self.held_against(keys.chain(refers).filter_map(super::tree::string), scope);
                }
            }
            if let Some(NodeEnum::Constraint(constraint)) = kind(node)
                && constraint.contype() == ConstrType::ConstrForeign
                && let Some(range) = &constraint.pktable
                && let Some(relation) = self.relation(range)
            {
                let effect = self.on(Action::Alter, relation).because("a foreign key will refer to it");
                self.effect(effect);
                // Its partitions get the triggers that watch over the key.
                if relation.kind == RelationKind::Partitioned {
                    let mut below = Vec::new();
                    self.descendants(relation, &mut |child| below.push(child));
                    for child in below {
                        let via = Some(relation.table_name());
                        let effect = Effect { via, ..self.on(Action::Alter, child) };
                        self.effect(effect);
                    }
                }
                if self.is_tagged(relation) {
                    let columns = self.stored_columns(relation);
                    for column in columns.iter() {
                        self.consume(&column.value);
                    }
                }
            }
        }
    }

    /// An exclusion constraint's index is made at once: functions that are said to be immutable run.
    fn excluded(&mut self, constraint: &Constraint, scope: &Scope<'_, 'a>) {
        for pair in &constraint.exclusions {
            let Some(NodeEnum::List(pair)) = kind(pair) else { continue };
            if let Some(NodeEnum::IndexElem(element)) = pair.items.first().and_then(kind) {
                match element.expr.as_deref() {
                    Some(node) => drop(self.compares(node, scope)),
                    None => self.held_against(std::iter::once(element.name.as_str()), scope),
                }
            }
            if let Some(NodeEnum::List(operator)) = pair.items.get(1).and_then(kind) {
                self.operator(&operator.items, Some(None), Some(None));
            }
        }
        if let Some(node) = constraint.where_clause.as_deref() {
            self.tells(node, scope);
        }
    }

    /// A partition's bounds are computed when it is made.
    fn bounds(&mut self, bounds: &PartitionBoundSpec) {
        for node in bounds.listdatums.iter().chain(&bounds.lowerdatums).chain(&bounds.upperdatums) {
            // `MINVALUE` and `MAXVALUE` are read as names; others are none.
            if !matches!(kind(node), Some(NodeEnum::ColumnRef(_))) {
                let value = self.compares(node, &Scope::default());
                self.assigns(&value);
            }
        }
    }

    pub(super) fn alter_table(&mut self, alter: &AlterTableStmt) {
        self.defines();
        let Some(range) = &alter.relation else {
            return self.does(Action::Alter, Resource::Target);
        };
        if alter.objtype() == ObjectType::ObjectType {
            // With `CASCADE` typed tables change, too, wherever they are.
            self.does(Action::Alter, Resource::Target);
        }
        if alter.missing_ok && self.relation(range).is_none() {
            return;
        }
        self.on_range(range, Action::Alter);
        let Some(relation) = self.relation(range) else { return };
        let scope = self.over(relation);
        self.found.touches_tagged |= self.is_tagged(relation);
        // Rows may be written anew, and are held against what is new.
        self.rewritten(relation);
        for command in &alter.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = kind(command) else {
                self.unknown("a part of ALTER TABLE that is not understood");
                continue;
            };
            use pg_query::protobuf::AlterTableType as Kind;
            if matches!(
                command.subtype(),
                Kind::AtDropColumn | Kind::AtDropConstraint | Kind::AtDropInherit | Kind::AtDetachPartition
            ) {
                let effect = self.on(Action::Drop, relation);
                self.effect(effect);
            }
            let is_null = |column: &super::catalog::Column| !column.not_null;
            if command.subtype() == Kind::AtDropInherit {
                // What was its parent's goes on without the parent's tags.
                self.untagged(relation);
            }
            // What was computed from others stays as it is, of no origin; and whether there are nulls is told.
            if command.subtype() == Kind::AtDropExpression
                || command.subtype() == Kind::AtSetNotNull
                    && relation.column(&command.name).is_some_and(is_null)
            {
                self.held_against(std::iter::once(command.name.as_str()), &scope);
            }
            if command.subtype() == Kind::AtChangeOwner {
                let effect = self.on(Action::Grant, relation);
                self.effect(effect);
            }
            match inner(&command.def) {
                Some(NodeEnum::ColumnDef(column)) => {
                    if let Some(name) = &column.type_name
                        && !is_serial(name)
                    {
                        let target = self.cast_to(name, None);
                        let before = relation.column(&command.name).map(|c| c.type_oid);
                        if let (Some(target), Some(before), None) = (target, before, &column.raw_default) {
                            self.coerced(target, Some(before));
                        }
                        self.compared_type(target);
                    }
                    if command.subtype() == Kind::AtAddColumn
                        && let Some(added) = column.type_name.as_ref().and_then(|name| self.type_of(name))
                    {
                        // Each row that is there gets it.
                        if let Some(default) = &added.default {
                            self.internal(default, relation);
                        }
                    }
                    if let Some(node) = column.raw_default.as_deref() {
                        let value = self.assigned(node, &scope);
                        self.consume(&value);
                    }
                    self.checks(&column.constraints, &scope);
                }
                Some(NodeEnum::Constraint(_)) => {
                    if let Some(node) = command.def.as_deref() {
                        self.checks(std::slice::from_ref(node), &scope);
                    }
                }
                Some(NodeEnum::PartitionCmd(partition)) => {
                    if let Some(range) = &partition.name {
                        self.on_range(range, Action::Alter);
                        if let Some(partition) = self.relation(range) {
                            self.rewritten(partition);
                            if command.subtype() == Kind::AtDetachPartition {
                                self.untagged(partition);
                            }
                        }
                    }
                    if let Some(bounds) = &partition.bound {
                        self.bounds(bounds);
                    }
                }
                Some(NodeEnum::RangeVar(parent)) => self.on_range(parent, Action::Alter),
                _ if command.subtype() == Kind::AtSetExpression => {
                    self.needs(17, "SET EXPRESSION");
                    if let Some(node) = command.def.as_deref() {
                        let value = self.assigned(node, &scope);
                        self.consume(&value);
                    }
                }
                _ if COMPUTES_NOTHING.contains(&command.subtype()) => (),
                _ => self.unknown("a part of ALTER TABLE that is not understood"),
            }
        }
    }

    fn type_of(&mut self, name: &TypeName) -> Option<&'a super::catalog::Type> {
        let oid = self.type_named(name)?;
        self.catalog.type_by_oid(oid)
    }

    /// The value of an expression that is stored.
    fn assigned(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Value {
        let value = self.value(node, scope);
        self.assigns(&value);
        value
    }

    /// What a table holds may lose the tags that it has.
    pub(super) fn untagged(&mut self, relation: &'a Relation) {
        for column in self.stored_columns(relation).iter() {
            self.consume(&column.value);
        }
    }

    /// Constraints that are checked against the rows that are there.
    fn checks(&mut self, nodes: &[Node], scope: &Scope<'_, 'a>) {
        self.constraints(nodes, scope);
        for node in nodes {
            if let Some(NodeEnum::Constraint(constraint)) = kind(node)
                && let Some(node) = constraint.raw_expr.as_deref()
            {
                self.uses(node, scope);
            }
        }
    }

    /// A materialized view's query runs again.
    pub(super) fn refills(&mut self, relation: &'a Relation) {
        if relation.kind != RelationKind::MaterializedView {
            return;
        }
        let Some(definition) = &relation.definition else {
            return self.unknown(format!("the definition of {} is not known", relation.table_name()));
        };
        let name = relation.table_name();
        self.inside(super::walk::Within::View(name), |walk| walk.defined_by(definition));
    }

    /// Rows are gone through, counted or sorted, or indexes made anew: of a table and those below it, or of all.
    pub(super) fn tends(&mut self, range: Option<&RangeVar>) {
        let Some(range) = range else {
            self.does(Action::Maintain, Resource::Target);
            let catalog = self.catalog;
            let all: Vec<&'a Relation> = catalog.relations().filter(|r| r.oid.0 >= FIRST_USER_OID).collect();
            return all.into_iter().for_each(|relation| self.held_here(relation));
        };
        self.on_range(range, Action::Maintain);
        let Some(relation) = self.relation(range) else { return };
        let table = relation.table.and_then(|table| self.catalog.relation_by_oid(table));
        self.held(table.unwrap_or(relation));
    }

    /// What the server computes of rows that are there.
    pub(super) fn held(&mut self, relation: &'a Relation) {
        self.held_here(relation);
        let mut below = Vec::new();
        self.descendants(relation, &mut |child| below.push(child));
        below.into_iter().for_each(|child| self.held_here(child));
    }

    fn held_here(&mut self, relation: &'a Relation) {
        for expression in
            relation.checks.iter().chain(&relation.index_expressions).chain(&relation.statistics)
        {
            self.internal(expression, relation);
        }
        self.compared_columns(relation);
    }

    /// The same where they may be written anew.
    fn rewritten(&mut self, relation: &'a Relation) {
        self.held(relation);
        for column in &relation.columns {
            if let Some(default) = column.default.as_ref().filter(|_| column.generated) {
                self.internal(default, relation);
            }
            self.must_pass(column.type_oid);
        }
    }

    /// Values that are there are held against a domain's constraints.
    pub(super) fn alter_domain(&mut self, alter: &AlterDomainStmt) {
        let Some(name) = qualified(&alter.type_name) else { return };
        let catalog = self.catalog;
        let domain = match name.schema {
            Some(schema) => catalog.type_named(schema, name.name),
            None => self.type_seen(name.name),
        };
        let Some(domain) = domain else { return };
        self.must_pass(domain.oid);
        if let Some(NodeEnum::Constraint(constraint)) = inner(&alter.def)
            && let Some(node) = constraint.raw_expr.as_deref()
        {
            let value = (Some("value".to_owned()), Value::clear(Some(domain.base)));
            let arguments = Arguments { named: vec![value], ..Arguments::default() };
            self.tells(node, &Scope { arguments: Some(&arguments), ..Scope::default() });
        }
    }
}

/// A table that is not there yet: whatever it is asked for, it may have.
fn new_table<'s, 'a>() -> Scope<'s, 'a> {
    let mut scope = Scope::default();
    scope.entries.push(super::sources::entry(None, Columns::Open(Flow::Clear)));
    scope.visible.push(Visible::Entry(0));
    scope
}

/// `serial` and its kin are no types, but a notation.
fn is_serial(name: &pg_query::protobuf::TypeName) -> bool {
    let last = name.names.last().and_then(super::tree::string).unwrap_or_default();
    matches!(last, "serial" | "serial2" | "serial4" | "serial8" | "bigserial" | "smallserial")
}
