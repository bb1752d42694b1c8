//! One held operation: what it is, what it would do, who asks and why it was held; and the answer, which is to exactly what is
//! shown here.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::access::given_as;
use gateway::approvers::Said;
use gateway::people::May;
use gateway::presence::Act;
use maud::{Markup, html};
use model::{CarriedBy, Ceiling, HoldRule, Preview, Request, Shown, Status, Tier};
use policy::quorum;
use policy::rights::Right;

use super::doubts::doubts;
use super::frame::{self, Page};
use super::inbox::chip;
use super::presence::{Back, Presence, fields, of_form, question, said_before};
use super::problem::Problem;
use super::story::history;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, access, lately, plan, standing, whole, words};
use crate::form::Form;

/// What is said with an answer, in characters.
const LONGEST_WORDS: usize = 1000;
/// So many of the principal's other requests are shown.
const RECENT: usize = 6;

type Here = State<Arc<Pages>>;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/requests/{id}", Right::Inbox, get(page))
        .page("/requests/{id}/question", Right::Inbox, post(ask))
        .page("/requests/{id}/answer", Right::Inbox, post(answer))
        .page("/requests/{id}/rescind", Right::Inbox, post(rescind))
}

/// Where somebody comes back to who has signed in anew to approve.
fn confirming(id: &str) -> String {
    format!("/requests/{}?confirm=approve", words::encoded(id))
}

async fn page(
    State(pages): Here,
    headers: HeaderMap,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Html<String>, Problem> {
    let request = pages.gateway.request_seen_by(visitor.guest(), &id).await?;
    let others = pages.gateway.asked_beside(visitor.guest(), &request, RECENT).await?;
    let has_keys = !pages.gateway.passkeys(visitor.guest()).await?.is_empty();
    let said = said_before(&pages, &visitor, &headers, &confirming(&id)).await;
    let giving = said_before(&pages, &visitor, &headers, &standing::confirming(&id)).await;
    let mine = pages.gateway.may_answer(visitor.guest(), &request);
    let is_over = request.status == Status::Superseded;
    let anew =
        others.iter().find(|other| is_over && other.takes_the_place_of(&id)).map(|other| other.id.as_str());
    let key = format!("{} {} {}", request.status, request.votes.len(), anew.unwrap_or_default());
    let before = standing::Before { has_keys, said: giving.as_ref() };
    let short = whole::shortened(&request);
    let is_whole = short.left_out.is_empty();
    let offer = pages.gateway.offer(&request).ok().filter(|_| mine.approve() && is_whole);
    let alike =
        if request.status == Status::Pending { pages.gateway.count_alike(&request).await? } else { 1 };
    let how = How { has_keys, said: said.as_ref() };
    let body = html! {
        main.request #main {
            p.back { a href="/" { "← Inbox" } }
            div.head {
                h1 { (words::visible(&request.principal)) " asks" }
                div #standing data-live-part=(key) { (standing(&request, anew)) }
            }
            // What must be seen by whoever sees nothing else: on a phone the answer is in reach before the rest is read.
            @if let Some(changed) = &request.changed {
                p #changed class=(if request.status.is_open() { "problem" } else { "notice" }) { "This was asked for before, and is not the same any more: " (words::visible(changed)) "." }
            }
            (doubts(std::slice::from_ref(&request)))
            (who(&request))
            (whole::notice(&request, &short.left_out))
            section.panel aria-labelledby="effects" {
                h2 #effects { @if request.preview.access.is_some() { "What it asks leave for" } @else { "What it would do" } }
                @if let Some(plan) = &request.preview.ordered { (plan::overview(plan)) }
                @if let Some(access) = &request.preview.access { (access::overview(access)) } @else { (effects(&request)) }
                (preview(&request.preview))
            }
            @if request.preview.access.is_none() { section.panel aria-labelledby="statement" {
                h2 #statement { @if request.preview.ordered.is_some() { "The statements" } @else { "The statement" } }
                @if let Some(plan) = &short.request.preview.ordered {
                    div #plan data-live-part=(key) { (plan::statements(plan, &pages.gateway.plan_progress(&id).await)) }
                    @if plan.by == CarriedBy::Message { (values(&short.request)) }
                } @else {
                    pre.sql tabindex="0" aria-label="The statement" { code { (words::statement(&short.request.text)) } }
                    (values(&short.request))
                }
            } }
            section.panel aria-labelledby="held" {
                h2 #held { @if request.preview.access.is_some() { "What holds it otherwise" } @else { "Why it was held" } }
                (rules(&request))
            }
            div #answer data-live-part=(request.status) {
                // Whoever has signed in anew has come from where all of it is.
                @if is_whole || said.is_some() || request.status != Status::Pending || !mine.approve() {
                    (answering(&visitor, &request, &mine, &how))
                } @else {
                    (denying(&visitor, &format!("/requests/{}/answer", request.id), &request.digest,
                        "it is approved behind the last part of the whole, to which the way is above"))
                }
            }
            @if alike > 1 { p { a href={ "/requests/" (request.id) "/alike" } { "See the " (alike) " that wait and are alike" } } }
            div #give data-live-part=(request.status) {
                @if let Some(offer) = &offer { (standing::offer(&visitor, &request, offer, &before)) }
            }
            div #history data-live-part=(key) { (history(&request)) }
            (lately::statements(&pages, &visitor, &request).await)
            @if !others.is_empty() {
                section.panel aria-labelledby="recent" {
                    h2 #recent { "What " (words::visible(&request.principal)) " asked before" }
                    ul.rows {
                        @for other in &others {
                            li {
                                a href={ "/requests/" (other.id) } { code.sql.short { (words::glance(&other.text, 120)) } }
                                span.foot { (chip(other.status)) span { (words::moment(other.filed)) } }
                            }
                        }
                    }
                }
            }
        }
    };
    let title = format!("Request {id}");
    let live = format!("/live?request={}", words::encoded(&id));
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/", body, live: Some(live) }))
}

