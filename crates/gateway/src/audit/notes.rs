//! What records say of statements, bounded, and commitments to their values.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;
use journal::record::{Commitment, Fields};
use model::Effect;
use sql::postgres::Spelled;

/// So many effects of one operation are listed, and then how many more there are.
const MOST_EFFECTS: usize = 200;
/// So many values of one operation have commitments of their own; those behind share one.
const MOST_VALUES: usize = 200;
/// A statement's text is cut here, in bytes.
const LONGEST_TEXT: usize = 256 * 1024;
/// Other texts of a record are cut here, in bytes.
const LONGEST_WORDS: usize = 2048;

/// What the journal keeps of a statement: placeholders for its literals, commitments for their values.
#[derive(Debug)]
pub struct StatementNote<'a> {
    /// In which message it came.
    pub phase: &'static str,
    /// `select`, `update`, …
    pub kind: &'a str,
    /// With placeholders.
    pub text: &'a str,
    /// Both and its effects as they stand in records, see [`fields`].
    pub fields: &'a Fields,
    /// The values, in order.
    pub values: Vec<ValueNote<'a>>,
}

/// A value as its approver reads it: what it is, and what the client says of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `None` for NULL.
    pub text: Option<String>,
    /// `int4`; `int4, binary` where the text is its bytes in hexadecimal. Empty where nothing is said.
    pub kind: String,
}

/// A value, on its way to its commitment or to an approver. It is never printed.
pub struct ValueNote<'a> {
    /// As it came.
    pub bytes: Option<&'a [u8]>,
    /// What the bytes are.
    pub form: Form,
}

/// What the bytes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A literal of the statement's text, in this spelling.
    Literal(Spelled),
    /// A parameter as text, and what the client says of its type: an OID of PostgreSQL's, 0 where it says nothing.
    Text(u32),
    /// The same in the type's binary format.
    Binary(u32),
}

impl fmt::Debug for ValueNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueNote")
    }
}

/// Commitments that can be checked by who has the session's key, and tell nothing to others: not even whether two
/// values are equal. One is the first half of the SHA-256 of key, decision, index, and each value behind its length;
/// the half that is not shown is what continuing it would take.
pub(super) fn commitments(key: &[u8; 32], decisions: u64, values: &[ValueNote<'_>]) -> Vec<Commitment> {
    let one = |index: usize, values: &[ValueNote<'_>]| {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(key);
        context.update(&(u128::from(decisions) << 64 | u128::from(wide(index))).to_be_bytes());
        for ValueNote { bytes, form: _ } in values {
            match bytes {
                None => context.update(&[0]),
                Some(value) => {
                    context.update(&(1_u128 << 64 | u128::from(wide(value.len()))).to_be_bytes());
                    context.update(value);
                }
            }
        }
        Commitment(context.finish().as_ref().first_chunk().copied().unwrap_or_default())
    };
    let (single, shared) = values.split_at(values.len().min(MOST_VALUES));
    let mut all: Vec<Commitment> =
        single.iter().enumerate().map(|(i, v)| one(i, std::slice::from_ref(v))).collect();
    if !shared.is_empty() {
        all.push(one(single.len(), shared));
    }
    all
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// What records say of an operation, bounded.
pub fn fields(kind: &str, text: &str, effects: &[Effect]) -> Fields {
    let mut lines: Vec<String> = effects.iter().take(MOST_EFFECTS).map(line).collect();
    if effects.len() > MOST_EFFECTS {
        lines.push(format!("and {} more", effects.len() - MOST_EFFECTS));
    }
    Fields::operation(kind, &bounded(text), &lines)
}

/// One effect in a line: `update public.orders`, `select public.t via public.v`, `unknown the target: why`.
pub(crate) fn line(effect: &Effect) -> String {
    let mut line = format!("{} {}", effect.action.as_str(), effect.resource);
    if let Some(view) = &effect.via {
        line.push_str(" via ");
        line.push_str(&view.to_string());
    }
    if let Some(why) = &effect.why {
        line.push_str(": ");
        line.push_str(&cut(why));
    }
    line
}

/// A statement's text, bounded.
fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    let cut = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
    Cow::Owned(format!("{cut}…"))
}

pub(super) fn cut(words: &str) -> String {
    if words.len() <= LONGEST_WORDS {
        return words.to_owned();
    }
    let mut short = words.get(..words.floor_char_boundary(LONGEST_WORDS)).unwrap_or_default().to_owned();
    short.push('…');
    short
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
