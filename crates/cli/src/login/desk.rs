//! The gateway's port for agents and people, as seen from here: who signs in where, and tokens for tokens.

use serde_json::Value;
use zeroize::Zeroizing;

use super::flow::Issuer;
use crate::exit::Fault;
use crate::show::field;

/// No answer of a gateway's or an issuer's is longer, in bytes.
const LONGEST: usize = 1 << 20;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// What `login` asks for: a token for all targets that policy permits, and to mint agents' tokens with.
const SIGN_IN: &str = "urn:durward:token-type:sign-in";

/// Asks over TLS, or in clear on this machine.
pub(super) struct Web {
    client: gateway::net::web::Client,
    runtime: tokio::runtime::Runtime,
}

impl Web {
    pub(super) fn new(authorities: Option<&str>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client: gateway::net::web::Client::new(authorities)?, runtime })
    }

    pub(super) fn get(&self, address: &str) -> anyhow::Result<(u16, Value)> {
        must_be_private(address)?;
        let asked = self.client.ask(address, None, None, LONGEST);
        read(address, self.runtime.block_on(asked))
    }

    pub(super) fn form(&self, address: &str, form: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        self.form_as(address, form, None)
    }

    /// What only the token's bearer may see.
    fn get_as(&self, address: &str, token: &str) -> anyhow::Result<(u16, Value)> {
        must_be_private(address)?;
        let asked = self.client.ask(address, None, Some(format!("Bearer {token}")), LONGEST);
        read(address, self.runtime.block_on(asked))
    }

    fn form_as(
        &self,
        address: &str,
        form: &[(&str, &str)],
        bearer: Option<&str>,
    ) -> anyhow::Result<(u16, Value)> {
        must_be_private(address)?;
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        read(address, self.runtime.block_on(self.client.ask(address, Some(form), bearer, LONGEST)))
    }
}

fn read(
    address: &str,
    answer: Result<(u16, Vec<u8>), gateway::net::web::WebError>,
) -> anyhow::Result<(u16, Value)> {
    let (status, body) =
        answer.map_err(|error| Fault::Unreachable(format!("{address} cannot be asked: {error}")))?;
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// What goes there are tokens.
pub(crate) fn must_be_private(address: &str) -> anyhow::Result<()> {
    let host = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
        let bare = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host).to_owned();
        (!authority.contains('@')).then_some(bare)
    };
    let fine = match address.split_once("://") {
        Some(("https", rest)) => host(rest).is_some_and(|host| !host.is_empty()),
        Some(("http", rest)) => host(rest).is_some_and(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }),
        Some(_) | None => false,
    };
    let why = || Fault::Invalid(format!("{address}: tokens go over https, or http on this machine"));
    if fine { Ok(()) } else { Err(why().into()) }
}

/// Why something was refused, in the words of who did.
pub(super) fn reason(answer: &Value) -> String {
    let said = ["error_description", "error", "reason"].map(|name| field(answer, name));
    let said = said.into_iter().find(|text| !text.is_empty());
    said.unwrap_or_else(|| "it does not say why".to_owned())
}

/// The gateway's port for agents.
pub(crate) struct Desk {
    web: Web,
    base: String,
}

/// A token of the gateway's.
pub(crate) struct Given {
    pub token: Zeroizing<String>,
    /// In seconds since 1970.
    pub expires: i64,
}

