//! What is recorded. Field names are those of the journal's lines.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::json;

/// Names one decision, in the journal and to the client: the session, and how many decisions of it came before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DecisionId {
    /// The session's id.
    pub session: Arc<str>,
    /// From 1.
    pub n: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.n)
    }
}

impl DecisionId {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        if !json::is_plain(&self.session) {
            return serde_json::to_writer(out, self);
        }
        out.push(b'"');
        out.extend_from_slice(self.session.as_bytes());
        out.push(b'.');
        json::number(out, self.n);
        out.push(b'"');
        Ok(())
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value that only who has the session's key can check, as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment(pub [u8; 16]);

impl Serialize for Commitment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hex = [0; 32];
        json::hex(&self.0, &mut hex);
        serializer.serialize_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

/// Fields that stand in many records: they are written as JSON once.
#[derive(Debug)]
pub struct Fields(String);

impl Fields {
    /// Of an operation: what it is called, its text with placeholders, its effects as lines.
    pub fn operation(statement: &str, text: &str, effects: &[String]) -> Self {
        #[derive(Serialize)]
        struct Operation<'a> {
            statement: &'a str,
            text: &'a str,
            effects: &'a [String],
        }
        Self::of(&Operation { statement, text, effects })
    }

    /// Of a permit: the policies that decided and their version, columns shown clear, hold rules that an approval met.
    pub fn permit(policies: &[String], version: &str, revealed: &[String], approved: &[String]) -> Self {
        #[derive(Serialize)]
        struct Permit<'a> {
            policies: &'a [String],
            version: &'a str,
            revealed: &'a [String],
            approved: &'a [String],
        }
        Self::of(&Permit { policies, version, revealed, approved })
    }

    fn of<T: Serialize>(fields: &T) -> Self {
        // Texts and lists of texts can always be written; the braces go.
        let written = serde_json::to_string(fields).unwrap_or_default();
        let inside = written.strip_prefix('{').and_then(|w| w.strip_suffix('}'));
        Self(inside.unwrap_or("\"statement\":null").to_owned())
    }

    /// As they stand in a JSON object, without its braces.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An issuer's word about one of those in a session's chain.
#[derive(Debug, Clone, Serialize)]
pub struct Word {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What it calls whom it speaks of.
    pub subject: String,
    /// When it said so, in seconds since 1970.
    pub at: i64,
}

