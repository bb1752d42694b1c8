//! What arrived and cannot be understood.

use wire::postgres::Frame;

use crate::spine::AuditableGarbled;

/// What arrived but cannot be understood; refused in its place.
pub struct Garbled {
    /// SQLSTATE.
    pub code: &'static str,
    /// For the client.
    pub message: String,
    /// For the journal and the recording, where the message quotes the client's own text.
    pub kept: Option<String>,
    /// For the client, if something would help.
    pub hint: Option<String>,
    /// Where in the text, from 1, in characters.
    pub position: Option<u32>,
    /// Whether it came as a simple Query (answered with a ReadyForQuery) or in the extended protocol.
    pub simple: bool,
    /// Whether it is a Parse of the unnamed statement.
    pub unnamed: bool,
}

impl Garbled {
    /// In the extended protocol, without a hint.
    pub(super) fn new(code: &'static str, message: String) -> Self {
        Self { code, message, kept: None, hint: None, position: None, simple: false, unnamed: false }
    }

    /// The same as the answer to a message of the client's: a simple one ends with ReadyForQuery, an extended one waits for Sync.
    pub(super) fn in_place_of(self, frame: &Frame<'_>) -> Self {
        // A Parse begins with the name of what it makes.
        let unnamed = frame.kind == b'P' && frame.body.first() == Some(&0);
        Self { simple: matches!(frame.kind, b'Q' | b'F'), unnamed, ..self }
    }
}

impl AuditableGarbled for Garbled {
    fn code(&self) -> &str {
        self.code
    }

    fn reason(&self) -> &str {
        self.kept.as_deref().unwrap_or(&self.message)
    }
}
