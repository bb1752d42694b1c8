//! Tables that come and change: their columns, constraints and indexes.

use model::{Sign, TableName};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt, IndexStmt,
    RangeVar,
};

use super::super::catalog::{Cascade, Column, ForeignKey, Oid, RelationKind};
use super::super::tree::{inner, kind, string};
use super::Leaves;
use super::words::{expression, serial, type_name, type_words};

/// What belongs to a table besides its columns.
#[derive(Default)]
struct Beside {
    checks: Vec<String>,
    keys: Vec<(Oid, ForeignKey)>,
}

impl Leaves<'_, '_> {
    /// `CREATE TABLE`
    pub(super) fn creates_table(&mut self, create: &CreateStmt) {
        let Some(name) = self.made_as(create.relation.as_ref(), create.if_not_exists) else { return };
        let plain =
            create.inh_relations.is_empty() && create.partbound.is_none() && create.of_typename.is_none();
        let mut columns = Vec::new();
        let mut beside = Beside::default();
        let mut lines = Vec::new();
        let (mut words, mut whole) = (Vec::new(), plain);
        for element in &create.table_elts {
            if let Some(NodeEnum::ColumnDef(column)) = kind(element) {
                let number = i16::try_from(columns.len() + 1).unwrap_or(i16::MAX);
                words.push(described(column));
                columns.push(self.column(&name, column, number, &mut beside));
                lines.extend(column_constraints(column));
            } else if let Some(NodeEnum::Constraint(constraint)) = kind(element) {
                self.constraint(constraint, &mut beside);
                lines.extend(constraint_words(constraint));
            } else {
                // LIKE
                whole = false;
            }
        }
        for constraint in &create.constraints {
            if let Some(NodeEnum::Constraint(constraint)) = kind(constraint) {
                self.constraint(constraint, &mut beside);
                lines.extend(constraint_words(constraint));
            }
        }
        self.comes(format!("the table {name}"), words.join(", "));
        for line in lines {
            self.comes(format!("a constraint of {name}"), line);
        }
        if !whole {
            return self.is_not_foreseen("what a table takes over of others");
        }
        let partitioned = create.partspec.is_some();
        let kind = if partitioned { RelationKind::Partitioned } else { RelationKind::Table };
        let mut relation = Self::relation(&name, kind, columns);
        relation.checks = beside.checks;
        relation.refers_to = beside.keys.iter().map(|(to, _)| *to).collect();
        let oid = self.adds(relation);
        self.refers(oid, beside.keys);
    }

    /// The tables that new foreign keys refer to know of them.
    fn refers(&mut self, table: Oid, keys: Vec<(Oid, ForeignKey)>) {
        for (to, key) in keys {
            self.alters(to, |relation| relation.referenced_by.push(ForeignKey { table, ..key }));
        }
    }

    fn column(&mut self, table: &TableName, column: &ColumnDef, number: i16, beside: &mut Beside) -> Column {
        let type_oid = column.type_name.as_ref().and_then(|name| self.type_of(name));
        if type_oid.is_none() {
            self.is_not_foreseen("what the column's type does");
        }
        let mut made = Column {
            number,
            name: column.colname.clone(),
            type_oid: type_oid.unwrap_or_default(),
            type_modifier: -1,
            default: None,
            generated: false,
            identity: false,
            not_null: column.is_not_null,
        };
        if column.type_name.as_ref().is_some_and(|name| serial(name).is_some()) {
            let sequence = TableName {
                schema: table.schema.clone(),
                name: format!("{}_{}_seq", table.name, column.colname),
            };
            let quoted = format!("{sequence}").replace('\'', "''");
            made.default = Some(format!("nextval('{quoted}'::regclass)"));
            made.not_null = true;
            self.adds(Self::relation(&sequence, RelationKind::Sequence, Vec::new()));
        }
        for constraint in &column.constraints {
            let Some(NodeEnum::Constraint(constraint)) = kind(constraint) else { continue };
            match constraint.contype() {
                ConstrType::ConstrNotnull | ConstrType::ConstrPrimary => made.not_null = true,
                ConstrType::ConstrDefault => made.default = inner(&constraint.raw_expr).and_then(expression),
                ConstrType::ConstrIdentity => (made.identity, made.not_null) = (true, true),
                ConstrType::ConstrGenerated => {
                    made.generated = true;
                    made.default = inner(&constraint.raw_expr).and_then(expression);
                }
                ConstrType::ConstrCheck | ConstrType::ConstrForeign => self.constraint(constraint, beside),
                ConstrType::Undefined
                | ConstrType::ConstrNull
                | ConstrType::ConstrUnique
                | ConstrType::ConstrExclusion
                | ConstrType::ConstrAttrDeferrable
                | ConstrType::ConstrAttrNotDeferrable
                | ConstrType::ConstrAttrDeferred
                | ConstrType::ConstrAttrImmediate
                | ConstrType::ConstrAttrEnforced
                | ConstrType::ConstrAttrNotEnforced => (),
            }
        }
        made
    }

