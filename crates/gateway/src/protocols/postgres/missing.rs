//! Names that are not there: whoever mistypes one is told so in the server's own words, with its place and what may have been
//! meant, where that tells them nothing that policy hides from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use model::{Action, ColumnName, Effect, Facts, Inspect, Particulars, Tag};
use policy::{Denied, Verdict};
use sql::postgres::{Absent, Advice};
use wire::postgres::error::ErrorFields;

use super::operation::Operation;

use super::request::Request;

/// `invalid_cursor_name`
const NO_CURSOR: &str = "34000";
/// To the server a cursor is there that code opened; what its rows hold is not known here.
const OTHERS: &str =
    "Declare a cursor for the query: one that a function opened cannot be fetched from through this gateway.";

/// PostgreSQL's words for a name that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// SQLSTATE.
    pub code: &'static str,
    /// As PostgreSQL words it.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
    /// Where it stands in the text, from 1, in characters.
    pub position: Option<u32>,
}

/// What a statement does beside naming what is not there.
pub(crate) struct Rest {
    effects: Vec<Effect>,
    facts: Facts,
    tagged: Vec<(ColumnName, BTreeSet<Tag>)>,
    shape: [u8; 16],
}

/// What is said of an operation that was denied.
pub(crate) enum Told {
    /// What it names is not there.
    Missing(Missing),
    /// This of its rest: what it names beside that is nothing of theirs.
    Denied(Denied),
}

/// What is said of an operation that was denied and names what is not there. Of what policy would deny all the same nothing is
/// said but that, as if the name were there: else names would tell what hidden tables hold. `decide` is what policy says of the rest;
/// `again` understands another text where this one came from.
pub(crate) fn told(
    request: &Request,
    decide: &mut dyn FnMut(Rest) -> Verdict<Rest>,
    again: &mut dyn FnMut(&str) -> Option<Arc<Operation>>,
) -> Option<Told> {
    let (code, message) = request.effects().iter().find_map(missing_name)?;
    if let Verdict::Deny(_, denied) = decide(Rest::of(&request.operation)) {
        return Some(Told::Denied(denied));
    }
    let text = request.written_text();
    let absent = request.operation.absent().filter(|absent| absent.why == message).zip(text);
    let position = absent.as_ref().and_then(|(absent, text)| position(text, absent.at));
    // What a hint says must work for whoever follows it.
    let mut works = |text: &str| {
        let operation = again(text)?;
        matches!(decide(Rest::of(&operation)), Verdict::Allow(_) | Verdict::Hold(_)).then_some(())
    };
    let hint = absent.and_then(|(absent, text)| hint(absent, &text, &mut works));
    let hint = hint.or_else(|| (code == NO_CURSOR).then(|| OTHERS.to_owned()));
    Some(Told::Missing(Missing { code, message, hint, position }))
}

fn hint(absent: &Absent, text: &str, works: &mut dyn FnMut(&str) -> Option<()>) -> Option<String> {
    if let Advice::Words(words) = absent.advice {
        return Some(words.to_owned());
    }
    let ways = absent.advice.ways();
    let meant: Vec<&str> = ways
        .iter()
        .filter(|way| way.put(text, absent.at).and_then(|text| works(&text)).is_some())
        .map(|way| way.called.as_str())
        .collect();
    (!meant.is_empty()).then(|| format!("Perhaps you meant to reference {}.", meant.join(" or ")))
}

/// From 1, in characters.
fn position(text: &str, at: usize) -> Option<u32> {
    u32::try_from(text.get(..at)?.chars().count() + 1).ok()
}

impl Missing {
    /// As the server would send it.
    pub(super) fn fields(&self) -> ErrorFields {
        let mut fields = ErrorFields::new(self.code, &self.message);
        if let Some(hint) = &self.hint {
            fields = fields.hint(hint);
        }
        if let Some(position) = self.position {
            fields = fields.position(position);
        }
        fields
    }
}

impl Rest {
    /// All but what is not there.
    fn of(operation: &Operation) -> Self {
        let there = |effect: &&Effect| missing_name(effect).is_none();
        let effects: Vec<Effect> = operation.effects().iter().filter(there).cloned().collect();
        let (facts, tagged) = (operation.facts().clone(), operation.tagged_outputs().to_vec());
        let whole = digest(&SHA256, format!("rest {effects:?} {facts:?} {tagged:?}").as_bytes());
        let mut shape = [0; 16];
        shape.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        Self { effects, facts, tagged, shape }
    }
}

impl Inspect for Rest {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &self.tagged
    }

    fn shape(&self) -> [u8; 16] {
        self.shape
    }

    /// Of what names something that is not there nothing is certain.
    fn particulars(&self) -> Particulars {
        Particulars::default()
    }
}

/// Whether an operation names what would be found if the target's catalogue could be read.
pub(crate) fn is_nobody_to_know(request: &Request) -> bool {
    request.seen.catalogue.is_unknown() && request.effects().iter().any(is_missing)
}

/// Whether an effect says no more than that a name is not there.
pub(crate) fn is_missing(effect: &Effect) -> bool {
    missing_name(effect).is_some()
}

/// The analysis words what it does not find as PostgreSQL does: `relation "x" does not exist`.
fn missing_name(effect: &Effect) -> Option<(&'static str, String)> {
    const KINDS: [(&str, &str); 15] = [
        ("relation ", "42P01"),
        ("missing FROM-clause entry", "42P01"),
        ("invalid reference to FROM-clause entry", "42P01"),
        ("column reference ", "42702"),
        ("column ", "42703"),
        ("function ", "42883"),
        ("procedure ", "42883"),
        ("aggregate ", "42883"),
        ("operator ", "42883"),
        ("type ", "42704"),
        ("role ", "42704"),
        ("collation ", "42704"),
        ("schema ", "3F000"),
        ("prepared statement ", "26000"),
        ("cursor ", NO_CURSOR),
    ];
    let why = effect.why.as_deref().filter(|_| effect.action == Action::Unknown)?;
    let ends = ["does not exist", "does not exist in left table", "does not exist in right table"];
    let missing = ends.iter().any(|end| why.ends_with(end))
        || why.starts_with("missing FROM-clause entry for table ")
        || why.starts_with("invalid reference to FROM-clause entry for table ")
        || why.starts_with("column reference ") && why.ends_with("is ambiguous");
    if !missing {
        return None;
    }
    let code = KINDS.iter().find(|(word, _)| why.starts_with(word)).map(|(_, code)| *code)?;
    Some((code, why.to_owned()))
}