/// Where it stands; `anew` is what took its place.
fn standing(request: &Request, anew: Option<&str>) -> Markup {
    html! {
        p.standing {
            (chip(request.status))
            @if request.status.is_open() { span { "ends " (words::moment(request.expires)) } }
            @if request.status == Status::Pending { (waits_for(request)) }
        }
        @match (given_as(request), &request.outcome) {
            (Some(grant), _) => p.outcome { "given as the " a href={ "/grants/" (words::encoded(grant)) } { "standing grant " (words::visible(grant)) } },
            (None, Some(outcome)) => p.outcome { (words::visible(outcome)) },
            (None, None) => {},
        }
        @if let Some(anew) = anew { p.outcome { a href={ "/requests/" (anew) } { "It is asked anew, as request " (anew) } } }
    }
}

/// For whose answers it waits.
pub(super) fn waits_for(request: &Request) -> Markup {
    let waits = quorum::waits_for(&request.holds, &request.votes);
    html! { @if !waits.is_empty() { span { "waits for " (words::visible(&waits.join(", and for "))) } } }
}

fn who(request: &Request) -> Markup {
    html! {
        dl.facts {
            div { dt { "Asked by" } dd { (words::visible(&request.principal)) } }
            @if !request.on_behalf_of.is_empty() {
                div { dt { "For" } dd { @for person in &request.on_behalf_of { span { (words::visible(person)) " " } } } }
            }
            div { dt { "On" } dd { (words::visible(request.target.as_str())) } }
            div { dt { "Asked" } dd { (words::moment(request.filed)) } }
            @if !request.session.is_empty() {
                div { dt { "Session" } dd { code { (words::visible(&request.session)) } } }
            }
            @if let Some(used) = &request.granted {
                div { dt { "Approved" } dd { "by the " a href={ "/grants/" (used.grant) } { "standing grant " (used.grant) } ", use " (used.number) } }
            }
        }
    }
}

