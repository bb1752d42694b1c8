//! From text to PostgreSQL's own parse tree, within bounds, and only as the server's version would read it.
//!
//! libpg_query is the grammar of PostgreSQL 18. What an older server reads otherwise is refused here: literals such as
//! `1_000` and `0x1F`, which lex as a number and an alias before 16. Words that are grammar in newer versions and
//! functions in older ones are refused where the tree is read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_query::protobuf::{KeywordKind, RawStmt, ScanToken, Token};

use super::{Options, Refusal};

/// Texts up to this many bytes cannot nest deeper than the stack of a session allows.
const SHORT: usize = 3_000;
/// So many places are tried to find where a syntax error is.
const PLACES: usize = 64;
/// And so many bytes are read for that, about.
const LONG: usize = 4 * 1024 * 1024;

/// So many levels of the tree a CASE is: itself, its list, its arm and what stands in that.
const CASE: usize = 4;

/// A text that the grammar accepts.
pub(super) struct Parsed {
    /// Its statements, in order.
    pub statements: Vec<RawStmt>,
    /// Its tokens, without white space; comments are in it.
    pub tokens: Vec<ScanToken>,
}

pub(super) fn parse(text: &str, major: u32, options: &Options) -> Result<Parsed, Refusal> {
    if text.len() > options.longest {
        return Err(Refusal::TooComplex(format!(
            "a statement of {} bytes is longer than the {} that the gateway takes",
            text.len(),
            options.longest
        )));
    }
    if text.contains('\0') {
        return Err(Refusal::Syntax {
            message: "a statement cannot contain a NUL".to_owned(),
            position: None,
        });
    }
    // A text cannot have more words than bytes.
    if text.len() > options.wordiest && super::words::words(text) > options.wordiest {
        return Err(Refusal::TooComplex(format!(
            "a statement of more than {} words and signs is more than the gateway takes",
            options.wordiest
        )));
    }
    let tokens = tokens(text).map_err(|error| syntax(text, &error))?;
    if tokens.is_empty() {
        return Ok(Parsed { statements: Vec::new(), tokens });
    }
    if text.len() > SHORT && chain(text, &tokens) > options.deepest * 4 {
        return Err(Refusal::TooComplex("the statement is nested deeper than the gateway takes".to_owned()));
    }
    if major < 16 {
        tokens.iter().try_for_each(|token| number(text, token, major))?;
    }
    // The library's own look at the tree can panic on trees that it does not expect.
    let parsed = catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, 0)))
        .map_err(|_| Refusal::TooComplex("the statement cannot be read with certainty".to_owned()))?;
    match parsed {
        Ok(parsed) => Ok(Parsed { statements: parsed.protobuf.stmts, tokens }),
        Err(error) if error.to_string().contains("stack depth limit exceeded") => {
            Err(Refusal::TooComplex("the statement is nested deeper than the gateway takes".to_owned()))
        }
        Err(error) => Err(syntax(text, &error)),
    }
}

/// The tokens of a text. The library reads through a null pointer where there is none.
pub(super) fn tokens(text: &str) -> Result<Vec<ScanToken>, pg_query::Error> {
    if text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
        return Ok(Vec::new());
    }
    pg_query::scan_tokens(text)
}

/// An upper bound of how deep the tree can be: brackets, and within a bracket what stands between commas. Lists of AND
/// and OR are flat, and so are the arms of a CASE, which is a bracket of its own up to its END; joins and set operations are
/// not.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other token is counted alike")]
fn chain(text: &str, tokens: &[ScanToken]) -> usize {
    #[derive(Default, Clone)]
    struct Level {
        fixed: usize,
        run: usize,
        between: bool,
        /// A CASE has begun it.
        is_case: bool,
    }
    impl Level {
        /// How deep what it begins stands in what is around it.
        fn step(&self) -> usize {
            if self.is_case { CASE } else { 1 }
        }
    }
    let mut above: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let (mut sum, mut deepest) = (0_usize, 0_usize);
    // Behind a dot and behind AS every word is a name.
    let mut names = false;
    for token in tokens {
        if matches!(token.token(), Token::SqlComment | Token::CComment) {
            continue;
        }
        let word = piece(text, token);
        let is_name = std::mem::replace(&mut names, word == "." || token.token() == Token::As);
        match word {
            "(" | "[" => {
                let inner = Level::default();
                sum += level.fixed + level.run + inner.step();
                above.push(std::mem::replace(&mut level, inner));
                continue;
            }
            ")" | "]" => {
                // What looked like a CASE was a name, where it has no END before the bracket's.
                while let Some(before) = above.pop() {
                    let ended = std::mem::replace(&mut level, before);
                    sum = sum.saturating_sub(level.fixed + level.run + ended.step());
                    if !ended.is_case {
                        break;
                    }
                }
                level.run += 1;
            }
            "," => level = Level { fixed: level.fixed, is_case: level.is_case, ..Level::default() },
            ";" => level = Level { is_case: level.is_case, ..Level::default() },
            _ => match token.token() {
                Token::Case if !is_name => {
                    let inner = Level { is_case: true, ..Level::default() };
                    sum += level.fixed + level.run + inner.step();
                    above.push(std::mem::replace(&mut level, inner));
                    continue;
                }
                Token::EndP if level.is_case && !is_name => {
                    if let Some(before) = above.pop() {
                        let ended = std::mem::replace(&mut level, before);
                        sum = sum.saturating_sub(level.fixed + level.run + ended.step());
                    }
                    level.run += 1;
                }
                Token::When | Token::Then | Token::Else if level.is_case && !is_name => {
                    level = Level { is_case: true, ..Level::default() };
                }
                Token::And | Token::Or if !level.between => level.run = 0,
                Token::Between => {
                    level.between = true;
                    level.run += 1;
                }
                Token::Join | Token::Union | Token::Intersect | Token::Except | Token::Select => {
                    level.fixed += 1;
                }
                _ => level.run += 1,
            },
        }
        deepest = deepest.max(sum + level.fixed + level.run);
    }
    deepest
}

