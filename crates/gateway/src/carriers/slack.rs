//! A channel of Slack's: one message for each request, which changes with it. Everything of the request's stands in it as plain
//! text, so that no name or statement can mention somebody, link somewhere or end its block. Where Slack may call us, it has buttons
//! (`clicks`); else whoever reads it follows the link, or answers at a command line.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use model::{Ceiling, Request, Status, Vote};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Told;
use super::clicks::{APPROVE, Button, DENY, Reply, may_approve};
use super::message::Message;
use crate::net::web::{Client, WebError};
use crate::visible;

/// An answer of Slack's to a message has a few kilobytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// A header has so many characters at most.
const HEADER: usize = 150;
/// The text of a dialogue has so many.
const DIALOGUE: usize = 300;
/// A text has so many at most.
const TEXT: usize = 2_900;
/// Where there is not room for all lines, each has so many.
const LINE: usize = 200;
/// What is wrong with this one message, and not with the next.
const OF_THE_MESSAGE: [&str; 7] = [
    "msg_too_long",
    "msg_blocks_too_long",
    "invalid_blocks",
    "no_text",
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
];

/// One channel that is told.
pub struct Slack {
    /// Where its methods are.
    api: String,
    token: Zeroizing<String>,
    channel: String,
    client: Client,
    /// Of what Slack signs its calls with; nobody answers there without.
    signing: Option<hmac::Key>,
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack")
            .field("api", &self.api)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What Slack says, as far as it matters.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

impl Slack {
    /// Tells a channel by a bot's token.
    ///
    /// # Errors
    /// The system's authorities cannot be read.
    pub fn new(api: &str, token: &str, channel: &str) -> Result<Self, WebError> {
        let (api, token) = (api.trim_end_matches('/').to_owned(), Zeroizing::new(token.to_owned()));
        Ok(Self { api, token, channel: channel.to_owned(), client: Client::new(None)?, signing: None })
    }

    /// The same, where people answer: Slack signs with this secret what it calls us with.
    pub fn answered(self, secret: &str) -> Self {
        Self { signing: Some(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())), ..self }
    }

    pub(super) fn signing(&self) -> Option<&hmac::Key> {
        self.signing.as_ref()
    }

    /// Whether a channel is this one.
    pub(super) fn is_in(&self, channel: &str) -> bool {
        self.channel == channel
    }

    /// Tells somebody in the channel what nobody else sees there. Nothing hangs on it.
    pub(super) async fn whisper(&self, user: &str, reply: &Reply) {
        let Reply { says, link } = reply;
        let mut elements = vec![text(&cut(&visible::line(says), TEXT))];
        if let Some(link) = link {
            elements.push(text(" "));
            elements.push(json!({ "type": "link", "url": link, "text": "Go on in the console" }));
        }
        let body = json!({
            "channel": self.channel, "user": user, "text": escaped(says), "blocks": [rich(elements)], "parse": "none"
        });
        let answer = self.call("chat.postEphemeral", &body).await;
        let why = match answer.map(|answer| serde_json::from_slice::<Answer>(&answer)) {
            Ok(Ok(Answer { ok: true, .. })) => return,
            Ok(Ok(Answer { error, .. })) => error.unwrap_or_default(),
            Ok(Err(_)) => "what it says is not what Slack says".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            "somebody could not be told in Slack what their click came to: {}",
            visible::line(&why)
        );
    }

    async fn call(&self, method: &str, body: &Value) -> Result<Vec<u8>, WebError> {
        let authorization = Zeroizing::new(format!("Bearer {}", *self.token));
        let headers = vec![(Cow::Borrowed("authorization"), authorization)];
        let body = Zeroizing::new(body.to_string());
        self.client.post_json(&format!("{}/{method}", self.api), headers, body, LONGEST_ANSWER).await
    }

    /// `slack`: there is one.
    #[expect(clippy::unused_self, reason = "as carriers have it")]
    pub(super) fn name(&self) -> &str {
        "slack"
    }

    /// Posts the first message of a request, and changes it from then on.
    pub(super) async fn deliver(
        &self,
        message: &Message<'_>,
        mark: Option<String>,
        buttons: &hmac::Key,
    ) -> Told {
        let posted = mark.as_deref().and_then(|mark| mark.split_once(' '));
        let (method, mut body) = match (posted, message.news.status) {
            (Some((channel, ts)), _) => ("chat.update", json!({ "channel": channel, "ts": ts })),
            (None, Status::Pending) => ("chat.postMessage", json!({ "channel": self.channel })),
            // Nobody was told that it was asked for: it was before anybody was to be told.
            (
                None,
                Status::Approved
                | Status::Denied
                | Status::Expired
                | Status::Withdrawn
                | Status::Superseded
                | Status::Claimed
                | Status::Lapsed
                | Status::Rescinded
                | Status::Done
                | Status::Failed
                | Status::OutcomeUnknown,
            ) => return Told::Taken(None),
        };
        let buttons = self.signing.as_ref().map(|_| (buttons, self.channel.as_str()));
        if let (Some(fields), Value::Object(shown)) = (body.as_object_mut(), shown(message, buttons)) {
            fields.extend(shown);
        }
        match self.call(method, &body).await {
            Ok(answer) => heard(&answer, mark),
            Err(error) => Told::Down(error.to_string()),
        }
    }
}

