//! How things are written: what others wrote so that it is seen as it is, statements with their words told apart, effects as
//! sentences, moments as distances.

use std::time::{SystemTime, UNIX_EPOCH};

use gateway::visible::{seen, spaced};
use maud::{Markup, html};
use sql::postgres::{Lexeme, lexemes};

/// Text of somebody else's: every character that cannot be seen, or changes how others are seen, is written as its number.
pub(super) fn visible(text: &str) -> Markup {
    html! { @for (hidden, part) in parts(text, false) { @if hidden { (stranger(part)) } @else { (part) } } }
}

/// The same, where line breaks are line breaks.
pub(super) fn visible_lines(text: &str) -> Markup {
    html! { @for (hidden, part) in parts(text, true) { @if hidden { (stranger(part)) } @else { (part) } } }
}

fn stranger(part: &str) -> Markup {
    html! { @for c in part.chars() { span.stranger title="a character that is not seen" { (format!("U+{:04X}", u32::from(c))) } } }
}

/// Runs of characters that can be seen, and of those that cannot.
fn parts(text: &str, breaks: bool) -> Vec<(bool, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut was) = (0, false);
    for (at, c, is_plain) in seen(text) {
        let is_shown = is_plain || (breaks && c == '\n');
        let hidden = !is_shown;
        if hidden != was && at > start {
            parts.push((was, text.get(start..at).unwrap_or_default()));
            start = at;
        }
        was = hidden;
    }
    if start < text.len() {
        parts.push((was, text.get(start..).unwrap_or_default()));
    }
    parts
}

/// What is at a place of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Keyword,
    Danger,
    Text,
    Number,
    Place,
    Comment,
    Other,
}

impl Kind {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Word | Self::Other => None,
            Self::Keyword => Some("sql-key"),
            Self::Danger => Some("sql-danger"),
            Self::Text => Some("sql-text"),
            Self::Number => Some("sql-number"),
            Self::Place => Some("sql-place"),
            Self::Comment => Some("sql-comment"),
        }
    }
}

/// Words that take something away.
const DANGER: &[&str] = &["DELETE", "DROP", "TRUNCATE", "GRANT", "REVOKE", "CASCADE"];
const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ALWAYS",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CALL",
    "CASE",
    "CHECK",
    "COLUMN",
    "COMMIT",
    "CONFLICT",
    "CONSTRAINT",
    "COPY",
    "CREATE",
    "CROSS",
    "CURRENT",
    "DEFAULT",
    "DESC",
    "DISTINCT",
    "DO",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FETCH",
    "FOR",
    "FOREIGN",
    "FROM",
    "FULL",
    "FUNCTION",
    "GROUP",
    "HAVING",
    "IF",
    "ILIKE",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCK",
    "MERGE",
    "NOT",
    "NOTHING",
    "NULL",
    "OFFSET",
    "ON",
    "ONLY",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRIMARY",
    "REFERENCES",
    "RENAME",
    "RETURNING",
    "RIGHT",
    "ROLLBACK",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHARE",
    "SOME",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// A statement, its words told apart as the server's scanner does. What does not scan, as where it was cut short, has no colours:
/// a wrong one would hide what runs.
pub(super) fn statement(text: &str) -> Markup {
    html! {
        @for (kind, part) in tokens(&spaced(text)) {
            @match kind.class() {
                Some(class) => { span class=(class) { (visible_lines(part)) } }
                None => { (visible_lines(part)) }
            }
        }
    }
}

/// So much of a text is read for each character of a glance.
const READ: usize = 8;

/// The beginning of a statement in one line. Its comments are left out, since what follows one would look like a part of it; where it does
/// not scan, a line's end is seen as such.
pub(super) fn glance(text: &str, most: usize) -> Markup {
    let begin: String = text.chars().take(most.saturating_mul(READ)).collect();
    let is_scanned = lexemes(&begin).is_some();
    let begin = if is_scanned { spaced(&begin) } else { begin.replace('\n', " ↵ ") };
    let (mut shown, mut left, mut is_cut) =
        (Vec::new(), most, text.chars().nth(most.saturating_mul(READ)).is_some());
    for (kind, part) in tokens(&begin).into_iter().filter(|(kind, _)| *kind != Kind::Comment) {
        let is_gap = is_scanned && kind == Kind::Other && part.trim().is_empty();
        let part = if is_gap { " " } else { part };
        is_cut |= part.chars().count() > left;
        let part: String = part.chars().take(left).collect();
        left = left.saturating_sub(part.chars().count());
        shown.push((kind, part));
    }
    html! {
        @for (kind, part) in &shown {
            @match kind.class() {
                Some(class) => { span class=(class) { (visible(part)) } }
                None => { (visible(part)) }
            }
        }
        @if is_cut { "…" }
    }
}

