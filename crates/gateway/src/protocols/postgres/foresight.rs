//! What a text would mean in a session that has just begun. Nothing of the text is sent anywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ColumnName, Tag};
use sql::postgres::Outputs;
use sql::postgres::catalog::Catalog;
use tokio::sync::Semaphore;
use wire::postgres::build;

use super::control::ControlError;
use super::garbled::Garbled;
use super::masks::hidden;
use super::names::Names;
use super::operation::Operation;
use super::own;
use super::request::{Request, RequestKind};
use super::under::{Under, reported};
use super::understanding::Understanding;
use crate::catalogue::ReadError;
use crate::targets::Target;

/// Why it cannot be said what a text means.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unclear {
    /// The target's catalogue cannot be read.
    #[error("its catalogue cannot be read: {0}")]
    Catalogue(#[from] ReadError),
    /// The target does not say how a session of its begins.
    #[error("it cannot be asked how a session begins: {0}")]
    Session(#[from] ControlError),
    /// It says something else than it was asked for.
    #[error("{0}")]
    Answer(String),
}

/// So many ask at a time, whoever wants to know what: each has a connection to a target meanwhile.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Asks the target how a session of its begins, for its search path and role.
pub(crate) async fn begin(target: &Arc<Target>, indifferent: bool) -> Result<Foresight, Unclear> {
    target.catalogue.ready().await?;
    // It is never closed.
    let _turn = TURNS.acquire().await;
    let mut control = target.catalogue.place.usual().await?;
    let mut answers = Vec::new();
    for question in own::session_facts() {
        answers.push(control.query(&question).await?);
    }
    let source: Arc<dyn super::understanding::Source> = Arc::clone(target) as _;
    let mut understanding = Understanding::new(source, indifferent).unhurried();
    understanding.learn(own::Purpose::SessionFacts, answers).map_err(Unclear::Answer)?;
    let mut under = Under::default();
    for name in reported() {
        if let Some(value) = control.parameter(name) {
            under.report(name.as_bytes(), value.as_bytes());
        }
    }
    under.enter(understanding.role(), understanding.path());
    Ok(Foresight { understanding, under: Arc::new(under) })
}

/// A session that has just begun, as far as texts are understood in it.
pub(crate) struct Foresight {
    understanding: Understanding,
    under: Arc<Under>,
}

impl Foresight {
    /// What a text would mean, or how it would be refused before policy is asked.
    pub(crate) fn of(&mut self, text: &str) -> Result<Request, Garbled> {
        let operation = self.understanding.understand(text.as_bytes(), &Names::default(), true)?;
        let mut frame = Vec::new();
        build::query(&mut frame, text).map_err(|error| Garbled::new("42601", error.to_string()))?;
        let (under, seen) = (Arc::clone(&self.under), self.understanding.seen());
        Ok(Request::new(frame, RequestKind::Query, operation, under, seen))
    }

    /// What the target holds now, as far as it is known.
    pub(crate) fn catalogue(&self) -> &Arc<Catalog> {
        self.understanding.catalogue()
    }

    /// Where names are found, and as whom.
    pub(crate) fn names(&self) -> (&[String], &str) {
        (self.understanding.path(), self.understanding.role())
    }

    /// The statements that follow find this.
    pub(crate) fn goes_on_with(&mut self, catalogue: Catalog) {
        self.understanding.foresee(catalogue);
    }

    /// What would become of its result, where only these columns may be shown in clear.
    pub(crate) fn result(&self, operation: &Operation, reveal: &BTreeSet<ColumnName>) -> Shown {
        let mut shown = Shown::default();
        if !self.understanding.may_mask() {
            return shown;
        }
        for statement in &operation.statements {
            let columns = match &statement.outputs {
                Outputs::None => continue,
                Outputs::Columns(columns) => columns,
                Outputs::Opaque(why) => {
                    shown.cut = Some(why.clone());
                    continue;
                }
            };
            for column in columns {
                match hidden(column, reveal) {
                    Ok(tagged) if tagged.is_empty() => (),
                    Ok(tagged) => {
                        let tags = tagged.into_iter().flat_map(|source| source.tags).collect();
                        shown.masked.push((column.name.clone(), tags));
                    }
                    Err(why) => shown.cut = Some(why.to_owned()),
                }
            }
        }
        shown
    }
}

/// What a client would see of a result.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Columns that would come masked, for these tags.
    pub masked: Vec<(String, BTreeSet<Tag>)>,
    /// Why nothing of it would come, whatever policy says.
    pub cut: Option<String>,
}
