//! A held operation as it is filed: everything that makes it this one and no other, and what is alike to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use model::{
    Ceiling, Circumstances, HoldRule, Inspect, Likeness, NewRequest, OpenValue, Preview, Principal,
    TargetName, Touched, Weighed,
};
use policy::{Grant, Question};

use crate::audit::{self, Form, Shown, StatementNote, ValueNote};
use crate::spine::Auditable;
use crate::visible;

/// A summary is cut here, in characters.
const SUMMARY: usize = 300;

/// What is the same in all operations that are alike, in parts; and the plain values of one of them.
#[derive(Debug, Default)]
pub struct Alike {
    /// What is the same.
    pub parts: Vec<Vec<u8>>,
    /// What may differ.
    pub open: Vec<Plain>,
}

/// A plain value.
#[derive(Debug)]
pub struct Plain {
    /// Its number among the operation's values, from 1.
    pub number: u32,
    /// As it was sent.
    pub value: Vec<u8>,
}

/// What is filed: everything that makes the operation this one and no other.
pub(crate) fn describe<M: Inspect + Auditable>(
    grant: &Grant,
    question: &Question<M>,
    session: &str,
) -> NewRequest {
    let message = question.message();
    let StatementNote { kind, text, values, phase: _, fields: _ } = message.statement();
    let effects: Vec<String> = message.effects().iter().map(audit::line).collect();
    let principal = grant.principal();
    let on_behalf_of: Vec<String> = principal.on_behalf_of.iter().map(ToString::to_string).collect();

    let mut subject = Parts::default();
    subject.take(principal.id.to_string().as_bytes());
    on_behalf_of.iter().for_each(|p| subject.take(p.as_bytes()));
    subject.take(b"on");
    subject.take(grant.target().as_str().as_bytes());
    message.exact(session, &mut |part| subject.take(part));
    let mut digest = subject.clone();
    let mut meaning = Parts::default();
    for parts in [&mut digest, &mut meaning] {
        parts.take(b"as");
        parts.take(&message.shape());
        effects.iter().for_each(|e| parts.take(e.as_bytes()));
    }
    let alike = message.alike().map(|alike| likeness(alike, meaning, principal, grant.target()));
    let touched = message.touched();
    for Touched { what, mark } in &touched {
        digest.take(what.as_bytes());
        digest.take(mark.as_bytes());
    }

    let numbered = numbered(text, &values);
    let shown: Vec<Shown> = values.iter().map(|value| message.shown(value)).collect();
    let kinds = shown.iter().map(|value| value.kind.clone()).collect();
    NewRequest {
        digest: digest.finish(),
        subject: subject.finish(),
        touched,
        principal: principal.id.to_string(),
        on_behalf_of,
        target: grant.target().clone(),
        session: session.to_owned(),
        waits: 0,
        summary: summary(kind, text, question.holds()),
        kind: kind.to_owned(),
        text: numbered,
        values: shown.into_iter().map(|value| value.text).collect(),
        circumstances: Circumstances { kinds, settings: message.circumstances() },
        effects,
        holds: question.holds().to_vec(),
        ceiling: Ceiling::default(),
        preview: Preview {
            reason: message.errand().and_then(|errand| errand.reason.clone()),
            ..Preview::default()
        },
        weighed: Weighed::of(message.facts(), message.effects()),
        version: question.version().to_string(),
        alike,
    }
}

/// What is alike to an operation has the same key where the same principal asks it for the same people on the same target.
fn likeness(alike: Alike, meaning: Parts, principal: &Principal, target: &TargetName) -> Likeness {
    let mut key = Parts::default();
    key.take(b"alike");
    for link in principal.chain() {
        key.take(link.to_string().as_bytes());
    }
    key.take(b"on");
    key.take(target.as_str().as_bytes());
    alike.parts.iter().for_each(|part| key.take(part));
    let mark = |Plain { number, value }: Plain| {
        let mut mark = Parts::default();
        mark.take(&value);
        OpenValue { number, mark: mark.finish() }
    };
    let open = alike.open.into_iter().map(mark).collect();
    Likeness { key: key.finish(), meaning: meaning.finish(), open }
}

/// A digest of parts, each with its length.
#[derive(Clone)]
pub(crate) struct Parts(Digest);

impl Default for Parts {
    fn default() -> Self {
        Self(Digest::new(&SHA256))
    }
}

impl Parts {
    pub(crate) fn take(&mut self, part: &[u8]) {
        self.0.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> String {
        audit::hex(self.0.finish().as_ref())
    }
}

/// The text with the numbers of its values in the places of literals, where it is certain which is which: behind those of
/// parameters, which have theirs.
pub(crate) fn numbered(text: &str, values: &[ValueNote<'_>]) -> String {
    let literals = values.iter().filter(|v| matches!(v.form, Form::Literal(_))).count();
    if text.matches('?').count() != literals {
        return text.to_owned();
    }
    let mut parts = text.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (values.len() - literals + 1..).zip(parts) {
        let _ = write!(numbered, "${number}{part}");
    }
    numbered
}

pub(crate) fn summary(kind: &str, text: &str, holds: &[HoldRule]) -> String {
    let mut summary = visible::line(&text.chars().take(SUMMARY).collect::<String>());
    if summary.is_empty() {
        summary.push_str(kind);
    }
    if text.chars().nth(SUMMARY).is_some() {
        summary.push('…');
    }
    let reasons: BTreeSet<&str> = holds.iter().filter_map(|h| h.reason.as_deref()).collect();
    for reason in reasons {
        let _ = write!(summary, " ({reason})");
    }
    summary
}
