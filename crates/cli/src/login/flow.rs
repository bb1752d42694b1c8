//! The authorization code flow of a program on one's own machine (RFC 8252): PKCE (RFC 7636), `state`, `nonce`, and the
//! issuer's name in its answer (RFC 9207). The issuer's token goes on to the gateway, which checks its signature.

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;
use zeroize::Zeroizing;

use super::callback::Callback;
use super::desk::{self, Web};
use crate::client::part;
use crate::exit::Fault;
use crate::show::{self, field};

/// An issuer at which people sign in, as the gateway says it.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    pub name: String,
    pub url: String,
    pub client: String,
    pub scopes: String,
    /// Authorities in PEM for its TLS, where they are not the system's.
    pub ca: Option<String>,
    /// Whether people may sign in by a code.
    pub device: bool,
}

/// What the issuer says of itself.
struct Discovered {
    authorization: String,
    token: String,
    names_itself: bool,
}

/// Signs in; the identity token.
pub(super) fn sign_in(
    issuer: &Issuer,
    browser: bool,
    patience: Duration,
) -> anyhow::Result<Zeroizing<String>> {
    let web = Web::new(issuer.ca.as_deref())?;
    let found = discover(&web, issuer)?;
    let callback = Callback::listen()?;
    let (state, nonce, verifier) = (chance()?, chance()?, chance()?);
    let challenge = BASE64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let address = question(issuer, &found, &callback.address(), &state, &nonce, &challenge);
    let redirect = callback.address();
    show_browser(&address, browser);
    let code = callback.wait(patience, |answer| {
        let of = |name: &str| answer.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        // Without our state it is no answer to our question, whoever sent it.
        let ours = of("state").is_some_and(|s| same(s, &state));
        ours.then(|| answered(issuer, &found, of))
    })?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", &redirect),
        ("client_id", &issuer.client),
        ("code_verifier", &verifier),
    ];
    let (status, answer) = web.form(&found.token, &form)?;
    ensure!(status == 200, "the issuer gives no token: {}", desk::reason(&answer));
    let identity =
        answer.get("id_token").and_then(Value::as_str).context("the issuer gives no identity token")?;
    check(identity, issuer, Some(&nonce))?;
    Ok(Zeroizing::new(identity.to_owned()))
}

/// What an issuer says of itself.
pub(super) fn described(web: &Web, issuer: &Issuer) -> anyhow::Result<Value> {
    let address = format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/'));
    let (status, said) = web.get(&address)?;
    ensure!(status == 200, "{address} answered {status}");
    let named = field(&said, "issuer");
    ensure!(named == issuer.url, "{address} is of another issuer, {}", show::line(&named));
    Ok(said)
}

fn discover(web: &Web, issuer: &Issuer) -> anyhow::Result<Discovered> {
    let said = described(web, issuer)?;
    let of = |name: &str| field(&said, name);
    let found = Discovered {
        authorization: of("authorization_endpoint"),
        token: of("token_endpoint"),
        names_itself: said.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
    };
    for endpoint in [&found.authorization, &found.token] {
        desk::must_be_private(endpoint)?;
    }
    Ok(found)
}

fn question(
    issuer: &Issuer,
    found: &Discovered,
    redirect: &str,
    state: &str,
    nonce: &str,
    challenge: &str,
) -> String {
    let parameters = [
        ("response_type", "code"),
        ("client_id", &issuer.client),
        ("redirect_uri", redirect),
        ("scope", &issuer.scopes),
        ("state", state),
        ("nonce", nonce),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    let all: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", part(value))).collect();
    let join = if found.authorization.contains('?') { '&' } else { '?' };
    format!("{}{join}{}", found.authorization, all.join("&"))
}

/// The code in an answer to our question.
fn answered<'a>(
    issuer: &Issuer,
    found: &Discovered,
    of: impl Fn(&str) -> Option<&'a str>,
) -> anyhow::Result<Zeroizing<String>> {
    // Another issuer's answer must not be spent at this one (RFC 9207 §2.4).
    match of("iss") {
        Some(name) if name != issuer.url => bail!("the answer is of another issuer, {}", show::line(name)),
        None if found.names_itself => bail!("the answer does not say which issuer it is of"),
        Some(_) | None => (),
    }
    if let Some(error) = of("error") {
        let why = of("error_description").unwrap_or(error);
        return Err(Fault::Unauthorized(format!("the issuer refused: {}", show::line(why))).into());
    }
    of("code").map(|code| Zeroizing::new(code.to_owned())).context("the answer has no code")
}

