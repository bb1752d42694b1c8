//! Answers from Slack: what it calls us with is signed, new and taken once; who clicked is somebody who has said so, signed in;
//! what they answer is exactly what their message showed. Nothing in a click shows that somebody is there: what a yes is worth,
//! policy says (`@slack`).

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{BY_SLACK, HoldRule, Request, SlackUser};
use serde::Deserialize;

use super::slack::Slack;
use crate::approvers::{Answered, Said, Voter};
use crate::gateway::{Gateway, now};
use crate::net::form;
use crate::people::{mark, secret};
use crate::presence::{Act, Place, Pledge};
use crate::requests::AdminError;

/// A callback is taken so long after it was signed, and so long before by another clock, in seconds.
const YOUNG: i64 = 300;
/// A link to say who one is stands so long, in seconds.
const LINK: i64 = 900;

/// What a button is called, so that its click is told from others.
pub(super) const APPROVE: &str = "durward-approve";
/// The same of a no.
pub(super) const DENY: &str = "durward-deny";

/// What came to the address that Slack calls.
pub struct Callback<'a> {
    /// `X-Slack-Request-Timestamp`.
    pub timestamp: &'a str,
    /// `X-Slack-Signature`.
    pub signature: &'a str,
    /// As it was sent, which is what is signed.
    pub body: &'a [u8],
}

/// Why a callback is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Nobody answers in Slack here.
    Nowhere,
    /// It is not Slack's, or too old.
    Forged,
    /// It was taken before.
    Again,
    /// It cannot be read.
    Strange,
    /// It cannot be known whether it was taken before.
    Down,
}

/// What somebody did, as far as it matters.
#[derive(Deserialize)]
struct Did {
    r#type: String,
    #[serde(default)]
    user: Option<DidUser>,
    #[serde(default)]
    team: Option<Named>,
    #[serde(default)]
    channel: Option<Named>,
    #[serde(default)]
    actions: Vec<Clicked>,
}

#[derive(Deserialize)]
struct DidUser {
    id: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Clicked {
    action_id: String,
    #[serde(default)]
    value: String,
}

/// What a button says when it is clicked: which request, by its digest, and which answer. Only we make one, for one channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Button {
    request: String,
    digest: String,
    approve: bool,
}

impl Button {
    pub(super) fn of(request: &Request, approve: bool) -> Self {
        Self { request: request.id.clone(), digest: request.digest.clone(), approve }
    }

    fn word(&self) -> &'static str {
        if self.approve { "approve" } else { "deny" }
    }

    fn bound(&self, channel: &str) -> String {
        Act::new("slack button", &[channel, &self.request, &self.digest, self.word()]).text()
    }

    /// As it travels.
    pub(super) fn value(&self, key: &hmac::Key, channel: &str) -> String {
        let seal = hmac::sign(key, self.bound(channel).as_bytes());
        format!("{}.{}.{}.{}", self.request, self.digest, self.word(), BASE64.encode(seal.as_ref()))
    }

    fn read(value: &str, key: &hmac::Key, channel: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let mut next = || parts.next();
        let (request, digest, word, seal) = (next()?, next()?, next()?, next()?);
        let approve = match word {
            "approve" => true,
            "deny" => false,
            _ => return None,
        };
        let button = Self { request: request.to_owned(), digest: digest.to_owned(), approve };
        let seal = BASE64.decode(seal).ok()?;
        hmac::verify(key, button.bound(channel).as_bytes(), &seal).ok()?;
        next().is_none().then_some(button)
    }
}

/// Whether a yes in Slack counts for what these rules hold: each of them says so.
pub(crate) fn may_approve(holds: &[HoldRule]) -> bool {
    !holds.is_empty() && holds.iter().all(|hold| !hold.slack.is_never())
}

/// What whoever clicked is told, where nobody else sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub says: String,
    /// Where to go, where there is somewhere.
    pub link: Option<String>,
}

impl Reply {
    fn plain(says: impl Into<String>) -> Self {
        Self { says: says.into(), link: None }
    }
}

impl Slack {
    /// Whether a callback is Slack's and young.
    fn vouches(&self, callback: &Callback<'_>, now: i64) -> Result<(), NotTaken> {
        let Callback { timestamp, signature, body } = callback;
        let key = self.signing().ok_or(NotTaken::Nowhere)?;
        let at: i64 = timestamp.parse().map_err(|_| NotTaken::Forged)?;
        let hex = signature.strip_prefix("v0=").ok_or(NotTaken::Forged)?;
        let mut signed = hmac::Context::with_key(key);
        let mut seal = Vec::new();
        for pair in hex.as_bytes().chunks(2) {
            let digits =
                std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            seal.push(byte.ok_or(NotTaken::Forged)?);
        }
        signed.update(b"v0:");
        signed.update(timestamp.as_bytes());
        signed.update(b":");
        signed.update(body);
        let right = signed.sign();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(right.as_ref(), &seal).is_ok();
        if same && at.saturating_sub(now).saturating_abs() <= YOUNG { Ok(()) } else { Err(NotTaken::Forged) }
    }
}

