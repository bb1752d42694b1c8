//! Reading a target's catalogue: the questions are `sql`'s, the connection is ours.

use std::sync::Arc;

use masking::Strategy;
use model::{ColumnName, Tag};
use sql::postgres::catalog::{self, Catalog, Piece, Placed};

use crate::protocols::postgres::{Control, ControlError, Rows};
use crate::targets::Contact;

/// So many refused pieces are halved; what is left then counts as unreadable.
const MOST_REFUSALS: usize = 256;
/// `lock_not_available`
const LOCKED: &str = "55P03";

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
    /// It is not known where tagged columns were before.
    #[error("the store: {0}")]
    Store(String),
    /// Somebody else looked meanwhile, and found this.
    #[error(transparent)]
    Same(Arc<ReadError>),
}

impl ReadError {
    /// What a client is told: whose fault it is, without the server's words. `without` says what cannot be done.
    pub(crate) fn for_client(&self, without: &str) -> (&'static str, String) {
        match self {
            Self::Same(error) => error.for_client(without),
            Self::Control(ControlError::Dial(error)) => {
                let (code, reason) = error.for_client();
                (code, reason.to_owned())
            }
            Self::Control(ControlError::Lost(_) | ControlError::Timeout | ControlError::Refused { .. })
            | Self::Answer(_)
            | Self::Resting
            | Self::Journal
            | Self::Store(_) => {
                ("08004", format!("the gateway cannot read the target's catalogue, {without}"))
            }
        }
    }

    /// The same in one word, for whoever watches the gateway.
    pub(crate) fn contact(&self) -> Contact {
        match self {
            Self::Same(error) => error.contact(),
            Self::Control(ControlError::Dial(error)) => error.contact(),
            Self::Control(ControlError::Lost(_) | ControlError::Timeout) => Contact::Unreachable,
            Self::Control(ControlError::Refused { .. })
            | Self::Answer(_)
            | Self::Resting
            | Self::Journal
            | Self::Store(_) => Contact::Unreadable,
        }
    }
}

/// The server's version.
///
/// # Errors
/// It is not one that is served.
pub(crate) async fn version(control: &mut Control) -> Result<u32, ReadError> {
    let answer = control.query(&catalog::who()).await?;
    catalog::version(&answer).map_err(ReadError::Answer)
}

/// How many connections the server has for this role, where it says so.
pub(crate) async fn room(control: &mut Control) -> Result<Option<usize>, ReadError> {
    let answer = only(control.query(catalog::room()).await?)?;
    Ok(answer.as_deref().and_then(catalog::room_in))
}

/// Stays the same while nothing at all is written to the server, and is `None` while something may be.
pub(crate) async fn pulse(control: &mut Control) -> Result<Option<String>, ReadError> {
    only(control.query(catalog::pulse()).await?)
}

/// What moves whenever the catalogue does.
pub(crate) async fn signature(control: &mut Control) -> Result<String, ReadError> {
    only(control.query(&catalog::signature()).await?)?.ok_or_else(not_one_value)
}

/// Reads it whole.
pub(crate) async fn read(
    control: &mut Control,
    version: u32,
    tags: &[ColumnTag],
    before: &Placed,
) -> Result<Catalog, ReadError> {
    let catalog::Questions { lists, pieces } = catalog::questions(version);
    let mut answers = Vec::with_capacity(lists.len() + pieces.len());
    for list in lists {
        answers.push(control.query(&list).await?);
    }
    let mut left = pieces;
    let mut refusals = 0;
    while let Some(piece) = left.pop() {
        match ask(control, &piece).await {
            Ok(answer) => answers.push(answer),
            Err(ControlError::Refused { code, message }) if code != LOCKED => {
                refusals += 1;
                match piece.halves().filter(|_| refusals < MOST_REFUSALS) {
                    Some(halves) => left.extend(halves),
                    None => tracing::warn!(%code, %message, "a definition in the catalogue cannot be read"),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (tags, before) = (pairs(tags), before.clone());
    // A large catalogue takes a while, and other sessions must not wait for it.
    let build = move || catalog::from_rows_after(version, &answers, &tags, before);
    let built = tokio::task::spawn_blocking(build).await;
    built.map_err(|error| ReadError::Answer(error.to_string()))?.map_err(ReadError::Answer)
}

/// Somebody may lock what it names between the look at the locks and the printing: the next look sees that.
async fn ask(control: &mut Control, piece: &Piece) -> Result<Rows, ControlError> {
    match control.query(&piece.sql()).await {
        Err(ControlError::Refused { code, .. }) if code == LOCKED => control.query(&piece.sql()).await,
        other => other,
    }
}

/// What a server of this version is asked, in order.
pub(crate) fn questions(version: u32) -> Vec<String> {
    catalog::queries(version)
}

/// What its answers say.
pub(crate) fn build(
    version: u32,
    answers: &[Rows],
    tags: &[ColumnTag],
    before: &Placed,
) -> Result<Catalog, String> {
    catalog::from_rows_after(version, answers, &pairs(tags), before.clone())
}

/// What a session asks for its own temporary objects alone.
pub(crate) fn temporary_questions(version: u32) -> Vec<String> {
    catalog::temporary_queries(version)
}

/// The catalogue with a session's temporary objects.
pub(crate) fn with_temporary(
    catalogue: &Catalog,
    answers: &[Rows],
    tags: &[ColumnTag],
) -> Result<Catalog, String> {
    catalog::with_temporary(catalogue, answers, &pairs(tags))
}

/// The same catalogue under other tags.
pub(crate) fn retagged(catalogue: &Catalog, tags: &[ColumnTag]) -> Catalog {
    catalog::retagged(catalogue, &pairs(tags))
}

/// Tags proposed for columns by their names and types.
pub(crate) fn proposals(catalogue: &Catalog) -> Vec<(ColumnName, Tag)> {
    catalog::proposals(catalogue)
}

fn pairs(tags: &[ColumnTag]) -> Vec<(ColumnName, Tag)> {
    tags.iter().map(|tagged| (tagged.column.clone(), tagged.tag.clone())).collect()
}

fn only(rows: Rows) -> Result<Option<String>, ReadError> {
    let [row] = <[_; 1]>::try_from(rows).map_err(|_| not_one_value())?;
    let [value] = <[_; 1]>::try_from(row).map_err(|_| not_one_value())?;
    Ok(value)
}

fn not_one_value() -> ReadError {
    ReadError::Answer("the server's answer is not the one value that was asked for".to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
