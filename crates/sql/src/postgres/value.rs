//! What an expression's value depends on.

use std::sync::Arc;

use super::catalog::Oid;
use super::{Lineage, Source};

/// `unknown`: a literal whose type is not decided yet.
pub(super) const UNKNOWN: Oid = Oid(705);
/// `bool`
pub(super) const BOOL: Oid = Oid(16);
/// `int4`
pub(super) const INT4: Oid = Oid(23);
/// `numeric`
pub(super) const NUMERIC: Oid = Oid(1700);
/// `text`
pub(super) const TEXT: Oid = Oid(25);
/// `jsonb`
pub(super) const JSONB: Oid = Oid(3802);
/// `record`
pub(super) const RECORD: Oid = Oid(2249);

/// How tagged columns reach a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Flow {
    /// Not at all.
    #[default]
    Clear,
    /// It is the very value of one of these columns.
    Plain(Vec<Source>),
    /// It is computed from these columns.
    Derived(Vec<Source>),
    /// Not certain; why.
    Unknown(String),
}

impl Flow {
    /// What comes out where one value or another does: a set operation, a merged column.
    pub(super) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown(why), _) | (_, Self::Unknown(why)) => Self::Unknown(why),
            (Self::Clear, flow) | (flow, Self::Clear) => flow,
            (Self::Plain(a), Self::Plain(b)) => Self::Plain(union(a, b)),
            (Self::Plain(a) | Self::Derived(a), Self::Derived(b) | Self::Plain(b)) => {
                Self::Derived(union(a, b))
            }
        }
    }

    /// What is computed from both.
    pub(super) fn both(self, other: Self) -> Self {
        self.computed().either(other.computed())
    }

    /// What is computed from it.
    pub(super) fn computed(self) -> Self {
        match self {
            Self::Plain(sources) => Self::Derived(sources),
            flow @ (Self::Clear | Self::Derived(_) | Self::Unknown(_)) => flow,
        }
    }

    /// The tagged columns behind it.
    pub(super) fn sources(&self) -> &[Source] {
        match self {
            Self::Plain(sources) | Self::Derived(sources) => sources,
            Self::Clear | Self::Unknown(_) => &[],
        }
    }

    pub(super) fn is_clear(&self) -> bool {
        matches!(self, Self::Clear)
    }
}

fn union(mut a: Vec<Source>, b: Vec<Source>) -> Vec<Source> {
    for source in b {
        if !a.contains(&source) {
            a.push(source);
        }
    }
    a
}

impl From<Flow> for Lineage {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Clear => Self::Clear,
            Flow::Plain(sources) => Self::Plain(sources),
            Flow::Derived(sources) => Self::Derived(sources),
            Flow::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// A value: what it depends on, and its type where that is certain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub flow: Flow,
    pub type_oid: Option<Oid>,
    /// The columns of a row.
    pub row: Option<Arc<[Col]>>,
}

impl Value {
    /// A value without tagged columns.
    pub(super) fn clear(type_oid: Option<Oid>) -> Self {
        Self { flow: Flow::Clear, type_oid, row: None }
    }

    /// A value of a certain flow and no certain type.
    pub(super) fn of(flow: Flow) -> Self {
        Self { flow, type_oid: None, row: None }
    }

    /// A whole row.
    pub(super) fn whole(columns: Arc<[Col]>, type_oid: Option<Oid>) -> Self {
        let flow = columns.iter().fold(Flow::Clear, |flow, column| flow.both(column.value.flow.clone()));
        Self { flow, type_oid, row: Some(columns) }
    }

    /// One or the other, nobody knows which.
    pub(super) fn either(self, other: Self) -> Self {
        let type_oid = self.type_oid.filter(|t| Some(*t) == other.type_oid);
        // Columns of rows go by their places, and have the names of the first.
        let row = match (self.row, other.row) {
            (Some(a), Some(b)) if Arc::ptr_eq(&a, &b) => Some(a),
            (Some(a), Some(b)) if a.len() == b.len() => {
                let both = a.iter().zip(b.iter());
                Some(both.map(|(a, b)| a.with(a.value.clone().either(b.value.clone()))).collect())
            }
            (Some(_), _) | (None, _) => None,
        };
        Self { flow: self.flow.either(other.flow), type_oid, row }
    }

    /// What stands alone is a text where nothing says what else a literal is.
    pub(super) fn settled(self) -> Self {
        let type_oid = self.type_oid.map(|t| if t == UNKNOWN { TEXT } else { t });
        Self { type_oid, ..self }
    }
}