fn effects(request: &Request) -> Markup {
    html! {
        @if request.effects.is_empty() { p { "Nothing that the gateway knows of." } }
        ul.effects {
            @for line in &request.effects {
                @let (words, danger) = words::effect(line);
                li.danger[danger] { (words::visible(&words)) }
            }
        }
        @match &request.ceiling {
            Ceiling::Rows { most, from, of, expected } => {
                p.ceiling {
                    "At most " strong { (most) } @if *most == 1 { " row, " } @else { " rows, " }
                    @match from.as_str() {
                        "counted" => "as many as were counted",
                        "executed" => "as many as when it was tried",
                        "policy" => "as policy says",
                        "grant" => "as its standing grant says",
                        _ => "as nobody has counted or said otherwise",
                    }
                    ": with more, nothing of it stays."
                    @if expected.is_some() { " Nor does it where it does something else than when it was tried." }
                    @if !of.is_empty() { " What triggers write beside is not counted." }
                }
            }
            Ceiling::None(why) => p.ceiling {
                "It has no ceiling of rows" @if request.preview.ordered.is_some() { " as a whole" } ": " (words::visible(why)) "."
            },
        }
        @if request.effects.iter().any(|line| line.starts_with("copy_in ")) {
            p.problem { "The rows that are copied in come later and can be any: they are not part of this request." }
        }
    }
}

/// What was seen of its effect before anybody answers: in words, some of the rows, and how the target means to do it.
pub(super) fn preview(preview: &Preview) -> Markup {
    let Preview {
        reason,
        words: lines,
        tier,
        exact,
        at,
        open_until,
        unseen,
        changes: _,
        plan,
        columns,
        rows,
        ordered: _,
        access: _,
    } = preview;
    html! {
        @if let Some(reason) = reason { p { "Its reason, as whoever asks says it: " q { (words::visible(reason)) } } }
        @if !lines.is_empty() || !unseen.is_empty() {
            h3 { "Seen beforehand" }
            @if let Some(tier) = tier {
                p.foot {
                    (chip_of(*exact)) " "
                    span { @match tier {
                        Tier::Static => "said by the catalogue alone",
                        Tier::Counted => "counted by a question that only reads",
                        Tier::Executed => "tried in a transaction that was rolled back",
                        Tier::Hold => "tried in a transaction that stays open for the answer",
                    } ", " (words::moment(*at)) }
                }
                @if let Some(until) = open_until {
                    p.foot {
                        span {
                            "It stays open until " (words::clock(*until)) " at the longest: approved by then, exactly this is committed, \
                             unless somebody waits for the same rows meanwhile. Later it runs again, and nothing of it stays if it \
                             does something else."
                        }
                    }
                }
            }
            ul.effects { @for line in lines { li { (words::visible(line)) } } }
            @for line in unseen { p.problem { "Not seen: " (words::visible(line)) "." } }
        }
        @if !rows.is_empty() {
            @let order = changed_first(columns);
            div.scroll tabindex="0" role="region" aria-label="Some of its rows" {
                table.result {
                    thead { tr { @for Shown { name, after, masked: _ } in order.iter().filter_map(|at| columns.get(*at)) {
                        th scope="col" { (words::visible(name)) @if *after { " afterwards" } }
                    } } }
                    tbody { @for row in rows { tr {
                        @for (Shown { masked, .. }, value) in order.iter().filter_map(|at| Some((columns.get(*at)?, row.get(*at)?))) {
                            td { @match value {
                                Some(value) => { (words::visible(value)) }
                                None if *masked => { em { "masked" } }
                                None => { em { "NULL" } }
                            } }
                        }
                    } } }
                }
            }
        }
        @if !plan.is_empty() {
            details {
                summary { "How the target means to do it, by its estimates" }
                pre.code tabindex="0" { @for line in plan { (words::visible(line)) "\n" } }
            }
        }
    }
}

/// The places of columns as they are read where few fit: the first, which tells rows apart, then what changes, before and afterwards, then
/// the others.
fn changed_first(columns: &[Shown]) -> Vec<usize> {
    let at = |name: &str, after: bool| columns.iter().position(|one| one.name == name && one.after == after);
    let changed =
        columns.iter().filter(|one| one.after).flat_map(|one| [at(&one.name, false), at(&one.name, true)]);
    let mut order: Vec<usize> = Vec::new();
    for place in std::iter::once(Some(0)).chain(changed).flatten().chain(0..columns.len()) {
        if !order.contains(&place) {
            order.push(place);
        }
    }
    order
}

