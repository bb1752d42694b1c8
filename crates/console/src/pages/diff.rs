//! What changed between two texts, line by line.

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::words;

/// Lines around a change that are shown with it.
const AROUND: usize = 3;
/// So many lines are shown.
const MOST: usize = 600;

/// The changes; nothing where there are none.
pub(super) fn lines(before: &str, after: &str) -> Markup {
    let diff = TextDiff::from_lines(before, after);
    let groups = diff.grouped_ops(AROUND);
    let changes = groups.iter().enumerate().flat_map(|(n, group)| {
        let inside = group.iter().flat_map(|op| diff.iter_changes(op));
        inside.enumerate().map(move |(at, change)| (n > 0 && at == 0, change))
    });
    let mut changes = changes.peekable();
    html! {
        @if changes.peek().is_some() {
            pre.diff tabindex="0" aria-label="What changed" {
                @for (gap, change) in changes.by_ref().take(MOST) {
                    @let (class, sign, says) = sign(change.tag());
                    @if gap { span.gap { "⋯\n" } }
                    span class=(class) { span.sign aria-label=[says] { (sign) " " } (words::visible(change.value().trim_end_matches('\n'))) "\n" }
                }
                @if changes.peek().is_some() { span.gap { "⋯ and more\n" } }
            }
        }
    }
}

fn sign(tag: ChangeTag) -> (&'static str, &'static str, Option<&'static str>) {
    match tag {
        ChangeTag::Equal => ("same", " ", None),
        ChangeTag::Delete => ("gone", "−", Some("removed")),
        ChangeTag::Insert => ("new", "+", Some("added")),
    }
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn what_changed_is_shown_with_what_is_around_it_and_nothing_else() {
        let text: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let other = text.replace("line 20\n", "line <twenty>\n");
        let shown = lines(&text, &other).into_string();
        for (part, there) in [
            ("line 20", true),
            ("line &lt;twenty&gt;", true),
            ("line 17", true),
            ("line 23", true),
            ("line 16", false),
            ("line 24", false),
            ("<twenty>", false),
        ] {
            assert_eq!(shown.contains(part), there, "{part}: {shown}");
        }
        assert_eq!(lines(&text, &text).into_string(), "");
    }
}
