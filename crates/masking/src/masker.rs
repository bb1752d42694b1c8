//! What replaces the values of one column, prepared once for each result.

use aws_lc_rs::hmac;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::strategy::Strategy;
use crate::{constant, generalize, types};

/// How many hexadecimal digits of a keyed hash are shown.
const HASH_DIGITS: usize = 16;
/// A string with fewer characters shows none of them.
const PARTIAL_FROM: usize = 8;
/// How many characters at the end a partial mask shows.
const PARTIAL_SHOWS: usize = 4;

/// The key of the `hash` strategy. Its bytes are never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// What kind of type a column has, as far as its masks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// A base type; only PostgreSQL's own are known.
    Base,
    /// An enumeration.
    Enum,
    /// An array of this element type.
    Array(u32),
    /// A domain over this type.
    Domain(u32),
    /// A row type.
    Composite,
    /// A range.
    Range,
    /// Not in the catalogue.
    Unknown,
}

/// A result column as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnShape {
    /// The type's OID.
    pub type_oid: u32,
    /// The type's modifier; -1 for none.
    pub modifier: i32,
    /// 0 for text, 1 for binary.
    pub format: i16,
    /// The type's kind.
    pub kind: TypeKind,
}

impl ColumnShape {
    pub(crate) fn is_binary(&self) -> bool {
        self.format == 1
    }

    /// Whether values are strings whose parts can be shown.
    fn is_string(&self) -> bool {
        self.kind == TypeKind::Base && types::is_string(self.type_oid)
    }

    fn is_temporal(&self) -> bool {
        self.kind == TypeKind::Base
            && matches!(self.type_oid, types::DATE | types::TIMESTAMP | types::TIMESTAMPTZ)
    }
}

/// Replaces the values of one column.
pub struct Masker {
    strategy: Strategy,
    how: How,
    scratch: Vec<u8>,
    /// Whether NULL is replaced, too: where a value is computed, that there is none tells of what it is computed of.
    computed: bool,
    /// Values that were replaced and are not counted yet.
    replaced: u64,
}

enum How {
    Constant(Option<Vec<u8>>),
    Partial,
    Hash { key: Box<hmac::Key>, digits: usize },
    Year { type_oid: u32, binary: bool },
}

impl Masker {
    /// Prepares the masks of one column. A strategy that its type cannot have becomes a constant, or NULL.
    pub fn new(strategy: Strategy, shape: ColumnShape, key: &HashKey) -> Self {
        let how = match strategy {
            Strategy::Null => How::Constant(None),
            Strategy::Partial if shape.is_string() => How::Partial,
            Strategy::Hash if shape.is_string() => How::Hash {
                key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key.0)),
                digits: types::string_limit(shape.type_oid, shape.modifier)
                    .unwrap_or(HASH_DIGITS)
                    .min(HASH_DIGITS),
            },
            Strategy::Generalize if shape.is_temporal() => {
                How::Year { type_oid: shape.type_oid, binary: shape.is_binary() }
            }
            Strategy::Redact | Strategy::Partial | Strategy::Hash | Strategy::Generalize => {
                How::Constant(constant::redacted(&shape))
            }
        };
        Self { strategy, how, scratch: Vec::new(), computed: false, replaced: 0 }
    }

    /// The same for a column that is computed of what is masked.
    #[must_use]
    pub fn of_computed(self) -> Self {
        Self { computed: true, ..self }
    }

    /// What is shown where there is no value; `None` is NULL.
    pub fn mask_null(&self) -> Option<&[u8]> {
        match &self.how {
            How::Constant(constant) if self.computed => constant.as_deref(),
            How::Constant(_) | How::Partial | How::Hash { .. } | How::Year { .. } => None,
        }
    }

    /// What is shown instead of a value; `None` is NULL. (Of NULL [`Self::mask_null`] is asked.)
    pub fn mask(&mut self, value: &[u8]) -> Option<&[u8]> {
        self.replaced += 1;
        self.scratch.clear();
        match &self.how {
            How::Constant(constant) => return constant.as_deref(),
            How::Partial => partial(value, &mut self.scratch),
            How::Hash { key, digits } => {
                let tag = hmac::sign(key, value);
                let hex = tag.as_ref().iter().flat_map(|b| [b >> 4, b & 15]).take(*digits);
                self.scratch.extend(hex.map(|n| if n < 10 { b'0' + n } else { b'a' + n - 10 }));
            }
            How::Year { type_oid, binary } => {
                if !generalize::to_year(*type_oid, *binary, value, &mut self.scratch) {
                    return None;
                }
            }
        }
        Some(&self.scratch)
    }
}

/// The last characters of a long string, stars for the others. `char(n)` keeps its padding out of the count.
fn partial(value: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(value);
    let shown = text.trim_end_matches(' ');
    let count = shown.chars().count();
    let clear = if count >= PARTIAL_FROM { PARTIAL_SHOWS } else { 0 };
    out.resize(count - clear, b'*');
    let from = shown.char_indices().nth(count - clear).map_or(shown.len(), |(at, _)| at);
    out.extend_from_slice(shown.get(from..).unwrap_or_default().as_bytes());
    out.resize(out.len() + text.len() - shown.len(), b' ');
}

/// Whether a text is what masks look like, and hardly anything else does: it would replace a value that somebody has seen masked,
/// and wants to keep.
pub fn is_mask(text: &str) -> bool {
    let shown = text.trim_end_matches(' ');
    let clear = shown.trim_start_matches('*');
    let stars = shown.len() - clear.len();
    match clear.chars().count() {
        0 => stars >= constant::STARS.len(),
        PARTIAL_SHOWS if stars >= PARTIAL_FROM - PARTIAL_SHOWS => true,
        _ => constant::TELLING.contains(&shown),
    }
}

/// What replaces which column of a result.
pub struct Plan {
    columns: Vec<Option<Masker>>,
}

impl Plan {
    /// A masker for each column that has one.
    pub fn new(columns: Vec<Option<Masker>>) -> Self {
        Self { columns }
    }

    /// Whether it replaces nothing.
    pub fn is_clear(&self) -> bool {
        self.columns.iter().all(Option::is_none)
    }

    /// The columns whose values are replaced, from 0.
    pub fn masked(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().enumerate().filter_map(|(index, masker)| masker.as_ref().map(|_| index))
    }

    /// The masker of a column.
    pub fn column(&mut self, index: usize) -> Option<&mut Masker> {
        self.columns.get_mut(index)?.as_mut()
    }

    /// Hands over, by strategy, how many values were replaced since the last time.
    pub fn take_counts(&mut self, mut count: impl FnMut(Strategy, u64)) {
        for masker in self.columns.iter_mut().flatten() {
            match std::mem::take(&mut masker.replaced) {
                0 => (),
                replaced => count(masker.strategy, replaced),
            }
        }
    }

    /// How many columns it is for.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether it is for a result without columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}
