//! Functions that are called: each body is read once under the names that it runs with.

use model::{Action, Resource};

use super::catalog::{Function, FunctionKind, Oid};
use super::functions::{Class, Origin, classify};
use super::scope::Scope;
use super::value::Flow;
use super::walk::{Walk, Within};

/// What is known of a function under some names.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Its body is being read, so deep in calls.
    Reading(usize),
    /// Its body was read, and calls one that is still being read, as high up as that: its result depends on this, too.
    Partly(Called, usize),
    /// It was read to its end.
    Read(Called),
}

/// What came of a body.
#[derive(Debug, Clone, Default)]
pub(super) struct Called {
    /// What its result depends on beside its arguments.
    flow: Flow,
    /// Whether it does anything else than read.
    acts: bool,
}

/// Where in calls of calls the reading is.
#[derive(Debug, Default)]
pub(super) struct Calling {
    /// How many bodies are being read.
    depth: usize,
    /// The highest of them that was called again from below.
    reached: Option<usize>,
}

impl Calling {
    fn reaches(&mut self, depth: usize) {
        self.reached = Some(self.reached.map_or(depth, |reached| reached.min(depth)));
    }
}

impl<'a> Walk<'a> {
    /// A function that is not of `pg_catalog`: what its result depends on beside its arguments.
    pub(super) fn call_function(&mut self, function: &'a Function) -> Flow {
        let called = self.calls(function);
        self.acts |= called.acts;
        called.flow
    }

    /// The same where a statement names it: to call what does more than read is an effect of its own, beside what it does.
    pub(super) fn call_by_name(&mut self, function: &'a Function) -> Flow {
        let called = self.calls(function);
        if called.acts && self.within == Within::Statement {
            self.does(Action::Call, Resource::Function(function.function_name()));
        }
        self.acts |= called.acts;
        called.flow
    }

    fn calls(&mut self, function: &'a Function) -> Called {
        self.found.functions.insert(function.function_name());
        let key = (function.oid, self.frame());
        match self.called.get(&key) {
            Some(Known::Read(called)) => return called.clone(),
            Some(Known::Partly(called, depth)) => {
                self.calling.reaches(*depth);
                return called.clone();
            }
            // What it calls calls it again: nothing more is learnt now.
            Some(Known::Reading(depth)) => {
                self.calling.reaches(*depth);
                return Called::default();
            }
            None => (),
        }
        let depth = self.calling.depth;
        let above = self.calling.reached.take();
        self.called.insert(key, Known::Reading(depth));
        self.calling.depth += 1;
        let acts = std::mem::take(&mut self.acts);
        let flow = self.deeper(|walk| walk.called_now(function));
        let mut called = Called { flow, acts: std::mem::replace(&mut self.acts, acts) };
        self.calling.depth = depth;
        let reached = std::mem::replace(&mut self.calling.reached, above);
        let known = match reached {
            Some(reached) if reached < depth => {
                self.calling.reaches(reached);
                Known::Partly(called.clone(), reached)
            }
            Some(_) => {
                called = self.settles(depth, called);
                Known::Read(called.clone())
            }
            None => Known::Read(called.clone()),
        };
        self.called.insert(key, known);
        called
    }

    /// Functions that call each other: the result of each may be made of what any of them reads.
    fn settles(&mut self, depth: usize, mut all: Called) -> Called {
        let of_these = |known: &Known| matches!(known, Known::Partly(_, reached) if *reached >= depth);
        for known in self.called.values().filter(|known| of_these(known)) {
            if let Known::Partly(called, _) = known {
                all.flow = all.flow.both(called.flow.clone());
                all.acts |= called.acts;
            }
        }
        for known in self.called.values_mut().filter(|known| of_these(known)) {
            *known = Known::Read(all.clone());
        }
        all
    }

    fn called_now(&mut self, function: &'a Function) -> Flow {
        // Arguments and the result become values of their declared types.
        let columns = function.out_columns.iter().map(|(_, declared)| declared);
        for declared in function.arguments.iter().chain([&function.returns]).chain(columns) {
            self.must_pass(*declared);
        }
        // Members in SQL can be replaced by the extension's owner: their bodies say what they do.
        if let Some(extension) = function.extension.as_deref()
            && matches!(function.language.as_str(), "c" | "internal")
            && let Some(class) = classify(Origin::Extension(extension), &function.name, self.major)
        {
            self.class(Some(class), function, &[], &Scope::default());
            return Flow::Clear;
        }
        if function.kind == FunctionKind::Aggregate {
            return self.parts(function);
        }
        if function.language == "internal" && CONSTRUCTORS.contains(&function.source.as_str()) {
            return Flow::Clear;
        }
        self.body(function)
    }

    fn parts(&mut self, aggregate: &'a Function) -> Flow {
        aggregate.parts.iter().fold(Flow::Clear, |flow, part| match self.catalog.function(*part) {
            Some(function) if function.is_builtin() => {
                let class = classify(Origin::Catalog, &function.name, self.major);
                // Transition functions of the server's own aggregates take internal state and are not on the list.
                if !matches!(class, None | Some(Class::Harmless)) {
                    self.class(class, function, &[], &Scope::default());
                }
                flow
            }
            Some(function) => flow.both(self.call_function(function)),
            None => {
                self.unknown(format!("a function of aggregate {} is not in the catalogue", aggregate.name));
                flow
            }
        })
    }

    /// A function that a trigger, a cast or an operator names by its OID.
    pub(super) fn call_oid(&mut self, oid: Oid) -> Flow {
        match self.catalog.function(oid) {
            Some(function) if function.is_builtin() => {
                self.own_function(function, &[], &Scope::default());
                Flow::Clear
            }
            Some(function) => self.call_function(function),
            None => {
                self.unknown("a function that is not in the catalogue");
                Flow::Clear
            }
        }
    }
}

/// What the functions are that `CREATE TYPE … AS RANGE` makes: they take bounds, and call what belongs to the type.
const CONSTRUCTORS: [&str; 5] = [
    "range_constructor2",
    "range_constructor3",
    "multirange_constructor0",
    "multirange_constructor1",
    "multirange_constructor2",
];
