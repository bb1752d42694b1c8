//! A text is read as its session would have the server read it.

use std::sync::Arc;

use model::Effect;
use sql::postgres::catalog::Catalog;
use sql::postgres::{Analysis, Control, Named, NoNames, Options, Refusal, Session, Statement, Work, analyse};

use super::expected::Bound;
use super::garbled::Garbled;
use super::names::Names;
use super::operation::Operation;
use super::prepared::{Epoch, Prepared};
use super::understanding::SessionFacts;

/// What a text's meaning depends on beside the text and the session's names.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub catalogue: &'a Catalog,
    pub facts: &'a SessionFacts,
    pub epoch: Epoch,
}

impl View<'_> {
    /// Reads a text as it came.
    pub(super) fn read(self, text: &[u8], names: &dyn Named, work: Work) -> Result<Analysis, NotRead> {
        let utf8 = std::str::from_utf8(text).map_err(|_| NotRead::NotText)?;
        self.analyse(utf8, names, work).map_err(NotRead::Refused)
    }

    pub(super) fn analyse(self, text: &str, names: &dyn Named, work: Work) -> Result<Analysis, Refusal> {
        let session = Session {
            catalog: self.catalogue,
            search_path: &self.facts.search_path,
            role: &self.facts.role,
            prepared: names,
        };
        analyse(text, &session, &Options { work, ..Options::default() })
    }
}

impl View<'_> {
    /// Whether the code of what is open does what it did when that was opened.
    pub(super) fn finds_again(self, portal: &Bound, work: Work) -> bool {
        if !portal.is_late() || portal.understood_under() == Some(self.epoch) {
            return true;
        }
        let text = match (&portal.declared, portal.prepared.as_deref()) {
            (Some((text, _)), _) => text,
            (None, Some(Prepared { text: Some(text), by_sql: None, types, .. })) if types.is_empty() => text,
            (None, _) => return false,
        };
        let Ok(Analysis { statements, .. }) = self.analyse(text, &NoNames, work) else { return false };
        let declared = |control: &Control| {
            if let Control::Declare { inner, .. } = control { Some(Arc::clone(inner)) } else { None }
        };
        let now = match portal.declared {
            Some(_) => statements.iter().flat_map(|s| &s.control).find_map(declared),
            None => statements.first().cloned(),
        };
        now.is_some_and(|now| Operation::single(now).means(&portal.operation))
    }
}

/// Why a text was not read.
pub(super) enum NotRead {
    /// It is not valid UTF-8.
    NotText,
    /// The analysis refuses it.
    Refused(Refusal),
    /// The analysis failed.
    Fault,
}

impl NotRead {
    pub(super) fn garbled(&self, simple: bool) -> Garbled {
        match self {
            Self::NotText => Garbled {
                hint: Some("Only client_encoding = UTF8 is supported here.".to_owned()),
                simple,
                ..Garbled::new("22021", "the statement is not valid UTF-8".to_owned())
            },
            Self::Refused(refusal) => garbled(refusal, simple),
            Self::Fault => {
                let why = "the statement cannot be read with certainty";
                Garbled { simple, ..Garbled::new("54001", why.to_owned()) }
            }
        }
    }
}

/// The session's names as the server would understand them now. What is read for them is part of the same work.
pub(super) struct InForce<'a> {
    pub view: View<'a>,
    pub names: &'a Names,
    pub work: Work,
}

impl Named for InForce<'_> {
    fn prepared(&self, name: &str) -> Option<Arc<Statement>> {
        let prepared = self.names.statement(name)?;
        if prepared.operation.speaks_of_names() {
            // The wire can prepare the EXECUTE of another one. What that stands for now is not followed.
            return Some(no_longer_understood());
        }
        let Some(text) = prepared.text.as_ref().filter(|_| prepared.epoch != self.view.epoch) else {
            return prepared.operation.statements.first().cloned();
        };
        if !prepared.types.is_empty() {
            return Some(no_longer_understood());
        }
        let analysis = self.view.analyse(text, &NoNames, self.work.clone()).ok();
        Some(match (analysis, &prepared.by_sql) {
            (Some(analysis), None) => analysis.statements.into_iter().next()?,
            (Some(analysis), Some(name)) => prepared_in(&analysis.statements, name),
            (None, _) => no_longer_understood(),
        })
    }

    fn cursor(&self, name: &str) -> Option<Arc<Statement>> {
        let portal = self.names.portal(name)?;
        if portal.operation.speaks_of_names() {
            return Some(no_longer_understood());
        }
        let known = portal.operation.statements.first().cloned()?;
        // Its rows come from what was there when it was opened, but of functions from the bodies of now.
        let same = self.names.is_made(name) || self.view.finds_again(&portal, self.work.clone());
        Some(if same { known } else { redefined() })
    }
}

/// What `PREPARE name AS …` in a message prepares.
pub(super) fn prepared_in(statements: &[Arc<Statement>], wanted: &str) -> Arc<Statement> {
    let controls = statements.iter().rev().flat_map(|s| s.control.iter().rev());
    let mut prepared = controls.filter_map(|control| {
        if let Control::Prepare { name, inner, .. } = control { Some((name, inner)) } else { None }
    });
    prepared
        .find(|(name, _)| *name == wanted)
        .map_or_else(no_longer_understood, |(_, inner)| Arc::clone(inner))
}

fn redefined() -> Arc<Statement> {
    let why = "what a cursor runs was defined anew since it was opened; close it and open it again";
    Arc::new(Statement::opaque(Effect::unknown(why)))
}

fn no_longer_understood() -> Arc<Statement> {
    Arc::new(Statement::opaque(Effect::unknown("a prepared statement that is not understood any more")))
}

fn garbled(refusal: &Refusal, simple: bool) -> Garbled {
    Garbled {
        kept: Some(refusal.kept()),
        hint: refusal.hint(),
        position: refusal.position(),
        simple,
        ..Garbled::new(refusal.sqlstate(), refusal.to_string())
    }
}