/// One record, without its place in the journal.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are named as in the journal's lines, which the variants document"
)]
pub enum Body<'a> {
    /// The gateway has started.
    Started { version: String },
    /// The end of a segment was torn by a crash; its bytes were put aside.
    Recovered { segment: String, bytes: u64 },
    /// The journal can be written again: between the record before it and this one it could not, so nothing was forwarded.
    Resumed { after: String },
    /// A client was not let in.
    LoginRefused {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        reason: String,
    },
    /// An emergency code is used up: its session opens behind this record.
    BreakGlass { code: String, principal: String, target: String, address: String, until: i64 },
    /// A session begins.
    Opened {
        principal: String,
        groups: Vec<String>,
        on_behalf_of: Vec<String>,
        /// Whose word the principal is, and since when.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        asserted: Vec<Word>,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        target: String,
        address: String,
        application: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        version: String,
        /// What becomes of it where its recording cannot be written; `off` where there is none.
        recording: &'static str,
    },
    /// An operation may go on; it is forwarded behind this record. With the fields of its operation and its permit.
    Allowed { decision: &'a DecisionId, phase: &'static str, values: &'a [Commitment] },
    /// An operation was refused. With its fields.
    Refused {
        decision: &'a DecisionId,
        phase: &'static str,
        values: &'a [Commitment],
        policies: &'a [String],
        version: &'a str,
        reason: &'a str,
        code: &'a str,
    },
    /// What could not be understood was refused.
    Unreadable { decision: &'a DecisionId, code: &'a str, reason: &'a str },
    /// An operation waits for people. With its fields.
    Held {
        decision: &'a DecisionId,
        request: &'a str,
        phase: &'static str,
        values: &'a [Commitment],
        holds: Vec<&'a str>,
        version: &'a str,
        /// What was altered since the same was asked for before: it takes that request's place.
        #[serde(skip_serializing_if = "Option::is_none")]
        changed: Option<&'a str>,
    },
    /// A held operation has its answer.
    Answered {
        request: String,
        answer: String,
        policies: Vec<String>,
        /// How many rows it may change.
        #[serde(skip_serializing_if = "Option::is_none")]
        most: Option<u64>,
        /// The standing grant that answers it, where nobody does, and which use of that it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        grant_use: Option<u64>,
    },
    /// An operation has ended at the target.
    Outcome {
        decision: &'a DecisionId,
        rows: u64,
        duration_us: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sqlstate: Option<&'a str>,
        /// How many values of its answer to an agent look like instructions.
        #[serde(skip_serializing_if = "is_none")]
        instructions: u64,
    },
    /// A statement of the gateway's own.
    Gateway { target: String, purpose: String },
    /// A session was ended from outside.
    Killed { why: String },
    /// A token of the gateway's own was issued to somebody who proved who they are with another.
    Issued {
        token: String,
        principal: String,
        groups: Vec<String>,
        on_behalf_of: Vec<String>,
        asserted: Vec<Word>,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        targets: Vec<String>,
        expires: i64,
        from: String,
    },
    /// How far a session's recording is: its file's first blocks, their bytes with its head, and the digest of both; how many
    /// events it lost, and whether it has ended.
    Recorded { recording: String, blocks: u64, bytes: u64, digest: String, lost: u64, ended: bool },
    /// Configuration, tokens or requests were changed.
    Administered { who: String, what: String, detail: String },
    /// A plan waits for people: several statements that are approved as one, here with placeholders.
    Planned {
        request: String,
        who: String,
        on_behalf_of: Vec<String>,
        target: String,
        /// In which it is carried out, where the gateway does that.
        session: String,
        digest: String,
        statements: Vec<String>,
        holds: Vec<String>,
        version: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What was altered since the same was asked for before: it takes that request's place.
        #[serde(skip_serializing_if = "Option::is_none")]
        changed: Option<String>,
    },
    /// A session has ended; nothing of it follows.
    Closed { why: String, operations: u64, refusals: u64, rows: u64 },
}

impl Body<'_> {
    /// Appends the fields, each behind a comma. The two kinds that every statement has are written by hand.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::Allowed { decision, phase, values } => {
                out.extend_from_slice(b",\"kind\":\"allowed\",\"decision\":");
                decision.write(out)?;
                out.extend_from_slice(b",\"phase\":");
                json::text(out, phase)?;
                out.extend_from_slice(b",\"values\":[");
                for (index, Commitment(value)) in values.iter().enumerate() {
                    let mut quoted = *b"\"00000000000000000000000000000000\"";
                    json::hex(value, quoted.get_mut(1..33).unwrap_or_default());
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&quoted);
                }
                out.push(b']');
                Ok(())
            }
            Self::Outcome { decision, rows, duration_us, sqlstate, instructions } => {
                out.extend_from_slice(b",\"kind\":\"outcome\",\"decision\":");
                decision.write(out)?;
                out.extend_from_slice(b",\"rows\":");
                json::number(out, *rows);
                out.extend_from_slice(b",\"duration_us\":");
                json::number(out, *duration_us);
                if let Some(sqlstate) = sqlstate {
                    out.extend_from_slice(b",\"sqlstate\":");
                    json::text(out, sqlstate)?;
                }
                if *instructions > 0 {
                    out.extend_from_slice(b",\"instructions\":");
                    json::number(out, *instructions);
                }
                Ok(())
            }
            Self::Started { .. }
            | Self::Recovered { .. }
            | Self::Resumed { .. }
            | Self::LoginRefused { .. }
            | Self::BreakGlass { .. }
            | Self::Opened { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::Held { .. }
            | Self::Answered { .. }
            | Self::Gateway { .. }
            | Self::Killed { .. }
            | Self::Administered { .. }
            | Self::Planned { .. }
            | Self::Recorded { .. }
            | Self::Issued { .. }
            | Self::Closed { .. } => self.write_any(out),
        }
    }

    fn write_any(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        // An object: its brace becomes the comma that joins it to what stands before.
        let brace = out.len();
        serde_json::to_writer(&mut *out, self)?;
        if let Some(first) = out.get_mut(brace) {
            *first = b',';
        }
        out.pop();
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_the_library_writes() {
        let one = DecisionId { session: "0a1b".into(), n: 12 };
        let odd = DecisionId { session: "a \"session\"".into(), n: 0 };
        let (none, two) = ([], [Commitment([7; 16]), Commitment([0xab; 16])]);
        let bodies = [
            Body::Allowed { decision: &one, phase: "query", values: &none },
            Body::Allowed { decision: &odd, phase: "a\\b", values: &two },
            Body::Outcome {
                decision: &one,
                rows: 0,
                duration_us: 1_000_000,
                sqlstate: None,
                instructions: 0,
            },
            Body::Outcome {
                decision: &odd,
                rows: u64::MAX,
                duration_us: 3,
                sqlstate: Some("22\u{1}12"),
                instructions: 7,
            },
        ];
        for body in bodies {
            let (mut by_hand, mut by_library) = (Vec::new(), Vec::new());
            body.write(&mut by_hand).expect("it is written");
            body.write_any(&mut by_library).expect("it is written");
            assert_eq!(String::from_utf8_lossy(&by_hand), String::from_utf8_lossy(&by_library));
        }
    }
}
