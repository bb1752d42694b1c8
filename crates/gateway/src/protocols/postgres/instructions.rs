//! Values in an answer to an agent that look like instructions: counted, as the agent sees them.

use wire::postgres::{error, row, split};

/// So many bytes of one answer are looked at.
const LOOKED_AT: usize = 256 * 1024;

/// What was seen of the answer that is coming.
#[derive(Default)]
pub(super) struct Looked {
    bytes: usize,
    found: u64,
}

impl Looked {
    /// Looks at frames for the client. What is no whole row is passed over.
    pub(super) fn look(&mut self, frames: &[u8]) {
        let mut rest = frames;
        while self.bytes < LOOKED_AT {
            let Ok(Some(frame)) = split(rest, usize::MAX) else { return };
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
            let found = match frame.kind {
                b'D' => {
                    let values = row::values(frame.body).unwrap_or_default().into_iter().flatten();
                    values.filter(|value| masking::looks_like_instructions(value)).count()
                }
                // The server's words may quote values.
                b'E' | b'N' => {
                    let words = error::fields(frame.body).map(|(_, words)| words);
                    words.filter(|words| masking::looks_like_instructions(words)).count()
                }
                _ => continue,
            };
            self.bytes = self.bytes.saturating_add(frame.body.len());
            self.found = self.found.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
        }
    }

    /// How many there were; from here on another answer comes.
    pub(super) fn take(&mut self) -> u64 {
        std::mem::take(self).found
    }
}
