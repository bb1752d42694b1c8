//! Which tag a column should have, by its name and type: a proposal masks until a person clears it.
//!
//! It errs to the side of masking, but not for what is plainly *about* such a value: whether an address is verified,
//! when a password changed, which kind of card it is.

mod words;

use std::sync::LazyLock;

use hashbrown::{HashMap, HashSet};

use words::{AFTER, BEFORE, BEFORE_NUMBER, NETWORK, NO_ENDING, RULES, Rule};

/// The tag that a column seems to need. `type_name` is as `format_type` writes it.
pub(super) fn propose(schema: &str, table: &str, column: &str, type_name: &str) -> Option<&'static str> {
    if matches!(schema, "pg_catalog" | "information_schema" | "pg_toast") {
        return None;
    }
    let kind = Kind::of(type_name);
    let column = tokens(column);
    match kind {
        Kind::Never => return None,
        Kind::Network => {
            let network = column.iter().any(|token| has(NETWORK, token));
            return (!network).then_some("pii.ip");
        }
        Kind::Text | Kind::Number | Kind::Date | Kind::Uuid => (),
    }
    let table = tokens(table);
    let rule = first(&table, &column, kind).or_else(|| {
        // A domain says what it holds: `contact public.email`.
        let own = type_name.rsplit('.').next().filter(|_| kind == Kind::Text)?;
        first(&[], &tokens(own), kind)
    });
    rule.map(|rule| rule.tag)
}

/// What a column can hold, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text, and everything that could carry it: bytes, JSON, domains, enums, composite types, arrays of them.
    Text,
    Number,
    Date,
    Uuid,
    /// An address of one host.
    Network,
    /// Truth values, spans of time, ranges, geometry.
    Never,
}

impl Kind {
    fn of(type_name: &str) -> Self {
        let name = type_name.to_ascii_lowercase();
        let name = name.trim_end_matches("[]").trim_start_matches("pg_catalog.");
        let name = name.split('(').next().unwrap_or(name).trim();
        match name {
            "boolean" | "bool" | "bit" | "bit varying" | "varbit" | "interval" | "cidr" | "macaddr"
            | "macaddr8" => Self::Never,
            "oid" | "xid" | "xid8" | "tid" | "pg_lsn" | "point" | "line" | "lseg" | "box" | "path"
            | "polygon" | "circle" => Self::Never,
            "smallint" | "integer" | "bigint" | "int" | "int2" | "int4" | "int8" | "numeric" | "decimal"
            | "real" | "double precision" | "float4" | "float8" | "money" => Self::Number,
            "uuid" => Self::Uuid,
            "inet" => Self::Network,
            "date" => Self::Date,
            _ if name.starts_with("timestamp") => Self::Date,
            _ if name == "time" || name.starts_with("time ") || name == "timetz" => Self::Never,
            _ if name.ends_with("range") => Self::Never,
            _ => Self::Text,
        }
    }
}

/// The words of a name: `emailAddress2`, `EMAIL-ADDRESS_2` → `email`, `address`, `2`; accents folded as people do
/// without them.
fn tokens(name: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut characters = name.chars().peekable();
    let mut before = None::<char>;
    while let Some(c) = characters.next() {
        // A combining accent belongs to the letter before it.
        if matches!(c, '\u{300}'..='\u{36f}') {
            continue;
        }
        let starts = before.is_some_and(|before| {
            (before.is_lowercase() && c.is_uppercase())
                || (before.is_alphabetic()
                    && c.is_uppercase()
                    && characters.peek().is_some_and(|c| c.is_lowercase()))
        });
        before = Some(c);
        if starts || !c.is_alphanumeric() {
            tokens.push(String::new());
        }
        if let Some(token) = tokens.last_mut().filter(|_| c.is_alphanumeric()) {
            c.to_lowercase().for_each(|c| fold(c, token));
        }
    }
    // A number at the end is one more of the same; inside a word it belongs to it (`ipv4`, `cvv2`), where that is known.
    let tokens = tokens.into_iter().filter(|token| !token.is_empty());
    tokens
        .map(|token| {
            let bare = token.trim_end_matches(|c: char| c.is_ascii_digit());
            if bare.len() == token.len() || bare.is_empty() || NUMBERED.contains(token.as_str()) {
                token
            } else {
                bare.to_owned()
            }
        })
        .collect()
}

