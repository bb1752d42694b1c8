//! The bounds of a gateway.

use std::time::Duration;

/// Bounds, which may change while a gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a held operation waits for its answer outside a transaction block.
    pub hold: Duration,
    /// The same inside one, where it holds locks.
    pub hold_in_block: Duration,
    /// How long sessions that are busy may go on when the gateway drains.
    pub drain: Duration,
    /// How long what is over is kept in the store. The journal keeps what happened.
    pub retention: Retention,
    /// How old what is known of a store that others change may be.
    pub lease: Duration,
}

/// How long what is over is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Tokens, from their expiry.
    pub tokens: Duration,
    /// Requests that do not wait any more, from when they were filed.
    pub requests: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let usual = Duration::from_secs(90 * 24 * 3600);
        Self { tokens: usual, requests: usual }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(45),
            hold_in_block: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            retention: Retention::default(),
            lease: Duration::from_secs(5),
        }
    }
}
