//! How a form proves that somebody is there and means it: a passkey's signature that came with it, or a fresh sign-in that it
//! confirms. Where it has neither, and the person came by an issuer, they are sent there.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use gateway::presence::{Act, Brought, Proof, Question, Return};
use maud::{Markup, html};

use super::problem::Problem;
use super::visitor::{Cookie, Visitor};
use super::{Pages, frame, words};
use crate::form::Form;

/// What a form came to.
pub(super) enum Presence {
    /// It is proved.
    Proved(Proof),
    /// The browser goes to the issuer first.
    Away(Response),
}

/// Where a fresh sign-in comes back to, to be confirmed.
pub(super) struct Back<'a> {
    /// Its path; nothing of what was said is in it.
    pub to: &'a str,
    /// The fields of the form that are kept meanwhile.
    pub keeps: &'a [&'a str],
}

impl<'a> Back<'a> {
    pub(super) fn to(to: &'a str) -> Self {
        Self { to, keeps: &[] }
    }
}

/// What somebody said in a form before they signed in anew for it; nothing where they have not, or have confirmed it. Only what
/// they sent themselves fills a form: a link that somebody else made does not.
pub(super) async fn said_before(
    pages: &Pages,
    visitor: &Visitor,
    headers: &HeaderMap,
    to: &str,
) -> Option<Form> {
    let secret = Cookie::Confirm.read(pages, headers)?;
    let said = pages.gateway.said_before(&secret, to, visitor.guest()).await?;
    Form::read(said.as_bytes())
}

/// Takes the proof that a form brings for an act.
pub(super) async fn of_form(
    pages: &Pages,
    visitor: &Visitor,
    headers: &HeaderMap,
    form: &Form,
    act: Act,
    back: &Back<'_>,
) -> Result<Presence, Problem> {
    let brought = form.text("signed");
    if !brought.is_empty() {
        let brought = Brought::read(brought)?;
        let proof = pages.gateway.signed(&pages.place, act, Some(visitor.guest()), &brought).await?;
        return Ok(Presence::Proved(proof));
    }
    if !form.text("confirm").is_empty()
        && let Some(secret) = Cookie::Confirm.read(pages, headers)
    {
        return Ok(Presence::Proved(pages.gateway.confirmed(&secret, act, visitor.guest()).await?));
    }
    let back = Return { to: back.to.to_owned(), said: part(form, back.keeps) };
    let away = pages.gateway.send_for(&pages.place, act, visitor.guest(), back).await?;
    Ok(Presence::Away(gone(pages, &away)))
}

/// Fields of a form, as forms are sent.
fn part(form: &Form, names: &[&str]) -> String {
    let all = form.pairs().filter(|(name, value)| names.contains(name) && !value.is_empty());
    all.map(|(name, value)| format!("{name}={}", words::encoded(value))).collect::<Vec<_>>().join("&")
}

/// The proof that a form brings for an act of whose form nothing could be kept while somebody signs in anew: a passkey's alone.
pub(super) async fn of_passkey(
    pages: &Pages,
    visitor: &Visitor,
    form: &Form,
    act: Act,
) -> Result<Proof, Problem> {
    let brought = form.text("signed");
    if brought.is_empty() {
        let says = "This takes a passkey of yours, so that nobody does it who merely has your browser. Nothing was done.";
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, "Show that it is you", says).with_onward("Your passkeys", "/me"));
    }
    let brought = Brought::read(brought)?;
    Ok(pages.gateway.signed(&pages.place, act, Some(visitor.guest()), &brought).await?)
}

/// What a button that takes a passkey says beside.
pub(super) fn passkey_hint() -> Markup {
    html! { p.hint { "It takes your passkey: nobody does it who merely has your browser." } }
}

/// Sends a browser to an issuer. It is told by a page: a redirect of a form would have to be allowed by our own policy.
pub(super) fn gone(pages: &Pages, away: &gateway::console_login::Away) -> Response {
    let mut response = frame::bare(
        "Signing in",
        &html! {
            main.narrow #main {
                h1 { "Going to your issuer" }
                p { "You come back here when you have signed in." }
                p { a.button href=(away.address) data-follow { "Go on" } }
            }
        },
    )
    .into_response();
    Cookie::Away.keep(pages, &mut response, &away.secret, 600);
    response
}

/// Fields that a form has for it; the script fills them.
pub(super) fn fields(visitor: &Visitor) -> Markup {
    html! {
        input type="hidden" name="csrf" value=(visitor.csrf());
        input type="hidden" name="signed" value="";
    }
}

/// A question for the script.
pub(super) fn question(asked: Result<Question, gateway::requests::AdminError>) -> Response {
    match asked {
        Ok(question) => axum::Json(question).into_response(),
        Err(error) => {
            let problem = Problem::from(error);
            let (status, says) = problem.says();
            (status, axum::Json(serde_json::json!({ "says": says }))).into_response()
        }
    }
}