fn heard(answer: &[u8], mark: Option<String>) -> Told {
    match serde_json::from_slice(answer) {
        Ok(Answer { ok: true, channel, ts, error: _ }) => {
            Told::Taken(mark.or_else(|| Some(format!("{} {}", channel?, ts?))))
        }
        Ok(Answer { error: Some(error), .. }) => {
            let why = format!("it says {}", visible::line(&error));
            if OF_THE_MESSAGE.contains(&error.as_str()) { Told::Refused(why) } else { Told::Down(why) }
        }
        Ok(_) | Err(_) => Told::Down("what it says is not what Slack says".to_owned()),
    }
}

/// What the message shows; with buttons, made with a key for a channel, where people answer there.
fn shown(message: &Message<'_>, buttons: Option<(&hmac::Key, &str)>) -> Value {
    let request = message.request;
    let waits = request.status == Status::Pending;
    let status = status(request);
    let (title, mut blocks, is_whole) = asked(message, &status);
    if let Some((key, channel)) = buttons.filter(|_| waits) {
        if !is_whole && may_approve_here(request) {
            let why = "It is too long to be shown here whole, so that no yes is given here: look at it where all of it is.";
            blocks.push(rich(vec![text(why)]));
        }
        blocks.push(actions(request, key, channel, is_whole));
    }
    if waits {
        let id = &request.id;
        blocks.push(match message.place.filter(|place| place.is_for_all()) {
            Some(place) => {
                rich(vec![json!({ "type": "link", "url": place.link(id), "text": "Look and answer" })])
            }
            None => rich(vec![
                text("To answer: "),
                json!({ "type": "text", "text": format!("durward requests show {id}"), "style": { "code": true } }),
            ]),
        });
    }
    // What notifications show is read as markup.
    let fallback = escaped(&format!("{title}: {status}"));
    json!({ "text": fallback, "blocks": blocks, "parse": "none", "link_names": false, "unfurl_links": false })
}

/// Who asks for what, in blocks under their title, and whether nothing of it was left out.
fn asked(message: &Message<'_>, status: &str) -> (String, Vec<Value>, bool) {
    let request = message.request;
    let Request { principal, on_behalf_of, target, summary, holds, preview, .. } = request;
    let mut room = Room { is_whole: true };
    let who = visible::line(&format!("{principal} asks on {}", target.as_str()));
    let title = room.fit(&who, HEADER);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title) })];
    // What is no statement of its own has a line that says what it is.
    if request.text.is_empty() || preview.ordered.is_some() || preview.access.is_some() {
        blocks.push(preformatted(&room.fit(summary, TEXT)));
    }
    if !request.text.is_empty() {
        blocks.push(preformatted(&room.fit(&visible::line(&request.text), TEXT)));
    }
    if message.carries_values() && !request.values.is_empty() {
        blocks.push(preformatted(&room.fit_lines(&values(request))));
    }
    if !request.effects.is_empty() {
        blocks.push(rich(vec![text("It would:")]));
        let effects: Vec<String> =
            request.effects.iter().map(|effect| format!("- {}", visible::line(effect))).collect();
        blocks.push(preformatted(&room.fit_lines(&effects)));
    }
    let mut facts = Vec::new();
    if !on_behalf_of.is_empty() {
        facts.push(format!("For {}", on_behalf_of.join(", ")));
    }
    for hold in holds {
        let reason = hold.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        facts.push(format!("Held by {} (answered by {}){reason}", hold.id, hold.approvers.join(" or ")));
    }
    match &request.ceiling {
        Ceiling::Rows { most, .. } => facts.push(format!("At most {most} rows")),
        Ceiling::None(_) => (),
    }
    if let Some(changed) = &request.changed {
        facts.push(format!("Altered: {changed}"));
    }
    let disguised = visible::disguised(&format!("{} {}", request.text, request.effects.join(" ")));
    if !disguised.is_empty() {
        facts
            .push(format!("Look twice, there are words in more than one alphabet: {}", disguised.join(", ")));
    }
    facts.push(status.to_owned());
    let facts: Vec<String> = facts.iter().map(|fact| visible::line(fact)).collect();
    blocks.push(rich(vec![text(&room.fit_lines(&facts))]));
    (title, blocks, room.is_whole)
}

