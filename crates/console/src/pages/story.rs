//! What became of a request, step by step: it is kept with the request, so that it is whole for as long as that is, and on every
//! gateway.

use maud::{Markup, html};
use model::{Reached, Request, Status, Vote};

use super::words;

/// One step.
enum Step<'a> {
    Asked,
    Answer(&'a Vote),
    Came(Status),
}

/// From when it was asked to what came of it.
pub(super) fn history(request: &Request) -> Markup {
    html! {
        section.panel aria-labelledby="story" {
            h2 #story { "Its history" }
            ol.rows.story {
                @for (at, step) in &steps(request) {
                    li {
                        span.foot { @if let Some(at) = at { span { (words::moment(*at)) } } (told(request, step)) }
                        @if let Step::Answer(Vote { words: Some(said), .. }) = step { p { "“" (words::visible(said)) "”" } }
                    }
                }
            }
        }
    }
}

/// In their order. What has no time was kept before times were, and stands where it must have been.
fn steps(request: &Request) -> Vec<(Option<i64>, Step<'_>)> {
    let answers = request.votes.iter().map(|vote| (vote.at, Step::Answer(vote)));
    let stages = request.stages.iter().map(|Reached { status, at }| (Some(*at), Step::Came(*status)));
    let mut steps: Vec<_> = answers.chain(stages).collect();
    // An answer comes before the state that it brings about.
    steps.sort_by_key(|(at, _)| at.unwrap_or(i64::MIN));
    let last = request.stages.last().map(|reached| reached.status);
    if request.status != Status::Pending && last != Some(request.status) {
        // What its time has ended may not have been noted yet.
        let by_time = matches!(request.status, Status::Expired | Status::Lapsed);
        steps.push((by_time.then_some(request.expires), Step::Came(request.status)));
    }
    steps.insert(0, (Some(request.filed), Step::Asked));
    steps
}

fn told(request: &Request, step: &Step<'_>) -> Markup {
    match step {
        Step::Asked => html! {
            strong { "asked" }
            span { "by " (words::visible(&request.principal)) }
            @for person in &request.on_behalf_of { span { "for " (words::visible(person)) } }
        },
        Step::Answer(Vote { voter, groups: _, approve, words: _, proof, most, access, names: _, at: _ }) => {
            html! {
                strong { (words::visible(voter)) @if *approve { " approved" } @else { " denied" } }
                @if let Some(given) = access.as_ref().filter(|_| *approve) {
                    span { (words::visible(&given.line())) "; " (given.bounds()) }
                } @else if let Some(most) = most { span { "at most " (most) " rows" } }
                @if let Some(proof) = proof { span { "by " (words::visible(proof)) } }
            }
        }
        Step::Came(status) => html! {
            strong { (came(*status)) }
            @if *status == request.status && let Some(outcome) = &request.outcome { span { (words::visible(outcome)) } }
        },
    }
}

fn came(status: Status) -> &'static str {
    match status {
        Status::Pending => "waits",
        Status::Approved => "enough have approved",
        Status::Denied => "denied",
        Status::Expired => "nobody answered in time",
        Status::Withdrawn => "withdrawn by whoever asked",
        Status::Claimed => "used: it was sent to the target",
        Status::Lapsed => "not used in time",
        Status::Rescinded => "the approval was taken back",
        Status::Superseded => "ended: it is asked anew",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::OutcomeUnknown => "nobody knows what came of it",
    }
}

#[cfg(test)]
mod tests;
