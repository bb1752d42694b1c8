//! What definitions make happen later: rules and triggers carry what rows hold elsewhere, long after whoever made them was
//! asked about it.

use model::{Action, Effect, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CreateFunctionStmt, CreateTrigStmt, FunctionParameterMode, Node, RangeVar, RuleStmt,
};

use super::bodies::own_entry;
use super::catalog::{Function, FunctionKind, Relation, RelationKind};
use super::plpgsql::trigger_names;
use super::scope::Arguments;
use super::tree::{inner, kind, options, qualified, text_constant};
use super::value::Value;
use super::walk::{Walk, Within};

impl<'a> Walk<'a> {
    /// Reads what will happen: of its effects only what is made of tagged columns is asked about now.
    fn later(&mut self, read: impl FnOnce(&mut Self)) {
        let before = (
            std::mem::take(&mut self.found),
            std::mem::take(&mut self.called),
            std::mem::take(&mut self.checked),
            std::mem::take(&mut self.compared),
            std::mem::take(&mut self.written),
        );
        read(self);
        let found = std::mem::take(&mut self.found);
        (self.found, self.called, self.checked, self.compared, self.written) = before;
        self.found.touches_tagged |= found.touches_tagged;
        // What is put into a table that is not there cannot be told.
        let unresolved = found.unresolved;
        for effect in found.into_effects() {
            if effect.action == Action::Probe || unresolved && effect.action == Action::Unknown {
                self.found.effect(effect);
            }
        }
    }

    /// The script of an extension or a language runs.
    pub(super) fn runs_script(&mut self, action: Action) {
        self.defined(action, Resource::Target);
        self.effect(
            Effect::new(Action::RunCode, Resource::Target).because("a script of the server's host runs"),
        );
    }

    /// `CREATE OR REPLACE VIEW`: what is there means something else from now on.
    pub(super) fn replaces_relation(&mut self, range: &RangeVar) {
        let name = self.new_name(range);
        let temporary = self.temporary().filter(|_| name.schema == "pg_temp").map(str::to_owned);
        let schema = temporary.unwrap_or_else(|| name.schema.clone());
        match self.catalog.relation(&schema, &name.name) {
            Some(relation) => {
                let effect = self.on(Action::Alter, relation).because(REPLACED);
                self.effect(effect);
            }
            None if self.unsettled.is_some() => {
                self.effect(Effect::new(Action::Alter, Resource::Table(name)).because(REPLACED));
            }
            None => (),
        }
    }

    /// The same of a function, a procedure or an aggregate that takes so many arguments, where that is known.
    pub(super) fn replaces_code(&mut self, resource: &Resource, count: Option<usize>) {
        let Resource::Function(name) = resource else {
            return self.effect(Effect::new(Action::Alter, Resource::Target).because(REPLACED));
        };
        let same =
            |f: &Function| f.schema == name.schema && count.is_none_or(|count| f.arguments.len() == count);
        if self.unsettled.is_some() || self.catalog.functions_named(&name.name).any(same) {
            self.effect(Effect::new(Action::Alter, resource.clone()).because(REPLACED));
        }
    }

    /// `CREATE RULE`: what its actions take of the rows that are changed.
    pub(super) fn defines_rule(&mut self, rule: &RuleStmt) {
        let Some(relation) = self.tagged_relation(rule.relation.as_ref()) else { return };
        let scope = self.old_and_new(relation);
        self.later(|walk| {
            if let Some(node) = rule.where_clause.as_deref() {
                walk.tells(node, &scope);
            }
            for action in &rule.actions {
                let rows = walk.perform(kind(action), &scope);
                walk.consume_flow(&rows.all());
            }
        });
    }

