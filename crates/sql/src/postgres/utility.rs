//! Statements that are no queries: what each of them does, by what it names.

use model::{Action, Effect, FunctionName, Resource, TableName};
use pg_query::NodeEnum;
use pg_query::protobuf::{CreateTableAsStmt, IntoClause, Node, ObjectType, RangeVar, RenameStmt};

use super::Control;
use super::bodies::own_entry;
use super::catalog::{Event, Relation, RelationKind};
use super::definitions::given;
use super::named::is_relation;
use super::query::Rows;
use super::scope::{Scope, Visible};
use super::tree::{inner, kind};
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// Reads any statement. Its rows, where it gives some; no columns where it gives none.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a statement that is not named here is unknown")]
    #[expect(clippy::too_many_lines, reason = "one list of all statements: where to look for each")]
    pub(super) fn perform(&mut self, statement: Option<&NodeEnum>, scope: &Scope<'_, 'a>) -> Rows {
        let Some(statement) = statement else {
            self.unknown("a statement that is not understood");
            return Rows::default();
        };
        match statement {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => return self.query(Some(statement), scope),
            NodeEnum::ReturnStmt(r) => {
                let value = r.returnval.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
                return Rows::known(vec![super::value::Col::new("return", value)]);
            }
            NodeEnum::CallStmt(call) => {
                return call.funccall.as_deref().map(|call| self.procedure(call, scope)).unwrap_or_default();
            }
            NodeEnum::DoStmt(code) => self.anonymous(&code.args),
            NodeEnum::CopyStmt(copy) => return self.copy(copy, scope),

            NodeEnum::TransactionStmt(transaction) => self.transaction(transaction),
            NodeEnum::VariableSetStmt(set) => self.set(set),
            NodeEnum::VariableShowStmt(show) => return Self::show(&show.name),
            NodeEnum::ConstraintsSetStmt(set) => self.found.fires |= !set.deferred,
            NodeEnum::DiscardStmt(discard) => self.discard(discard),
            NodeEnum::PrepareStmt(prepare) => self.prepare(prepare),
            NodeEnum::ExecuteStmt(execute) => return self.execute(execute, scope),
            NodeEnum::DeallocateStmt(d) => {
                self.found.control.push(Control::Deallocate((!d.isall).then(|| d.name.clone())));
            }
            NodeEnum::DeclareCursorStmt(declare) => self.declare(declare),
            NodeEnum::FetchStmt(fetch) => return self.fetch(fetch),
            NodeEnum::ClosePortalStmt(close) => {
                let name = Some(close.portalname.clone()).filter(|name| !name.is_empty());
                self.found.control.push(Control::CloseCursor(name));
            }
            NodeEnum::ExplainStmt(explain) => return self.explain(explain, scope),
            NodeEnum::ListenStmt(_) => {
                self.does(Action::Listen, Resource::Target);
                self.found.control.push(Control::Listen);
            }
            NodeEnum::UnlistenStmt(_) => self.found.control.push(Control::Listen),
            NodeEnum::NotifyStmt(_) => self.does(Action::Notify, Resource::Target),
            NodeEnum::LockStmt(lock) => {
                self.each(&lock.relations, Action::LockTable);
                for node in &lock.relations {
                    let Some(NodeEnum::RangeVar(range)) = kind(node) else { continue };
                    if let Some(view) = self.relation(range).filter(|r| r.kind == RelationKind::View) {
                        self.locks_behind(view);
                    }
                }
            }
            NodeEnum::CheckPointStmt(_) => self.does(Action::Maintain, Resource::Target),
            NodeEnum::LoadStmt(_) => self.does(Action::ServerFile, Resource::Target),

            NodeEnum::TruncateStmt(truncate) => {
                for node in &truncate.relations {
                    let Some(NodeEnum::RangeVar(range)) = kind(node) else { continue };
                    let Some(relation) = self.relation(range) else { continue };
                    self.writes(relation, Event::Truncate);
                    if truncate.behavior() == pg_query::protobuf::DropBehavior::DropCascade {
                        self.truncates_more(relation, &mut Vec::new());
                    }
                }
                if truncate.restart_seqs {
                    self.does(Action::Sequence, Resource::Target);
                }
            }
            NodeEnum::VacuumStmt(vacuum) => {
                if vacuum.rels.is_empty() {
                    self.tends(None);
                }
                for node in &vacuum.rels {
                    if let Some(NodeEnum::VacuumRelation(named)) = kind(node) {
                        self.tends(named.relation.as_ref());
                    }
                }
            }
            NodeEnum::ClusterStmt(cluster) => self.tends(cluster.relation.as_ref()),
            NodeEnum::ReindexStmt(reindex) => {
                self.fires();
                self.tends(reindex.relation.as_ref());
            }
            NodeEnum::RefreshMatViewStmt(refresh) => {
                if let Some(relation) = refresh.relation.as_ref().and_then(|range| self.relation(range)) {
                    let effect = self.on(Action::Maintain, relation);
                    self.effect(effect);
                    self.fires();
                    self.refills(relation);
                    self.held(relation);
                }
            }

            NodeEnum::CreateStmt(create) => self.create_table(create),
            NodeEnum::CreateTableAsStmt(create) => return self.create_as(create, scope),
            NodeEnum::ViewStmt(view) => {
                self.defines();
                if let Some(range) = &view.view {
                    if view.replace {
                        self.replaces_relation(range);
                    }
                    self.creates(range);
                }
                // Whoever may read the view reads what it reads.
                self.subquery(inner(&view.query), scope);
            }
            NodeEnum::IndexStmt(index) => {
                self.defines();
                if let Some(relation) = index.relation.as_ref().and_then(|range| self.relation(range)) {
                    let effect = self.on(Action::Index, relation);
                    self.effect(effect);
                    let mut below = Vec::new();
                    if relation.kind == RelationKind::Partitioned
                        && index.relation.as_ref().is_some_and(|range| range.inh)
                    {
                        self.descendants(relation, &mut |child| below.push(child));
                    }
                    for child in below {
                        let via = Some(relation.table_name());
                        let effect = Effect { via, ..self.on(Action::Index, child) };
                        self.effect(effect);
                    }
                    // What is too long or not unique stands in the server's words.
                    self.found.touches_tagged |= self.is_tagged(relation);
                    let scope = self.over(relation);
                    if index.unique {
                        let names = index.index_params.iter().filter_map(|node| match kind(node) {
                            Some(NodeEnum::IndexElem(element)) => Some(element.name.as_str()),
                            _ => None,
                        });
                        self.held_against(names, &scope);
                    }
                    for node in index.index_params.iter().chain(&index.index_including_params) {
                        let Some(NodeEnum::IndexElem(element)) = kind(node) else { continue };
                        match element.expr.as_deref() {
                            Some(node) => drop(self.compares(node, &scope)),
                            None => {
                                self.compared_type(relation.column(&element.name).map(|c| c.type_oid));
                            }
                        }
                    }
                    if let Some(node) = index.where_clause.as_deref() {
                        self.uses(node, &scope);
                    }
                }
            }
            NodeEnum::CreateStatsStmt(stats) => {
                self.defines();
                self.each(&stats.relations, Action::Index);
                let range = stats.relations.first().and_then(kind);
                if let Some(NodeEnum::RangeVar(range)) = range
                    && let Some(relation) = self.relation(range)
                {
                    let scope = self.over(relation);
                    for node in &stats.exprs {
                        if let Some(NodeEnum::StatsElem(element)) = kind(node)
                            && let Some(node) = element.expr.as_deref()
                        {
                            self.uses(node, &scope);
                        }
                    }
                }
            }
            NodeEnum::AlterStatsStmt(_) => self.defined(Action::Alter, Resource::Target),
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::DropStmt(drop) => self.drop(drop),
            NodeEnum::RenameStmt(rename) => self.rename(rename),
            NodeEnum::AlterObjectSchemaStmt(alter) => {
                self.defines();
                match &alter.relation {
                    Some(range) => {
                        self.on_range(range, Action::Alter);
                        self.launders(range);
                        self.takes_name(range, |old| TableName { schema: alter.newschema.clone(), ..old });
                    }
                    None => self.does(Action::Alter, Resource::Target),
                }
            }
            NodeEnum::AlterOwnerStmt(alter) => {
                self.defines();
                self.maybe(alter.relation.as_ref(), Action::Grant);
            }
            NodeEnum::AlterObjectDependsStmt(alter) => {
                self.defines();
                self.maybe(alter.relation.as_ref(), Action::Alter);
            }
            NodeEnum::CreateSchemaStmt(create) => {
                self.defined(Action::Create, Resource::Schema(create.schemaname.clone()));
                for element in &create.schema_elts {
                    self.perform(kind(element), scope);
                }
            }
            NodeEnum::CreateSeqStmt(create) => {
                self.defines();
                if let Some(range) = &create.sequence {
                    self.creates(range);
                }
            }
            NodeEnum::AlterSeqStmt(alter) => {
                self.defines();
                self.maybe(alter.sequence.as_ref(), Action::Alter);
            }
            NodeEnum::CreateTrigStmt(trigger) => {
                self.defines();
                self.maybe(trigger.relation.as_ref(), Action::Create);
                if trigger.replace {
                    self.maybe(trigger.relation.as_ref(), Action::Alter);
                }
                self.defines_trigger(trigger);
            }
            NodeEnum::RuleStmt(rule) => {
                self.defines();
                self.maybe(rule.relation.as_ref(), Action::Create);
                if rule.replace {
                    self.maybe(rule.relation.as_ref(), Action::Alter);
                }
                self.defines_rule(rule);
            }
            NodeEnum::CreatePolicyStmt(policy) => {
                self.defines();
                self.maybe(policy.table.as_ref(), Action::Grant);
            }
            NodeEnum::AlterPolicyStmt(policy) => {
                self.defines();
                self.maybe(policy.table.as_ref(), Action::Grant);
            }
            NodeEnum::CreateFunctionStmt(create) => {
                self.defines();
                let resource = self.function_resource(&create.funcname);
                if create.replace {
                    self.replaces_code(&resource, given(&create.parameters));
                }
                self.does(Action::Create, resource);
                self.replaces_function(create);
            }
            NodeEnum::AlterFunctionStmt(alter) => {
                self.defines();
                let name = alter.func.as_ref().map(|f| f.objname.as_slice()).unwrap_or_default();
                let resource = self.function_resource(name);
                self.does(Action::Alter, resource);
            }
            NodeEnum::CommentStmt(comment) => {
                self.defines();
                let resource = self.object(comment.objtype(), comment.object.as_deref());
                self.does(Action::Comment, resource);
            }
            NodeEnum::SecLabelStmt(_)
            | NodeEnum::AlterCollationStmt(_)
            | NodeEnum::AlterEnumStmt(_)
            | NodeEnum::AlterTypeStmt(_)
            | NodeEnum::AlterOperatorStmt(_)
            | NodeEnum::AlterOpFamilyStmt(_)
            | NodeEnum::AlterTsdictionaryStmt(_)
            | NodeEnum::AlterTsconfigurationStmt(_)
            | NodeEnum::AlterExtensionContentsStmt(_)
            | NodeEnum::AlterEventTrigStmt(_)
            | NodeEnum::AlterFdwStmt(_)
            | NodeEnum::AlterDatabaseStmt(_)
            | NodeEnum::AlterDatabaseRefreshCollStmt(_)
            | NodeEnum::AlterTableSpaceOptionsStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_) => self.defined(Action::Alter, Resource::Target),
            NodeEnum::AlterDomainStmt(alter) => {
                self.defined(Action::Alter, Resource::Target);
                self.alter_domain(alter);
            }
            // Their scripts are SQL that is not seen here, and run with the rights of a superuser.
            NodeEnum::CreateExtensionStmt(_) => self.runs_script(Action::Create),
            NodeEnum::AlterExtensionStmt(_) => self.runs_script(Action::Alter),
            NodeEnum::CreatePlangStmt(language) => {
                if language.replace {
                    self.does(Action::Alter, Resource::Target);
                }
                self.runs_script(Action::Create);
            }
            NodeEnum::DefineStmt(define) => {
                self.defined(Action::Create, Resource::Target);
                if define.replace {
                    let resource = self.function_resource(&define.defnames);
                    self.replaces_code(&resource, None);
                }
            }
            NodeEnum::CreateTransformStmt(transform) => {
                self.defined(Action::Create, Resource::Target);
                if transform.replace {
                    self.does(Action::Alter, Resource::Target);
                }
            }
            NodeEnum::CompositeTypeStmt(_)
            | NodeEnum::CreateEnumStmt(_)
            | NodeEnum::CreateRangeStmt(_)
            | NodeEnum::CreateDomainStmt(_)
            | NodeEnum::CreateCastStmt(_)
            | NodeEnum::CreateConversionStmt(_)
            | NodeEnum::CreateOpClassStmt(_)
            | NodeEnum::CreateOpFamilyStmt(_)
            | NodeEnum::CreateAmStmt(_)
            | NodeEnum::CreateEventTrigStmt(_)
            | NodeEnum::CreateFdwStmt(_)
            | NodeEnum::CreateTableSpaceStmt(_)
            | NodeEnum::CreatedbStmt(_) => self.defined(Action::Create, Resource::Target),
            NodeEnum::DropdbStmt(_) | NodeEnum::DropTableSpaceStmt(_) | NodeEnum::ReassignOwnedStmt(_) => {
                self.defined(Action::Drop, Resource::Target);
            }
            NodeEnum::DropOwnedStmt(_) => self.defined(Action::Drop, Resource::Target),

            NodeEnum::GrantStmt(_)
            | NodeEnum::GrantRoleStmt(_)
            | NodeEnum::AlterDefaultPrivilegesStmt(_)
            | NodeEnum::CreateRoleStmt(_)
            | NodeEnum::AlterRoleStmt(_)
            | NodeEnum::DropRoleStmt(_) => self.defined(Action::Grant, Resource::Target),
            NodeEnum::AlterRoleSetStmt(_)
            | NodeEnum::AlterDatabaseSetStmt(_)
            | NodeEnum::AlterSystemStmt(_) => {
                self.does(Action::Configure, Resource::Target);
                self.does(Action::Grant, Resource::Target);
            }
            NodeEnum::AlterForeignServerStmt(_) | NodeEnum::AlterUserMappingStmt(_) => {
                self.does(Action::Egress, Resource::Target);
                self.defined(Action::Alter, Resource::Target);
            }
            NodeEnum::DropUserMappingStmt(_) => self.defined(Action::Drop, Resource::Target),
            NodeEnum::CreateForeignServerStmt(_)
            | NodeEnum::CreateUserMappingStmt(_)
            | NodeEnum::CreateForeignTableStmt(_)
            | NodeEnum::ImportForeignSchemaStmt(_) => {
                self.does(Action::Egress, Resource::Target);
                self.defined(Action::Create, Resource::Target);
            }
            NodeEnum::CreatePublicationStmt(_) | NodeEnum::AlterPublicationStmt(_) => {
                self.defined(Action::Replicate, Resource::Target)
            }
            // The server calls the publisher, also to drop what it holds there.
            NodeEnum::CreateSubscriptionStmt(_)
            | NodeEnum::AlterSubscriptionStmt(_)
            | NodeEnum::DropSubscriptionStmt(_) => {
                self.does(Action::Egress, Resource::Target);
                self.defined(Action::Replicate, Resource::Target);
            }
            _ => self.unknown("a statement of a kind that is not understood"),
        }
        Rows::known(Vec::new())
    }

    /// The catalogue changes; event triggers run.
    pub(super) fn defines(&mut self) {
        self.found.control.push(Control::Ddl);
        self.fires();
    }

    fn fires(&mut self) {
        self.events_are_settled();
        for trigger in self.catalog.event_triggers() {
            if !self.catalog.only_tells(trigger.function) {
                self.call_oid(trigger.function);
            }
        }
    }

    pub(super) fn defined(&mut self, action: Action, resource: Resource) {
        self.defines();
        self.does(action, resource);
    }

    fn each(&mut self, nodes: &[Node], action: Action) {
        for node in nodes {
            match kind(node) {
                Some(NodeEnum::RangeVar(range)) => self.on_range(range, action),
                _ => self.does(action, Resource::Target),
            }
        }
    }

    fn maybe(&mut self, range: Option<&RangeVar>, action: Action) {
        match range {
            Some(range) => self.on_range(range, action),
            None => self.does(action, Resource::Target),
        }
    }

    /// An action on a relation by name; where there is none of that name, on the name.
    pub(super) fn on_range(&mut self, range: &RangeVar, action: Action) {
        match self.relation(range) {
            Some(relation) => {
                self.found.tables.insert(relation.table_name());
                let effect = self.on(action, relation);
                self.effect(effect);
                if relation.temporary {
                    self.found.control.push(Control::TempObject);
                }
                // An index is its table's: whoever may not touch the one may not touch the other.
                if let Some(table) = relation.table.and_then(|table| self.catalog.relation_by_oid(table)) {
                    let action = if action == Action::Maintain { action } else { Action::Index };
                    let effect = self.on(action, table);
                    self.effect(effect);
                    // Indexes of partitions go and are made anew with the one above them.
                    if table.kind == RelationKind::Partitioned {
                        let mut below = Vec::new();
                        self.descendants(table, &mut |child| below.push(child));
                        for child in below {
                            let effect = Effect { via: Some(table.table_name()), ..self.on(action, child) };
                            self.effect(effect);
                        }
                    }
                }
                let mut below = Vec::new();
                self.descendants(relation, &mut |child| below.push(child));
                for child in below {
                    let effect = Effect { via: Some(relation.table_name()), ..self.on(action, child) };
                    self.effect(effect);
                }
            }
            None => {
                let name = self.new_name(range);
                self.does(action, Resource::Table(name));
            }
        }
    }

    /// The name that a relation gets which is made now.
    pub(super) fn new_name(&mut self, range: &RangeVar) -> TableName {
        let temporary = range.relpersistence == "t" || range.schemaname.starts_with("pg_temp");
        let schema = if temporary {
            "pg_temp".to_owned()
        } else if range.schemaname.is_empty() {
            self.creation_schema()
        } else {
            range.schemaname.clone()
        };
        TableName { schema, name: range.relname.clone() }
    }

    pub(super) fn creates(&mut self, range: &RangeVar) {
        let name = self.new_name(range);
        if name.schema == "pg_temp" {
            self.found.control.push(Control::TempObject);
        }
        self.does(Action::Create, Resource::Table(name));
    }

    pub(super) fn over<'s>(&mut self, relation: &'a Relation) -> Scope<'s, 'a> {
        let mut scope = Scope::default();
        scope.entries.push(own_entry(self, relation));
        scope.visible.push(Visible::Entry(0));
        scope
    }

    fn create_as(&mut self, create: &CreateTableAsStmt, scope: &Scope<'_, 'a>) -> Rows {
        let rows = match inner(&create.query) {
            Some(NodeEnum::ExecuteStmt(execute)) => self.execute(execute, scope),
            query => self.query(query, scope),
        };
        if let Some(into) = &create.into {
            if create.objtype() == ObjectType::ObjectMatview {
                // Tags follow a materialized view's definition.
                self.defines();
                if let Some(range) = &into.rel {
                    self.creates(range);
                }
            } else {
                self.makes_table(into, &rows);
            }
        }
        Rows::known(Vec::new())
    }

    /// `SELECT … INTO`, `CREATE TABLE … AS`: what is copied is no plain output, since its tag would be lost.
    pub(super) fn makes_table(&mut self, into: &IntoClause, rows: &Rows) {
        self.defines();
        if let Some(range) = &into.rel {
            self.creates(range);
        }
        self.consume_flow(&rows.all());
    }

    fn rename(&mut self, rename: &RenameStmt) {
        self.defines();
        if let Some(range) = &rename.relation {
            if rename.rename_type() == ObjectType::ObjectAttribute {
                // With `CASCADE` typed tables change, too, wherever they are.
                self.does(Action::Alter, Resource::Target);
            }
            self.on_range(range, Action::Alter);
            self.launders(range);
            if is_relation(rename.rename_type()) {
                self.takes_name(range, |old| TableName { name: rename.newname.clone(), ..old });
            }
            return;
        }
        let resource = self.object(rename.rename_type(), rename.object.as_deref());
        if rename.rename_type() == ObjectType::ObjectSchema {
            let catalog = self.catalog;
            let inside: Vec<&'a Relation> =
                catalog.relations().filter(|r| r.schema == rename.subname && self.is_tagged(r)).collect();
            for relation in inside {
                self.all_columns(relation);
            }
            self.does(Action::Alter, Resource::Schema(rename.subname.clone()));
            self.does(Action::Create, Resource::Schema(rename.newname.clone()));
            return;
        }
        if let Resource::Function(function) = &resource {
            let now = FunctionName { name: rename.newname.clone(), ..function.clone() };
            self.does(Action::Create, Resource::Function(now));
        }
        self.does(Action::Alter, resource);
    }

    /// What policy says of a name holds for whoever gives it to something that is there, as for whoever makes it.
    fn takes_name(&mut self, range: &RangeVar, now: impl FnOnce(TableName) -> TableName) {
        let relation = self.relation(range);
        // An index is its table's.
        if relation.is_some_and(|relation| relation.table.is_some()) {
            return;
        }
        let old = relation.map_or_else(|| self.new_name(range), Relation::table_name);
        self.does(Action::Create, Resource::Table(now(old)));
    }

    /// A new name for a table or column that is tagged by its name would lose the tag.
    fn launders(&mut self, range: &RangeVar) {
        if let Some(relation) = self.relation(range) {
            self.all_columns(relation);
        }
    }

    fn all_columns(&mut self, relation: &'a Relation) {
        let columns = self.stored_columns(relation);
        for column in columns.iter() {
            self.consume(&column.value);
        }
    }

    fn truncates_more(&mut self, relation: &'a Relation, seen: &mut Vec<super::catalog::Oid>) {
        for key in &relation.referenced_by {
            if seen.contains(&key.table) {
                continue;
            }
            seen.push(key.table);
            if let Some(child) = self.catalog.relation_by_oid(key.table) {
                self.writes(child, Event::Truncate);
                self.truncates_more(child, seen);
            }
        }
    }
}