/// Types each of which becomes the next by itself, and none the one before.
const CHAINS: [&[Oid]; 3] = [
    // Numbers.
    &[Oid(21), INT4, Oid(20), NUMERIC, Oid(700), Oid(701)],
    // `date`, `timestamp`, `timestamptz`
    &[Oid(1082), Oid(1114), Oid(1184)],
    // `time`, `timetz`
    &[Oid(1083), Oid(1266)],
];
/// `varchar` and `bpchar`: each becomes the other by itself.
const SIZED_TEXTS: [Oid; 2] = [Oid(1043), Oid(1042)];
/// `name`: what others become, and what becomes a text alone.
const NAME: Oid = Oid(19);

/// What values of two types become together, the first being named first: PostgreSQL's `select_common_type`, of types that
/// are no domains. `None` where that takes a catalogue, and where the two do not go together.
pub(super) fn common(first: Oid, second: Oid) -> Option<Oid> {
    if first == second || second == UNKNOWN {
        return Some(first);
    }
    if first == UNKNOWN {
        return Some(second);
    }
    if let Some(chain) = CHAINS.iter().find(|chain| chain.contains(&first)) {
        let rank = |t: Oid| chain.iter().position(|one| *one == t);
        return rank(second)
            .max(rank(first))
            .filter(|_| chain.contains(&second))
            .and_then(|n| chain.get(n))
            .copied();
    }
    match (first, second) {
        (NAME, t) | (t, NAME) if SIZED_TEXTS.contains(&t) => Some(NAME),
        // A text is what is preferred; what becomes one and comes of one stays what it was first.
        (TEXT, t) if t == NAME || SIZED_TEXTS.contains(&t) => Some(TEXT),
        (t, TEXT) if t == NAME || SIZED_TEXTS.contains(&t) => Some(t),
        (a, b) if SIZED_TEXTS.contains(&a) && SIZED_TEXTS.contains(&b) => Some(a),
        _ => None,
    }
}

/// A column of a row, a sub-query or a function's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Col {
    pub name: Arc<str>,
    pub value: Value,
    /// The name stands in the statement or in the catalogue. Where the server makes one up, it may be another than the one
    /// that we do: then an outer query's column may be meant.
    pub sure: bool,
    /// `*` leaves it out.
    pub hidden: bool,
}

impl Col {
    /// A column under a name that is written somewhere.
    pub(super) fn new(name: impl Into<Arc<str>>, value: Value) -> Self {
        Self { name: name.into(), value, sure: true, hidden: false }
    }

    /// A column under a name that the server makes up.
    pub(super) fn guessed(name: impl Into<Arc<str>>, value: Value) -> Self {
        Self { sure: false, ..Self::new(name, value) }
    }

    /// The same column with another value.
    pub(super) fn with(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_types_become_what_the_server_makes_of_them() {
        let (date, timestamp, zoned) = (Oid(1082), Oid(1114), Oid(1184));
        let (varchar, bpchar) = (Oid(1043), Oid(1042));
        // What `pg_typeof(coalesce(NULL::first, NULL::second))` says on 13, 15 and 18.
        let pairs = [
            (INT4, Oid(20), Some(Oid(20))),
            (NUMERIC, INT4, Some(NUMERIC)),
            (Oid(700), NUMERIC, Some(Oid(700))),
            (date, zoned, Some(zoned)),
            (timestamp, date, Some(timestamp)),
            (Oid(1083), Oid(1266), Some(Oid(1266))),
            (TEXT, varchar, Some(TEXT)),
            (varchar, TEXT, Some(varchar)),
            (varchar, bpchar, Some(varchar)),
            (bpchar, varchar, Some(bpchar)),
            (varchar, NAME, Some(NAME)),
            (NAME, bpchar, Some(NAME)),
            (NAME, TEXT, Some(NAME)),
            (TEXT, NAME, Some(TEXT)),
            (UNKNOWN, JSONB, Some(JSONB)),
            (JSONB, UNKNOWN, Some(JSONB)),
            (UNKNOWN, UNKNOWN, Some(UNKNOWN)),
            // Refused by the server.
            (INT4, TEXT, None),
            (date, Oid(1083), None),
            (TEXT, date, None),
        ];
        for (first, second, wanted) in pairs {
            assert_eq!(common(first, second), wanted, "{first:?} and {second:?}");
        }
    }
}
