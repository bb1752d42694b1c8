//! What tests of policies said: those that fail first, each with why.

use gateway::cases::{self, Outcome};
use maud::{Markup, html};

use super::words;

/// All of them, or that there are none.
pub(super) fn of(tests: &[Outcome]) -> Markup {
    let failing = cases::failing(tests).count();
    let (class, says) = match (failing, tests.len()) {
        (_, 0) => ("notice", "There are no tests.".to_owned()),
        (0, 1) => ("notice good", "The one test passes.".to_owned()),
        (0, all) => ("notice good", format!("All {all} tests pass.")),
        (failing, 1) if failing > 0 => ("problem", "The one test fails:".to_owned()),
        (failing, all) => ("problem", format!("{failing} of {all} tests fail:")),
    };
    html! {
        section.outcomes aria-label="Tests" {
            div class=(class) role="status" {
                strong { (says) }
                @if failing > 0 {
                    ul {
                        @for outcome in cases::failing(tests) {
                            li {
                                strong { (words::visible(&outcome.name)) } ": "
                                (words::visible(outcome.problem.as_deref().unwrap_or_default()))
                                " " span.count { "in " (words::visible(&outcome.file)) }
                            }
                        }
                    }
                }
            }
            @if failing < tests.len() {
                details {
                    summary { @if failing > 0 { "Those that pass" } @else { "Which they are" } }
                    ul.rows {
                        @for outcome in tests.iter().filter(|outcome| outcome.problem.is_none()) {
                            li.split { span { (words::visible(&outcome.name)) } span.chip.good { "passes" } }
                        }
                    }
                }
            }
        }
    }
}

/// How many a file has.
pub(super) fn count(name: &str, text: &str) -> String {
    match cases::read(name, text).map(|tests| tests.case.len()) {
        Ok(1) => "1 test".to_owned(),
        Ok(count) => format!("{count} tests"),
        Err(_) => "cannot be read".to_owned(),
    }
}
