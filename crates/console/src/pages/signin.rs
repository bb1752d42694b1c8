//! Coming in: by a passkey, by an issuer, by an invitation; and going.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use gateway::console_login::{Back, CALLBACK, Said};
use gateway::people::Coming;
use gateway::presence::{Act, Brought, Whose};
use maud::html;
use serde::Deserialize;

use super::asked::Query;
use super::presence::{gone, question};
use super::problem::Problem;
use super::visitor::{Cookie, Sent, Submitted, Visitor, let_in};
use super::{Pages, frame};
use crate::arrival::Client;

type Here = State<Arc<Pages>>;

pub(super) fn routes() -> Router<Arc<Pages>> {
    Router::new()
        .route("/signin", get(page).post(come_in))
        .route("/signin/question", post(ask))
        .route("/signin/away", post(away))
        .route(CALLBACK, get(back))
        .route("/join", get(invited).post(join))
        .route("/join/question", post(ask_to_make))
        .route("/signout", post(leave))
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

/// A longer path is not come back to, in bytes: browsers keep it meanwhile, and keep no more than 4 kB.
const LONGEST_PATH: usize = 1000;

/// A path of ours, where this is one.
fn own(path: &str) -> &str {
    let fine = path.len() <= LONGEST_PATH
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if fine { path } else { "/" }
}

async fn page(State(pages): Here, visitor: Option<Extension<Visitor>>, Query(to): Query<Next>) -> Response {
    let next = own(&to.next);
    if visitor.is_some() {
        return Redirect::to(next).into_response();
    }
    let issuers = pages.gateway.console_issuers();
    frame::bare("Sign in", &html! {
        main.narrow #main {
            h1 { "Sign in" }
            p.lead { "To see what waits for you, and to answer it." }
            form.stack method="post" action="/signin" data-passkey="/signin/question" {
                input type="hidden" name="next" value=(next);
                input type="hidden" name="signed" value="";
                button.primary type="submit" { "Sign in with a passkey" }
                p.problem role="alert" hidden {}
            }
            @if !issuers.is_empty() {
                p.or { span { "or" } }
                @for issuer in &issuers {
                    form.stack method="post" action="/signin/away" {
                        input type="hidden" name="next" value=(next);
                        input type="hidden" name="issuer" value=(issuer);
                        button type="submit" { "Continue with " (issuer) }
                    }
                }
            }
            details.hint {
                summary { "You have no passkey here yet?" }
                p {
                    "Whoever runs the gateway invites people: "
                    code { "durward people invite NAME" }
                    " makes a link that is good once, for a day. The first link is shown when the gateway is set up."
                }
            }
            noscript { p.problem { "Passkeys need JavaScript, which this browser does not run. Signing in at an issuer works without." } }
        }
    })
    .into_response()
}

async fn ask(State(pages): Here, Sent(_): Sent) -> Response {
    question(pages.gateway.ask_to_sign(&pages.place, Act::sign_in(), None).await)
}

/// How a browser comes, with what it kept.
fn coming<'a>(Client(from): Client, before: Option<&'a str>) -> Coming<'a> {
    Coming { before, from: Some(from) }
}

async fn come_in(
    State(pages): Here,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let again = |problem: Problem| problem.with_onward("Try again", "/signin");
    let brought = Brought::read(form.text("signed")).map_err(|error| again(error.into()))?;
    let before = Cookie::Visit.read(&pages, &headers);
    let coming = coming(client, before.as_ref().map(|s| s.as_str()));
    let secret = pages.gateway.come_in(&pages.place, &brought, &coming).await;
    let secret = secret.map_err(|error| again(error.into()))?;
    let mut response = Redirect::to(own(form.text("next"))).into_response();
    let_in(&pages, &mut response, &secret);
    Ok(response)
}

async fn away(State(pages): Here, Sent(form): Sent) -> Result<Response, Problem> {
    let sent = pages.gateway.send_to_issuer(&pages.place, form.text("issuer"), own(form.text("next"))).await;
    let sent = sent.map_err(|error| Problem::from(error).with_onward("Back to sign-in", "/signin"))?;
    Ok(gone(&pages, &sent))
}