impl Desk {
    pub(crate) fn new(base: &str) -> anyhow::Result<Self> {
        must_be_private(base)?;
        Ok(Self { web: Web::new(None)?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Where people sign in.
    pub(super) fn issuers(&self) -> anyhow::Result<Vec<Issuer>> {
        let answer = self.done(self.web.get(&format!("{}/login", self.base))?)?;
        let issuer = |said: &Value| Issuer {
            name: field(said, "name"),
            url: field(said, "issuer"),
            client: field(said, "client_id"),
            scopes: field(said, "scopes"),
            ca: said.get("ca").and_then(Value::as_str).map(str::to_owned),
            device: said.get("device") == Some(&Value::Bool(true)),
        };
        Ok(answer.as_array().into_iter().flatten().map(issuer).collect())
    }

    /// A token for an identity token, which `login` keeps.
    pub(super) fn sign_in(&self, identity: &str) -> anyhow::Result<Given> {
        self.exchange(&[
            ("subject_token", identity),
            ("subject_token_type", ID_TOKEN),
            ("requested_token_type", SIGN_IN),
        ])
    }

    /// A token of an agent's who acts for whoever signed in, or of their own where no agent is named.
    pub(crate) fn mint(
        &self,
        signed_in: &str,
        agent: Option<&str>,
        targets: &[String],
        purpose: Option<&str>,
        life: u64,
    ) -> anyhow::Result<Given> {
        let life = life.to_string();
        let mut form =
            vec![("subject_token", signed_in), ("subject_token_type", ACCESS_TOKEN), ("lifetime", &life)];
        form.extend(agent.map(|agent| ("agent", agent)));
        form.extend(targets.iter().map(|target| ("audience", target.as_str())));
        form.extend(purpose.map(|purpose| ("scope", purpose)));
        self.exchange(&form)
    }

    fn exchange(&self, form: &[(&str, &str)]) -> anyhow::Result<Given> {
        let all = [&[("grant_type", EXCHANGE)], form].concat();
        let answer = self.done(self.web.form(&format!("{}/token", self.base), &all)?)?;
        let seconds = answer.get("expires_in").and_then(Value::as_i64).unwrap_or_default();
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let expires = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(seconds);
        Ok(Given { token: Zeroizing::new(field(&answer, "access_token")), expires })
    }

    /// Whose token it is.
    pub(super) fn who(&self, token: &str) -> anyhow::Result<Value> {
        self.done(self.web.form_as(&format!("{}/whoami", self.base), &[], Some(token))?)
    }

    /// Takes a token back, and what was minted with it.
    pub(crate) fn revoke(&self, token: &str) -> anyhow::Result<()> {
        self.done(self.web.form(&format!("{}/revoke", self.base), &[("token", token)])?).map(drop)
    }

    /// Submits a plan.
    pub(crate) fn submit(&self, token: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.planned(self.web.form_as(&format!("{}/plans", self.base), form, Some(token))?)
    }

    /// A plan of the token's principal.
    pub(crate) fn plan(&self, token: &str, id: &str) -> anyhow::Result<Value> {
        let address = format!("{}/plans/{}", self.base, crate::client::named(id)?);
        self.planned(self.web.get_as(&address, token)?)
    }

    /// Takes a plan of the token's principal back.
    pub(crate) fn withdraw(&self, token: &str, id: &str) -> anyhow::Result<Value> {
        let address = format!("{}/plans/{}/withdraw", self.base, crate::client::named(id)?);
        self.planned(self.web.form_as(&address, &[], Some(token))?)
    }

    /// Asks for access with a token.
    pub(crate) fn ask_access(&self, token: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.planned(self.web.form_as(&format!("{}/access", self.base), form, Some(token))?)
    }

    /// A request for access of the token's principal.
    pub(crate) fn access(&self, token: &str, id: &str) -> anyhow::Result<Value> {
        let address = format!("{}/access/{}", self.base, crate::client::named(id)?);
        self.planned(self.web.get_as(&address, token)?)
    }

    /// Takes a request of the token's principal back, whatever it asks for.
    pub(crate) fn withdraw_request(&self, token: &str, id: &str) -> anyhow::Result<Value> {
        let address = format!("{}/requests/{}/withdraw", self.base, crate::client::named(id)?);
        self.planned(self.web.form_as(&address, &[], Some(token))?)
    }

    fn planned(&self, (status, answer): (u16, Value)) -> anyhow::Result<Value> {
        match status {
            200 => Ok(answer),
            403 => {
                let hint = field(&answer, "hint");
                let hint = if hint.is_empty() { hint } else { format!("\n{hint}") };
                anyhow::bail!("{}{hint}", reason(&answer))
            }
            404 if !field(&answer, "error_description").is_empty() => {
                Err(Fault::Missing(reason(&answer)).into())
            }
            _ => self.done((status, answer)),
        }
    }

    fn done(&self, (status, answer): (u16, Value)) -> anyhow::Result<Value> {
        match status {
            200 => Ok(answer),
            400 | 401 | 403 => Err(Fault::Unauthorized(reason(&answer)).into()),
            404 => Err(Fault::Missing(format!("{} is no port of a gateway for agents", self.base)).into()),
            other => anyhow::bail!("{} answered {other}: {}", self.base, reason(&answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_over_tls_or_stay_on_this_machine() {
        for (address, fine) in [
            ("https://gate.example.com", true),
            ("http://127.0.0.1:7380", true),
            ("http://[::1]:7380/x", true),
            ("http://localhost:1/token?x", true),
            ("http://gate.example.com", false),
            ("http://127.0.0.1@evil.example.com/", false),
            ("http://127.0.0.1.evil.example.com/", false),
            ("https://", false),
            ("ftp://127.0.0.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(must_be_private(address).is_ok(), fine, "{address}");
        }
    }
}
