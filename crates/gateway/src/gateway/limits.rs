//! The bounds of a gateway.

use std::time::Duration;

/// Bounds, which may change while a gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a held operation waits for its answer outside a transaction block.
    pub hold: Duration,
    /// The same inside one, where it holds locks.
    pub hold_in_block: Duration,
    /// How many sessions one principal may have on one target, and one person's agents together; three quarters of the target's
    /// connections where it is not said.
    pub sessions_of_one: Option<usize>,
    /// How many tokens that were made of others are good at a time, of one person and their agents.
    pub tokens_of_one: usize,
    /// How many bytes of one person's requests are kept, of whatever agents of theirs.
    pub requests_of_one: u64,
    /// How many bytes of all requests are kept.
    pub requests_in_all: u64,
    /// How long sessions that are busy may go on when the gateway drains.
    pub drain: Duration,
    /// How long what is over is kept in the store. The journal keeps what happened.
    pub retention: Retention,
    /// How old what is known of a store that others change may be.
    pub lease: Duration,
    /// How much of one operation's answer a recording keeps, in bytes.
    pub recorded: usize,
    /// What calls of agents' may take.
    pub calls: Calls,
}

/// What calls of agents' by MCP may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// How many of one principal are under way at a time.
    pub at_once: usize,
    /// How many rows of a statement's answer are fetched.
    pub rows: u32,
    /// How many bytes of values of it are kept.
    pub bytes: usize,
    /// How long one may take, beside waiting for people.
    pub time: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        Self { at_once: 16, rows: 1000, bytes: 1 << 20, time: Duration::from_secs(300) }
    }
}

/// How long what is over is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Tokens, from their expiry.
    pub tokens: Duration,
    /// Requests that do not wait any more, from when they were filed.
    pub requests: Duration,
    /// Recordings, from when they were written last.
    pub recordings: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let usual = Duration::from_secs(90 * 24 * 3600);
        Self { tokens: usual, requests: usual, recordings: usual }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(45),
            hold_in_block: Duration::from_secs(30),
            sessions_of_one: None,
            tokens_of_one: 1000,
            requests_of_one: 128 << 20,
            requests_in_all: 1 << 30,
            drain: Duration::from_secs(10),
            retention: Retention::default(),
            lease: Duration::from_secs(5),
            recorded: 256 * 1024,
            calls: Calls::default(),
        }
    }
}