    /// What a constraint does to whoever writes.
    fn constraint(&mut self, constraint: &Constraint, beside: &mut Beside) {
        if constraint.contype() == ConstrType::ConstrCheck {
            beside.checks.extend(inner(&constraint.raw_expr).and_then(expression));
        }
        if constraint.contype() == ConstrType::ConstrForeign
            && let Some(to) = self.found(constraint.pktable.as_ref())
        {
            let cascade = |action: &str, cascades| match action {
                "c" => cascades,
                "n" => Cascade::Update,
                "d" => Cascade::Default,
                _ => Cascade::Nothing,
            };
            let key = ForeignKey {
                table: Oid(0),
                on_delete: cascade(&constraint.fk_del_action, Cascade::Delete),
                on_update: cascade(&constraint.fk_upd_action, Cascade::Update),
            };
            beside.keys.push((to.oid, key));
        }
    }

    /// `CREATE INDEX`
    pub(super) fn creates_index(&mut self, index: &IndexStmt) {
        let Some((oid, table)) = self.found(index.relation.as_ref()).map(|r| (r.oid, r.table_name())) else {
            return;
        };
        let range = RangeVar {
            schemaname: table.schema.clone(),
            relname: index.idxname.clone(),
            ..RangeVar::default()
        };
        if index.if_not_exists && self.found(Some(&range)).is_some() {
            return;
        }
        let mut columns = Vec::new();
        let mut expressions = Vec::new();
        for element in &index.index_params {
            let Some(NodeEnum::IndexElem(element)) = kind(element) else { continue };
            match inner(&element.expr).and_then(expression) {
                Some(text) => {
                    columns.push(format!("({text})"));
                    expressions.push(text);
                }
                None => columns.push(element.name.clone()),
            }
        }
        let predicate = inner(&index.where_clause).and_then(expression);
        let filter = predicate.as_ref().map(|text| format!(" where {text}")).unwrap_or_default();
        expressions.extend(predicate);
        self.alters(oid, |relation| relation.index_expressions.extend(expressions));
        let name = if index.idxname.is_empty() {
            "an index".to_owned()
        } else {
            format!("the index {}.{}", table.schema, index.idxname)
        };
        if !index.idxname.is_empty() {
            let own = TableName { schema: table.schema.clone(), name: index.idxname.clone() };
            let mut relation = Self::relation(&own, RelationKind::Index, Vec::new());
            relation.table = Some(oid);
            self.adds(relation);
        }
        let unique = if index.unique { "unique, " } else { "" };
        self.comes(name, format!("{unique}of {table} ({}){filter}", columns.join(", ")));
    }

