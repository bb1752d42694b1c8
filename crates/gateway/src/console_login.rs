//! People sign in to the console at an issuer: authorization code flow with PKCE (RFC 7636), `state`, `nonce`, and the issuer's
//! name in its answer (RFC 9207). The same, fresh (`max_age=0`, `auth_time`), is the proof of presence of whoever has no passkey:
//! its `nonce` commits to the act.
//!
//! Nothing secret is kept here meanwhile: state, nonce and verifier are made of a secret that lies in the browser.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{PrincipalKind, Signed};
use policy::identity::is_address;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::gateway::{Gateway, now};
use crate::issuers::AtConsole;
use crate::net::web::Client;
use crate::people::{Coming, Guest, mark, secret};
use crate::presence::{Act, Place, Pledge, Proof, Return};
use crate::requests::AdminError;

/// Whoever signs in takes no longer, in seconds.
const PATIENCE: i64 = 600;
/// What an act is confirmed within, in seconds.
const CONFIRM: i64 = 120;
/// What clocks may differ by where a sign-in must be fresh, in seconds.
const SKEW: i64 = 10;
/// An issuer's answer is not longer, in bytes.
const LONGEST: usize = 256 * 1024;
/// So much of what somebody says is kept while they sign in, in bytes.
const LONGEST_SAID: usize = 64 * 1024;
/// Where the issuer sends the browser back to.
pub const CALLBACK: &str = "/signin/callback";

/// What a browser goes away with.
pub struct Away {
    /// Where it goes.
    pub address: String,
    /// What it keeps until it is back.
    pub secret: Zeroizing<String>,
}

/// What an issuer's answer came to.
pub enum Back {
    /// Somebody is in: what their browser is to keep, and where they wanted to go.
    In(Zeroizing<String>, String),
    /// Somebody has signed in anew for an act; what it is confirmed with, and where.
    Confirm(Zeroizing<String>, String),
}

/// What the issuer says in its answer (RFC 6749 §4.1.2).
#[derive(Debug, Default, Deserialize)]
pub struct Said {
    /// Ours.
    #[serde(default)]
    pub state: String,
    /// What is exchanged for a token.
    #[serde(default)]
    pub code: Option<String>,
    /// Who answers.
    #[serde(default)]
    pub iss: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// The same in words.
    #[serde(default)]
    pub error_description: Option<String>,
}

/// What the issuer says of itself.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

fn refused(why: impl Into<String>) -> AdminError {
    AdminError::Refused(why.into())
}

