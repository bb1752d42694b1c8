//! The second lock: outside of transaction blocks the server itself refuses to write while the session only reads, so that a
//! mistake in the analysis is no breach. Before anything else is sent, it is lifted.
//!
//! It goes along with what a session may do by itself: `default_transaction_read_only` decides when a transaction begins, and
//! read only is not all (`SECURITY.md`).

use model::Action;
use policy::Caps;
use sql::postgres::{Control, Statement};
use wire::postgres::frontend::{Frontend, frontend};

use super::operation::Operation;
use super::under::{Touched, touched};
use crate::freezes::is_read;

/// The setting.
pub(super) const SETTING: &str = "default_transaction_read_only";
/// A statement that asks for it, or for what it decides, is told the server's own value.
const ASKED: &str = "transaction_read_only";

/// A statement of the gateway's about what the server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Transactions are read only from now on.
    On,
    /// They are not.
    Off,
    /// The transaction that is open is read only. Whether the statement stands apart, before a Sync of its own.
    Block { apart: bool },
}

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
    pub(super) fn shift(&mut self, reads: bool, quiet: bool) -> Option<Lock> {
        let next = match self {
            Self::Locked if !reads => Self::Lifted,
            Self::Lifted if reads && quiet => Self::Locked,
            Self::Off | Self::Waiting | Self::Locked | Self::Lifted => return None,
        };
        *self = next;
        Some(if next == Self::Locked { Lock::On } else { Lock::Off })
    }

    /// The server did not take it.
    pub(super) fn failed(&mut self, lock: Lock) {
        if !self.is_off() {
            *self = match lock {
                Lock::On => Self::Lifted,
                Lock::Off => Self::Locked,
                Lock::Block { .. } => *self,
            };
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

/// Transaction blocks of a target that is `read_only = "strict"`: one that begins with a read stays read only. What is told
/// here is told in the order in which it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Block {
    /// The target is not, or the server refuses all writes of the session.
    #[default]
    Unguarded,
    /// No block is open.
    None,
    /// Nothing but settings and savepoints came so far.
    Begun,
    /// It began with a read. Whether the server knows that it is read only.
    Reads { locked: bool },
    /// It began with something else.
    Writes,
}

/// What an operation is to a strict block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// It goes as it is.
    Plainly,
    /// The block is made read only before it.
    Locked,
    /// It is a message that begins a block and reads in it: transactions are made read only before it.
    Beginning,
    /// It would write in a block that began with a read.
    Not,
    /// What it begins, it cannot be made read only in the middle of.
    Midway,
}

impl Block {
    /// What sending an operation now means.
    pub(super) fn fits(self, operation: &Operation) -> Fits {
        let (mut block, mut begun, mut returned) = (self, None, false);
        let mut fits = Fits::Plainly;
        for (index, statement) in operation.statements.iter().enumerate() {
            let reads = only_reads(statement);
            match block {
                Self::Unguarded => return Fits::Plainly,
                Self::Reads { .. } if !reads => return Fits::Not,
                Self::Begun | Self::Reads { locked: false } if reads && !is_neutral(statement) => match begun
                {
                    // It is open since before this message, so it can be told before it.
                    None if !returned => fits = Fits::Locked,
                    Some(0) if self == Self::None => fits = Fits::Beginning,
                    Some(_) | None => return Fits::Midway,
                },
                Self::None | Self::Begun | Self::Reads { .. } | Self::Writes => (),
            }
            returned |= statement.control.iter().any(returns);
            begun = begun.or_else(|| statement.control.iter().any(begins).then_some(index));
            block = block.after(statement);
        }
        // There all of it runs in transactions that are read only by themselves.
        let usual = |control| !matches!(control, &Control::Begin { read_only: Some(false) });
        let all = || operation.statements.iter().all(|s| only_reads(s)) && operation.controls().all(usual);
        if fits == Fits::Beginning && !all() { Fits::Midway } else { fits }
    }

    /// Notes that an operation is sent, the block having been made read only where that was to be.
    pub(super) fn running(&mut self, operation: &Operation) {
        for statement in &operation.statements {
            *self = self.after(statement);
        }
        // Before it, or before its BEGIN, the server was told.
        if *self == (Self::Reads { locked: false }) && !operation.controls().any(returns) {
            *self = Self::Reads { locked: true };
        }
    }