/// The text of a token.
pub(super) fn piece<'t>(text: &'t str, token: &ScanToken) -> &'t str {
    let (start, end) = (usize::try_from(token.start).unwrap_or(0), usize::try_from(token.end).unwrap_or(0));
    text.get(start..end).unwrap_or_default()
}

/// Whether the server's version reads the numbers of a text as the grammar of today does.
pub(super) fn same_numbers(text: &str, major: u32) -> bool {
    major >= 16
        || tokens(text).is_ok_and(|tokens| tokens.iter().all(|token| number(text, token, major).is_ok()))
}

/// Numbers that the server's version would read otherwise.
fn number(text: &str, token: &ScanToken, major: u32) -> Result<(), Refusal> {
    if !matches!(token.token(), Token::Iconst | Token::Fconst) {
        return Ok(());
    }
    let word = piece(text, token);
    let newer = word.contains('_')
        || word.get(..2).is_some_and(|w| matches!(w.to_ascii_lowercase().as_str(), "0x" | "0o" | "0b"));
    if !newer {
        return Ok(());
    }
    Err(Refusal::OtherVersion(format!("the number \"{word}\" is not read as one by PostgreSQL {major}")))
}

/// A message without what it quotes of the text, unless that is a word or a sign of the grammar's own: an unfinished quote,
/// or what stands where a password would, is quoted like anything else.
pub(super) fn without_quoted(message: &str) -> String {
    let Some((before, quoted)) = message.split_once('"') else { return message.to_owned() };
    match quoted.rsplit_once('"') {
        Some((inside, _)) if is_grammar(inside) => message.to_owned(),
        Some((_, behind)) => format!("{before}\"…\"{behind}"),
        None => format!("{before}\"…\""),
    }
}

fn is_grammar(word: &str) -> bool {
    let is_sign = word.len() <= 2 && word.chars().all(|c| "()[].,;:=<>+-*/%".contains(c));
    let is_word = || word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    is_sign
        || is_word()
            && tokens(word).is_ok_and(
                |tokens| matches!(tokens.as_slice(), [one] if one.keyword_kind() != KeywordKind::NoKeyword),
            )
}

/// The grammar's error with its place: the library does not say it, so the first token is sought before which the text
/// is a possible beginning and with which it is not.
fn syntax(text: &str, error: &pg_query::Error) -> Refusal {
    let whole = error.to_string();
    let message = ["Invalid statement: ", "Error scanning: "]
        .iter()
        .find_map(|prefix| whole.strip_prefix(prefix))
        .unwrap_or(&whole)
        .to_owned();
    let position = place(text, &message).map(|at| {
        let before = text.get(..at).unwrap_or(text).chars().count();
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    });
    Refusal::Syntax { message, position }
}

fn place(text: &str, message: &str) -> Option<usize> {
    if message.ends_with("at end of input") {
        return Some(text.len());
    }
    let near = message.split_once(" at or near \"")?.1.strip_suffix('"')?;
    let most = PLACES.min(LONG / text.len().max(1));
    let mut places = text.match_indices(near).map(|(at, _)| at).take(most);
    places.find(|at| {
        let end = at + near.len();
        // An unfinished quote or comment is reported with all that follows it.
        let so_far = text.get(..end).unwrap_or(text);
        catch_unwind(AssertUnwindSafe(|| pg_query::parse(so_far, 0))).is_ok_and(|parsed| {
            parsed.is_err_and(|e| e.to_string().ends_with(&format!("at or near \"{near}\"")))
        })
    })
}
