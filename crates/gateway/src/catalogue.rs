//! Reading a target's catalogue: the questions are `sql`'s, the connection is ours.

use masking::Strategy;
use model::{ColumnName, Tag};
use sql::postgres::catalog::Catalog;

use crate::protocols::postgres::{Control, ControlError, Rows};

/// One tag of one column, as it is configured or proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnTag {
    /// Which column.
    pub column: ColumnName,
    /// Its tag.
    pub tag: Tag,
    /// How it is masked, where the configuration says so.
    pub strategy: Option<Strategy>,
}

/// Why a catalogue was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The control connection.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The answers are not what was asked for, or the target is one that is not served.
    #[error("{0}")]
    Answer(String),
    /// It failed a moment ago.
    #[error("the last attempts failed; it is tried again soon")]
    Resting,
    /// What cannot be recorded is not done.
    #[error("the journal cannot be written")]
    Journal,
}

/// Why nothing can be read yet: the questions belong to `sql`, which does not have them. Whoever needs a catalogue is
/// refused; sessions that policy allows everything need none.
const NO_QUESTIONS: &str = "this build cannot read catalogues, so it understands no statement";

/// What moves whenever the catalogue does.
pub(crate) async fn signature(_control: &mut Control) -> Result<String, ReadError> {
    Err(ReadError::Answer(NO_QUESTIONS.to_owned()))
}

/// Reads it whole.
pub(crate) async fn read(control: &mut Control, tags: &[ColumnTag]) -> Result<Catalog, ReadError> {
    let mut answers = Vec::new();
    for question in questions(0) {
        answers.push(control.query(&question).await?);
    }
    build(0, answers, tags).map_err(ReadError::Answer)
}

/// What a server of this version is asked, in order.
pub(crate) fn questions(_version: u32) -> Vec<String> {
    Vec::new()
}

/// What its answers say.
pub(crate) fn build(_version: u32, _answers: Vec<Rows>, _tags: &[ColumnTag]) -> Result<Catalog, String> {
    Err(NO_QUESTIONS.to_owned())
}

/// Tags proposed for columns by their names and types.
pub(crate) fn proposals(_catalogue: &Catalog) -> Vec<(ColumnName, Tag)> {
    Vec::new()
}
