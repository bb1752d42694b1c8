//! A plan on the page of its request: what comes, goes and changes of the schema, and each statement with what it would do.

use maud::{Markup, html};
use model::{CarriedBy, Ceiling, Change, Plan, Progress, Sign, Step, Tried};

use super::words;

/// What stands above its effects: how it runs, and what becomes of the schema.
pub(super) fn overview(plan: &Plan) -> Markup {
    let Plan { reason, steps, apart, schema, unforeseen, by, tried } = plan;
    html! {
        @if let Some(reason) = reason { p { "Its reason, as whoever asks says it: " q { (words::visible(reason)) } } }
        @match apart {
            None => p { "Its " (steps.len()) " statements run in one transaction: all of them stay, or none." },
            Some(why) => p.problem {
                "Its " (steps.len()) " statements run one by one: " (words::visible(why))
                ". What has run stays; where one fails, those behind it do not run."
            },
        }
        @match by {
            CarriedBy::Gateway => p { "The gateway sends them as soon as it is approved." },
            CarriedBy::Session => p { "Whoever asked sends them, in this order, in a session of theirs." },
            CarriedBy::Message => {},
        }
        @match tried {
            Some(Tried::Whole) => p { "All of them were tried in one transaction that was rolled back, each behind those before it." },
            Some(Tried::Failed(why)) => p.problem {
                "When it was tried and rolled back, " (words::visible(why)) ": as it is, nothing of it would stay."
            },
            Some(Tried::No(why)) => p.problem {
                "It was not tried, as policy wants: " (words::visible(why)) ". Each of its statements was counted by itself."
            },
            None => {},
        }
        @if !schema.is_empty() {
            h3 { "What becomes of the schema" }
            pre.diff tabindex="0" aria-label="What becomes of the schema" {
                @for change in schema {
                    @match change.sign {
                        Sign::Comes => span.new { (changed(change)) "\n" },
                        Sign::Goes => span.gone { (changed(change)) "\n" },
                        Sign::Changes => span.same { (changed(change)) "\n" },
                    }
                }
            }
        }
        @for why in unforeseen { p.problem { "Not foreseen: " (words::visible(why)) "." } }
    }
}

fn changed(change: &Change) -> Markup {
    let Change { step, sign, what, detail } = change;
    html! {
        (sign.mark()) " " (words::visible(what))
        @if !detail.is_empty() { ": " (words::visible(detail)) }
        " (" (step) ")"
    }
}

/// The statements, in their order.
pub(super) fn statements(plan: &Plan, progress: &Progress) -> Markup {
    html! {
        ol.plan {
            @for (n, step) in plan.steps.iter().enumerate() {
                li { h3 { "Statement " (n + 1) " of " (plan.steps.len()) } (statement(step)) @if let Some(done) = progress.done.get(n) {
                    @match &done.error {
                        Some(error) => p.problem { "Failed: " (words::visible(error)) },
                        None => p.foot { "Ran: " (words::visible(&done.tag)) },
                    }
                } }
            }
        }
    }
}

fn statement(step: &Step) -> Markup {
    html! {
        pre.sql tabindex="0" aria-label="A statement of the plan" { code { (words::statement(&step.text)) } }
        ul.effects {
            @for line in &step.effects {
                @let (said, danger) = words::effect(line);
                li.danger[danger] { (words::visible(&said)) }
            }
            @for line in &step.words { li { (words::visible(line)) } }
            @if let Ceiling::Rows { most, .. } = &step.ceiling { li { "at most " (most) " rows: with more it fails" } }
        }
        (super::request::preview(&step.preview))
        p.foot {
            @if step.holds.is_empty() { "policy allows it as it is" }
            @else { "held by " (words::visible(&step.holds.join(", "))) }
        }
    }
}
