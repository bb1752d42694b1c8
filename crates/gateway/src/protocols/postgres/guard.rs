//! The second lock: outside of transaction blocks the server itself refuses to write while the session only reads, so that a
//! mistake in the analysis is no breach. Before anything else is sent, it is lifted.
//!
//! It goes along with what a session may do by itself: `default_transaction_read_only` decides when a transaction begins, and
//! read only is not all (`SECURITY.md`).

use sql::postgres::{Control, Statement};
use wire::postgres::frontend::{Frontend, frontend};

use super::under::{Touched, touched};

/// The setting.
pub(super) const SETTING: &str = "default_transaction_read_only";
/// A statement that asks for it, or for what it decides, is told the server's own value.
const ASKED: &str = "transaction_read_only";

/// What the server would do with a write that is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Guard {
    /// Whatever it does by itself: who may do everything, or nothing but read, or asked for it, is left alone.
    #[default]
    Off,
    /// What it does by itself is not known yet.
    Waiting,
    /// It writes.
    Lifted,
    /// It refuses.
    Locked,
}

impl Guard {
    /// Takes what the server does by itself.
    pub(super) fn learned(&mut self, read_only: bool) {
        if *self == Self::Waiting {
            *self = if read_only { Self::Off } else { Self::Lifted };
        }
    }

    pub(super) fn is_off(self) -> bool {
        matches!(self, Self::Off | Self::Waiting)
    }

    /// What is to be set before something that reads, or does more than that, is sent outside of a block. `quiet` says that
    /// nothing is in flight. While it is locked only reads are in flight, none of which opens a block, so it can be lifted at
    /// any time.
    pub(super) fn shift(&mut self, reads: bool, quiet: bool) -> Option<bool> {
        let next = match self {
            Self::Locked if !reads => Self::Lifted,
            Self::Lifted if reads && quiet => Self::Locked,
            Self::Off | Self::Waiting | Self::Locked | Self::Lifted => return None,
        };
        *self = next;
        Some(next == Self::Locked)
    }

    /// The server did not take it.
    pub(super) fn failed(&mut self, locking: bool) {
        if !self.is_off() {
            *self = if locking { Self::Lifted } else { Self::Locked };
        }
    }

    /// Notes what an operation that runs now does to the setting.
    pub(super) fn running(&mut self, control: &Control) {
        if self.is_off() {
            return;
        }
        match touched(control) {
            // The client's own wish.
            Touched::One(name) if name == SETTING && matches!(control, Control::Set { .. }) => {
                *self = Self::Off
            }
            Touched::One(name) if name == SETTING => *self = Self::Lifted,
            Touched::All => *self = Self::Lifted,
            Touched::One(_) | Touched::Unknown | Touched::Nothing => (),
        }
    }
}

/// Whether a statement is sent under the lock, if it does no more than read.
pub(super) fn suits(statement: &Statement) -> bool {
    let begins = statement.control.iter().any(|control| matches!(control, Control::Begin { .. }));
    let asks = statement.facts.kind == "show" && statement.text.to_ascii_lowercase().contains(ASKED);
    !begins && !asks
}

/// Whether what a client sends up to its next Sync, of which these are the bytes behind the message at hand, only reads.
/// `parsed` is the name of the statement that this message prepares, and whether that reads; `known` says it of a statement that
/// was prepared before. Where there is no Sync yet, nobody knows.
pub(super) fn segment_reads(
    mut rest: &[u8],
    parsed: Option<(&[u8], bool)>,
    known: impl Fn(&[u8]) -> bool,
) -> bool {
    let mut unknown: Vec<&[u8]> = Vec::new();
    while let Ok(Some(frame)) = wire::postgres::split(rest, usize::MAX) {
        let after = rest.get(frame.whole.len()..).unwrap_or_default();
        match frontend(&frame) {
            Ok(Frontend::Sync) => return true,
            Ok(Frontend::Parse(parse)) => unknown.push(parse.name),
            Ok(Frontend::Bind(bind)) => {
                let reads = match parsed {
                    _ if unknown.contains(&bind.statement) => false,
                    Some((name, reads)) if name == bind.statement => reads,
                    Some(_) | None => known(bind.statement),
                };
                if !reads {
                    return false;
                }
            }
            Ok(Frontend::Describe(..) | Frontend::Execute { .. } | Frontend::Close(..) | Frontend::Flush) => {
            }
            Ok(
                Frontend::Query(_)
                | Frontend::FunctionCall(_)
                | Frontend::CopyData(_)
                | Frontend::CopyDone
                | Frontend::CopyFail(_)
                | Frontend::Terminate
                | Frontend::Password(_),
            )
            | Err(_) => return false,
        }
        rest = after;
    }
    false
}
