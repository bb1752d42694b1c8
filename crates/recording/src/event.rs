//! The events of a session as bytes, and back.
//!
//! `kind 1 ‖ microseconds since the session began 8 ‖ length 4 ‖ operation 8 ‖ payload`; numbers are big-endian. What is said
//! in words is a JSON object.

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Microseconds since the session began.
    pub at: u64,
    /// The number of the decision that it belongs to; 0 where it belongs to none.
    pub n: u64,
    /// What.
    pub what: What<'a>,
}

/// What happened. Words are JSON objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// The session began: who, on what, when.
    Began(&'a [u8]),
    /// An operation was allowed.
    Allowed(&'a [u8]),
    /// An operation was refused.
    Refused(&'a [u8]),
    /// Something could not be understood.
    Unreadable(&'a [u8]),
    /// An operation waits for people.
    Held(&'a [u8]),
    /// A held operation has its answer.
    Answered(&'a [u8]),
    /// How the rows that follow are to be read, in the protocol's terms.
    Shape(&'a [u8]),
    /// Bytes as the client got them, or would have, were nothing revealed to it.
    Answer(&'a [u8]),
    /// So many bytes more that the client got, and their SHA-256: the answer is longer than what is kept of one.
    Rest {
        /// How many.
        bytes: u64,
        /// Of all of them.
        digest: [u8; 32],
    },
    /// An operation has ended.
    Outcome {
        /// Rows returned or changed.
        rows: u64,
        /// In microseconds.
        duration: u64,
        /// SQLSTATE; empty where it did not fail.
        sqlstate: &'a [u8],
    },
    /// So much could not be written.
    Lost {
        /// Events.
        events: u64,
        /// What they would have taken.
        bytes: u64,
    },
    /// The session ended.
    Ended(&'a [u8]),
}

const HEAD: usize = 1 + 8 + 4 + 8;

impl What<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Began(_) => b'B',
            Self::Allowed(_) => b'P',
            Self::Refused(_) => b'R',
            Self::Unreadable(_) => b'U',
            Self::Held(_) => b'H',
            Self::Answered(_) => b'W',
            Self::Shape(_) => b'S',
            Self::Answer(_) => b'A',
            Self::Rest { .. } => b'X',
            Self::Outcome { .. } => b'O',
            Self::Lost { .. } => b'L',
            Self::Ended(_) => b'E',
        }
    }
}

impl Event<'_> {
    /// Appends it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { at, n, what } = self;
        out.push(what.kind());
        out.extend_from_slice(&at.to_be_bytes());
        let length = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&n.to_be_bytes());
        let begin = out.len();
        match what {
            What::Began(words)
            | What::Allowed(words)
            | What::Refused(words)
            | What::Unreadable(words)
            | What::Held(words)
            | What::Answered(words)
            | What::Shape(words)
            | What::Answer(words)
            | What::Ended(words) => out.extend_from_slice(words),
            What::Rest { bytes, digest } => {
                out.extend_from_slice(&bytes.to_be_bytes());
                out.extend_from_slice(digest);
            }
            What::Outcome { rows, duration, sqlstate } => {
                out.extend_from_slice(&rows.to_be_bytes());
                out.extend_from_slice(&duration.to_be_bytes());
                out.extend_from_slice(sqlstate);
            }
            What::Lost { events, bytes } => {
                out.extend_from_slice(&events.to_be_bytes());
                out.extend_from_slice(&bytes.to_be_bytes());
            }
        }
        set_length(out, length, begin);
    }
}

/// Appends an operation that was allowed: one object of its phase and of fields that are written as JSON already.
pub(crate) fn write_allowed(out: &mut Vec<u8>, at: u64, n: u64, phase: &str, fields: [&[u8]; 2]) {
    out.push(b'P');
    out.extend_from_slice(&at.to_be_bytes());
    let length = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&n.to_be_bytes());
    let begin = out.len();
    out.extend_from_slice(b"{\"phase\":\"");
    out.extend_from_slice(phase.as_bytes());
    out.push(b'"');
    for part in fields {
        out.push(b',');
        out.extend_from_slice(part);
    }
    out.push(b'}');
    set_length(out, length, begin);
}

fn set_length(out: &mut [u8], place: usize, begin: usize) {
    let length = u32::try_from(out.len().saturating_sub(begin)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(place..place.saturating_add(4)) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// What is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recording holds what is no event")]
pub struct Malformed;

/// The events of a block, in order.
pub struct Events<'a>(&'a [u8]);

impl<'a> Events<'a> {
    /// Of the bytes of a block.
    pub fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    fn one(&mut self) -> Option<Event<'a>> {
        let (head, rest) = self.0.split_at_checked(HEAD)?;
        let (kind, head) = head.split_first()?;
        let (at, head) = head.split_at_checked(8)?;
        let (length, n) = head.split_at_checked(4)?;
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        let (payload, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        let what = match kind {
            b'B' => What::Began(payload),
            b'P' => What::Allowed(payload),
            b'R' => What::Refused(payload),
            b'U' => What::Unreadable(payload),
            b'H' => What::Held(payload),
            b'W' => What::Answered(payload),
            b'S' => What::Shape(payload),
            b'A' => What::Answer(payload),
            b'X' => {
                let (bytes, digest) = payload.split_at_checked(8)?;
                What::Rest { bytes: number(bytes)?, digest: digest.try_into().ok()? }
            }
            b'O' => {
                let (rows, rest) = payload.split_at_checked(8)?;
                let (duration, sqlstate) = rest.split_at_checked(8)?;
                What::Outcome { rows: number(rows)?, duration: number(duration)?, sqlstate }
            }
            b'L' => {
                let (events, bytes) = payload.split_at_checked(8)?;
                What::Lost { events: number(events)?, bytes: number(bytes)? }
            }
            b'E' => What::Ended(payload),
            _ => return None,
        };
        Some(Event { at: number(at)?, n: number(n)?, what })
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let event = self.one().ok_or(Malformed);
        if event.is_err() {
            self.0 = &[];
        }
        Some(event)
    }
}