    /// `ALTER TABLE`
    pub(super) fn alters_table(&mut self, alter: &AlterTableStmt) {
        let Some((oid, table)) = self.found(alter.relation.as_ref()).map(|r| (r.oid, r.table_name())) else {
            return;
        };
        let is_parent = self.found(alter.relation.as_ref()).is_some_and(|r| !r.children.is_empty());
        if is_parent {
            self.is_not_foreseen("what becomes of the tables below");
        }
        for command in &alter.cmds {
            if let Some(NodeEnum::AlterTableCmd(command)) = kind(command) {
                self.alters_by(oid, &table, command);
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of every other change it is said that it is not foreseen"
    )]
    fn alters_by(&mut self, oid: Oid, table: &TableName, command: &AlterTableCmd) {
        let what = format!("the column {table}.{}", command.name);
        let known = |this: &Self| {
            let relation = this.catalog().relation_by_oid(oid)?;
            relation.column(&command.name).map(|column| column.type_oid)
        };
        match command.subtype() {
            AlterTableType::AtAddColumn => {
                let Some(NodeEnum::ColumnDef(column)) = inner(&command.def) else { return };
                let there = self.catalog().relation_by_oid(oid);
                if command.missing_ok && there.is_some_and(|r| r.column(&column.colname).is_some()) {
                    return;
                }
                let last = there.and_then(|r| r.columns.last()).map_or(0, |column| column.number);
                let mut beside = Beside::default();
                let made = self.column(table, column, last.saturating_add(1), &mut beside);
                self.alters(oid, |relation| {
                    relation.columns.push(made);
                    relation.checks.extend(beside.checks);
                    relation.refers_to.extend(beside.keys.iter().map(|(to, _)| *to));
                });
                self.refers(oid, beside.keys);
                let (name, described) = (&column.colname, described(column));
                let rest = described.strip_prefix(name.as_str()).unwrap_or(&described).trim().to_owned();
                self.comes(format!("the column {table}.{name}"), rest);
            }
            AlterTableType::AtDropColumn => {
                if known(self).is_some() {
                    self.alters(oid, |relation| relation.columns.retain(|c| c.name != command.name));
                    self.change(Sign::Goes, what, String::new());
                }
            }
            AlterTableType::AtAlterColumnType => {
                let Some(NodeEnum::ColumnDef(column)) = inner(&command.def) else { return };
                let Some(name) = &column.type_name else { return };
                let before = known(self).map(|oid| type_words(self.catalog(), oid)).unwrap_or_default();
                let now = self.type_of(name);
                if now.is_none() {
                    self.is_not_foreseen("what the column's type does");
                }
                self.alters(oid, |relation| {
                    for column in relation.columns.iter_mut().filter(|c| c.name == command.name) {
                        column.type_oid = now.unwrap_or_default();
                    }
                });
                self.change(Sign::Changes, what, format!("{before} becomes {}", type_name(name)));
            }
            AlterTableType::AtColumnDefault => {
                let now = inner(&command.def).and_then(expression);
                let words =
                    now.as_ref().map_or_else(|| "has no default".to_owned(), |d| format!("default {d}"));
                self.alters(oid, |relation| {
                    for column in relation.columns.iter_mut().filter(|c| c.name == command.name) {
                        column.default.clone_from(&now);
                    }
                });
                self.change(Sign::Changes, what, words);
            }
            subtype @ (AlterTableType::AtSetNotNull | AlterTableType::AtDropNotNull) => {
                let set = subtype == AlterTableType::AtSetNotNull;
                self.alters(oid, |relation| {
                    for column in relation.columns.iter_mut().filter(|c| c.name == command.name) {
                        column.not_null = set;
                    }
                });
                let words = if set { "must not be null" } else { "may be null" };
                self.change(Sign::Changes, what, words.to_owned());
            }
            AlterTableType::AtAddConstraint => {
                let Some(NodeEnum::Constraint(constraint)) = inner(&command.def) else { return };
                let mut beside = Beside::default();
                self.constraint(constraint, &mut beside);
                self.alters(oid, |relation| {
                    relation.checks.extend(beside.checks);
                    relation.refers_to.extend(beside.keys.iter().map(|(to, _)| *to));
                });
                self.refers(oid, beside.keys);
                let words = constraint_words(constraint).unwrap_or_default();
                self.comes(format!("a constraint of {table}"), words);
            }
            AlterTableType::AtDropConstraint => {
                self.alters(oid, |_| ());
                self.change(Sign::Goes, format!("the constraint {} of {table}", command.name), String::new());
            }
            AlterTableType::AtValidateConstraint
            | AlterTableType::AtSetStatistics
            | AlterTableType::AtSetStorage
            | AlterTableType::AtSetCompression
            | AlterTableType::AtClusterOn
            | AlterTableType::AtSetLogged
            | AlterTableType::AtSetUnLogged
            | AlterTableType::AtSetTableSpace
            | AlterTableType::AtSetRelOptions
            | AlterTableType::AtResetRelOptions
            | AlterTableType::AtReplicaIdentity
            | AlterTableType::AtChangeOwner => {
                self.alters(oid, |_| ());
                self.change(Sign::Changes, format!("the table {table}"), "its settings".to_owned());
            }
            _ => {
                self.alters(oid, |_| ());
                self.change(Sign::Changes, format!("the table {table}"), String::new());
                self.is_not_foreseen("how the table is altered");
            }
        }
    }
}

/// `total integer not null`
fn described(column: &ColumnDef) -> String {
    let kind = column.type_name.as_ref().map(type_name).unwrap_or_default();
    let mut words = format!("{} {kind}", column.colname);
    for constraint in &column.constraints {
        let Some(NodeEnum::Constraint(constraint)) = super::super::tree::kind(constraint) else { continue };
        match constraint.contype() {
            ConstrType::ConstrNotnull => words.push_str(" not null"),
            ConstrType::ConstrPrimary => words.push_str(" primary key"),
            ConstrType::ConstrUnique => words.push_str(" unique"),
            ConstrType::ConstrIdentity => words.push_str(" identity"),
            ConstrType::ConstrDefault => {
                words.push_str(" default ");
                words.push_str(&inner(&constraint.raw_expr).and_then(expression).unwrap_or_default());
            }
            ConstrType::ConstrGenerated => {
                words.push_str(" generated as ");
                words.push_str(&inner(&constraint.raw_expr).and_then(expression).unwrap_or_default());
            }
            ConstrType::Undefined
            | ConstrType::ConstrNull
            | ConstrType::ConstrCheck
            | ConstrType::ConstrExclusion
            | ConstrType::ConstrForeign
            | ConstrType::ConstrAttrDeferrable
            | ConstrType::ConstrAttrNotDeferrable
            | ConstrType::ConstrAttrDeferred
            | ConstrType::ConstrAttrImmediate
            | ConstrType::ConstrAttrEnforced
            | ConstrType::ConstrAttrNotEnforced => (),
        }
    }
    words
}

/// Constraints of a column that are told of by themselves.
fn column_constraints(column: &ColumnDef) -> Vec<String> {
    let told = |constraint: &Constraint| {
        matches!(constraint.contype(), ConstrType::ConstrCheck | ConstrType::ConstrForeign)
    };
    let mut all = Vec::new();
    for constraint in &column.constraints {
        if let Some(NodeEnum::Constraint(constraint)) = kind(constraint)
            && told(constraint)
        {
            all.extend(constraint_words(constraint).map(|words| format!("{words} on {}", column.colname)));
        }
    }
    all
}

/// `check total > 0`, `foreign key (a) to shop.b, which deletes with it`
fn constraint_words(constraint: &Constraint) -> Option<String> {
    let named =
        if constraint.conname.is_empty() { String::new() } else { format!("{}: ", constraint.conname) };
    let list =
        |nodes: &[pg_query::protobuf::Node]| nodes.iter().filter_map(string).collect::<Vec<_>>().join(", ");
    let words = match constraint.contype() {
        ConstrType::ConstrCheck => {
            format!("check {}", inner(&constraint.raw_expr).and_then(expression).unwrap_or_default())
        }
        ConstrType::ConstrPrimary => format!("primary key ({})", list(&constraint.keys)),
        ConstrType::ConstrUnique => format!("unique ({})", list(&constraint.keys)),
        ConstrType::ConstrExclusion => "exclusion".to_owned(),
        ConstrType::ConstrForeign => {
            let to = constraint.pktable.as_ref().map(|to| {
                if to.schemaname.is_empty() {
                    to.relname.clone()
                } else {
                    format!("{}.{}", to.schemaname, to.relname)
                }
            });
            let cascades = match constraint.fk_del_action.as_str() {
                "c" => ", whose rows take these with them",
                "n" | "d" => ", whose rows change these when they go",
                _ => "",
            };
            let own = list(&constraint.fk_attrs);
            let own = if own.is_empty() { own } else { format!(" ({own})") };
            format!("foreign key{own} to {}{cascades}", to.unwrap_or_default())
        }
        ConstrType::ConstrNotnull
        | ConstrType::Undefined
        | ConstrType::ConstrNull
        | ConstrType::ConstrDefault
        | ConstrType::ConstrIdentity
        | ConstrType::ConstrGenerated
        | ConstrType::ConstrAttrDeferrable
        | ConstrType::ConstrAttrNotDeferrable
        | ConstrType::ConstrAttrDeferred
        | ConstrType::ConstrAttrImmediate
        | ConstrType::ConstrAttrEnforced
        | ConstrType::ConstrAttrNotEnforced => return None,
    };
    let later = if constraint.skip_validation { ", of new rows alone" } else { "" };
    Some(format!("{named}{words}{later}"))
}
