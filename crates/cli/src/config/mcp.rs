//! What calls of agents' may take, as the configuration has it: `[mcp]`.

use std::num::{NonZeroU32, NonZeroUsize};

use gateway::gateway::Calls;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::typed::Time;

/// What calls by MCP may take. How long a statement may run on the server is policy's, too: `@statement_timeout`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedMcp {
    /// How many calls of one principal are under way at a time; 16 where it is not given.
    #[schemars(range(min = 1))]
    calls: Option<NonZeroUsize>,
    /// How many rows of a statement's answer are fetched; 1000 where it is not given.
    #[schemars(range(min = 1))]
    rows: Option<NonZeroU32>,
    /// How many bytes of values of it are kept; 1048576 where it is not given.
    #[schemars(range(min = 1))]
    bytes: Option<NonZeroUsize>,
    /// How long a call may take, beside waiting for people; then it is cancelled at its target. `5m` where it is not given.
    time: Option<Time>,
}

impl TypedMcp {
    pub(super) fn read(self) -> Calls {
        let Self { calls, rows, bytes, time } = self;
        let usual = Calls::default();
        Calls {
            at_once: calls.map_or(usual.at_once, NonZeroUsize::get),
            rows: rows.map_or(usual.rows, NonZeroU32::get),
            bytes: bytes.map_or(usual.bytes, NonZeroUsize::get),
            time: time.map_or(usual.time, |time| time.0),
        }
    }
}
