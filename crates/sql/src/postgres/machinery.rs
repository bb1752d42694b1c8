//! What a write sets in motion: triggers, rules, constraints, cascades, the tables behind views.

use model::{Action, Effect};
use pg_query::NodeEnum;

use super::bodies::own_entry;
use super::catalog::{Cascade, Column, Event, Relation, RelationKind};
use super::scope::Scope;
use super::tree::{inner, kind};
use super::walk::{Walk, Within};

impl<'a> Walk<'a> {
    /// Rows of a relation change: what is done to it, and what the database does then.
    pub(super) fn writes(&mut self, relation: &'a Relation, event: Event) {
        let action = match event {
            Event::Insert => Action::Insert,
            Event::Update => Action::Update,
            Event::Delete => Action::Delete,
            Event::Truncate => Action::Truncate,
            Event::Select => Action::Select,
        };
        self.found.tables.insert(relation.table_name());
        let effect = self.on(action, relation);
        self.effect(effect);
        if !self.begins(relation, action) {
            return;
        }
        self.found.touches_tagged |= self.is_tagged(relation);
        self.deeper(|walk| walk.machinery(relation, event));
    }

    /// Whether what is set in motion by an action was not read yet under the names that are in force.
    fn begins(&mut self, relation: &Relation, action: Action) -> bool {
        let frame = self.frame();
        self.written.insert((relation.oid, action, frame))
    }

    /// What the server does by itself when rows of a relation change.
    pub(super) fn machinery(&mut self, relation: &'a Relation, event: Event) {
        if relation.kind == RelationKind::Foreign {
            self.reaches_out(Action::Egress, format!("{} is a foreign table", relation.table_name()));
        }
        let rules: Vec<_> = relation.rules.iter().filter(|rule| rule.event == event).collect();
        for rule in &rules {
            self.rule(&rule.definition, relation);
        }
        let triggers: Vec<_> = relation.triggers.iter().filter(|t| t.events.contains(&event)).collect();
        for trigger in &triggers {
            self.found.touches_tagged = true;
            if let Some(condition) = &trigger.condition {
                self.row_condition(condition, relation);
            }
            self.call_oid(trigger.function);
            self.found.deferred |= trigger.deferrable && self.found.by_path;
        }
        let instead = rules.iter().any(|rule| rule.instead) || triggers.iter().any(|trigger| trigger.instead);
        if relation.kind == RelationKind::View && !instead {
            self.behind(relation, event);
        }
        if matches!(event, Event::Insert | Event::Update) {
            for column in &relation.columns {
                // What is updated gets its default where that is said (`SET column = DEFAULT`).
                if event == Event::Insert || column.generated {
                    self.by_default(column, relation);
                }
                self.must_pass(column.type_oid);
            }
            for expression in relation.checks.iter().chain(&relation.index_expressions) {
                self.internal(expression, relation);
            }
            self.compared_columns(relation);
        }
        for policy in relation.row_security.iter().flatten() {
            self.internal(policy, relation);
        }
        let mut below = Vec::new();
        self.descendants(relation, &mut |child| below.push(child));
        for child in below {
            let mut effect = self.on(action_of(event), child);
            effect.via = Some(relation.table_name());
            self.effect(effect);
            if self.begins(child, action_of(event)) {
                self.machinery(child, event);
            }
            if event == Event::Update && relation.kind == RelationKind::Partitioned {
                self.moves(child);
            }
        }
        self.cascades(relation, event);
    }

    /// A column gets what it has where nothing is said.
    fn by_default(&mut self, column: &'a Column, relation: &'a Relation) {
        if let Some(default) = &column.default {
            self.internal(default, relation);
        }
        if column.identity {
            let why = format!("column {} of {} counts", column.name, relation.table_name());
            let effect = self.on(Action::Sequence, relation).because(why);
            self.effect(effect);
        }
    }

    /// Some column of a relation gets its default. A view's may be that of a column behind it.
    pub(super) fn defaults(&mut self, relation: &'a Relation) {
        for column in &relation.columns {
            self.by_default(column, relation);
        }
        if relation.kind == RelationKind::View {
            for base in self.bases(relation) {
                self.deeper(|walk| walk.defaults(base));
            }
        }
    }

    /// A row that is updated may leave its partition: it is deleted there and inserted into another.
    fn moves(&mut self, partition: &'a Relation) {
        for event in [Event::Delete, Event::Insert] {
            if self.begins(partition, action_of(event)) {
                self.machinery(partition, event);
            }
        }
    }