/// Three things that nobody can tell from each other's.
fn made(secret: &str, what: &str, more: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    BASE64.encode(hmac::sign(&key, format!("{what}\n{more}").as_bytes()).as_ref())
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

fn query(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    };
    pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

impl Gateway {
    /// The issuers at which people sign in to the console, by their names.
    pub fn console_issuers(&self) -> Vec<String> {
        self.issuers().at_console().map(|issuer| issuer.name).collect()
    }

    /// Sends somebody to their issuer to come in. `back` is where they wanted to go.
    ///
    /// # Errors
    /// There is no such issuer, it does not answer, or it cannot be stored.
    pub async fn send_to_issuer(&self, place: &Place, issuer: &str, back: &str) -> Result<Away, AdminError> {
        let back = Return { to: back.to_owned(), said: String::new() };
        self.send(place, issuer, Act::sign_in(), None, back).await
    }

    /// Sends somebody who came by their issuer there again, to show that they are there and mean an act.
    ///
    /// # Errors
    /// They did not come by one, it does not answer, or it cannot be stored.
    pub async fn send_for(
        &self,
        place: &Place,
        act: Act,
        guest: &Guest,
        back: Return,
    ) -> Result<Away, AdminError> {
        if back.said.len() > LONGEST_SAID {
            return Err(refused("what you say is too long to be kept while you sign in: say less"));
        }
        let none = || refused("this takes your passkey");
        let issuer = &guest.word().ok_or_else(none)?.issuer;
        self.send(place, issuer, act, Some(guest), back).await
    }

    async fn send(
        &self,
        place: &Place,
        issuer: &str,
        act: Act,
        guest: Option<&Guest>,
        back: Return,
    ) -> Result<Away, AdminError> {
        let missing =
            || AdminError::Missing(format!("issuer {issuer} at which people sign in to the console"));
        let at = self.issuers().at_console().find(|at| at.name == issuer).ok_or_else(missing)?;
        let found = discover(&at).await?;
        let pledge = Pledge::SignIn {
            issuer: issuer.to_owned(),
            act: act.text(),
            of: guest.map(|guest| guest.mark().to_owned()),
            began: now(),
            back,
        };
        // Of whoever is not known nothing is kept here: they could fill it.
        let secret = if guest.is_none() {
            self.sealed_pledge(&pledge)?
        } else {
            let secret = secret()?;
            self.state().keep_once(&mark(&secret), &pledge.text()?, now().saturating_add(PATIENCE)).await?;
            secret
        };
        let verifier = made(&secret, "verifier", "");
        let challenge = BASE64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let (state, nonce) = (made(&secret, "state", ""), made(&secret, "nonce", &act.text()));
        let redirect = format!("{}{CALLBACK}", place.origin);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", at.client.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("scope", at.scopes.as_str()),
            ("state", state.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        if guest.is_some() {
            pairs.extend([("max_age", "0"), ("prompt", "login")]);
        }
        let join = if found.authorization_endpoint.contains('?') { '&' } else { '?' };
        Ok(Away { address: format!("{}{join}{}", found.authorization_endpoint, query(&pairs)), secret })
    }

    /// Takes an issuer's answer, once, in the browser that was sent there.
    ///
    /// # Errors
    /// It is none to our question, the issuer says no, or its word is not what was asked for.
    pub async fn back_from_issuer(
        &self,
        place: &Place,
        kept: &str,
        said: &Said,
        guest: Option<&Guest>,
        coming: &Coming<'_>,
    ) -> Result<Back, AdminError> {
        let over = || refused("this sign-in is over, or began in another browser: begin again");
        // Without our state it is no answer to our question, whoever sent it.
        if !same(&said.state, &made(kept, "state", "")) {
            return Err(over());
        }
        let pledge = match self.opened_pledge(kept) {
            Some(pledge) => Some(pledge),
            None => self.state().take_once(&mark(kept)).await?.and_then(|body| Pledge::read(&body)),
        };
        let Some(Pledge::SignIn { issuer, act, of, began, back }) = pledge else { return Err(over()) };
        let at = self.issuers().at_console().find(|at| at.name == issuer).ok_or_else(over)?;
        let found = discover(&at).await?;
        // Another issuer's answer must not be spent at this one (RFC 9207 §2.4).
        match &said.iss {
            Some(name) if *name != at.url => return Err(refused("the answer is of another issuer")),
            None if found.authorization_response_iss_parameter_supported => {
                return Err(refused("the answer does not say which issuer it is of"));
            }
            Some(_) | None => (),
        }
        if let Some(error) = &said.error {
            let why = said.error_description.as_ref().unwrap_or(error);
            return Err(refused(format!("the issuer refused: {why}")));
        }
        let code = said.code.as_deref().ok_or_else(|| refused("the answer has no code"))?;
        let identity = exchange(&at, &found, place, code, &made(kept, "verifier", "")).await?;
        let (known, auth_time) = self.identity(&at, &identity, &made(kept, "nonce", &act)).await?;
        let word = known.principal.asserted.first();
        let word = word.ok_or_else(|| refused("the issuer says nothing of who it is"))?;
        let (subject, sid) = (word.subject.clone(), word.session.clone());
        let signed = Signed { issuer: at.name, subject, sid, at: word.at };
        let Some(of) = of else {
            if began.saturating_add(PATIENCE) <= now() {
                return Err(over());
            }
            self.spend(kept.as_bytes()).await?;
            let groups = word.groups.clone();
            let secret = self
                .begin_visit(&known.principal.id, Some(signed), groups, known.session_age, coming)
                .await?;
            return Ok(Back::In(secret, back.to));
        };
        let here = guest.filter(|guest| guest.mark() == of).ok_or_else(over)?;
        let is_them = here.word().is_some_and(|w| w.issuer == signed.issuer && w.subject == signed.subject);
        if !is_them {
            return Err(refused("somebody else signed in: nothing was done"));
        }
        let fresh = auth_time.is_some_and(|at| at >= began.saturating_sub(SKEW));
        if !fresh {
            return Err(refused(
                "the issuer did not ask who it is again (auth_time is missing or old): nothing was done",
            ));
        }
        let secret = secret()?;
        let to = back.to.clone();
        let pledge = Pledge::Signing { act, of, how: format!("sign-in at {}", signed.issuer), back };
        self.state().keep_once(&mark(&secret), &pledge.text()?, now().saturating_add(CONFIRM)).await?;
        Ok(Back::Confirm(secret, to))
    }

    /// That somebody has signed in anew for an act, and confirms it now.
    ///
    /// # Errors
    /// They have not, or it was for another act or visit.
    pub async fn confirmed(&self, secret: &str, act: Act, guest: &Guest) -> Result<Proof, AdminError> {
        let kept = self.state().take_once(&mark(secret)).await?.and_then(|body| Pledge::read(&body));
        let Some(Pledge::Signing { act: meant, of, how, back: _ }) = kept else {
            return Err(refused("this sign-in was used already, or is too old: begin again"));
        };
        if meant != act.text() || of != guest.mark() {
            return Err(refused(
                "you signed in for something else, which may have changed meanwhile: look again",
            ));
        }
        Ok(Proof::shown(act, how, guest.id().clone()))
    }

    /// What somebody said before they signed in anew for it, where that is of this path, in this visit, and not confirmed yet.
    pub async fn said_before(&self, secret: &str, to: &str, guest: &Guest) -> Option<String> {
        let kept = self.state().look_once(&mark(secret)).await.ok()??;
        let Some(Pledge::Signing { of, back, .. }) = Pledge::read(&kept) else { return None };
        (of == guest.mark() && back.to == to).then_some(back.said)
    }

    /// Who an identity token is, and when they signed in.
    async fn identity(
        &self,
        at: &AtConsole,
        token: &str,
        nonce: &str,
    ) -> Result<(policy::identity::Known, Option<i64>), AdminError> {
        let wrong = |why: policy::identity::Refusal| {
            let is_known = if why.is_unanswered() { "cannot be checked now" } else { "is not valid" };
            refused(format!("the identity token {is_known}: {why}"))
        };
        let (known, claims) =
            self.issuers().identify_at_console(token.as_bytes(), at).await.map_err(wrong)?;
        let answers = claims.text("nonce").is_some_and(|said| same(said, nonce));
        if !answers {
            return Err(refused("the identity token answers another question"));
        }
        let person =
            known.principal.id.kind == PrincipalKind::User && known.principal.on_behalf_of.is_empty();
        if !person {
            return Err(refused("only people come in: this is a workload"));
        }
        Ok((known, claims.moment("auth_time").ok().flatten()))
    }
}

async fn discover(at: &AtConsole) -> Result<Discovered, AdminError> {
    let client = Client::new(at.ca.as_deref()).map_err(|error| refused(error.to_string()))?;
    let body = client.get(&at.discovery, LONGEST).await;
    let body = body.map_err(|error| AdminError::Target(format!("the issuer {}: {error}", at.name)))?;
    let found: Discovered = serde_json::from_slice(&body)
        .map_err(|_| AdminError::Target(format!("the issuer {} describes itself strangely", at.name)))?;
    if found.issuer != at.url {
        return Err(AdminError::Target(format!("{} is of another issuer", at.discovery)));
    }
    for endpoint in [&found.authorization_endpoint, &found.token_endpoint] {
        if is_address(endpoint.split('?').next().unwrap_or_default()).is_err() {
            return Err(AdminError::Target(format!("{endpoint} would be asked in clear")));
        }
    }
    Ok(found)
}

async fn exchange(
    at: &AtConsole,
    found: &Discovered,
    place: &Place,
    code: &str,
    verifier: &str,
) -> Result<Zeroizing<String>, AdminError> {
    let client = Client::new(at.ca.as_deref()).map_err(|error| refused(error.to_string()))?;
    let mut form = vec![
        ("grant_type".to_owned(), "authorization_code".to_owned()),
        ("code".to_owned(), code.to_owned()),
        ("redirect_uri".to_owned(), format!("{}{CALLBACK}", place.origin)),
        ("client_id".to_owned(), at.client.clone()),
        ("code_verifier".to_owned(), verifier.to_owned()),
    ];
    if let Some(secret) = at.secret().await? {
        form.push(("client_secret".to_owned(), secret.to_string()));
    }
    #[derive(Deserialize)]
    struct Answer {
        id_token: Option<String>,
        error: Option<String>,
    }
    let unreachable =
        |error: crate::net::web::WebError| AdminError::Target(format!("the issuer {}: {error}", at.name));
    let (_, body) =
        client.ask(&found.token_endpoint, Some(form), None, LONGEST).await.map_err(unreachable)?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| refused("the issuer gives no token"))?;
    answer.id_token.map(Zeroizing::new).ok_or_else(|| {
        refused(format!("the issuer gives no identity token: {}", answer.error.unwrap_or_default()))
    })
}