/// Whether its numbers can be relied on.
fn chip_of(exact: bool) -> Markup {
    html! { strong { @if exact { "Exact" } @else { "An estimate" } } }
}

fn values(request: &Request) -> Markup {
    let kinds = request.circumstances.kinds.iter().map(Some).chain(std::iter::repeat(None));
    html! {
        @if !request.values.is_empty() {
            table.values {
                caption { "Its values" }
                tbody {
                    @for ((n, value), kind) in (1..).zip(&request.values).zip(kinds) {
                        tr {
                            th scope="row" { code.sql-place { "$" (n) } }
                            td { @match value { Some(text) => { code { (words::visible(text)) } } None => { em { "NULL" } } } }
                            td.kind { @if let Some(kind) = kind { (words::visible(kind)) } }
                        }
                    }
                }
            }
        }
        @if !request.circumstances.settings.is_empty() {
            p.under {
                "Read with "
                @for (n, (name, value)) in request.circumstances.settings.iter().enumerate() {
                    @if n > 0 { " · " }
                    code { (words::visible(name)) " = " (words::visible(value)) }
                }
            }
        }
    }
}

fn rules(request: &Request) -> Markup {
    html! {
        ul.rows {
            @for rule in &request.holds {
                li {
                    strong { (words::visible(&rule.id)) }
                    @if let Some(reason) = &rule.reason { p { (words::visible(reason)) } }
                    p.foot { (enough(rule)) }
                }
            }
        }
    }
}

/// Whose yes a rule takes.
fn enough(HoldRule { quorum, approvers, .. }: &HoldRule) -> Markup {
    let groups = approvers.join(" or ");
    html! {
        @if *quorum == 1 { "Somebody" } @else { (quorum) " people" } " in " (words::visible(&groups)) " must approve it."
    }
}

/// How somebody can show that they are there.
struct How<'a> {
    has_keys: bool,
    /// What they said, where they have signed in anew to approve it, a moment ago.
    said: Option<&'a Form>,
}

impl How<'_> {
    fn text(&self, name: &str) -> &str {
        self.said.map_or("", |said| said.text(name))
    }
}

/// What happens to what is approved and not used.
fn runs_when(request: &Request) -> &'static str {
    if request.preview.access.is_some() {
        return "It becomes a standing grant when whoever asked looks at it. Until then the approval can be taken back.";
    }
    match request.preview.ordered.as_ref().map(|plan| plan.by) {
        Some(CarriedBy::Gateway) => {
            "The gateway runs it by itself, as soon as it can. Until it begins, the approval can be taken back."
        }
        Some(CarriedBy::Session) => {
            "It runs when whoever asked sends its statements, in this order. Until the first of them, the approval can be taken back."
        }
        Some(CarriedBy::Message) => {
            "It runs when the very same statements are sent again, in one message. Until then the approval can be taken back."
        }
        None => {
            "It runs when the very same statement is sent again. Until then the approval can be taken back."
        }
    }
}

/// The same on the page on which all of it is.
pub(super) fn answering_anew(visitor: &Visitor, request: &Request, mine: &May, has_keys: bool) -> Markup {
    answering(visitor, request, mine, &How { has_keys, said: None })
}