fn fold(c: char, out: &mut String) {
    match c {
        'ä' | 'æ' => out.push_str("ae"),
        'ö' | 'œ' => out.push_str("oe"),
        'ü' => out.push_str("ue"),
        'ß' => out.push_str("ss"),
        'à' | 'á' | 'â' | 'ã' => out.push('a'),
        'é' | 'è' | 'ê' | 'ë' => out.push('e'),
        'í' | 'î' | 'ï' => out.push('i'),
        'ó' | 'ô' => out.push('o'),
        'ú' | 'û' | 'ù' => out.push('u'),
        'ñ' => out.push('n'),
        'ç' => out.push('c'),
        c => out.push(c),
    }
}

/// The phrases of all rules by their first word.
static PHRASES: LazyLock<HashMap<&'static str, Vec<Phrase>>> = LazyLock::new(|| {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for (place, rule) in RULES.iter().enumerate() {
        for phrase in rule.phrases.split(',') {
            let mut words = phrase.split_whitespace();
            if let Some(first) = words.next() {
                all.entry(first).or_default().push(Phrase { place, rule, rest: words.collect() });
            }
        }
    }
    all
});

struct Phrase {
    /// Its rule's place: the first rule that fits decides.
    place: usize,
    rule: &'static Rule,
    /// The words behind the first.
    rest: Vec<&'static str>,
}

/// The endings of all rules, with the rule and its place.
static ENDINGS: LazyLock<Vec<(&'static str, usize, &'static Rule)>> = LazyLock::new(|| {
    let rules = RULES.iter().enumerate();
    rules
        .flat_map(|(place, rule)| rule.endings.split_whitespace().map(move |end| (end, place, rule)))
        .collect()
});

/// Words with a number at their end that are words of their own.
static NUMBERED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let words = RULES.iter().flat_map(|rule| rule.phrases.split([',', ' ']).chain(rule.not_after.split(' ')));
    words.filter(|word| word.ends_with(|c: char| c.is_ascii_digit())).collect()
});

/// The first rule that fits a column.
fn first(table: &[String], column: &[String], kind: Kind) -> Option<&'static Rule> {
    let mut best = None::<(usize, &'static Rule)>;
    for (at, token) in column.iter().enumerate() {
        let (before, behind) =
            (column.get(..at).unwrap_or_default(), column.get(at + 1..).unwrap_or_default());
        let phrases = PHRASES.get(token.as_str()).into_iter().flatten().filter_map(|phrase| {
            let after = behind.get(phrase.rest.len()..)?;
            let all = phrase.rest.iter().zip(behind).all(|(want, token)| want == token);
            (all && fits(phrase.rule, table, before, after, kind)).then_some((phrase.place, phrase.rule))
        });
        let endings = ENDINGS.iter().filter(|(end, ..)| ends(token, end));
        let endings = endings.map(|(_, place, rule)| (*place, *rule));
        let endings = endings.filter(|(_, rule)| fits(rule, table, before, behind, kind));
        best = phrases.chain(endings).chain(best).min_by_key(|(place, _)| *place);
    }
    best.map(|(_, rule)| rule)
}

fn ends(token: &str, end: &str) -> bool {
    token.len() > end.len() && token.ends_with(end) && !has(NO_ENDING, token)
}

fn fits(rule: &Rule, table: &[String], before: &[String], after: &[String], kind: Kind) -> bool {
    let placed = rule.tables.is_empty()
        || (before.is_empty() && after.is_empty() && table.iter().any(|token| has(rule.tables, token)));
    let counted = kind == Kind::Number && before.iter().any(|token| has(BEFORE_NUMBER, token));
    placed
        && rule.kinds.contains(&kind)
        && !counted
        && !before.iter().any(|token| has(BEFORE, token) || has(rule.not_before, token))
        && !after.iter().any(|token| has(AFTER, token) || has(rule.not_after, token))
}

fn has(words: &str, token: &str) -> bool {
    words.split_whitespace().any(|word| word == token)
}

#[cfg(test)]
mod tests;
