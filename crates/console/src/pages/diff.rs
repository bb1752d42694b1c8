//! What changed between two texts, line by line.

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::words;

/// Lines around a change that are shown with it.
const AROUND: usize = 3;
/// So many lines are shown.
const MOST: usize = 600;
/// What a tab is shown as: it is in honest files, and hides nothing.
const TAB: &str = "    ";

/// The changes, as many as are read; nothing where there are none.
pub(super) fn lines(before: &str, after: &str) -> Markup {
    shown(before, after, MOST)
}

/// All of the changes, for whoever confirms them.
pub(super) fn whole(before: &str, after: &str) -> Markup {
    shown(before, after, usize::MAX)
}

/// The lines that are new, as they are.
pub(super) fn added(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let new = diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert);
    new.map(|change| change.value()).collect()
}

fn shown(before: &str, after: &str, most: usize) -> Markup {
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
                @for (gap, change) in changes.by_ref().take(most) {
                    @let (class, sign, says) = sign(change.tag());
                    @if gap { span.gap { "⋯\n" } }
                    span class=(class) { span.sign aria-label=[says] { (sign) " " } (words::visible(&change.value().trim_end_matches('\n').replace('\t', TAB))) "\n" }
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
    use super::{added, lines, whole};

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

    #[test]
    fn whoever_confirms_sees_what_stands_behind_many_lines_and_many_spaces() {
        let noise: String = (0..2000).map(|n| format!("// {n}\n")).collect();
        let after =
            format!("{noise}\tpermit (…);{}permit (principal, action, resource);\n", " ".repeat(5000));
        assert!(lines("", &after).into_string().contains("⋯ and more"));
        let shown = whole("", &after).into_string();
        assert!(shown.contains("    permit (…);") && shown.contains("permit (principal, action, resource);"));
        assert!(!shown.contains("⋯") && !shown.contains("U+0009"));
        assert_eq!(added("a\nb\nc\n", "a\nx\nc\nd\n"), "x\nd\n");
    }
}