fn answering(visitor: &Visitor, request: &Request, mine: &May, how: &How<'_>) -> Markup {
    if request.status == Status::Approved && *mine != May::Nothing {
        return html! {
            form.answer method="post" action={ "/requests/" (request.id) "/rescind" } {
                input type="hidden" name="csrf" value=(visitor.csrf());
                p { (runs_when(request)) }
                div.buttons { button type="submit" { "Take the approval back" } }
            }
        };
    }
    if request.status != Status::Pending {
        return html! {};
    }
    match mine {
        May::Nothing => {
            return html! { section.panel { p { "This is not yours to answer: it is for others." } } };
        }
        May::Deny(why) => {
            return denying(visitor, &format!("/requests/{}/answer", request.id), &request.digest, why);
        }
        May::Answer => {}
    }
    let said = request.votes.iter().any(|vote| vote.voter == visitor.guest().id().to_string());
    let by = if how.has_keys { "with your passkey" } else { "by signing in again" };
    html! {
        form.answer method="post" action={ "/requests/" (request.id) "/answer" }
            data-passkey=[how.has_keys.then(|| format!("/requests/{}/question", request.id))] data-keys {
            (fields(visitor))
            input type="hidden" name="digest" value=(request.digest);
            input type="hidden" name="whole" value="yes";
            @if how.said.is_some() { input type="hidden" name="confirm" value="yes"; }
            @if said { p.hint { "You have said yes already; it waits for somebody else." } }
            @if how.said.is_some() { p.hint role="status" { "You have signed in again. Approve to confirm that you mean exactly this." } }
            @if let Some(access) = &request.preview.access {
                (comment("Add a comment", how.text("words"), false, &html! {}))
                (access::fields(access, how.said))
                (rows_at_most(request, how.text("most")))
            } @else if let Ceiling::Rows { .. } = &request.ceiling {
                // Where something was not seen, how many rows it may change is for whoever approves to say.
                (comment("Add a comment, or say how many rows", how.text("words"), !how.text("most").is_empty() || !request.preview.unseen.is_empty(),
                    &rows_at_most(request, how.text("most"))))
            } @else {
                (comment("Add a comment", how.text("words"), false, &html! {}))
            }
            (raised(request, how.text("most")))
            p.problem role="alert" hidden {}
            div.buttons {
                button type="submit" name="answer" value="deny" data-key="d" { "Deny" kbd { "d" } }
                button.primary type="submit" name="answer" value="approve" data-key="a" data-presence {
                    "Approve" span.by { " " (by) } kbd { "a" }
                }
            }
        }
    }
}

/// For whoever may deny it and not approve it.
fn denying(visitor: &Visitor, action: &str, digest: &str, why: &str) -> Markup {
    html! {
        form.answer method="post" action=(action) data-keys {
            (fields(visitor))
            input type="hidden" name="digest" value=(digest);
            p.hint { "You can deny it, and not approve it: " (words::visible(why)) "." }
            (comment("Add a comment", "", false, &html! {}))
            p.problem role="alert" hidden {}
            div.buttons { button type="submit" name="answer" value="deny" data-key="d" { "Deny" kbd { "d" } } }
        }
    }
}

/// What may be said with an answer, out of the way of what is answered.
fn comment(title: &str, words: &str, open: bool, more: &Markup) -> Markup {
    html! {
        details.comment open[open || !words.is_empty()] {
            summary { (title) }
            (more)
            label for="words" { "A comment; whoever asks sees it where you deny" }
            textarea #words name="words" rows="2" autocomplete="off" maxlength=(LONGEST_WORDS) { (words) }
        }
    }
}

fn rows_at_most(request: &Request, said: &str) -> Markup {
    html! {
        @if let Ceiling::Rows { most, .. } = &request.ceiling {
            p.most {
                label for="most" { "Rows at most" } " "
                input #most name="most" type="number" min="0" step="1" placeholder=(most) value=(said)
                    data-most=(most) autocomplete="off";
            }
        }
    }
}

/// Says so where whoever answers lets more rows change than the page says. The script shows it as the number is typed.
fn raised(request: &Request, said: &str) -> Markup {
    html! {
        @if let Ceiling::Rows { most, .. } = &request.ceiling {
            p.problem data-raised role="status" hidden[said.parse::<u64>().is_ok_and(|said| said <= *most) || said.is_empty()] {
                "You say more rows than this page does: it asks for at most " strong { (most) } ", and with your answer it may change "
                "as many as you say."
            }
        }
    }
}

// ---------------------------------------------------------------------- answers

