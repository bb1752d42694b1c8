//! From the recorded bytes of an answer back to what they show: results as tables, errors, notices.

use recording::event::What;
use schemars::JsonSchema;
use serde::Serialize;
use wire::postgres::backend::{Backend, Field, backend};
use wire::postgres::{Frame, error, row, split};

use super::shown::{decoded, type_name};

/// One result of an operation, as its principal saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Shown {
    /// Its columns; none where there are no rows, or nobody described them.
    pub columns: Vec<Column>,
    /// The first of its rows; `None` is NULL. What has no readable text is in hexadecimal.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that are recorded and not among these.
    pub more: u64,
    /// Whether the rows are lines of a COPY.
    #[serde(skip_serializing_if = "is_false")]
    pub copy: bool,
    /// The command's tag: `SELECT 3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The error that it ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Told>,
    /// Notices and notifications that came with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Told>,
    /// What was shown beyond what a recording keeps of one operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's name.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip)]
    oid: u32,
    #[serde(skip)]
    binary: bool,
}

/// An error or a notice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Told {
    /// `ERROR`, `NOTICE`, `NOTIFY`.
    pub severity: String,
    /// SQLSTATE, or a notification's channel.
    pub code: String,
    /// What it says.
    pub message: String,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What was shown and is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rest {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Reads an answer piece by piece.
#[derive(Default)]
pub(crate) struct Replay {
    done: Vec<Shown>,
    now: Shown,
    /// Whether anything of the result that comes now was seen.
    begun: bool,
    binary_copy: bool,
    /// Of a message that has not come whole.
    part: Vec<u8>,
    most_rows: usize,
}

impl Replay {
    /// Of each result at most so many rows are given.
    pub(crate) fn new(most_rows: usize) -> Self {
        Self { most_rows, ..Self::default() }
    }

    /// Takes the next event of the answer.
    pub(crate) fn take(&mut self, what: &What<'_>) {
        match what {
            What::Shape(description) => self.bytes(description, true),
            What::Answer(bytes) => self.bytes(bytes, false),
            What::Rest { bytes, digest } => {
                self.part.clear();
                self.begun = true;
                self.now.rest = Some(Rest { bytes: *bytes, sha256: crate::audit::hex(digest) });
            }
            What::Began(_)
            | What::Allowed(_)
            | What::Refused(_)
            | What::Unreadable(_)
            | What::Held(_)
            | What::Answered(_)
            | What::Outcome { .. }
            | What::Lost { .. }
            | What::Ended(_) => (),
        }
    }

    /// What it showed.
    pub(crate) fn shown(mut self) -> Vec<Shown> {
        if self.begun {
            self.done.push(self.now);
        }
        self.done
    }

    fn bytes(&mut self, bytes: &[u8], is_shape: bool) {
        if is_shape {
            // A description stands between messages.
            self.part.clear();
        }
        let mut all = std::mem::take(&mut self.part);
        all.extend_from_slice(bytes);
        let mut rest = all.as_slice();
        while let Ok(Some(frame)) = split(rest, usize::MAX) {
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
            self.frame(&frame);
        }
        self.part = rest.to_vec();
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        // What cannot be read was not understood when it was passed on, either: nothing like it is.
        let Ok(message) = backend(frame) else { return };
        match message {
            Backend::RowDescription(fields) => {
                // The client's own Describe and ours tell the same: a result has begun when it has rows.
                self.now.columns = fields.iter().map(|field| column(&field)).collect();
                self.begun = true;
            }
            Backend::DataRow(body) => {
                let values = row::values(body).unwrap_or_default();
                let columns = &self.now.columns;
                let one = |(index, value): (usize, &Option<&[u8]>)| {
                    value.map(|value| readable(columns.get(index), value))
                };
                let row = values.iter().enumerate().map(one).collect();
                self.row(row);
            }
            Backend::CopyOut(shape) => {
                self.begun = true;
                self.now.copy = true;
                self.binary_copy = shape.is_binary();
            }
            Backend::CopyData(data) => {
                let line = if self.binary_copy {
                    hexadecimal(data)
                } else {
                    text(data.strip_suffix(b"\n").unwrap_or(data))
                };
                self.row(vec![Some(line)]);
            }
            Backend::FunctionCallResponse(value) => {
                self.row(vec![value.map(hexadecimal)]);
                self.end();
            }
            Backend::CommandComplete(tag) => {
                self.now.tag = Some(text(tag));
                self.end();
            }
            Backend::PortalSuspended => {
                self.now.tag = Some("suspended".to_owned());
                self.end();
            }
            Backend::ErrorResponse(body) => {
                self.now.error = Some(told(body));
                self.end();
            }
            Backend::NoticeResponse(body) => {
                self.now.notices.push(told(body));
                self.begun = true;
            }
            Backend::NotificationResponse { channel, payload, .. } => {
                let (code, message) = (text(channel), text(payload));
                let severity = "NOTIFY".to_owned();
                self.now.notices.push(Told { severity, code, message, ..Told::default() });
                self.begun = true;
            }
            Backend::Authentication(_)
            | Backend::ParameterStatus { .. }
            | Backend::BackendKeyData { .. }
            | Backend::ReadyForQuery(_)
            | Backend::EmptyQuery
            | Backend::ParseComplete
            | Backend::BindComplete
            | Backend::CloseComplete
            | Backend::NoData
            | Backend::ParameterDescription(_)
            | Backend::CopyIn(_)
            | Backend::CopyBoth(_)
            | Backend::CopyDone
            | Backend::NegotiateProtocolVersion { .. } => (),
        }
    }

    fn row(&mut self, row: Vec<Option<String>>) {
        self.begun = true;
        if self.now.rows.len() < self.most_rows {
            self.now.rows.push(row);
        } else {
            self.now.more += 1;
        }
    }

    fn end(&mut self) {
        self.done.push(std::mem::take(&mut self.now));
        self.begun = false;
        self.binary_copy = false;
    }
}

/// Whether an error is among whole messages.
pub(crate) fn fails(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Ok(Some(frame)) = split(rest, usize::MAX) {
        if frame.kind == b'E' {
            return true;
        }
        rest = rest.get(frame.whole.len()..).unwrap_or_default();
    }
    false
}

/// Whether bytes end with a ReadyForQuery: nothing more comes of the message that they answer.
pub(crate) fn is_ready(bytes: &[u8]) -> bool {
    matches!(bytes, [.., b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])
}

/// Whether bytes that answer nothing which is known to run show anything: rows, errors, notices, notifications. A refusal's error
/// does not, since the refusal is an event of its own.
pub(crate) fn shows(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(kind) = rest.first() {
        let is_one =
            |refused: bool| matches!(kind, b'D' | b'd' | b'A' | b'N' | b'V') || *kind == b'E' && !refused;
        let Ok(Some(frame)) = split(rest, usize::MAX) else { return is_one(false) };
        let detail = error::field(frame.body, b'D').unwrap_or_default();
        if is_one(*kind == b'E' && detail.starts_with("Decision ")) {
            return true;
        }
        rest = rest.get(frame.whole.len()..).unwrap_or_default();
    }
    false
}

fn column(field: &Field) -> Column {
    let kind = match type_name(field.type_oid) {
        unknown if unknown.is_empty() => "?".to_owned(),
        known => known,
    };
    Column { name: text(&field.name), kind, oid: field.type_oid, binary: field.format == 1 }
}

fn readable(column: Option<&Column>, value: &[u8]) -> String {
    match column {
        Some(Column { oid, binary: true, .. }) => decoded(*oid, value).unwrap_or_else(|| hexadecimal(value)),
        Some(Column { binary: false, .. }) => text(value),
        // Nobody said in which format it is.
        None => std::str::from_utf8(value).map_or_else(|_| hexadecimal(value), str::to_owned),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hexadecimal(bytes: &[u8]) -> String {
    format!("\\x{}", crate::audit::hex(bytes))
}

fn told(body: &[u8]) -> Told {
    let field = |kind| error::field(body, kind);
    Told {
        severity: field(b'V').or_else(|| field(b'S')).unwrap_or_default(),
        code: field(b'C').unwrap_or_default(),
        message: field(b'M').unwrap_or_default(),
        detail: field(b'D'),
        hint: field(b'H'),
    }
}

#[cfg(test)]
mod tests {
    use wire::postgres::build;
    use wire::postgres::error::ErrorFields;

    use super::*;

    fn field(name: &str, type_oid: u32, format: i16) -> Field {
        let (table, attribute, type_size, type_modifier) = (0, 0, -1, -1);
        Field { name: name.into(), table, attribute, type_oid, type_size, type_modifier, format }
    }

    fn shown(pieces: &[What<'_>], most: usize) -> Vec<Shown> {
        let mut replay = Replay::new(most);
        pieces.iter().for_each(|piece| replay.take(piece));
        replay.shown()
    }

    #[test]
    fn an_answer_is_shown_as_it_was_however_it_was_cut() {
        let mut bytes = Vec::new();
        build::row_description(&mut bytes, &[field("id", 23, 0), field("name", 25, 0)]);
        build::data_row(&mut bytes, &[Some(b"1"), Some(b"ada")]);
        build::data_row(&mut bytes, &[Some(b"2"), None]);
        build::command_complete(&mut bytes, "SELECT 2");
        build::error(&mut bytes, &ErrorFields::new("22012", "division by zero"));
        let expected = shown(&[What::Answer(&bytes)], 10);
        assert_eq!(expected.len(), 2);
        assert_eq!(
            expected[0].rows,
            [[Some("1".to_owned()), Some("ada".to_owned())], [Some("2".to_owned()), None]]
        );
        assert_eq!(expected[0].tag.as_deref(), Some("SELECT 2"));
        assert_eq!(expected[1].error.as_ref().expect("an error").code, "22012");
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(shown(&[What::Answer(a), What::Answer(b)], 10), expected, "at {cut}");
        }
        let fewer = shown(&[What::Answer(&bytes)], 1);
        assert_eq!((fewer[0].rows.len(), fewer[0].more), (1, 1));
    }

    #[test]
    fn what_shows_nothing_is_passed_over() {
        let (mut ready, mut error, mut refusal, mut row) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        build::ready(&mut ready, wire::postgres::backend::TransactionStatus::Idle);
        build::error(&mut error, &ErrorFields::new("22012", "x"));
        build::error(&mut refusal, &ErrorFields::new("42501", "x").detail("Decision s1.2."));
        build::data_row(&mut row, &[None]);
        for (bytes, shown) in [(&ready, false), (&error, true), (&refusal, false), (&row, true)] {
            assert_eq!(shows(bytes), shown, "{bytes:?}");
            assert_eq!(shows(&[ready.as_slice(), bytes].concat()), shown, "{bytes:?}");
        }
        assert!(shows(&row[..3]) && !shows(b""));
    }

    #[test]
    fn binary_values_are_read_by_their_description_and_the_rest_is_named() {
        let (mut shape, mut rows) = (Vec::new(), Vec::new());
        build::row_description(&mut shape, &[field("n", 20, 1), field("what", 600, 1)]);
        build::data_row(&mut rows, &[Some(&7_i64.to_be_bytes()), Some(&[0xab])]);
        let rest = What::Rest { bytes: 9, digest: [1; 32] };
        let all = shown(&[What::Shape(&shape), What::Answer(&rows), What::Answer(&rows[..5]), rest], 10);
        assert_eq!(all[0].rows, [[Some("7".to_owned()), Some("\\xab".to_owned())]]);
        assert_eq!(all[0].rest.as_ref().expect("a rest").bytes, 9);
        assert_eq!(all[0].columns[0].kind, "int8");
    }
}
