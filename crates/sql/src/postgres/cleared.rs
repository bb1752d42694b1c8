//! Functions that a person has read in our place, and those that somebody would have to.

use std::borrow::Cow;

use model::{Action, Effect, Resource};

use super::catalog::{Catalog, Event, Function, Standing};
use super::frames::{Names, Reach};
use super::value::Flow;
use super::walk::Walk;
use super::{Control, NoNames, Options, Session};

/// Why code in PL/pgSQL is not known that makes its statements as it runs.
pub(super) const RUNS_TEXT: &str = "runs text as SQL";
/// Why code in other languages is not.
pub(super) const NOT_READ: &str = "which is not read";

/// A function whose code cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// See [`Catalog::signature_of`].
    pub signature: String,
    /// See [`Catalog::digest`].
    pub digest: String,
    /// Why it cannot.
    pub why: String,
    /// How it stands, where a person has cleared it and that does not hold.
    pub fault: Option<&'static str>,
}

impl<'a> Walk<'a> {
    /// A function by what a person found it to do, where it still is the one that they read.
    pub(super) fn as_cleared(&mut self, function: &'a Function) -> Option<Flow> {
        let catalog: &'a Catalog = self.catalog;
        let Some(Standing::As(cleared)) = catalog.standing(function) else { return None };
        self.found.control.push(Control::ChangesSettings);
        cleared.effects.iter().for_each(|effect| self.cleared_effect(effect));
        let mut flow = Flow::Clear;
        for column in &cleared.holds {
            let relation = catalog.relation(&column.table.schema, &column.table.name);
            let source = relation.and_then(|r| r.column(&column.name).map(|c| self.source(r, c)));
            flow = flow.both(match source {
                Some(Some(source)) => Flow::Derived(vec![source]),
                Some(None) => Flow::Clear,
                None => Flow::Unknown(format!("{column}, which a cleared function holds, is not there")),
            });
        }
        Some(self.consume_flow(&flow))
    }

    /// What it sets in motion follows.
    fn cleared_effect(&mut self, effect: &Effect) {
        let Resource::Table(name) = &effect.resource else { return self.effect(effect.clone()) };
        let Some(relation) = self.catalog.relation(&name.schema, &name.name) else {
            return self.missing(format!("{name}, which a cleared function reaches, is not there"));
        };
        if effect.action == Action::Select {
            return self.reads(relation);
        }
        let events = [
            (Action::Insert, Event::Insert),
            (Action::Update, Event::Update),
            (Action::Delete, Event::Delete),
            (Action::Truncate, Event::Truncate),
        ];
        match events.iter().find(|(action, _)| *action == effect.action) {
            Some((_, event)) => self.writes(relation, *event),
            None => {
                let effect = self.on(effect.action, relation);
                self.effect(effect);
            }
        }
    }
}

/// Functions that a person would have to clear, so that they are not `unknown`, in the order of their signatures.
pub fn unread(catalog: &Catalog) -> Vec<Unread> {
    let own = |f: &&Function| !f.is_builtin() && f.extension.is_none();
    let mut all: Vec<Unread> = catalog
        .functions
        .values()
        .filter(own)
        .filter_map(|function| {
            let fault = match catalog.standing(function) {
                Some(Standing::As(_)) => return None,
                Some(Standing::Changed) => Some("it is another than the one that was read"),
                Some(Standing::ByCallersPath) => Some("it has no search_path of its own"),
                None => None,
            };
            let why = why_unread(catalog, function)?;
            let (signature, digest) = (catalog.signature_of(function), catalog.digest(function));
            Some(Unread { signature, digest, why, fault })
        })
        .collect();
    all.sort_by(|a, b| a.signature.cmp(&b.signature));
    all
}

fn why_unread(catalog: &Catalog, function: &Function) -> Option<String> {
    if !matches!(function.language.as_str(), "plpgsql" | "sql" | "internal") {
        return Some(format!("it is written in {}, {NOT_READ}", function.language));
    }
    if function.language != "plpgsql" {
        return None;
    }
    let session = Session { catalog, search_path: &[], role: "", prepared: &NoNames };
    let options = Options::default();
    let mut walk = Walk::new(&session, &options);
    let path = vec!["pg_catalog".to_owned(), function.schema.clone()];
    walk.names = Names { path: Cow::Owned(path), reach: Reach::Certain, definer: false };
    walk.plpgsql_body(function);
    let effects = walk.found.into_effects();
    let whys = effects.into_iter().filter(|effect| effect.action == Action::Unknown).filter_map(|e| e.why);
    let (text, body) =
        (format!("{} {RUNS_TEXT}", function.name), format!("the body of {} cannot be read", function.name));
    whys.into_iter().find_map(|why| match why {
        why if why == text => Some(format!("it {RUNS_TEXT}")),
        why if why == body => Some("its code cannot be read".to_owned()),
        _ => None,
    })
}