    fn cascades(&mut self, relation: &'a Relation, event: Event) {
        for key in &relation.referenced_by {
            if matches!(event, Event::Delete | Event::Update) {
                // Whether rows refer to what changes is looked up.
                self.compared_columns(relation);
                if let Some(child) = self.catalog.relation_by_oid(key.table) {
                    self.compared_columns(child);
                }
            }
            let reaction = match event {
                Event::Delete => key.on_delete,
                Event::Update => key.on_update,
                Event::Insert | Event::Truncate | Event::Select => Cascade::Nothing,
            };
            let event = match reaction {
                Cascade::Nothing => continue,
                Cascade::Delete => Event::Delete,
                Cascade::Update | Cascade::Default => Event::Update,
            };
            let Some(child) = self.catalog.relation_by_oid(key.table) else { continue };
            if reaction == Cascade::Default {
                self.deeper(|walk| walk.defaults(child));
            }
            let why = format!("a foreign key of {} follows {}", child.table_name(), relation.table_name());
            let effect = self.on(action_of(event), child).because(why);
            self.effect(effect);
            self.found.touches_tagged |= self.is_tagged(child);
            if self.begins(child, action_of(event)) {
                self.deeper(|walk| walk.machinery(child, event));
            }
        }
    }

    /// The tables behind a view that PostgreSQL updates by itself.
    fn behind(&mut self, view: &'a Relation, event: Event) {
        for base in self.bases(view) {
            let effect = Effect { via: Some(view.table_name()), ..self.on(action_of(event), base) };
            self.effect(effect);
            self.found.touches_tagged |= self.is_tagged(base);
            if self.begins(base, action_of(event)) {
                self.machinery(base, event);
            }
        }
    }

    /// The relations that a view is made of, as far as writes go through it.
    pub(super) fn bases(&mut self, view: &'a Relation) -> Vec<&'a Relation> {
        self.spend(view.definition.as_ref().map_or(0, |text| text.len() / 8));
        let parsed = view.definition.as_deref().and_then(|text| pg_query::parse(text, 0).ok());
        let statement =
            parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::SelectStmt(select)) = statement else {
            self.unknown(format!("the definition of view {} is not known", view.table_name()));
            return Vec::new();
        };
        let ranges = select.from_clause.iter().filter_map(|item| match kind(item) {
            Some(NodeEnum::RangeVar(range)) => Some(range),
            _ => None,
        });
        ranges.filter_map(|range| self.as_printed(|walk| walk.relation(range))).collect()
    }

    /// A rule's actions happen, too. Its text has `old` and `new` for the rows.
    fn rule(&mut self, definition: &str, relation: &'a Relation) {
        self.spend(definition.len() / 8);
        let parsed = pg_query::parse(definition, 0).ok();
        let statement =
            parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::RuleStmt(rule)) = statement else {
            return self.unknown(format!("a rule of {} cannot be read", relation.table_name()));
        };
        let mut scope = self.old_and_new(relation);
        scope.entries.iter_mut().for_each(|entry| entry.qualified_only = true);
        self.found.touches_tagged = true;
        self.inside(Within::Internal, |walk| {
            walk.as_printed(|walk| {
                if let Some(node) = rule.where_clause.as_deref() {
                    walk.uses(node, &scope);
                }
                for action in &rule.actions {
                    let rows = walk.perform(kind(action), &scope);
                    let changes = matches!(
                        kind(action),
                        Some(NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_))
                    );
                    if changes && !rows.columns.as_ref().is_some_and(|columns| columns.is_empty()) {
                        walk.returned.insert(relation.oid, rows);
                    }
                }
            });
        });
    }

    fn row_condition(&mut self, text: &str, relation: &'a Relation) {
        let scope = self.old_and_new(relation);
        self.inside(Within::Internal, |walk| walk.text_expression(text, &scope));
    }

    pub(super) fn old_and_new<'s>(&mut self, relation: &'a Relation) -> Scope<'s, 'a> {
        let mut scope = Scope::default();
        for name in ["old", "new"] {
            let mut entry = own_entry(self, relation);
            entry.alias = Some(name.into());
            entry.schema = None;
            scope.entries.push(entry);
        }
        scope
    }
}

fn action_of(event: Event) -> Action {
    match event {
        Event::Insert => Action::Insert,
        Event::Update => Action::Update,
        Event::Delete => Action::Delete,
        Event::Truncate => Action::Truncate,
        Event::Select => Action::Select,
    }
}
