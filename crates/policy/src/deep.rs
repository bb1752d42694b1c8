//! How deep what a policy says lies in itself. Whatever reads policies calls itself as deep, Cedar's parser first of all, and
//! a stack that is at its end takes the whole process with it.

/// Brackets lie so deep in each other at most …
const DEEPEST: usize = 64;
/// … and so many operators stand in one policy: what is before one is its operand.
const LONGEST: usize = 1000;
/// So much stack is enough for that, in bytes.
const STACK: usize = 64 << 20;
/// What is no deeper than this, or has no more operators, needs no more than any thread has.
const USUAL: (usize, usize) = (16, 64);

/// Does something where there is stack enough for policies that [`beyond`] has nothing against.
pub(crate) fn with_room<T>(read: impl FnOnce() -> T) -> T {
    stacker::grow(STACK, read)
}

/// Whether one of the policies of a text needs that.
pub(crate) fn needs_room(text: &str) -> bool {
    over(text, USUAL).is_some()
}

/// Where in a text, in bytes, a policy is deeper than it may be, and what can be done about it.
pub(crate) fn beyond(text: &str) -> Option<(usize, String)> {
    let (at, what) = over(text, (DEEPEST, LONGEST))?;
    let why = match what {
        Over::Brackets => format!("brackets lie more than {DEEPEST} deep in each other"),
        Over::Operators => format!(
            "a policy has more than {LONGEST} operators: name several things at once ([…].contains(…), in, a group, a tag), or \
             write several policies"
        ),
    };
    Some((at, why))
}

/// What there is too much of.
enum Over {
    Brackets,
    Operators,
}

/// Where a policy of a text has more brackets in each other, or more operators, than this.
fn over(text: &str, (deepest, longest): (usize, usize)) -> Option<(usize, Over)> {
    let (mut brackets, mut operators) = (0_usize, 0_usize);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = match first {
            '"' => string(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if first.is_alphanumeric() || first == '_' => word(rest),
            _ if rest.starts_with("&&") || rest.starts_with("||") => 2,
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at_checked(length)?;
        match token {
            "(" | "{" => brackets += 1,
            // A member by its name, or a set.
            "[" => (brackets, operators) = (brackets + 1, operators + 1),
            ")" | "}" | "]" => brackets = brackets.saturating_sub(1),
            "&&" | "||" | "!" | "+" | "-" | "*" | "." | "if" => operators += 1,
            ";" => operators = 0,
            _ => (),
        }
        if brackets > deepest {
            return Some((at, Over::Brackets));
        }
        if operators > longest {
            return Some((at, Over::Operators));
        }
        rest = behind;
    }
    None
}

/// How long a string is, with its quotes; to the end of the text where it does not end.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}
