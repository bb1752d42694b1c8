//! Asking a running gateway's admin API.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use crate::exit::Fault;

const SECRET: &str = "DURWARD_ADMIN_SECRET";
const APPROVERS_SECRET: &str = "DURWARD_APPROVER_SECRET";

/// An answer is not longer, in bytes.
const LONGEST_ANSWER: u64 = 256 * 1024 * 1024;

/// Something in a configuration that the gateway does not take: whoever has the files knows where it is written.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Misconfigured {
    /// The target, issuer or client.
    pub name: String,
    /// Its member, or nothing.
    pub member: String,
    pub reason: String,
}

pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    /// The approver who asks; the administrator where there is none.
    name: Option<String>,
    secret: OnceLock<Zeroizing<String>>,
}

impl Client {
    pub(crate) fn new(base: &str) -> anyhow::Result<Self> {
        if !is_here(base) {
            let why = format!(
                "{base}: the admin API is asked over http on this machine only, since the secret goes there in clear; \
                 reach another machine's through a tunnel (ssh -L 7300:127.0.0.1:7300 …)"
            );
            return Err(Fault::Invalid(why).into());
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            // A proxy from the environment would see the secret.
            .proxy(None)
            .max_redirects(0)
            .build();
        let base = format!("{}/api/v1", base.trim_end_matches('/'));
        Ok(Self { agent: config.into(), base, name: None, secret: OnceLock::new() })
    }

    /// The same, asked by an approver.
    pub(crate) fn with_name(self, name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), ..self }
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(self.address(path)?).header("Authorization", self.bearer()?);
        read(request.call(), &self.base)
    }

    /// Whether the gateway says that clients are welcome. No secret is sent.
    pub(crate) fn is_ready(&self) -> anyhow::Result<bool> {
        let at = self.base.trim_end_matches("/api/v1");
        match self.agent.get(format!("{at}/readyz")).call() {
            Ok(answer) => Ok(answer.status().is_success()),
            Err(error) => Err(Fault::Unreachable(format!(
                "no gateway answers at {at}: {error}. Does it run? --gateway URL names another place"
            ))
            .into()),
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(self.address(path)?).header("Authorization", self.bearer()?);
        read(request.send_json(body), &self.base)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.put(self.address(path)?).header("Authorization", self.bearer()?);
        read(request.send_json(body), &self.base)
    }

    fn address(&self, path: &str) -> Result<String, Fault> {
        if names_nothing(path) { Err(unnamed()) } else { Ok(format!("{}{path}", self.base)) }
    }

    fn bearer(&self) -> anyhow::Result<HeaderValue> {
        let secret = match self.secret.get() {
            Some(secret) => secret,
            None => {
                // Nobody is asked for a secret that nobody would take: a gateway that is not there is said first.
                let variable = if self.name.is_some() { APPROVERS_SECRET } else { SECRET };
                if std::env::var_os(variable).is_none() {
                    self.is_ready()?;
                }
                let asked = ask(self.name.as_deref())?;
                self.secret.get_or_init(|| asked)
            }
        };
        let text = Zeroizing::new(format!("Bearer {}", secret.as_str()));
        let bad =
            || Fault::Unauthorized("a secret has only letters, digits and _: this one has more".to_owned());
        if !text.is_ascii() {
            return Err(bad().into());
        }
        let mut value = HeaderValue::from_str(&text).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Whether the administrator's secret is given, so that nobody is asked for it.
pub(crate) fn has_secret() -> bool {
    std::env::var_os(SECRET).is_some()
}

/// The secret is never an argument: arguments can be read by every process.
fn ask(name: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
    let (whose, variable) = match name {
        Some(name) => (format!("{}'s", crate::show::line(name)), APPROVERS_SECRET),
        None => ("the administrator's".to_owned(), SECRET),
    };
    if let Ok(secret) = std::env::var(variable) {
        return Ok(Zeroizing::new(secret.trim().to_owned()));
    }
    if !std::io::stderr().is_terminal() {
        let why = format!("this needs {whose} secret: set {variable}, or run it at a terminal");
        return Err(Fault::Unauthorized(why).into());
    }
    let typed = rpassword::prompt_password(format!("Secret ({whose}): "))
        .map_err(|error| Fault::Unauthorized(format!("the secret cannot be read: {error}")))?;
    Ok(Zeroizing::new(typed.trim().to_owned()))
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, base: &str) -> anyhow::Result<Value> {
    let unreachable = |error: ureq::Error| {
        let at = base.trim_end_matches("/api/v1");
        Fault::Unreachable(format!(
            "no gateway answers at {at}: {error}. Does it run? --gateway URL names another place"
        ))
    };
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string().map_err(unreachable)?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let reason = match crate::show::field(&value, "reason") {
        empty if empty.is_empty() => format!("{base} answered with status {status}: is it a gateway?"),
        reason => reason,
    };
    match status {
        401 | 403 => Err(Fault::Unauthorized(reason).into()),
        404 => Err(Fault::Missing(reason).into()),
        _ => match value.get("about") {
            Some(about) => {
                let (name, member) = (crate::show::field(about, "name"), crate::show::field(about, "member"));
                Err(Misconfigured { name, member, reason }.into())
            }
            None => Err(anyhow::anyhow!(reason)),
        },
    }
}

/// Whether a URL is plain http on this machine.
fn is_here(base: &str) -> bool {
    let Some(rest) = base.strip_prefix("http://") else { return false };
    let authority = rest.trim_end_matches('/');
    if authority.contains(['/', '@', '?', '#']) {
        return false;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) | None => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a part of a path is empty: what was typed there is.
fn names_nothing(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path.ends_with('/') || path.contains("//")
}

fn unnamed() -> Fault {
    Fault::Invalid("an id or a name is empty: '' names nothing".to_owned())
}

/// The same as `part`, of what must not be empty.
pub(crate) fn named(text: &str) -> Result<String, Fault> {
    if text.is_empty() { Err(unnamed()) } else { Ok(part(text)) }
}

/// A part of a path, so that what was typed stays one part.
pub(crate) fn part(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_goes_to_this_machine_only() {
        for (url, here) in [
            ("http://127.0.0.1:7300", true),
            ("http://localhost:7300/", true),
            ("http://[::1]:7300", true),
            ("http://127.0.0.2", true),
            ("https://127.0.0.1:7300", false),
            ("http://gate.example.com:7300", false),
            ("http://127.0.0.1@evil.com", false),
            ("http://127.0.0.1.evil.com", false),
            ("http://localhost/x", false),
        ] {
            assert_eq!(is_here(url), here, "{url}");
        }
    }

    #[test]
    fn what_was_typed_stays_one_part_of_a_path() {
        assert_eq!(part("dwt_ab-1.c"), "dwt_ab-1.c");
        assert_eq!(part("../x?y"), "..%2Fx%3Fy");
        for (path, nothing) in [
            ("/requests/", true),
            ("/requests//answer", true),
            ("/targets/?health=true", true),
            ("/requests/r1/answer", false),
            ("/requests?all=true&most=2&before=a/", false),
        ] {
            assert_eq!(names_nothing(path), nothing, "{path}");
        }
        assert!(named("").is_err());
    }
}
