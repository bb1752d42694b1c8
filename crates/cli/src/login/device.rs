//! Signing in on a machine without a browser: a code that is entered on another (RFC 8628). Whoever is made to enter a code
//! that is not theirs signs somebody else in, so that this is for issuers alone whose entry says so.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use zeroize::Zeroizing;

use super::desk::{self, Web};
use super::flow::{self, Issuer};
use crate::exit::Fault;
use crate::show::{self, field};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// It is asked so often where the issuer says nothing (RFC 8628 §3.2), and so much more rarely where it says that it is too
/// often (§3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// It is never asked more often or more rarely than that.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the issuer waits for.
struct Begun {
    /// What this machine asks with; nobody is shown it.
    device: Zeroizing<String>,
    /// What is entered.
    user: String,
    /// Where.
    address: String,
    interval: Duration,
    life: Duration,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Wait,
    Slower,
    Refused(String),
}

/// Signs in; the identity token.
pub(super) fn sign_in(issuer: &Issuer, patience: Duration) -> anyhow::Result<Zeroizing<String>> {
    if !issuer.device {
        let name = show::line(&issuer.name);
        let why = format!("nobody signs in at {name} by a code: its entry has no `login_device = true`");
        return Err(Fault::Invalid(why).into());
    }
    let web = Web::new(issuer.ca.as_deref())?;
    let said = flow::described(&web, issuer)?;
    let (asks, token) = (field(&said, "device_authorization_endpoint"), field(&said, "token_endpoint"));
    ensure!(!asks.is_empty(), "{} gives no codes: it has no device_authorization_endpoint", issuer.url);
    let form = [("client_id", issuer.client.as_str()), ("scope", &issuer.scopes)];
    let (status, answer) = web.form(&asks, &form)?;
    ensure!(status == 200, "the issuer gives no code: {}", desk::reason(&answer));
    let begun = begun(&answer)?;
    eprintln!(
        "Sign in at:\n\n  {}\n\nand enter the code:\n\n  {}\n\nIt is for this machine. Enter no code that somebody sends you.",
        show::line(&begun.address),
        show::line(&begun.user)
    );
    let identity = wait(&web, issuer, &token, &begun, patience)?;
    flow::check(&identity, issuer, None)?;
    Ok(identity)
}

fn begun(answer: &Value) -> anyhow::Result<Begun> {
    let seconds = |name: &str| answer.get(name).and_then(Value::as_u64).map(Duration::from_secs);
    let begun = Begun {
        device: Zeroizing::new(field(answer, "device_code")),
        user: field(answer, "user_code"),
        address: field(answer, "verification_uri"),
        interval: seconds("interval").unwrap_or(INTERVAL).clamp(BOUNDS.0, BOUNDS.1),
        life: seconds("expires_in").context("the issuer does not say how long its code is good")?,
    };
    ensure!(!begun.device.is_empty() && !begun.user.is_empty(), "the issuer gives no code");
    desk::must_be_private(&begun.address)?;
    Ok(begun)
}

fn wait(
    web: &Web,
    issuer: &Issuer,
    endpoint: &str,
    begun: &Begun,
    patience: Duration,
) -> anyhow::Result<Zeroizing<String>> {
    let end = Instant::now() + patience.min(begun.life);
    let form = [("grant_type", GRANT), ("device_code", begun.device.as_str()), ("client_id", &issuer.client)];
    let mut interval = begun.interval;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left < interval {
            let why = "nobody has entered the code in time: `durward login --device` shows another";
            return Err(Fault::Unauthorized(why.to_owned()).into());
        }
        std::thread::sleep(interval);
        let (status, answer) = match web.form(endpoint, &form) {
            Ok(answered) => answered,
            // It may be back before the code's time is over.
            Err(error) if error.downcast_ref::<Fault>().is_some() => {
                interval = (interval * 2).min(BOUNDS.1);
                continue;
            }
            Err(error) => return Err(error),
        };
        if status == 200 {
            let identity = answer.get("id_token").and_then(Value::as_str);
            return Ok(Zeroizing::new(identity.context("the issuer gives no identity token")?.to_owned()));
        }
        match turn(&answer) {
            Turn::Wait => (),
            Turn::Slower => interval = (interval + INTERVAL).min(BOUNDS.1),
            Turn::Refused(why) if status < 500 => return Err(Fault::Unauthorized(why).into()),
            Turn::Refused(why) => bail!("{endpoint} answered {status}: {why}"),
        }
    }
}

/// What an error means (RFC 8628 §3.5).
fn turn(answer: &Value) -> Turn {
    match field(answer, "error").as_str() {
        "authorization_pending" => Turn::Wait,
        "slow_down" => Turn::Slower,
        "expired_token" => Turn::Refused("the code has expired".to_owned()),
        "access_denied" => Turn::Refused("it was refused where the code was entered".to_owned()),
        _ => Turn::Refused(show::line(&desk::reason(answer))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_issuers_answer_is_waited_for_as_it_says() {
        for (error, expected) in [
            ("authorization_pending", Turn::Wait),
            ("slow_down", Turn::Slower),
            ("expired_token", Turn::Refused("the code has expired".to_owned())),
            ("access_denied", Turn::Refused("it was refused where the code was entered".to_owned())),
            ("invalid_grant", Turn::Refused("invalid_grant".to_owned())),
        ] {
            assert_eq!(turn(&json!({ "error": error })), expected, "{error}");
        }
    }

    #[test]
    fn a_code_is_shown_only_with_an_address_that_people_can_trust() {
        let honest = json!({ "device_code": "d", "user_code": "BCDF-GHJK", "expires_in": 600,
                             "verification_uri": "https://id.example.com/device" });
        assert_eq!(begun(&honest).expect("honest").interval, INTERVAL);
        for (name, value) in [
            ("verification_uri", json!("http://id.example.com/device")),
            ("verification_uri", json!("javascript:alert(1)")),
            ("verification_uri", json!(null)),
            ("device_code", json!("")),
            ("user_code", json!(7)),
            ("expires_in", json!("soon")),
        ] {
            let mut wrong = honest.clone();
            wrong[name] = value;
            assert!(begun(&wrong).is_err(), "{wrong}");
        }
        for (said, kept) in [(0, 1), (3, 3), (86_400, 60)] {
            let mut other = honest.clone();
            other["interval"] = json!(said);
            assert_eq!(begun(&other).expect("honest").interval, Duration::from_secs(kept));
        }
    }
}