/// That the token answers this very question. Its signature is the gateway's to check.
pub(super) fn check(token: &str, issuer: &Issuer, nonce: Option<&str>) -> anyhow::Result<()> {
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|part| BASE64.decode(part).ok())
        .context("the identity token is none")?;
    let claims: Value = serde_json::from_slice(&claims).context("the identity token is none")?;
    let answers = nonce.is_none_or(|nonce| same(&field(&claims, "nonce"), nonce));
    ensure!(answers, "the identity token answers another question");
    ensure!(field(&claims, "iss") == issuer.url, "the identity token is of another issuer");
    let heard = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|a| a.as_str() == Some(&issuer.client)),
        Some(one) => one.as_str() == Some(&issuer.client),
        None => false,
    };
    ensure!(heard, "the identity token is for another client");
    Ok(())
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// 256 bits, in 43 letters, as PKCE wants them at least.
fn chance() -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(Zeroizing::new(BASE64.encode(bytes.as_slice())))
}

/// Opens the browser, and says where to go if it does not come up.
fn show_browser(address: &str, browser: bool) {
    eprintln!("Sign in at:\n\n  {address}\n");
    if browser {
        open_browser(address);
    }
}

/// Opens the browser, where there is one.
pub(super) fn open_browser(address: &str) {
    let given = std::env::var("BROWSER").ok().filter(|b| !b.is_empty());
    if given.is_none() && !std::io::stderr().is_terminal() {
        return;
    }
    let program = given.unwrap_or_else(|| "xdg-open".to_owned());
    let opened = store::children::without_secrets(&mut Command::new(&program))
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        eprintln!("({program} does not run: {error})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        Issuer {
            name: "company".to_owned(),
            url: "https://id.example.com".to_owned(),
            client: "durward".to_owned(),
            scopes: "openid groups".to_owned(),
            ca: None,
            device: false,
        }
    }

    fn found(names_itself: bool) -> Discovered {
        Discovered {
            authorization: "https://id.example.com/auth".to_owned(),
            token: String::new(),
            names_itself,
        }
    }

    #[test]
    fn a_question_has_everything_that_its_answer_is_checked_by() {
        let address = question(&issuer(), &found(true), "http://127.0.0.1:7/callback", "st", "no", "ch");
        assert_eq!(
            address,
            "https://id.example.com/auth?response_type=code&client_id=durward\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A7%2Fcallback&scope=openid%20groups&state=st&nonce=no&code_challenge=ch\
             &code_challenge_method=S256"
        );
    }

    #[test]
    fn an_answer_of_another_issuer_is_not_spent_here() {
        for (names_itself, answer, code) in [
            (true, &[("code", "c"), ("iss", "https://id.example.com")][..], Some("c")),
            (true, &[("code", "c"), ("iss", "https://evil.example.com")], None),
            (true, &[("code", "c")], None),
            (false, &[("code", "c")], Some("c")),
            (false, &[("code", "c"), ("iss", "https://evil.example.com")], None),
            (false, &[("error", "access_denied")], None),
            (false, &[], None),
        ] {
            let of = |name: &str| answer.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let got = answered(&issuer(), &found(names_itself), of).ok();
            assert_eq!(got.as_ref().map(|c| c.as_str()), code, "{names_itself} {answer:?}");
        }
    }

    #[test]
    fn an_identity_token_answers_this_question_or_none() {
        let token = |claims: &str| format!("e30.{}.x", BASE64.encode(claims));
        for (claims, fits) in [
            (r#"{"iss":"https://id.example.com","aud":"durward","nonce":"n"}"#, true),
            (r#"{"iss":"https://id.example.com","aud":["x","durward"],"nonce":"n"}"#, true),
            (r#"{"iss":"https://id.example.com","aud":"durward","nonce":"other"}"#, false),
            (r#"{"iss":"https://id.example.com","aud":"durward"}"#, false),
            (r#"{"iss":"https://evil.example.com","aud":"durward","nonce":"n"}"#, false),
            (r#"{"iss":"https://id.example.com","aud":"other","nonce":"n"}"#, false),
            ("{", false),
        ] {
            assert_eq!(check(&token(claims), &issuer(), Some("n")).is_ok(), fits, "{claims}");
        }
    }
}