/// The issuer sends the browser here. What somebody signed in anew for is not done by this: they confirm it by a form.
async fn back(
    State(pages): Here,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    visitor: Option<Extension<Visitor>>,
    Query(said): Query<Said>,
) -> Result<Response, Problem> {
    let again = |problem: Problem| problem.with_onward("Sign in", "/signin");
    let over = || {
        let says = "This browser did not begin a sign-in, or it is over. Begin again.";
        again(Problem::new(axum::http::StatusCode::BAD_REQUEST, "No sign-in is under way", says))
    };
    let kept = Cookie::Away.read(&pages, &headers).ok_or_else(over)?;
    let before = Cookie::Visit.read(&pages, &headers);
    let guest = visitor.as_ref().map(|visitor| visitor.guest());
    let coming = coming(client, before.as_ref().map(|s| s.as_str()));
    let came = pages
        .gateway
        .back_from_issuer(&pages.place, &kept, &said, guest, &coming)
        .await
        .map_err(|error| again(error.into()))?;
    let mut response = match came {
        Back::In(secret, next) => {
            let mut response = Redirect::to(own(&next)).into_response();
            let_in(&pages, &mut response, &secret);
            response
        }
        Back::Confirm(secret, next) => {
            let mut response = Redirect::to(own(&next)).into_response();
            Cookie::Confirm.keep(&pages, &mut response, &secret, 120);
            response
        }
    };
    Cookie::Away.forget(&pages, &mut response);
    Ok(response)
}

/// The secret of an invitation is behind the `#` of its link, where no server sees it; the script puts it into the form.
async fn invited() -> Html<String> {
    frame::bare(
        "Welcome",
        &html! {
            main.narrow #main {
                h1 { "Welcome to Durward" }
                p.lead {
                    "You were invited. Make a passkey: from now on your finger, your face or a PIN signs you in here, and says yes \
                     to what you approve. There is no password."
                }
                form.stack method="post" action="/join" data-join="/join/question" {
                    input type="hidden" name="invitation" value="";
                    input type="hidden" name="made" value="";
                    label for="label" { "What do you call this device?" }
                    input #label name="label" type="text" maxlength="60" autocomplete="off" value="My passkey" required;
                    button.primary type="submit" { "Make a passkey" }
                    p.problem role="alert" hidden {}
                }
                noscript { p.problem { "Passkeys need JavaScript, which this browser does not run." } }
            }
        },
    )
}

async fn ask_to_make(State(pages): Here, Sent(form): Sent) -> Response {
    question(pages.gateway.ask_to_make(&pages.place, &Whose::Invited(form.text("invitation"))).await)
}

async fn join(
    State(pages): Here,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let signin = |problem: Problem| problem.with_onward("To sign-in", "/signin");
    let brought = Brought::read(form.text("made")).map_err(|error| signin(error.into()))?;
    let invitation = form.text("invitation");
    let who = pages.gateway.join(&pages.place, invitation, form.text("label"), &brought).await;
    let who = who.map_err(|error| signin(error.into()))?;
    let before = Cookie::Visit.read(&pages, &headers);
    let coming = coming(client, before.as_ref().map(|s| s.as_str()));
    let secret = pages.gateway.let_in(&who, &coming).await;
    let secret = secret.map_err(|error| signin(error.into()))?;
    let mut response = Redirect::to("/").into_response();
    let_in(&pages, &mut response, &secret);
    Ok(response)
}

async fn leave(State(pages): Here, Submitted { visitor, .. }: Submitted) -> Result<Response, Problem> {
    pages.gateway.end_visit(visitor.guest()).await?;
    let mut response = Redirect::to("/signin").into_response();
    Cookie::Visit.forget(&pages, &mut response);
    Ok(response)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_a_path_of_ours_is_gone_to() {
        for path in ["/", "/requests/r1?confirm=approve", "/sessions/a%20b"] {
            assert_eq!(super::own(path), path);
        }
        for path in ["", "x", "//x", "/\\x", "/\0", "/a\r\nb", "/a b", "/\u{7f}", "/\u{fc}"] {
            assert_eq!(super::own(path), "/", "{path:?}");
        }
    }
}