    /// The server says whether a block is open, and nothing is in flight.
    pub(super) fn settled(&mut self, open: bool) {
        *self = match *self {
            Self::Unguarded => Self::Unguarded,
            _ if !open => Self::None,
            // A function cannot open one; whatever did is not known.
            Self::None => Self::Begun,
            known @ (Self::Begun | Self::Reads { .. } | Self::Writes) => known,
        };
    }

    fn after(self, statement: &Statement) -> Self {
        if self == Self::Unguarded {
            return self;
        }
        let mut block = self;
        for control in &statement.control {
            let reads = matches!(block, Self::Reads { .. });
            if matches!(control, Control::Begin { .. }) {
                block = if block == Self::None { Self::Begun } else { block };
            } else if begins(control) {
                // What is chained is what the one before was.
                block = if reads { block } else { Self::Begun };
            } else if ends(control) {
                block = Self::None;
            } else if returns(control) && reads {
                // The server forgets what was said of the block behind the savepoint.
                block = Self::Reads { locked: false };
            }
        }
        if block == Self::Begun && !is_neutral(statement) {
            block = if only_reads(statement) { Self::Reads { locked: false } } else { Self::Writes };
        }
        block
    }
}

/// Whether a statement goes back to a savepoint, or forgets it.
pub(super) fn returns(control: &Control) -> bool {
    matches!(control, Control::RollbackTo(_) | Control::Release(_))
}

fn begins(control: &Control) -> bool {
    matches!(
        control,
        Control::Begin { .. } | Control::Commit { chain: true } | Control::Rollback { chain: true }
    )
}

fn ends(control: &Control) -> bool {
    matches!(control, Control::Commit { .. } | Control::Rollback { .. } | Control::PrepareTransaction)
}

/// Whether the server does all of it in a transaction that is read only.
fn only_reads(statement: &Statement) -> bool {
    statement.effects.iter().all(|effect| is_read(effect) || effect.action == Action::Listen)
}

/// Whether a statement neither reads nor writes: a block that begins with it may still become either.
fn is_neutral(statement: &Statement) -> bool {
    const NEUTRAL: [&str; 15] = [
        "begin",
        "commit",
        "rollback",
        "savepoint",
        "release savepoint",
        "rollback to savepoint",
        "prepare transaction",
        "set",
        "show",
        "set constraints",
        "deallocate",
        "discard",
        "close",
        "listen",
        "unlisten",
    ];
    NEUTRAL.contains(&statement.facts.kind.as_str()) && only_reads(statement)
}

/// Why a statement may not be sent, where policy bounds what it sets, or what is prepared in it.
pub(super) fn beyond(caps: &Caps, statement: &Statement) -> Option<String> {
    let set = |control: &Control| {
        if let Control::Set { name, value, .. } = control {
            caps.allow(name, value.as_deref()).err()
        } else if let Control::Prepare { inner, .. } | Control::Declare { inner, .. } = control {
            beyond(caps, inner)
        } else {
            None
        }
    };
    let count = |what: fn(&Control) -> bool| statement.control.iter().filter(|control| what(control)).count();
    // `set_config` is known by what it sets; code that sets something else is not.
    // What is not understood is policy's to allow, by that name.
    let hidden = !matches!(statement.facts.kind.as_str(), "set" | "unknown")
        && count(|c| matches!(c, Control::ChangesSettings)) > count(|c| matches!(c, Control::Set { .. }));
    let hidden = hidden.then(|| "code that may change settings could lift what policy bounds".to_owned());
    statement.control.iter().find_map(set).or(hidden)
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
        // What is in these says nothing here, and is read when their turn comes.
        if matches!(frame.kind, b'D' | b'E' | b'C' | b'H') {
            rest = after;
            continue;
        }
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
            Ok(
                Frontend::Describe(..)
                | Frontend::Execute { .. }
                | Frontend::Close(..)
                | Frontend::Flush
                | Frontend::Query(_)
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