impl Gateway {
    /// Takes what Slack calls with, once. What comes of it, whoever clicked is told in Slack.
    ///
    /// # Errors
    /// It is not Slack's, not new, or cannot be read.
    pub async fn called_by_slack(self: &Arc<Self>, callback: &Callback<'_>) -> Result<(), NotTaken> {
        let slack = self.slack().ok_or(NotTaken::Nowhere)?;
        slack.vouches(callback, now())?;
        let name = format!("{}:{}", callback.timestamp, callback.signature.to_ascii_lowercase());
        match self.state().take_callback(&mark(&name)).await {
            Ok(true) => (),
            Ok(false) => return Err(NotTaken::Again),
            Err(error) => {
                tracing::error!("a callback of Slack's cannot be noted: {error}");
                return Err(NotTaken::Down);
            }
        }
        let payload = payload(callback.body).ok_or(NotTaken::Strange)?;
        let Did { r#type, user, team, channel, actions } =
            serde_json::from_str(&payload).map_err(|_| NotTaken::Strange)?;
        let clicked = actions.into_iter().find(|action| [APPROVE, DENY].contains(&action.action_id.as_str()));
        // Slack also tells of links that were followed.
        let Some(clicked) = clicked.filter(|_| r#type == "block_actions") else { return Ok(()) };
        let (Some(user), Some(team), Some(channel)) = (user, team, channel) else {
            return Err(NotTaken::Strange);
        };
        let name = user.username.or(user.name).unwrap_or_default().chars().take(80).collect();
        let user = SlackUser { team: team.id, id: user.id, name };
        let reply = self.clicked(slack, &user, &channel.id, &clicked.value).await;
        let reply = reply.unwrap_or_else(|error| Reply::plain(told(&error)));
        let slack = Arc::clone(slack);
        // Slack waits for us, and not for itself.
        tokio::spawn(async move { slack.whisper(&user.id, &reply).await });
        Ok(())
    }

    async fn clicked(
        &self,
        slack: &Slack,
        user: &SlackUser,
        channel: &str,
        value: &str,
    ) -> Result<Reply, AdminError> {
        let button = Button::read(value, self.buttons(), channel).filter(|_| slack.is_in(channel));
        let Some(Button { request, digest, approve }) = button else {
            tracing::warn!(team = user.team, user = user.id, "a button came from Slack that is not ours");
            return Ok(Reply::plain("This button is not one of ours, or not as it was. Nothing was done."));
        };
        let owner = self.state().slack_owner(&user.team, &user.id).await?;
        let Some(owner) = owner else { return self.introduced(user).await };
        let Some(guest) = self.somebody(&owner).await? else {
            let says = format!(
                "You are {owner} here, who is not signed in to the console, or not let in any more. Sign in there, and click again."
            );
            return Ok(Reply { says, link: self.console_place().map(|place| place.origin.clone()) });
        };
        let how = format!("{BY_SLACK}{}/{}", user.team, user.id);
        let voter = Voter::by_slack(&guest, how, digest);
        let said = Said::default();
        let link = self.console_place().map(|place| place.link(&request));
        match self.answer_request(&request, &voter, approve, said, None).await {
            Ok(Answered { status, waits_for, grant: _ }) if waits_for.is_empty() => {
                Ok(Reply::plain(format!("Your answer is counted: it is {status}.")))
            }
            Ok(Answered { waits_for, .. }) => Ok(Reply {
                says: format!("Your answer is counted. It waits for {}.", waits_for.join(", and ")),
                link,
            }),
            Err(error @ (AdminError::Refused(_) | AdminError::Missing(_))) => {
                Ok(Reply { says: format!("Nothing was done: {error}."), link })
            }
            Err(error) => Err(error),
        }
    }

    /// A link by which whoever clicked says who they are, signed in to the console.
    async fn introduced(&self, user: &SlackUser) -> Result<Reply, AdminError> {
        let secret = secret()?;
        let pledge = Pledge::Slack(user.clone());
        self.state().keep_once(&mark(&secret), &pledge.text()?, now().saturating_add(LINK)).await?;
        let place = self.console_place();
        let here = if place.is_some_and(Place::is_for_all) {
            ""
        } else {
            " The link works on the gateway's own machine alone: it has no console.public_url."
        };
        Ok(Reply {
            says: format!(
                "Nobody knows yet who you are. Sign in to the console by this link, which is yours alone and good once, and then \
                 click again.{here}"
            ),
            link: place.map(|place| format!("{}/me/slack?link={}", place.origin, *secret)),
        })
    }
}

/// What went wrong, without what is inside.
fn told(error: &AdminError) -> String {
    tracing::error!("a click in Slack came to nothing: {error}");
    "The gateway cannot do this now. Nothing was done.".to_owned()
}

/// `payload` of a form.
fn payload(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut fields = text.split('&').filter_map(|pair| pair.strip_prefix("payload="));
    let (encoded, None) = (fields.next()?, fields.next()) else { return None };
    form::decoded(encoded)
}
