//! A client asks to act for whoever is signed in: they see who asks, where the answer goes and what it could do, and say yes or no,
//! each time. What a client asks wrongly is told to it where it may be answered, and to the person where it may not.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect as GoTo, Response};
use axum::routing::get;
use gateway::authorization::{AUTHORIZE, MOST_TARGETS, Prospect, Stranger};
use gateway::inside::Outlook;
use maud::{Markup, html};
use model::TargetName;
use policy::Word;
use policy::oauth::{Asked, Client, Failure, Known, Parameters, Redirect};
use policy::rights::Right;

use super::frame;
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, doubts, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// What a client sends, which the page sends back with the answer.
const PARAMETERS: [&str; 9] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "scope",
    "resource",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
];

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page(AUTHORIZE, Right::LetClientsIn, get(page).post(answer))
}

/// A question by a client that is known, whose answer may go where it asks.
struct Question {
    client: Client,
    redirect: Redirect,
    state: Option<String>,
    asked: Result<Asked, Failure>,
}

impl Question {
    async fn read(pages: &Pages, visitor: &Visitor, form: &Form) -> Result<Self, Problem> {
        let problem =
            |says: String| Problem::new(StatusCode::BAD_REQUEST, "This client cannot be let in", says);
        let server = pages.gateway.authorization().ok_or_else(|| {
            let says = "No clients are let in here: whoever runs the gateway turns that on ([agents.authorization]).";
            Problem::new(StatusCode::NOT_FOUND, "There is nothing here", says)
        })?;
        let parameters = Parameters::new(form.pairs());
        let (id, redirect) = parameters
            .whom()
            .map_err(|failure| problem(format!("It asks wrongly: {}.", failure.description)))?;
        let client = pages.gateway.client_of(id, visitor.guest()).await.map_err(|error| match error {
            Stranger::Unknown(why) => problem(why),
            Stranger::State(error) => gateway::requests::AdminError::from(error).into(),
        })?;
        let redirect = client.redirect(redirect).ok_or_else(|| {
            problem(
                "It wants its answer at an address that it has not named before. Nothing was sent there."
                    .to_owned(),
            )
        })?;
        let state = parameters.state().map(str::to_owned);
        Ok(Self { client, redirect, state, asked: parameters.asked(&server.resource()) })
    }

    /// Where the browser goes with an answer (RFC 6749 §4.1.2, RFC 9207 §2).
    fn address(&self, pages: &Pages, answer: &[(&str, &str)]) -> String {
        let issuer =
            pages.gateway.authorization().map(|server| server.issuer().to_owned()).unwrap_or_default();
        let state = self.state.iter().map(|state| ("state", state.as_str()));
        let all: Vec<_> = answer.iter().copied().chain(state).chain([("iss", issuer.as_str())]).collect();
        self.redirect.with(&all)
    }

    /// Everything that a person sees before they answer.
    fn digest(&self) -> String {
        let Self { client, redirect, .. } = self;
        let shown =
            [&client.id, &client.name, redirect.as_str()].map(|part| format!("{}:{part}", part.len()));
        let digest = digest::digest(&digest::SHA256, shown.concat().as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

async fn page(State(pages): Here, visitor: Visitor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let form = Form::read(query.as_bytes()).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "This is no question", "Its parameters cannot be read.")
    })?;
    let question = Question::read(&pages, &visitor, &form).await?;
    match &question.asked {
        Ok(asked) => Ok(shown(&pages, &visitor, &question, asked, &form).into_response()),
        Err(failure) => Ok(told(&pages, &question, failure)),
    }
}

/// A fault of the client's, told to it: at once where that is this computer or a client that whoever runs the gateway knows, and by a
/// click of the person's anywhere else, so that nobody is led there by a link to here.
fn told(pages: &Pages, question: &Question, failure: &Failure) -> Response {
    let answer = [("error", failure.error), ("error_description", failure.description.as_str())];
    let address = question.address(pages, &answer);
    if question.redirect.is_loopback() || question.client.known == Known::Configured {
        return GoTo::to(&address).into_response();
    }
    let body = html! {
        main.narrow #main {
            h1 { "This client asks wrongly" }
            p.problem role="alert" { (frame::sentence(&failure.description)) }
            p { a.button href=(address) { "Tell it, at " (words::visible(question.redirect.host())) } }
        }
    };
    (StatusCode::BAD_REQUEST, frame::bare("A client asks wrongly", &body)).into_response()
}

