//! Statements that change rows, and what the database does by itself when they do: triggers, rules, foreign keys,
//! defaults, checks.

use model::{Action, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExprKind, BoolExprType, CmdType, DeleteStmt, InsertStmt, MergeStmt, Node, OnConflictAction, RangeVar,
    ReturningClause, UpdateStmt, a_const::Val,
};

use super::bodies::own_entry;
use super::catalog::{Cascade, Event, Relation, RelationKind};
use super::query::Rows;
use super::scope::{Arguments, Entry, Scope, Visible};
use super::tree::{inner, kind};
use super::value::Flow;
use super::walk::{Walk, Within};

impl<'a> Walk<'a> {
    pub(super) fn insert(&mut self, insert: &InsertStmt, outer: &Scope<'_, 'a>) -> Rows {
        let mut scope = Scope::below(outer);
        if let Some(with) = &insert.with_clause {
            self.with(with, &mut scope);
        }
        let Some(relation) = insert.relation.as_ref().and_then(|range| self.relation(range)) else {
            return Rows::known(Vec::new());
        };
        self.writes(relation, Event::Insert);
        let rows = match inner(&insert.select_stmt) {
            Some(statement) => self.subquery(Some(statement), &scope),
            None => Rows::default(),
        };
        // What is put elsewhere is no plain output: its tag would be lost.
        self.consume_flow(&rows.all());
        let named: Vec<&str> = insert
            .cols
            .iter()
            .filter_map(
                |c| if let Some(NodeEnum::ResTarget(t)) = kind(c) { Some(t.name.as_str()) } else { None },
            )
            .collect();
        for (index, column) in relation.columns.iter().enumerate() {
            let from = rows.columns.as_ref().and_then(|c| {
                let place =
                    if named.is_empty() { Some(index) } else { named.iter().position(|n| *n == column.name) };
                place.and_then(|place| c.get(place)).map(|c| c.value.type_oid)
            });
            match from {
                Some(from) => self.assigned(column.type_oid, from),
                None => self.must_pass(column.type_oid),
            }
        }
        self.target(insert.relation.as_ref(), relation, &mut scope);
        if let Some(conflict) = &insert.on_conflict_clause {
            self.conflicts(relation);
            if let Some(infer) = &conflict.infer {
                // Whether a row with these values is there is looked up.
                self.reads(relation);
                for element in &infer.index_elems {
                    if let Some(NodeEnum::IndexElem(element)) = kind(element)
                        && let Some(node) = element.expr.as_deref()
                    {
                        self.uses(node, &scope);
                    }
                }
                if let Some(node) = infer.where_clause.as_deref() {
                    self.uses(node, &scope);
                }
            }
            if conflict.action() == OnConflictAction::OnconflictUpdate {
                self.writes(relation, Event::Update);
                let mut entry = own_entry(self, relation);
                entry.alias = Some("excluded".into());
                entry.schema = None;
                entry.qualified_only = true;
                scope.entries.push(entry);
                self.assignments(&conflict.target_list, relation, &scope);
                if let Some(node) = conflict.where_clause.as_deref() {
                    self.uses(node, &scope);
                }
                scope.entries.pop();
            }
        }
        self.returning(insert.returning_clause.as_ref(), relation, &mut scope)
    }

    pub(super) fn update(&mut self, update: &UpdateStmt, outer: &Scope<'_, 'a>) -> Rows {
        let mut scope = Scope::below(outer);
        if let Some(with) = &update.with_clause {
            self.with(with, &mut scope);
        }
        let Some(relation) = update.relation.as_ref().and_then(|range| self.relation(range)) else {
            return Rows::known(Vec::new());
        };
        self.writes(relation, Event::Update);
        self.target(update.relation.as_ref(), relation, &mut scope);
        self.from(&update.from_clause, &mut scope);
        self.assignments(&update.target_list, relation, &scope);
        self.condition(update.where_clause.as_deref(), relation, &scope);
        self.returning(update.returning_clause.as_ref(), relation, &mut scope)
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt, outer: &Scope<'_, 'a>) -> Rows {
        let mut scope = Scope::below(outer);
        if let Some(with) = &delete.with_clause {
            self.with(with, &mut scope);
        }
        let Some(relation) = delete.relation.as_ref().and_then(|range| self.relation(range)) else {
            return Rows::known(Vec::new());
        };
        self.writes(relation, Event::Delete);
        self.target(delete.relation.as_ref(), relation, &mut scope);
        self.from(&delete.using_clause, &mut scope);
        self.condition(delete.where_clause.as_deref(), relation, &scope);
        self.returning(delete.returning_clause.as_ref(), relation, &mut scope)
    }

