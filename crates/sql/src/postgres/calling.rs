//! Functions that are called: each body is read once under the names that it runs with.

use super::catalog::{Function, FunctionKind, Oid};
use super::functions::{Class, Origin, classify};
use super::scope::Scope;
use super::value::Flow;
use super::walk::Walk;

/// What is known of a function under some names.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Its body is being read, so deep in calls.
    Reading(usize),
    /// Its body was read, and calls one that is still being read, as high up as that: its result depends on this, too.
    Partly(Flow, usize),
    /// What its result depends on beside its arguments.
    Read(Flow),
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
        self.found.functions.insert(function.function_name());
        let key = (function.oid, self.frame());
        match self.called.get(&key) {
            Some(Known::Read(flow)) => return flow.clone(),
            Some(Known::Partly(flow, depth)) => {
                self.calling.reaches(*depth);
                return flow.clone();
            }
            // What it calls calls it again: nothing more is learnt now.
            Some(Known::Reading(depth)) => {
                self.calling.reaches(*depth);
                return Flow::Clear;
            }
            None => (),
        }
        let depth = self.calling.depth;
        let above = self.calling.reached.take();
        self.called.insert(key, Known::Reading(depth));
        self.calling.depth += 1;
        let mut flow = self.deeper(|walk| walk.called_now(function));
        self.calling.depth = depth;
        let reached = std::mem::replace(&mut self.calling.reached, above);
        let known = match reached {
            Some(reached) if reached < depth => {
                self.calling.reaches(reached);
                Known::Partly(flow.clone(), reached)
            }
            Some(_) => {
                flow = self.settles(depth, flow);
                Known::Read(flow.clone())
            }
            None => Known::Read(flow.clone()),
        };
        self.called.insert(key, known);
        flow
    }

    /// Functions that call each other: the result of each may be made of what any of them reads.
    fn settles(&mut self, depth: usize, flow: Flow) -> Flow {
        let of_these = |known: &Known| matches!(known, Known::Partly(_, reached) if *reached >= depth);
        let mut all = flow;
        for known in self.called.values().filter(|known| of_these(known)) {
            if let Known::Partly(flow, _) = known {
                all = all.both(flow.clone());
            }
        }
        for known in self.called.values_mut().filter(|known| of_these(known)) {
            *known = Known::Read(all.clone());
        }
        all
    }

    fn called_now(&mut self, function: &'a Function) -> Flow {
        // Arguments and the result become values of their declared types.
        for declared in function.arguments.iter().chain([&function.returns]) {
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