fn tokens(text: &str) -> Vec<(Kind, &str)> {
    let mut tokens = Vec::new();
    let mut last = 0;
    for (lexeme, at) in lexemes(text).unwrap_or_default() {
        tokens.push((Kind::Other, text.get(last..at.start).unwrap_or_default()));
        let part = text.get(at.clone()).unwrap_or_default();
        tokens.push((kind(lexeme, part), part));
        last = at.end;
    }
    tokens.push((Kind::Other, text.get(last..).unwrap_or_default()));
    tokens.retain(|(_, part)| !part.is_empty());
    tokens
}

fn kind(lexeme: Lexeme, part: &str) -> Kind {
    match lexeme {
        Lexeme::Text => Kind::Text,
        Lexeme::Number => Kind::Number,
        Lexeme::Place => Kind::Place,
        Lexeme::Comment => Kind::Comment,
        Lexeme::Other => Kind::Other,
        Lexeme::Word => {
            let word = part.to_ascii_uppercase();
            if DANGER.contains(&word.as_str()) {
                Kind::Danger
            } else if KEYWORDS.contains(&word.as_str()) {
                Kind::Keyword
            } else {
                Kind::Word
            }
        }
    }
}

/// An effect's line as a sentence, and whether it takes something away.
pub(super) fn effect(line: &str) -> (String, bool) {
    let (action, rest) = line.split_once(' ').unwrap_or((line, ""));
    let danger = matches!(
        action,
        "delete"
            | "truncate"
            | "drop"
            | "grant"
            | "program"
            | "server_file"
            | "other_session"
            | "unknown"
            | "run_code"
    );
    let verb = match action {
        "connect" => "opens a session on",
        "select" => "reads",
        "insert" => "adds rows to",
        "update" => "changes rows of",
        "delete" => "deletes rows of",
        "merge" => "merges rows into",
        "truncate" => "empties",
        "copy_in" => "copies rows into",
        "lock_rows" => "locks rows of",
        "lock_table" => "locks",
        "sequence" => "moves the sequence",
        "large_object" => "touches large objects of",
        "create" => "creates something in",
        "alter" => "alters",
        "drop" => "drops",
        "index" => "makes an index on",
        "comment" => "comments on",
        "grant" => "changes rights on",
        "maintain" => "does maintenance on",
        "call" => "calls",
        "run_code" => "runs code on",
        "configure" => "changes",
        "listen" => "listens on",
        "notify" => "notifies others on",
        "server_file" => "touches files of the server of",
        "program" => "runs a program on the server of",
        "other_session" => "touches other sessions of",
        "replicate" => "replicates",
        "egress" => "reaches out from",
        "reveal" => "shows clear values of",
        "probe" => "lets clear values decide: of",
        "unknown" => "does something that is not understood to",
        other => return (line.to_owned(), !other.is_empty()),
    };
    (format!("{verb} {rest}"), danger)
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// A moment as a distance from now, with the exact one at hand. The script keeps it true.
pub(super) fn moment(seconds: i64) -> Markup {
    let exact = exact(seconds);
    html! { time datetime=(exact) title=(exact) data-at=(seconds) { (distance(seconds - now())) } }
}

/// The same by the second: `12:03:20 UTC`.
pub(super) fn clock(seconds: i64) -> Markup {
    let exact = exact(seconds);
    let time = jiff::Timestamp::from_second(seconds).map(|time| time.strftime("%H:%M:%S UTC").to_string());
    html! { time datetime=(exact) title=(exact) { (time.unwrap_or_default()) } }
}

/// The same of a moment as the journal writes it.
pub(super) fn moment_of(written: &str) -> Markup {
    match written.parse::<jiff::Timestamp>() {
        Ok(time) => moment(time.as_second()),
        Err(_) => visible(written),
    }
}

/// `in 12 min`, `3 h ago`.
fn distance(seconds: i64) -> String {
    let far = seconds.unsigned_abs();
    let (count, unit) = match far {
        0..=44 => return if seconds <= 0 { "just now".to_owned() } else { "in a moment".to_owned() },
        45..=5399 => (far.div_ceil(60).max(1), "min"),
        5400..=129_599 => ((far + 1800) / 3600, "h"),
        _ => ((far + 43_200) / 86_400, "days"),
    };
    if seconds < 0 { format!("{count} {unit} ago") } else { format!("in {count} {unit}") }
}

/// RFC 3339, in UTC.
pub(super) fn exact(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// For an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