/// The values, a line each, and the settings by which the target reads them.
fn values(request: &Request) -> Vec<String> {
    let model::Circumstances { kinds, settings } = &request.circumstances;
    let kinds = kinds.iter().map(String::as_str).chain(std::iter::repeat(""));
    let value = |(n, (value, kind)): (usize, (&Option<String>, &str))| {
        let kind = if kind.is_empty() { String::new() } else { format!(" ({})", visible::line(kind)) };
        format!("${n}{kind} = {}", visible::value(value.as_deref()))
    };
    let setting = |(name, value): &(String, String)| {
        format!("under {} = {}", visible::name(name), visible::quoted(value))
    };
    let values = (1..).zip(request.values.iter().zip(kinds)).map(value);
    values.chain(settings.iter().map(setting)).collect()
}

/// Notes whether all that was to be shown had room. A yes is to what is seen.
struct Room {
    is_whole: bool,
}

impl Room {
    fn fit(&mut self, text: &str, most: usize) -> String {
        self.is_whole &= text.chars().nth(most).is_none();
        cut(text, most)
    }

    /// Lines that fit together. Where they do not, the long ones give way first, so that none hides those behind it.
    fn fit_lines(&mut self, lines: &[String]) -> String {
        let all = lines.join("\n");
        if all.chars().nth(TEXT).is_none() {
            return all;
        }
        self.is_whole = false;
        let short: Vec<String> = lines.iter().map(|line| cut(line, LINE)).collect();
        let mut taken = 0;
        let fit = short.iter().take_while(|line| {
            taken += line.chars().count() + 1;
            taken <= TEXT
        });
        let mut fit: Vec<String> = fit.cloned().collect();
        if let more @ 1.. = lines.len() - fit.len() {
            fit.push(format!("… and {more} more"));
        }
        fit.join("\n")
    }
}

/// Whether a yes of Slack's is taken for it at all. Access is given in the console, with its bounds.
fn may_approve_here(request: &Request) -> bool {
    request.preview.access.is_none() && may_approve(&request.holds)
}

/// The buttons. A yes is there where policy lets it be given here, and to what is seen whole; to what it is, its dialogue says
/// again: what tells it from others first.
fn actions(request: &Request, key: &hmac::Key, channel: &str, is_whole: bool) -> Value {
    let button = |approve: bool, id: &str, style: &str| {
        let word = if approve { "Approve" } else { "Deny" };
        let digest = request.digest.get(..16).unwrap_or(&request.digest);
        let asked =
            visible::line(&format!("digest {digest}, on {}: {}", request.target.as_str(), request.summary));
        json!({
            "type": "button", "action_id": id, "style": style, "text": plain(word),
            "value": Button::of(request, approve).value(key, channel),
            "confirm": {
                "title": plain(&format!("{word} this?")), "text": plain(&cut(&asked, DIALOGUE)), "confirm": plain(word),
                "deny": plain("Not now"),
            },
        })
    };
    let yes = (is_whole && may_approve_here(request)).then(|| button(true, APPROVE, "primary"));
    let all: Vec<Value> = yes.into_iter().chain([button(false, DENY, "danger")]).collect();
    json!({ "type": "actions", "elements": all })
}

/// Where it stands, in words.
fn status(request: &Request) -> String {
    let who = |approve: bool| {
        let voters = request.votes.iter().filter(|vote| vote.approve == approve);
        voters.map(|Vote { voter, .. }| voter.as_str()).collect::<Vec<_>>().join(", ")
    };
    match request.status {
        Status::Pending => "Waits for an answer".to_owned(),
        Status::Approved => format!("Approved by {}, not used yet", who(true)),
        Status::Denied => format!("Denied by {}", who(false)),
        Status::Expired => "Nobody answered in time".to_owned(),
        Status::Withdrawn => "Withdrawn: whoever asked does not wait any more".to_owned(),
        Status::Superseded => "Asked for anew".to_owned(),
        Status::Claimed => format!("Approved by {}, running", who(true)),
        Status::Lapsed => "Approved, and not used in time".to_owned(),
        Status::Rescinded => "The approval was taken back".to_owned(),
        Status::Done => format!("Approved by {}, done", who(true)),
        Status::Failed => format!("Approved by {}, failed", who(true)),
        Status::OutcomeUnknown => format!("Approved by {}; nobody knows whether it ran", who(true)),
    }
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn rich(elements: Vec<Value>) -> Value {
    json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": elements }] })
}

fn preformatted(shown: &str) -> Value {
    let elements = [text(shown)];
    json!({ "type": "rich_text", "elements": [{ "type": "rich_text_preformatted", "elements": elements }] })
}

fn cut(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