/// The answer that a form is about, to exactly what its page showed.
fn act(id: &str, form: &Form, approve: bool) -> Result<Act, Problem> {
    let most = most(form)?.filter(|_| approve);
    if access::is_in(form) {
        return Ok(Act::answer_access(id, form.text("digest"), approve, &access::given(form, most)?));
    }
    Ok(Act::answer(id, form.text("digest"), approve, most))
}

/// How many rows are approved, where that is said.
fn most(form: &Form) -> Result<Option<u64>, Problem> {
    match form.text("most").trim() {
        "" => Ok(None),
        number => number.parse().map(Some).map_err(|_| {
            let says = "How many rows it may change is a whole number.";
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "This is no number of rows", says)
        }),
    }
}

async fn ask(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Result<Response, Problem> {
    let act = act(&id, &sent.form, true)?;
    Ok(question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await))
}

async fn answer(
    State(pages): Here,
    headers: HeaderMap,
    Path(id): Path<String>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let here = format!("/requests/{}", words::encoded(&id));
    let again = |problem: Problem| problem.with_onward("Look again", here.clone());
    let approve = match form.text("answer") {
        "approve" => true,
        "deny" => false,
        _ => {
            let says = "An answer is to approve or to deny.";
            return Err(again(Problem::new(axum::http::StatusCode::BAD_REQUEST, "This is no answer", says)));
        }
    };
    pages.gateway.standing_seen_by(visitor.guest(), &id).await?;
    if approve && form.text("whole") != "yes" {
        let says = "A yes is to what is shown whole: it is said where all of it is.";
        let problem =
            Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "Not all of it was shown", says);
        return Err(problem.with_onward("See the whole", format!("{here}/whole")));
    }
    let most = most(&form).map_err(&again)?;
    let said: String = form.text("words").trim().chars().take(LONGEST_WORDS).collect();
    let given = match access::is_in(&form) && approve {
        true => Some(access::given(&form, most).map_err(&again)?),
        false => None,
    };
    let proof = if approve {
        let back = Back { to: &confirming(&id), keeps: &["words", "most", "seconds", "leave"] };
        let act = act(&id, &form, true).map_err(&again)?;
        match of_form(&pages, &visitor, &headers, &form, act, &back).await {
            Ok(Presence::Proved(proof)) => Some(proof),
            Ok(Presence::Away(response)) => return Ok(response),
            Err(problem) => return Err(again(problem)),
        }
    } else {
        None
    };
    let most = most.filter(|_| given.is_none());
    let said = Said { words: (!said.is_empty()).then_some(said), most, access: given };
    let voter = visitor.guest().voter();
    pages.gateway.answer_request(&id, &voter, approve, said, proof).await.map_err(|e| again(e.into()))?;
    let mut response = Redirect::to(&here).into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

async fn rescind(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Result<Response, Problem> {
    let here = format!("/requests/{}", words::encoded(&id));
    pages.gateway.standing_seen_by(sent.visitor.guest(), &id).await?;
    let voter = sent.visitor.guest().voter();
    let taken = pages.gateway.rescind_request(&id, &voter).await;
    taken.map_err(|error| Problem::from(error).with_onward("Look again", here.clone()))?;
    Ok(Redirect::to(&here).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_read_beside_what_it_was() {
        let of = |names: &[&str]| -> Vec<Shown> {
            let one = |name: &&str| Shown {
                name: name.trim_end_matches('\'').to_owned(),
                after: name.ends_with('\''),
                masked: false,
            };
            names.iter().map(one).collect()
        };
        for (columns, read) in [
            (&["id", "a", "b", "c", "b'"][..], &["id", "b", "b'", "a", "c"][..]),
            (&["id", "a", "id'", "a'"], &["id", "id'", "a", "a'"]),
            (&["id", "a", "b"], &["id", "a", "b"]),
            (&["id'", "a'"], &["id'", "a'"]),
            (&[], &[]),
        ] {
            let columns = of(columns);
            let order = changed_first(&columns);
            let shown: Vec<&Shown> = order.iter().filter_map(|at| columns.get(*at)).collect();
            assert_eq!(shown, of(read).iter().collect::<Vec<_>>());
        }
    }
}
