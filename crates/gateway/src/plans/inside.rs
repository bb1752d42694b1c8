//! A client of the gateway's own within the gateway: it sends a plan's statements through a session like any other, which
//! decides, records, masks and forwards each of them.

use std::fmt;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use wire::postgres::backend::{Backend, backend};
use wire::postgres::{build, error, row};

use crate::net::stream::{ReadError, message};

/// So many rows of one statement are kept.
const ROWS: usize = 100;
/// So many bytes of them.
const BYTES: usize = 32 * 1024;
/// The longest message that is read, in bytes.
const LONGEST: usize = 256 * 1024 * 1024;

/// What came of a statement.
pub(super) enum Came {
    /// It ran.
    Done(model::Done),
    /// The session or the server refused it, or it failed.
    Failed(Failure),
}

/// Why a statement did not run, in the words of whoever said so.
pub(super) struct Failure {
    pub sqlstate: String,
    pub words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.words, self.sqlstate)
    }
}

impl Failure {
    /// Without words: a server's quote values, and are not the gateway's.
    pub(super) fn code(&self) -> String {
        format!("SQLSTATE {}", self.sqlstate)
    }
}

/// The session's end of it is gone: why, without the words of a server.
#[derive(Debug)]
pub(super) struct Lost(pub String);

impl From<ReadError> for Lost {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<wire::Malformed> for Lost {
    fn from(error: wire::Malformed) -> Self {
        Self(error.to_string())
    }
}

/// The client.
pub(super) struct Inside(UnixStream);

impl Inside {
    /// Waits until the session lets it in.
    pub(super) async fn enter(stream: UnixStream) -> Result<Self, Lost> {
        let mut this = Self(stream);
        match this.answer().await? {
            Came::Done(_) => Ok(this),
            Came::Failed(failure) => Err(Lost(failure.code())),
        }
    }

    /// Sends one statement and waits for what comes of it.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Came, Lost> {
        let mut out = Vec::new();
        build::query(&mut out, sql)?;
        self.0.write_all(&out).await?;
        self.0.flush().await?;
        self.answer().await
    }

    /// Says goodbye.
    pub(super) async fn leave(mut self) {
        let mut out = Vec::new();
        build::terminate(&mut out);
        let _ = self.0.write_all(&out).await;
        let _ = self.0.shutdown().await;
        // Until the session has said its last word.
        while message(&mut self.0, LONGEST).await.is_ok() {}
    }

    async fn answer(&mut self) -> Result<Came, Lost> {
        let mut done = model::Done::default();
        let (mut failure, mut bytes) = (None::<Failure>, 0);
        loop {
            let message = match message(&mut self.0, LONGEST).await {
                Ok(message) => message,
                // Why it ended may have been said before; what became of the statement was not.
                Err(error) => {
                    let said = failure.map(|failure| failure.code());
                    return Err(Lost(said.unwrap_or_else(|| error.to_string())));
                }
            };
            let frame = message.frame()?;
            if frame.kind == b'D' {
                bytes += frame.body.len();
                if done.rows.len() >= ROWS || bytes > BYTES {
                    done.left_out += 1;
                } else {
                    let texts = |value: Option<&[u8]>| value.map(|v| String::from_utf8_lossy(v).into_owned());
                    done.rows.push(row::values(frame.body)?.into_iter().map(texts).collect());
                }
                continue;
            }
            let heard = backend(&frame)?;
            if let Backend::ErrorResponse(fields) = heard {
                let of = |code| error::field(fields, code).unwrap_or_default();
                let hint =
                    error::field(fields, b'H').map(|hint| format!(" Hint: {hint}")).unwrap_or_default();
                let state = of(b'C');
                let is_one = state.len() == 5 && state.bytes().all(|b| b.is_ascii_alphanumeric());
                let sqlstate = if is_one { state } else { "XX000".to_owned() };
                failure = Some(Failure { sqlstate, words: format!("{}{hint}", of(b'M')) });
            } else if let Backend::RowDescription(fields) = heard {
                done.columns = fields.iter().map(|f| String::from_utf8_lossy(&f.name).into_owned()).collect();
            } else if let Backend::CommandComplete(tag) = heard {
                done.tag = String::from_utf8_lossy(tag).into_owned();
            } else if let Backend::ReadyForQuery(_) = heard {
                return Ok(failure.map_or_else(|| Came::Done(done), Came::Failed));
            }
        }
    }
}