    pub(super) fn merge(&mut self, merge: &MergeStmt, outer: &Scope<'_, 'a>) -> Rows {
        self.needs(15, "MERGE");
        let mut scope = Scope::below(outer);
        if let Some(with) = &merge.with_clause {
            self.with(with, &mut scope);
        }
        let Some(relation) = merge.relation.as_ref().and_then(|range| self.relation(range)) else {
            return Rows::known(Vec::new());
        };
        let effect = self.on(Action::Merge, relation);
        self.effect(effect);
        self.reads(relation);
        self.target(merge.relation.as_ref(), relation, &mut scope);
        let source = self.item(inner(&merge.source_relation), &mut scope);
        scope.visible.extend(source);
        if let Some(node) = merge.join_condition.as_deref() {
            self.tells(node, &scope);
        }
        for when in &merge.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(when)) = kind(when) else {
                self.unknown("a branch of MERGE that is not understood");
                continue;
            };
            if let Some(node) = when.condition.as_deref() {
                self.tells(node, &scope);
            }
            match when.command_type() {
                CmdType::CmdInsert => self.writes(relation, Event::Insert),
                CmdType::CmdUpdate => self.writes(relation, Event::Update),
                CmdType::CmdDelete => self.writes(relation, Event::Delete),
                CmdType::CmdNothing => (),
                CmdType::Undefined
                | CmdType::CmdUnknown
                | CmdType::CmdSelect
                | CmdType::CmdMerge
                | CmdType::CmdUtility => self.unknown("a branch of MERGE that is not understood"),
            }
            if when.command_type() == CmdType::CmdUpdate {
                self.assignments(&when.target_list, relation, &scope);
            }
            self.inserted(&when.target_list, &when.values, relation, &scope);
        }
        if merge.returning_clause.is_some() {
            self.needs(17, "MERGE … RETURNING");
        }
        self.returning(merge.returning_clause.as_ref(), relation, &mut scope)
    }

    /// `INSERT (columns) VALUES (…)` of MERGE.
    fn inserted(&mut self, columns: &[Node], values: &[Node], relation: &'a Relation, scope: &Scope<'_, 'a>) {
        for (index, node) in values.iter().enumerate() {
            let value = self.value(node, scope);
            self.consume(&value);
            let column = match columns.get(index).and_then(kind) {
                Some(NodeEnum::ResTarget(target)) => relation.column(&target.name),
                Some(_) => None,
                None => relation.columns.get(index),
            };
            if let Some(column) = column {
                self.assigned(column.type_oid, value.type_oid);
            }
        }
    }

    /// The table that is changed, under its name.
    fn target(&mut self, range: Option<&RangeVar>, relation: &'a Relation, scope: &mut Scope<'_, 'a>) {
        let columns = self.relation_columns(relation);
        let alias = range.and_then(|r| r.alias.as_ref());
        let entry = Entry {
            alias: Some(alias.map_or_else(|| relation.name.as_str().into(), |a| a.aliasname.clone().into())),
            schema: alias.is_none().then_some(relation.schema.as_str()),
            columns,
            ..own_entry(self, relation)
        };
        scope.visible.push(Visible::Entry(scope.entries.len()));
        scope.entries.push(entry);
    }

    fn condition(&mut self, node: Option<&Node>, relation: &'a Relation, scope: &Scope<'_, 'a>) {
        match node {
            None => self.found.unconditional = true,
            Some(node) => {
                self.found.literals = true;
                self.found.unconditional |= always(node) == Some(true);
                if !matches!(kind(node), Some(NodeEnum::CurrentOfExpr(_))) {
                    self.reads(relation);
                }
                self.tells(node, scope);
            }
        }
    }

    /// `SET column = expression, …`
    fn assignments(&mut self, list: &[Node], relation: &'a Relation, scope: &Scope<'_, 'a>) {
        for target in list {
            let Some(NodeEnum::ResTarget(target)) = kind(target) else {
                self.unknown("an assignment that is not understood");
                continue;
            };
            let before = self.references;
            let value = target.val.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
            self.consume(&value);
            if self.references != before {
                // What a row holds is read to make what it will hold.
                self.reads(relation);
            }
            for step in &target.indirection {
                if let Some(NodeEnum::AIndices(indices)) = kind(step) {
                    for node in [&indices.lidx, &indices.uidx].into_iter().flatten() {
                        self.uses(node, scope);
                    }
                }
            }
            if !target.indirection.is_empty() {
                // The rest of the array, document or row is kept.
                let kept = super::sources::entry(None, self.relation_columns(relation)).column(&target.name);
                self.consume(&kept.unwrap_or_default());
                self.reads(relation);
            }
            match relation.column(&target.name) {
                Some(column) => self.assigned(column.type_oid, value.type_oid),
                None => self.missing(format!("column \"{}\" does not exist", target.name)),
            }
        }
    }

    /// A value is put into a column.
    fn assigned(&mut self, target: super::catalog::Oid, from: Option<super::catalog::Oid>) {
        self.coerced(target, from.or(Some(super::catalog::Oid(0))));
    }

    fn returning(
        &mut self,
        clause: Option<&ReturningClause>,
        relation: &'a Relation,
        scope: &mut Scope<'_, 'a>,
    ) -> Rows {
        let Some(clause) = clause else { return Rows::known(Vec::new()) };
        self.reads(relation);
        if !clause.options.is_empty() {
            self.needs(18, "RETURNING WITH");
        }
        if self.major >= 18 {
            let mut names = vec!["old".to_owned(), "new".to_owned()];
            for option in &clause.options {
                if let Some(NodeEnum::ReturningOption(option)) = kind(option) {
                    names.push(option.value.clone());
                }
            }
            for name in names {
                if scope.entries.iter().all(|e| e.alias.as_deref() != Some(&name)) {
                    let mut entry = own_entry(self, relation);
                    entry.alias = Some(name.into());
                    entry.schema = None;
                    entry.qualified_only = true;
                    scope.entries.push(entry);
                }
            }
        }
        self.targets(&clause.exprs, scope)
    }

    /// Whether a row of one's own collides tells what others hold.
    fn conflicts(&mut self, relation: &'a Relation) {
        let columns = super::sources::entry(None, self.relation_columns(relation)).all();
        for column in columns.iter().flat_map(|columns| columns.iter()) {
            self.consume(&column.value);
        }
    }

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
        if !self.written.insert((relation.oid, action)) {
            return;
        }
        self.found.touches_tagged |= self.is_tagged(relation);
        self.deeper(|walk| walk.machinery(relation, event));
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
        }
        let instead = rules.iter().any(|rule| rule.instead) || !triggers.is_empty();
        if relation.kind == RelationKind::View && !instead {
            self.behind(relation, event);
        }
        if matches!(event, Event::Insert | Event::Update) {
            for column in &relation.columns {
                if let Some(default) = &column.default {
                    self.internal(default, relation);
                }
                if column.identity && event == Event::Insert {
                    let why = format!("column {} of {} counts", column.name, relation.table_name());
                    let effect = self.on(Action::Sequence, relation).because(why);
                    self.effect(effect);
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
            if self.written.insert((child.oid, action_of(event))) {
                self.machinery(child, event);
            }
            if event == Event::Update && relation.kind == RelationKind::Partitioned {
                self.moves(child);
            }
        }
        self.cascades(relation, event);
    }

    /// A row that is updated may leave its partition: it is deleted there and inserted into another.
    fn moves(&mut self, partition: &'a Relation) {
        for event in [Event::Delete, Event::Insert] {
            if self.written.insert((partition.oid, action_of(event))) {
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
                Cascade::Update => Event::Update,
            };
            let Some(child) = self.catalog.relation_by_oid(key.table) else { continue };
            let why = format!("a foreign key of {} follows {}", child.table_name(), relation.table_name());
            let effect = self.on(action_of(event), child).because(why);
            self.effect(effect);
            self.found.touches_tagged |= self.is_tagged(child);
            if self.written.insert((child.oid, action_of(event))) {
                self.deeper(|walk| walk.machinery(child, event));
            }
        }
    }

    /// The tables behind a view that PostgreSQL updates by itself.
    fn behind(&mut self, view: &'a Relation, event: Event) {
        let parsed = view.definition.as_deref().and_then(|text| pg_query::parse(text, 0).ok());
        let statement =
            parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::SelectStmt(select)) = statement else {
            return self.unknown(format!("the definition of view {} is not known", view.table_name()));
        };
        for item in &select.from_clause {
            if let Some(NodeEnum::RangeVar(range)) = kind(item)
                && let Some(base) = self.as_printed(|walk| walk.relation(range))
            {
                let effect = Effect { via: Some(view.table_name()), ..self.on(action_of(event), base) };
                self.effect(effect);
                self.found.touches_tagged |= self.is_tagged(base);
                if self.written.insert((base.oid, action_of(event))) {
                    self.machinery(base, event);
                }
            }
        }
    }

    /// A rule's actions happen, too. Its text has `old` and `new` for the rows.
    fn rule(&mut self, definition: &str, relation: &'a Relation) {
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
                    walk.perform(kind(action), &scope);
                }
            });
        });
    }

    fn row_condition(&mut self, text: &str, relation: &'a Relation) {
        let scope = self.old_and_new(relation);
        self.inside(Within::Internal, |walk| walk.text_expression(text, &scope));
    }

    fn old_and_new<'s>(&mut self, relation: &'a Relation) -> Scope<'s, 'a> {
        let mut scope = Scope::default();
        for name in ["old", "new"] {
            let mut entry = own_entry(self, relation);
            entry.alias = Some(name.into());
            entry.schema = None;
            scope.entries.push(entry);
        }
        scope
    }

    /// `CALL`
    pub(super) fn procedure(&mut self, call: &pg_query::protobuf::FuncCall, scope: &Scope<'_, 'a>) -> Rows {
        self.uses_all(&call.args, scope);
        let Some(name) = super::tree::qualified(&call.funcname) else {
            self.unknown("a procedure's name that is not understood");
            return Rows::default();
        };
        // Its OUT arguments are written in the call, too, from 14 on.
        let candidates = self.candidates(name.schema, name.name, None, true);
        if candidates.is_empty() && self.unsettled.is_none() {
            self.missing(format!("procedure {} does not exist", name.name));
        }
        let mut outs = false;
        for procedure in candidates {
            self.does(Action::Call, model::Resource::Function(procedure.function_name()));
            outs |= !procedure.out_columns.is_empty();
            self.call_function(procedure);
        }
        self.found.control.push(super::Control::ChangesSettings);
        if outs {
            return Rows { columns: None, flow: Flow::Unknown("the results of a procedure".to_owned()) };
        }
        Rows::known(Vec::new())
    }

    /// `DO`: code without a name.
    pub(super) fn anonymous(&mut self, args: &[Node]) {
        self.does(Action::RunCode, model::Resource::Target);
        self.found.control.push(super::Control::ChangesSettings);
        self.found.touches_tagged = true;
        let (mut language, mut source) = ("plpgsql", "");
        for option in super::tree::options(args) {
            let text = inner(&option.arg).and_then(super::tree::text_constant).unwrap_or_default();
            match option.defname.as_str() {
                "language" => language = text,
                "as" => source = text,
                _ => self.unknown("an option of DO that is not understood"),
            }
        }
        if language != "plpgsql" {
            return self.unknown(format!("code in {language}, which is not read"));
        }
        let arguments = Arguments { variables: true, ..Arguments::default() };
        let name = model::FunctionName { schema: "anonymous".to_owned(), name: "code".to_owned() };
        self.inside(Within::Body(name), |walk| {
            walk.plpgsql("CREATE FUNCTION body() RETURNS void", source, arguments, "DO")
        });
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

/// Whether a condition is plainly always true, or never. `None` where it depends.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not plain depends")]
pub(super) fn always(node: &Node) -> Option<bool> {
    match kind(node)? {
        NodeEnum::AConst(constant) => match &constant.val {
            Some(Val::Boolval(b)) => Some(b.boolval),
            Some(Val::Sval(s)) => match s.sval.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "on" | "yes" | "1" | "y" => Some(true),
                "f" | "false" | "off" | "no" | "0" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        },
        NodeEnum::TypeCast(cast) => cast.arg.as_deref().and_then(always),
        NodeEnum::BoolExpr(expression) => {
            let parts: Vec<Option<bool>> = expression.args.iter().map(always).collect();
            match expression.boolop() {
                BoolExprType::AndExpr if parts.iter().all(|p| *p == Some(true)) => Some(true),
                BoolExprType::AndExpr if parts.contains(&Some(false)) => Some(false),
                BoolExprType::OrExpr if parts.contains(&Some(true)) || complements(&expression.args) => {
                    Some(true)
                }
                BoolExprType::OrExpr if parts.iter().all(|p| *p == Some(false)) => Some(false),
                BoolExprType::NotExpr => parts.first().copied().flatten().map(|p| !p),
                _ => None,
            }
        }
        NodeEnum::AExpr(operation) => {
            let (left, right) = (operation.lexpr.as_deref()?, operation.rexpr.as_deref()?);
            let name = operation.name.last().and_then(super::tree::string)?;
            let reflexive = match operation.kind() {
                AExprKind::AexprOp => matches!(name, "=" | "<=" | ">="),
                AExprKind::AexprNotDistinct => true,
                AExprKind::AexprLike | AExprKind::AexprIlike => {
                    return kind(right)
                        .and_then(super::tree::text_constant)
                        .filter(|p| *p == "%")
                        .map(|_| true);
                }
                _ => return None,
            };
            if reflexive && same(left, right) {
                return Some(true);
            }
            let (l, r) = (kind(left).and_then(number)?, kind(right).and_then(number)?);
            let order = l.partial_cmp(&r)?;
            match name {
                "=" => Some(order.is_eq()),
                "<>" | "!=" => Some(order.is_ne()),
                "<" => Some(order.is_lt()),
                ">" => Some(order.is_gt()),
                "<=" => Some(order.is_le()),
                ">=" => Some(order.is_ge()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `a IS NULL OR a IS NOT NULL`
fn complements(parts: &[Node]) -> bool {
    let test = |node: &Node| match kind(node) {
        Some(NodeEnum::NullTest(test)) => test.arg.clone().map(|arg| (unplaced(&arg), test.nulltesttype)),
        _ => None,
    };
    let tests: Vec<_> = parts.iter().filter_map(test).collect();
    tests.iter().any(|(a, kind)| tests.iter().any(|(b, other)| a == b && kind != other))
}

fn number(node: &NodeEnum) -> Option<f64> {
    super::tree::constant(node).and_then(|text| text.parse().ok())
}

fn same(a: &Node, b: &Node) -> bool {
    unplaced(a) == unplaced(b)
}

/// A tree as text without the places where it was written.
fn unplaced(node: &Node) -> String {
    let text = format!("{node:?}");
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("location: ") {
        kept.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    }
    kept.push_str(rest);
    kept
}
