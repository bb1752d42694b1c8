//! `[webhooks.NAME]` and `[slack]` in `durward.toml`: who is told what becomes of requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use gateway::carriers::{Carrier, Slack, Webhook};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Settings, Source};
use crate::exit::Fault;

/// Encrypted, or on this machine.
const URL: &str = r"^(https://[^/@?#]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]{1,5})?)(/[^#]*)?$";

/// Slack's signing secrets have 32 hexadecimal digits.
const SHORTEST: usize = 16;

/// A webhook, before its secret is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookSettings {
    pub url: String,
    pub secret: Source,
    pub authorities: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedWebhook {
    /// Where messages are posted: over https, or http on this machine.
    #[schemars(with = "String", extend("pattern" = URL))]
    url: Url,
    /// What signs them: `whsec_` and Base64, or 24 bytes at least.
    secret: Source,
    /// A file with the authorities of its TLS, in PEM; the system's where it is not given.
    authorities: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Url(String);

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let (host, path) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (split(rest).0, split(rest).1),
            (None, Some(rest)) if is_here(split(rest).0) => split(rest),
            _ => ("", ""),
        };
        if host.is_empty() || host.contains(['@', '?', '#']) || path.contains(['#', '\n']) {
            return Err(format!(
                "\"{url}\" is no place for messages: it is https://HOST/PATH, or http:// on this machine; secrets do not go into it"
            ));
        }
        Ok(Self(url))
    }
}

fn split(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

fn is_here(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "80"),
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let v4 = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits && (["localhost", "[::1]"].contains(&host) || host.strip_prefix("127.").is_some_and(v4))
}

impl TypedWebhook {
    /// Files' names start at a directory.
    pub(crate) fn below(self, home: &Path) -> WebhookSettings {
        let Self { url, secret, authorities } = self;
        let authorities = authorities.map(|file| home.join(file));
        WebhookSettings { url: url.0, secret: secret.below(home), authorities }
    }
}

/// A channel of Slack's, before its token is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlackSettings {
    pub channel: String,
    pub token: Source,
    pub api: String,
    pub signing_secret: Option<Source>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedSlack {
    /// The channel's id, which stands at the end of what Slack shows about it.
    #[schemars(with = "String", extend("pattern" = CHANNEL))]
    channel: Channel,
    /// The token of a bot that may write there (`chat:write`): `xoxb-…`.
    token: Source,
    /// What Slack signs its calls with, from the app's basic information. With it people answer there; the app's interactivity request
    /// URL is then the console's `/slack/interactive`.
    signing_secret: Option<Source>,
    /// Where its methods are; `https://slack.com/api` where it is not given.
    #[schemars(with = "Option<String>", extend("pattern" = URL))]
    api: Option<Url>,
}

const CHANNEL: &str = "^[CGD][A-Z0-9]{2,30}$";

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Channel(String);

impl TryFrom<String> for Channel {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let rest = id.strip_prefix(['C', 'G', 'D']).unwrap_or_default();
        if (2..=30).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        {
            return Ok(Self(id));
        }
        Err(format!(
            "\"{id}\" is no channel's id, such as C0123456789: it stands at the end of what Slack shows about a channel"
        ))
    }
}

impl TypedSlack {
    /// Files' names start at a directory.
    pub(crate) fn below(self, home: &Path) -> SlackSettings {
        let Self { channel, token, signing_secret, api } = self;
        let api = api.map_or_else(|| "https://slack.com/api".to_owned(), |api| api.0);
        let signing_secret = signing_secret.map(|secret| secret.below(home));
        SlackSettings { channel: channel.0, token: token.below(home), api, signing_secret }
    }
}

/// Reads their secrets.
pub(crate) fn all(settings: &Settings) -> anyhow::Result<Vec<Carrier>> {
    let webhooks = settings
        .webhooks
        .iter()
        .map(|(name, hook)| one(name, hook, settings).map(|webhook| Carrier::Webhook(Box::new(webhook))));
    let slack = settings.slack.iter().map(|SlackSettings { channel, token, api, signing_secret }| {
        let token = token.read(&settings.at(&["slack", "token"]))?;
        let mut slack = Slack::new(api, token.trim(), channel)?;
        let signing = settings.at(&["slack", "signing_secret"]);
        if let Some(secret) = signing_secret {
            if settings.public.url.is_none() {
                let why =
                    "console.public_url is missing, where Slack and those who answer there find the console";
                return Err(Fault::Invalid(format!("{signing}: {why}")).into());
            }
            let secret = secret.read(&signing)?;
            if secret.trim().len() < SHORTEST {
                let why = format!("{signing}: it has {SHORTEST} characters at least");
                return Err(Fault::Invalid(why).into());
            }
            slack = slack.answered(secret.trim());
        }
        Ok(Carrier::Slack(Arc::new(slack)))
    });
    webhooks.chain(slack).collect()
}

fn one(name: &str, hook: &WebhookSettings, settings: &Settings) -> anyhow::Result<Webhook> {
    let WebhookSettings { url, secret, authorities } = hook;
    let at = |key: &str| settings.at(&["webhooks", name, key]);
    let secret = secret.read(&at("secret"))?;
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("{}: {}", at("authorities"), file.display()))
    };
    let authorities = authorities.as_ref().map(read).transpose()?;
    let webhook = Webhook::new(name, url, secret.trim_end(), authorities.as_deref());
    Ok(webhook.map_err(|error| Fault::Invalid(format!("{}: {error}", settings.at(&["webhooks", name]))))?)
}