fn shown(
    pages: &Pages,
    visitor: &Visitor,
    question: &Question,
    asked: &Asked,
    form: &Form,
) -> axum::response::Html<String> {
    let Question { client, redirect, .. } = question;
    let guest = visitor.guest();
    let prospects = pages.gateway.prospects(guest, client);
    let agent = pages.gateway.agent_for(guest, client);
    let lasts = lasting(pages.gateway.consent_lasts(guest));
    let name = words::visible(&client.name);
    let body = html! {
        main.narrow #main {
            h1 { "Let " (name) " act for you?" }
            p.lead { "A program asks to use databases in your name, through this gateway, as policies let it." }
            (doubts::of_text(&format!("{}\n{}", client.name, client.id)))
            dl.facts {
                div { dt { "It calls itself" } dd { (name) } }
                div { dt { "Known by" } dd { (known(client)) } }
                div { dt { "The answer goes to" } dd { strong { (words::visible(redirect.host())) } @if redirect.is_loopback() { ", which is this computer" } @else { ", at " code { (words::visible(redirect.as_str())) } } } }
                div { dt { "You are" } dd { (words::visible(&guest.id().to_string())) } }
                @if let Some(agent) = &agent { div { dt { "It will be" } dd { code { (words::visible(&agent.to_string())) } " for you" } } }
                div { dt { "For" } dd { (lasts) } }
            }
            @if redirect.is_loopback() {
                p.hint { "Any program on this computer can say that it is this client. Go on only if you have just told it to sign in." }
            }
            form.stack.answer method="post" action=(AUTHORIZE) {
                input type="hidden" name="csrf" value=(visitor.csrf());
                input type="hidden" name="shown" value=(question.digest());
                @for name in PARAMETERS {
                    @for value in form.all(name) { input type="hidden" name=(name) value=(value); }
                }
                (choices(&prospects, asked))
                p.hint {
                    "It gets short tokens, never your own sign-in, and can approve nothing. "
                    "What policies hold still waits for somebody's approval; what they refuse stays refused."
                }
                div.row {
                    @if !prospects.is_empty() {
                        button.primary type="submit" name="answer" value="yes" { "Let it in" }
                    }
                    button type="submit" name="answer" value="no" { "Turn it away" }
                }
            }
        }
    };
    frame::bare("A client asks to act for you", &body)
}

fn known(client: &Client) -> Markup {
    html! {
        @match (client.known, client.host()) {
            (Known::Document, host) => { strong { (words::visible(host.unwrap_or_default())) } ", which vouches for it: " code { (words::visible(&client.id)) } }
            (Known::Configured, _) => { "whoever runs this gateway, as " code { (words::visible(&client.id)) } }
            (Known::Registered, _) => { "nobody: it registered itself" }
        }
    }
}

fn choices(prospects: &[Prospect], asked: &Asked) -> Markup {
    let named = !asked.targets.is_empty();
    html! {
        @if prospects.is_empty() {
            p.problem role="alert" { "No database is open to it in your name. Policies say which are." }
        } @else {
            fieldset.choices {
                legend { "What it may use" }
                label { input type="radio" name="which" value="all" checked[!named]; "Every database that policies let it use" }
                label { input type="radio" name="which" value="some" checked[named]; "Only these:" }
                ul.rows {
                    @for prospect in prospects.iter().take(MOST_TARGETS) {
                        @let target = prospect.target.as_str();
                        li {
                            label {
                                input type="checkbox" name="target" value=(target) checked[!named || asked.targets.contains(target)];
                                strong { (words::visible(target)) }
                            }
                            p.hint { (outlook(&prospect.outlook)) }
                        }
                    }
                }
                @if prospects.len() > MOST_TARGETS { p.hint { "The first " (MOST_TARGETS) " of " (prospects.len()) " are shown." } }
            }
        }
    }
}

fn outlook(all: &[Outlook]) -> String {
    let with = |word: Word| {
        all.iter().filter(|one| one.opinion.word == word).map(|one| one.action).collect::<Vec<_>>()
    };
    let part = |says: &str, actions: Vec<&str>| {
        (!actions.is_empty()).then(|| format!("{says} {}", actions.join(", ")))
    };
    let parts = [
        part("may", with(Word::Allow)),
        part("after approval", with(Word::Hold)),
        part("never", with(Word::Deny)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

async fn answer(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let question = Question::read(&pages, &visitor, &form).await?;
    let asked = match &question.asked {
        Ok(asked) => asked,
        Err(failure) => return Ok(told(&pages, &question, failure)),
    };
    if form.text("shown") != question.digest() {
        let says = "What this client says of itself has changed since you saw it. Nothing was done: begin again in the client.";
        return Err(Problem::new(StatusCode::CONFLICT, "Look again", says));
    }
    let guest = visitor.guest();
    let Question { client, redirect, .. } = &question;
    if form.text("answer") != "yes" {
        pages.gateway.turn_away(guest, client, redirect)?;
        let answer = [("error", "access_denied"), ("error_description", "the person said no")];
        return Ok(back(&question, &question.address(&pages, &answer)));
    }
    let some: BTreeSet<TargetName> = form.all("target").map(TargetName::new).collect();
    let targets = match form.text("which") {
        "all" => None,
        "some" => Some(some),
        _ => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "Choose what it may use", "Nothing was done."));
        }
    };
    let code = pages.gateway.consent(guest, client, redirect, asked, targets).await?;
    Ok(back(&question, &question.address(&pages, &[("code", &code)])))
}

/// Sends a browser back to the client. It is told by a page: our own policy lets no form lead elsewhere.
fn back(question: &Question, address: &str) -> Response {
    let body = html! {
        main.narrow #main {
            h1 { "Going back to " (words::visible(&question.client.name)) }
            p { "You can close this page when it has your answer." }
            p { a.button href=(address) data-follow { "Go on to " (words::visible(question.redirect.host())) } }
        }
    };
    frame::bare("Going back", &body).into_response()
}

/// A time in seconds as people say it.
fn lasting(seconds: i64) -> String {
    match seconds {
        ..3600 => format!("{} minutes", (seconds / 60).max(1)),
        3600..7200 => "an hour".to_owned(),
        _ => format!("{} hours", seconds / 3600),
    }
}
