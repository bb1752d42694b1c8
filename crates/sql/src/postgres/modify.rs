//! Statements that change rows. What the database does by itself when they do is in `machinery`.

use std::collections::BTreeSet;

use model::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CmdType, DeleteStmt, InsertStmt, MergeStmt, Node, OnConflictAction, RangeVar, ReturningClause, UpdateStmt,
};

use super::absent::{Advice, NO_PROCEDURE};
use super::bodies::own_entry;
use super::catalog::{Column, Event, Oid, Relation, RelationKind, names_in};
use super::query::Rows;
use super::scope::{Arguments, Columns, Entry, Scope, Visible};
use super::tree::{inner, kind};
use super::truth::always;
use super::value::{Flow, Value};
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
        // The server looks for these before it looks at what they get.
        for target in &insert.cols {
            if let Some(NodeEnum::ResTarget(target)) = kind(target)
                && relation.column(&target.name).is_none()
            {
                self.no_target(&target.name, relation, target.location);
            }
        }
        let rows = match inner(&insert.select_stmt) {
            Some(statement) => self.query(Some(statement), &scope),
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
            let place =
                if named.is_empty() { Some(index) } else { named.iter().position(|n| *n == column.name) };
            let given = place.and_then(|place| Some((place, rows.columns.as_ref()?.get(place)?)));
            match given {
                Some((place, given)) if !only_written(inner(&insert.select_stmt), place) => {
                    self.cast(column.type_oid, &given.value);
                }
                Some(_) | None => self.must_pass(column.type_oid),
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
        self.looking_up(true, |walk| walk.from(&update.from_clause, &mut scope));
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
        self.looking_up(true, |walk| walk.from(&delete.using_clause, &mut scope));
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
        // What is merged is read without the target in sight, and comes first in `RETURNING *`.
        let source = self.item(inner(&merge.source_relation), &mut scope);
        scope.visible.extend(source);
        self.target(merge.relation.as_ref(), relation, &mut scope);
        if let Some(node) = merge.join_condition.as_deref() {
            self.looking_up(true, |walk| walk.tells(node, &scope));
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
                Some(NodeEnum::ResTarget(target)) => {
                    let column = relation.column(&target.name);
                    if column.is_none() {
                        self.no_target(&target.name, relation, target.location);
                    }
                    column
                }
                Some(_) => None,
                None => relation.columns.get(index),
            };
            if let Some(column) = column {
                self.put_into(column.type_oid, node, &value);
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
                self.looking_up(true, |walk| walk.tells(node, scope));
            }
        }
    }

    /// `SET column = expression, …`
    fn assignments(&mut self, list: &[Node], relation: &'a Relation, scope: &Scope<'_, 'a>) {
        let set = list.iter().filter_map(|target| match kind(target) {
            Some(NodeEnum::ResTarget(target)) => Some(target.name.as_str()),
            _ => None,
        });
        self.weighed_with(relation, &set.collect());
        for target in list {
            let Some(NodeEnum::ResTarget(target)) = kind(target) else {
                self.unknown("an assignment that is not understood");
                continue;
            };
            if target.val.as_deref().is_some_and(says_default) {
                self.defaults(relation);
            }
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
                Some(column) => match target.val.as_deref() {
                    Some(node) => self.put_into(column.type_oid, node, &value),
                    None => self.cast(column.type_oid, &value),
                },
                None => self.no_target(&target.name, relation, target.location),
            }
        }
    }

    /// What is set is weighed against the rest of its row by checks, by columns that are computed and by expressions of
    /// indexes: whether that fails tells of what is kept of it. A view may call its columns otherwise.
    fn weighed_with(&mut self, relation: &'a Relation, set: &BTreeSet<&str>) {
        let mut relations =
            if relation.kind == RelationKind::View { self.bases(relation) } else { vec![relation] };
        for index in 0..relations.len() {
            let Some(relation) = relations.get(index).copied() else { continue };
            self.descendants(relation, &mut |child| relations.push(child));
        }
        let through_view = relation.kind == RelationKind::View;
        for table in relations {
            let computed = table.columns.iter().filter(|column| column.generated);
            let computed = computed.filter_map(|column| column.default.as_ref());
            for expression in table.checks.iter().chain(&table.index_expressions).chain(computed) {
                self.spend(expression.len() / 8);
                let named = names_in(expression);
                let named = table.columns.iter().filter(|c| named.contains(&c.name) && !c.generated);
                let (hidden, others): (Vec<&Column>, Vec<&Column>) = named.partition(|column| {
                    let kept = through_view || !set.contains(column.name.as_str());
                    kept && self.source(table, column).is_some()
                });
                if others.iter().any(|column| through_view || set.contains(column.name.as_str())) {
                    let sources = hidden.iter().filter_map(|column| self.source(table, column)).collect();
                    self.consume_flow(&Flow::Plain(sources));
                }
            }
        }
    }

    /// What is to get a value is not there.
    fn no_target(&mut self, column: &str, relation: &Relation, location: i32) {
        let why = format!("column \"{column}\" of relation \"{}\" does not exist", relation.name);
        self.absent(why, location, |_| Advice::None);
    }

    /// A value is put into a column.
    fn put_into(&mut self, target: Oid, node: &Node, value: &Value) {
        if self.takes_its_type(node, value) {
            self.must_pass(target);
        } else {
            self.cast(target, value);
        }
    }

    fn returning(
        &mut self,
        clause: Option<&ReturningClause>,
        relation: &'a Relation,
        scope: &mut Scope<'_, 'a>,
    ) -> Rows {
        let Some(clause) = clause else { return Rows::known(Vec::new()) };
        self.reads(relation);
        if let Some(returned) = self.returned.get(&relation.oid).cloned() {
            self.returned_by_rule(relation, &returned, scope);
        }
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

    /// A rule that acts instead gives values of its own in place of the columns.
    fn returned_by_rule(&mut self, relation: &'a Relation, returned: &Rows, scope: &mut Scope<'_, 'a>) {
        let of_target = |entry: &&mut Entry<'a>| entry.relation.is_some_and(|r| r.oid == relation.oid);
        for entry in scope.entries.iter_mut().filter(of_target) {
            let all = entry.all().zip(returned.columns.clone()).filter(|(own, made)| own.len() == made.len());
            entry.columns = match all {
                Some((own, made)) => {
                    let both = own.iter().zip(made.iter());
                    let either = both.map(|(own, made)| {
                        let either = own.value.clone().either(made.value.clone());
                        own.with(Value { type_oid: own.value.type_oid, ..either })
                    });
                    Columns::Listed(either.collect())
                }
                None => Columns::Open(Flow::Unknown("what a rule gives".to_owned())),
            };
        }
    }

    /// Whether a row of one's own collides tells what others hold.
    fn conflicts(&mut self, relation: &'a Relation) {
        let columns = super::sources::entry(None, self.relation_columns(relation)).all();
        for column in columns.iter().flat_map(|columns| columns.iter()) {
            self.consume(&column.value);
        }
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
            let why = format!("procedure {} does not exist", name.name);
            self.absent(why, call.location, |_| Advice::Words(NO_PROCEDURE));
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

/// Whether all of `VALUES (…), …` has parameters and literals in this place, which are of the column's type then.
fn only_written(source: Option<&NodeEnum>, place: usize) -> bool {
    let Some(NodeEnum::SelectStmt(select)) = source else { return false };
    let is_written = |row: &Node| match kind(row) {
        Some(NodeEnum::List(row)) => matches!(
            row.items.get(place).and_then(kind),
            Some(NodeEnum::ParamRef(_) | NodeEnum::AConst(_) | NodeEnum::SetToDefault(_))
        ),
        _ => false,
    };
    !select.values_lists.is_empty() && select.values_lists.iter().all(is_written)
}

/// Whether what is assigned is `DEFAULT`, or a row with one in it.
fn says_default(node: &Node) -> bool {
    match kind(node) {
        Some(NodeEnum::SetToDefault(_)) => true,
        Some(NodeEnum::MultiAssignRef(multiple)) => multiple.source.as_deref().is_some_and(says_default),
        Some(NodeEnum::RowExpr(row)) => row.args.iter().any(says_default),
        _ => false,
    }
}