    /// `CREATE TRIGGER`: what its condition and its function take of the rows that are changed.
    pub(super) fn defines_trigger(&mut self, trigger: &CreateTrigStmt) {
        let Some(relation) = self.tagged_relation(trigger.relation.as_ref()) else { return };
        if !trigger.transition_rels.is_empty() {
            // The function may do with these tables whatever it likes.
            self.untagged(relation);
        }
        if let Some(node) = trigger.when_clause.as_deref() {
            let scope = self.old_and_new(relation);
            self.later(|walk| drop(walk.tells(node, &scope)));
        }
        let Some(name) = qualified(&trigger.funcname) else { return };
        let functions = self.candidates(name.schema, name.name, Some(0), false);
        for function in functions.into_iter().filter(|function| function.language == "plpgsql") {
            let row = self.row_of(relation);
            self.later(|walk| {
                walk.trigger_row = Some(row);
                walk.body(function);
                walk.trigger_row = None;
            });
        }
    }

    /// `CREATE OR REPLACE FUNCTION` of one that triggers call: what the new body takes of their rows.
    pub(super) fn replaces_function(&mut self, create: &CreateFunctionStmt) {
        let Some(name) = qualified(&create.funcname).filter(|_| create.replace) else { return };
        let before = self.candidates(name.schema, name.name, Some(0), false);
        if before.iter().all(|function| function.kind != FunctionKind::Function) {
            return;
        }
        let source = options(&create.options).find(|option| option.defname == "as").and_then(|option| {
            match inner(&option.arg) {
                Some(NodeEnum::List(list)) => list.items.first().and_then(kind).and_then(text_constant),
                other => other.and_then(text_constant),
            }
        });
        let Some(source) = source else { return };
        let catalog = self.catalog;
        let calls = |relation: &&'a Relation| {
            relation.triggers.iter().any(|t| before.iter().any(|function| function.oid == t.function))
        };
        let relations: Vec<&'a Relation> = catalog.relations().filter(calls).collect();
        for relation in relations {
            if !self.is_tagged(relation) {
                continue;
            }
            let row = self.row_of(relation);
            let function = super::tree::qualified(&create.funcname).map(|q| q.name.to_owned());
            self.later(|walk| {
                walk.trigger_row = Some(row);
                let arguments = Arguments {
                    function: function.unwrap_or_default(),
                    named: trigger_names(walk.trigger_row.as_ref()),
                    variables: true,
                    ..Arguments::default()
                };
                let name = model::FunctionName { schema: String::new(), name: arguments.function.clone() };
                let head = walk.trigger_head();
                walk.inside(Within::Body(name), |walk| {
                    walk.plpgsql(&head, source, arguments, "the trigger's function")
                });
                walk.trigger_row = None;
            });
        }
    }

    /// A relation by name whose rows hold what is tagged, or that are a view's, which may.
    fn tagged_relation(&mut self, range: Option<&RangeVar>) -> Option<&'a Relation> {
        let relation = self.relation(range?)?;
        (relation.kind == RelationKind::View || self.is_tagged(relation)).then_some(relation)
    }

    /// A row of a table as a value.
    fn row_of(&mut self, relation: &'a Relation) -> Value {
        let type_oid = self.catalog.type_named(&relation.schema, &relation.name).map(|t| t.oid);
        let columns = own_entry(self, relation).all().unwrap_or_else(|| self.stored_columns(relation));
        Value::whole(columns, type_oid)
    }
}

/// Why something is altered that is created.
const REPLACED: &str = "what is there is replaced";

/// How many arguments a function is given, by its parameters; `None` where that is not certain.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other mode of a parameter is given something")]
pub(super) fn given(parameters: &[Node]) -> Option<usize> {
    let mut count = 0;
    for node in parameters {
        let Some(NodeEnum::FunctionParameter(parameter)) = kind(node) else { return None };
        match parameter.mode() {
            FunctionParameterMode::FuncParamOut | FunctionParameterMode::FuncParamTable => (),
            FunctionParameterMode::Undefined => return None,
            _ => count += 1,
        }
    }
    Some(count)
}
