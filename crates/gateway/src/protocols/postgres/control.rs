//! A connection of the gateway's own to a target: reads the catalogue and its signature.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use wire::postgres::backend::{Backend, backend};
use wire::postgres::{build, row};

use super::errors;
use crate::net::dial::{Address, DialError, Login, Upstream, dial};
use crate::net::stream::{ReadError, answer};
use crate::net::tls::UpstreamTls;

/// One of our statements may take so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of an answer is kept: of a catalogue with a million columns, say.
const MOST: usize = 512 << 20;

/// The longest message where little is expected, in bytes.
const SHORT: usize = 1024 * 1024;
/// And the longest answer.
const MOST_OF_SHORT: usize = 16 << 20;
/// What a value or a row takes beside its text, in bytes.
const BESIDE: usize = size_of::<Option<String>>();

/// The rows of one statement, as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// How much more of an answer is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left(usize);

impl Left {
    pub(super) const fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Whether one more row is kept.
    pub(super) fn takes(&mut self, row: &[Option<String>]) -> bool {
        let of = |value: &Option<String>| BESIDE + value.as_ref().map_or(0, String::len);
        let weight = row.iter().map(of).fold(BESIDE, usize::saturating_add);
        match self.0.checked_sub(weight) {
            Some(left) => self.0 = left,
            None => return false,
        }
        true
    }
}

/// What statements say of themselves whose rows nobody wants.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// So many rows they changed.
    pub changed: u64,
    /// How the last one is done, as a command's tag.
    pub tag: String,
    /// Something was said beside, for whoever sent them.
    pub noticed: bool,
}

/// A connection of our own.
pub struct Control {
    upstream: Upstream,
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The target cannot be reached, or does not let us in.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Lost(String),
    /// The server did not like the statement.
    #[error("refused with SQLSTATE {code}: {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
    },
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl From<ReadError> for ControlError {
    fn from(error: ReadError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<std::io::Error> for ControlError {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<wire::Malformed> for ControlError {
    fn from(error: wire::Malformed) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Control {
    /// Logs in. The session should be one that cannot write: `login` says so in its parameters.
    ///
    /// # Errors
    /// Why the target cannot be used.
    pub async fn connect(
        address: &Address,
        tls: &UpstreamTls,
        login: &Login<'_>,
    ) -> Result<Self, ControlError> {
        Ok(Self { upstream: dial(address, tls, login).await? })
    }

    /// What the server said of a setting when the session began.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.upstream
            .parameters
            .iter()
            .find(|(n, _)| n == name)
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Runs one statement, or several of which only one returns rows. After an error of the connection it cannot be used
    /// any more; after a refusal it can.
    ///
    /// # Errors
    /// Why there are no rows.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, ControlError> {
        timeout(PATIENCE, self.asked(sql)).await.map_err(|_| ControlError::Timeout)?
    }

    /// Waits for a notification on a channel that is listened to.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn notified(&mut self) -> Result<(), ControlError> {
        loop {
            let message = answer(&mut self.upstream.stream, SHORT).await?;
            let frame = message.frame()?;
            let heard = backend(&frame)?;
            if let Backend::NotificationResponse { .. } = heard {
                return Ok(());
            }
            if let Backend::ErrorResponse(_) = heard {
                let words = wire::postgres::error::field(frame.body, b'M').unwrap_or_default();
                return Err(ControlError::Refused { code: errors::sqlstate(frame.body), message: words });
            }
        }
    }

    /// The same of an answer whose messages are short; else the connection cannot be used any more.
    pub(crate) async fn query_short(&mut self, sql: &str) -> Result<Rows, ControlError> {
        self.asked_within(sql, SHORT, MOST_OF_SHORT).await
    }

    /// Runs statements whose rows nobody wants.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<Ran, ControlError> {
        let stream = &mut self.upstream.stream;
        let mut out = Vec::new();
        build::query(&mut out, sql)?;
        stream.write_all(&out).await?;
        stream.flush().await?;
        let mut ran = Ran::default();
        let mut refused = None;
        loop {
            let message = answer(stream, usize::MAX).await?;
            let frame = message.frame()?;
            match frame.kind {
                b'D' => (),
                b'N' => ran.noticed = true,
                b'E' => {
                    let code = errors::sqlstate(frame.body);
                    refused = Some(ControlError::Refused { code, message: String::new() });
                }
                // It waits for rows that nobody has.
                b'G' | b'W' => return Err(ControlError::Lost("it asks for rows".to_owned())),
                _ => {
                    let heard = backend(&frame)?;
                    if let Backend::CommandComplete(tag) = heard {
                        ran.changed = ran.changed.saturating_add(told(tag));
                        ran.tag = String::from_utf8_lossy(tag).into_owned();
                    } else if let Backend::ReadyForQuery(_) = heard {
                        return refused.map_or(Ok(ran), Err);
                    }
                }
            }
        }
    }

    /// The server's process of this connection.
    pub(crate) fn process(&self) -> u32 {
        self.upstream.process
    }

    async fn asked(&mut self, sql: &str) -> Result<Rows, ControlError> {
        self.asked_within(sql, usize::MAX, MOST).await
    }

    async fn asked_within(&mut self, sql: &str, longest: usize, most: usize) -> Result<Rows, ControlError> {
        let stream = &mut self.upstream.stream;
        let mut out = Vec::new();
        build::query(&mut out, sql)?;
        stream.write_all(&out).await?;
        stream.flush().await?;
        let (mut rows, mut left) = (Rows::new(), Left::bytes(most));
        let mut refused = None;
        loop {
            let message = answer(stream, longest).await?;
            let frame = message.frame()?;
            match frame.kind {
                b'D' => {
                    let row = texts(frame.body)?;
                    if !left.takes(&row) {
                        return Err(ControlError::Lost("its answer is longer than it may be".to_owned()));
                    }
                    rows.push(row);
                }
                b'E' => {
                    let words = wire::postgres::error::field(frame.body, b'M').unwrap_or_default();
                    refused =
                        Some(ControlError::Refused { code: errors::sqlstate(frame.body), message: words });
                }
                _ => {
                    if let Backend::ReadyForQuery(_) = backend(&frame)? {
                        return refused.map_or(Ok(rows), Err);
                    }
                }
            }
        }
    }
}

/// How many rows a command's tag says that it changed.
fn told(tag: &[u8]) -> u64 {
    let mut words = tag.split(|byte| *byte == b' ');
    if !matches!(words.next(), Some(b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE")) {
        return 0;
    }
    words.next_back().and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The values of a DataRow as text.
pub(super) fn texts(body: &[u8]) -> Result<Vec<Option<String>>, wire::Malformed> {
    let values = row::values(body)?;
    Ok(values.into_iter().map(|v| v.map(|v| String::from_utf8_lossy(v).into_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_within_a_bound_also_where_nothing_is_in_them() {
        let long = vec![Some("x".repeat(100))];
        let mut left = Left::bytes(2 * (100 + 2 * BESIDE));
        assert_eq!([left.takes(&long), left.takes(&long), left.takes(&long)], [true, true, false]);
        let mut left = Left::bytes(1000 * BESIDE);
        let nothing = vec![None; 9];
        assert_eq!((0..1000).filter(|_| left.takes(&nothing)).count(), 100);
        assert_eq!((0..1000).filter(|_| left.takes(&[])).count(), 0);
    }
}
