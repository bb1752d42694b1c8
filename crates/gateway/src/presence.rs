//! Proof of presence: that a person is there now, and means exactly this. A passkey signs a question that commits to the act;
//! where there is none, whoever it is signs in anew for the act (`console_login`). Each question is good once, for one visit.

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{Passkey, PrincipalKind, PrincipalRef, SlackUser};
use policy::passkey::{self, Assertion, Expected};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit::hex;
use crate::gateway::{Gateway, now};
use crate::people::{Coming, Guest, NewMember, mark};
use crate::requests::AdminError;

mod new_key;
mod unknown;

pub use self::new_key::{Proposed, fingerprint};
pub(crate) use self::unknown::key;

/// A question stands so long, in seconds.
const QUESTION: i64 = 300;
/// Somebody has so many passkeys at most.
const MOST_KEYS: usize = 20;

/// Where the console is, as browsers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `https://gate.example.com`, `http://localhost:7300`.
    pub origin: String,
    /// Its host.
    pub host: String,
}

impl Place {
    /// Where an invitation's secret leads. Behind the `#` no server and no log sees it.
    pub fn link_of(&self, invitation: &str) -> String {
        format!("{}/join#{invitation}", self.origin)
    }

    /// Where a request is seen and answered.
    pub fn request(&self, id: &str) -> String {
        let only = if self.is_for_all() {
            ""
        } else {
            " (on the gateway's own machine alone: it has no console.public_url)"
        };
        format!("{}{only}", self.link(id))
    }

    /// The same without words.
    pub(crate) fn link(&self, id: &str) -> String {
        format!("{}/requests/{id}", self.origin)
    }

    /// Whether it is found from other machines than the gateway's own.
    pub(crate) fn is_for_all(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// Something that a person does. Two acts that differ in anything have different digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act([u8; 32]);

impl Act {
    /// Of a kind, with everything that makes it this one.
    pub fn new(kind: &str, parts: &[&str]) -> Self {
        let mut whole = digest::Context::new(&digest::SHA256);
        for part in ["durward act", kind].iter().chain(parts) {
            whole.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            whole.update(part.as_bytes());
        }
        let mut act = [0; 32];
        act.iter_mut().zip(whole.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(act)
    }

    /// Answering a held operation: this request, this meaning, this answer, and so many rows where that is said.
    pub fn answer(request: &str, digest: &str, approve: bool, most: Option<u64>) -> Self {
        let most = most.map(|most| most.to_string());
        let word = if approve { "approve" } else { "deny" };
        let parts: Vec<&str> = [request, digest, word].into_iter().chain(most.as_deref()).collect();
        Self::new("answer", &parts)
    }

    /// Coming in.
    pub fn sign_in() -> Self {
        Self::new("sign in", &[])
    }

    /// Adding a passkey of one's own: exactly this one, under this name.
    pub(crate) fn add_passkey(key: &Passkey) -> Self {
        let public = hex(digest::digest(&digest::SHA256, &key.key).as_ref());
        Self::new("add passkey", &[&key.owner, &key.id, &public, &key.label])
    }

    pub(crate) fn text(self) -> String {
        hex(&self.0)
    }
}

/// That somebody did an act, there and then. Made where a signature or an issuer's word was checked, spent once.
#[derive(Debug)]
pub struct Proof {
    act: Act,
    how: String,
    who: PrincipalRef,
}

impl Proof {
    /// How it was shown, where it is of this act by this person.
    pub(crate) fn of(self, act: Act, who: &PrincipalRef) -> Option<String> {
        (self.act == act && self.who == *who).then_some(self.how)
    }

    pub(crate) fn shown(act: Act, how: String, who: PrincipalRef) -> Self {
        Self { act, how, who }
    }
}

/// What is kept of something that is good once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pledge {
    /// An invitation.
    Invitation(NewMember),
    /// A question to make a passkey: for a visit, or for an invitation, by their marks.
    Made { nonce: String, of: String },
    /// A question to sign for an act, in a visit.
    Signed { nonce: String, act: String, of: String },
    /// A sign-in that is under way at an issuer.
    SignIn { issuer: String, act: String, of: Option<String>, began: i64, back: Return },
    /// An act for which somebody has signed in anew and which they have not confirmed yet.
    Signing { act: String, of: String, how: String, back: Return },
    /// A passkey that somebody made in a visit, which is theirs when they have shown that they mean exactly this one.
    Key { of: String, id: String, key: String, counter: i64, label: String, made: i64 },
    /// Somebody in Slack, who is to say who they are.
    Slack(SlackUser),
}

impl Pledge {
    pub(crate) fn text(&self) -> Result<String, AdminError> {
        serde_json::to_string(self).map_err(|error| AdminError::Refused(error.to_string()))
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Where somebody comes back to from their issuer, and what they had said there. The latter is kept here and in no address: what an
/// address brings may be somebody else's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// A path of the console's.
    pub to: String,
    /// Fields of its form, as forms are sent.
    #[serde(default)]
    pub said: String,
}

/// What a browser asks an authenticator.
#[derive(Debug, Serialize)]
pub struct Question {
    /// In base64url.
    pub challenge: String,
    /// The host that keys are bound to.
    pub rp_id: String,
    /// Keys of whoever is asked, or that they have already, in base64url.
    pub keys: Vec<String>,
    /// Whom a new key is for; nobody where one is to sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The kinds of keys that are taken.
    pub algorithms: [i64; 3],
    /// In milliseconds.
    pub timeout: i64,
}

/// Whom a key is for.
#[derive(Debug, Serialize)]
pub struct User {
    /// Tells nobody who it is; in base64url.
    pub id: String,
    /// Their name.
    pub name: String,
}

/// What a browser brings back, in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// The key's name.
    pub id: String,
    /// `clientDataJSON`.
    pub client_data: String,
    /// `attestationObject`, of a new key.
    #[serde(default)]
    pub attestation: Option<String>,
    /// `authenticatorData`.
    #[serde(default)]
    pub data: Option<String>,
    /// `signature`.
    #[serde(default)]
    pub signature: Option<String>,
}

impl Brought {
    /// From a form's field.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &str) -> Result<Self, AdminError> {
        serde_json::from_str(text).map_err(|_| refused("what the browser brought cannot be read"))
    }
}

fn refused(why: impl Into<String>) -> AdminError {
    AdminError::Refused(why.into())
}

fn bytes(text: &str) -> Result<Vec<u8>, AdminError> {
    if text.len() > passkey::LONGEST * 2 {
        return Err(refused("what the browser brought is too long"));
    }
    BASE64.decode(text).map_err(|_| refused("what the browser brought cannot be read"))
}

/// The question of a nonce: it commits to what it is about.
fn challenge(nonce: &str, about: &str) -> [u8; 32] {
    Act::new("question", &[nonce, about]).0
}

/// The challenge in what a browser brings, by which the question is found. What it says is checked against that later.
fn challenge_in(client_data: &[u8]) -> Result<Vec<u8>, AdminError> {
    #[derive(Deserialize)]
    struct Said {
        challenge: String,
    }
    let said: Said = serde_json::from_slice(client_data).map_err(|_| refused("it cannot be read"))?;
    bytes(&said.challenge)
}

fn nonce() -> Result<String, AdminError> {
    let mut chance = [0; 32];
    rand::fill(&mut chance).map_err(|_| refused("the system gives no randomness"))?;
    Ok(hex(&chance))
}

fn over() -> AdminError {
    refused("this question is over, or was answered already: ask again")
}

fn asked(place: &Place, challenge: &[u8], keys: Vec<String>, user: Option<User>) -> Question {
    Question {
        challenge: BASE64.encode(challenge),
        rp_id: place.host.clone(),
        keys,
        user,
        algorithms: passkey::ALGORITHMS,
        timeout: QUESTION * 1000,
    }
}

impl Gateway {
    /// Asks for a signature that somebody means an act. `guest` is who is signed in, if somebody is.
    ///
    /// # Errors
    /// There is no passkey that could, or it cannot be stored.
    pub async fn ask_to_sign(
        &self,
        place: &Place,
        act: Act,
        guest: Option<&Guest>,
    ) -> Result<Question, AdminError> {
        let Some(guest) = guest else {
            return Ok(asked(place, &self.sealed_question(place, act)?, Vec::new(), None));
        };
        let keys: Vec<String> = self.passkeys(guest).await?.into_iter().map(|key| key.id).collect();
        if keys.is_empty() {
            return Err(AdminError::Missing("passkey of yours".to_owned()));
        }
        let nonce = nonce()?;
        let pledge = Pledge::Signed { nonce: nonce.clone(), act: act.text(), of: guest.mark().to_owned() };
        self.ask(place, &nonce, &act.text(), &pledge, keys, None).await
    }

    /// Asks for a new passkey: of whoever is signed in, or of whom an invitation is for.
    ///
    /// # Errors
    /// There are too many, the invitation is none, or it cannot be stored.
    pub async fn ask_to_make(&self, place: &Place, whose: &Whose<'_>) -> Result<Question, AdminError> {
        let (owner, of) = self.owner(whose).await?;
        let keys: Vec<String> = match whose {
            Whose::Invited(_) => Vec::new(),
            Whose::Here(_) => {
                self.state().passkeys(&owner.to_string()).await?.into_iter().map(|key| key.id).collect()
            }
        };
        if keys.len() >= MOST_KEYS {
            return Err(refused(format!("you have {MOST_KEYS} passkeys: remove one first")));
        }
        let nonce = nonce()?;
        let handle = unknown::handle(self.console_key(), &owner);
        let user = User { id: BASE64.encode(handle.as_ref()), name: owner.name };
        let pledge = Pledge::Made { nonce: nonce.clone(), of: of.clone() };
        self.ask(place, &nonce, &of, &pledge, keys, Some(user)).await
    }

    async fn ask(
        &self,
        place: &Place,
        nonce: &str,
        about: &str,
        pledge: &Pledge,
        keys: Vec<String>,
        user: Option<User>,
    ) -> Result<Question, AdminError> {
        let challenge = challenge(nonce, about);
        let expires = now().saturating_add(QUESTION);
        self.state().keep_once(&mark(&hex(&challenge)), &pledge.text()?, expires).await?;
        Ok(asked(place, &challenge, keys, user))
    }

    async fn owner(&self, whose: &Whose<'_>) -> Result<(PrincipalRef, String), AdminError> {
        match whose {
            Whose::Here(guest) => Ok((guest.id().clone(), guest.mark().to_owned())),
            Whose::Invited(secret) => {
                let no = || refused("this invitation is over, or was used already: ask for another");
                let NewMember { name, .. } = self.invitation(secret).await?.ok_or_else(no)?;
                Ok((PrincipalRef { kind: PrincipalKind::User, name }, mark(secret)))
            }
        }
    }

    /// Takes a question up by what a browser brings, whatever comes of it then.
    async fn answered(&self, client_data: &[u8]) -> Result<(Pledge, Vec<u8>), AdminError> {
        let challenge = challenge_in(client_data)?;
        let kept = self.state().take_once(&mark(&hex(&challenge))).await?;
        let pledge = kept.and_then(|body| Pledge::read(&body)).ok_or_else(over)?;
        Ok((pledge, challenge))
    }

    /// Takes up the question to sign for an act that was asked in a visit.
    async fn answered_in(&self, guest: &Guest, act: Act, client_data: &[u8]) -> Result<Vec<u8>, AdminError> {
        let (pledge, asked) = self.answered(client_data).await?;
        let Pledge::Signed { nonce, act: meant, of } = pledge else { return Err(over()) };
        if meant != act.text() || of != guest.mark() {
            return Err(refused("the passkey signed for something else"));
        }
        if challenge(&nonce, &meant) != *asked {
            return Err(over());
        }
        Ok(asked)
    }

    /// Checks that a passkey signed for an act, in this visit or as somebody comes in, and says whose it is.
    ///
    /// # Errors
    /// It did not.
    pub async fn signed(
        &self,
        place: &Place,
        act: Act,
        guest: Option<&Guest>,
        brought: &Brought,
    ) -> Result<Proof, AdminError> {
        let client_data = bytes(&brought.client_data)?;
        let asked = match guest {
            Some(guest) => self.answered_in(guest, act, &client_data).await?,
            None => self.answered_unknown(place, act, &client_data)?,
        };
        let unknown = || refused("this passkey is not known here");
        let key = self.state().passkey(&brought.id).await?.ok_or_else(unknown)?;
        let who = crate::requests::parse_principal(&key.owner)?;
        if guest.is_some_and(|guest| !is_same(guest.id(), &who)) {
            return Err(refused("this passkey is somebody else's"));
        }
        let (data, signature) = (brought.data.as_deref(), brought.signature.as_deref());
        let (data, signature) = (bytes(data.unwrap_or_default())?, bytes(signature.unwrap_or_default())?);
        let assertion = Assertion { client_data: &client_data, data: &data, signature: &signature };
        let expected = Expected { challenge: &asked, origin: &place.origin, rp_id: &place.host };
        let counter = u32::try_from(key.counter).unwrap_or(u32::MAX);
        let counted = passkey::signed(expected, assertion, &key.key, counter)
            .map_err(|why| refused(why.to_string()))?;
        if !self.state().use_passkey(&key.id, key.counter, i64::from(counted)).await? {
            return Err(refused("the passkey was used elsewhere at the same moment: ask again"));
        }
        if guest.is_none() {
            self.spend(&asked).await?;
        }
        let short: String = key.id.chars().take(12).collect();
        let who = guest.map_or(who, |guest| guest.id().clone());
        Ok(Proof { act, how: format!("passkey {short}"), who })
    }

    /// Somebody's passkeys.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn passkeys(&self, guest: &Guest) -> Result<Vec<Passkey>, AdminError> {
        Ok(self.state().passkeys(&guest.id().to_string()).await?)
    }

    /// Forgets one of somebody's passkeys. A member keeps one at least.
    ///
    /// # Errors
    /// There is none of this name, it is the last, or it cannot be stored or recorded.
    pub async fn remove_passkey(&self, guest: &Guest, id: &str) -> Result<(), AdminError> {
        if guest.word().is_none() && self.passkeys(guest).await?.len() < 2 {
            return Err(refused("this is your only passkey: add another first, or nobody lets you in"));
        }
        let owner = guest.id().to_string();
        self.administered(&owner, "passkey removed", id)?;
        if self.state().remove_passkey(&owner, id).await? {
            return Ok(());
        }
        Err(AdminError::Missing("passkey of yours with this name".to_owned()))
    }

    /// Somebody comes in by their passkey; what their browser is to keep.
    ///
    /// # Errors
    /// They do not.
    pub async fn come_in(
        &self,
        place: &Place,
        brought: &Brought,
        coming: &Coming<'_>,
    ) -> Result<Zeroizing<String>, AdminError> {
        let Proof { act: _, how: _, who } = self.signed(place, Act::sign_in(), None, brought).await?;
        self.let_in(&who, coming).await
    }

    /// The same for whoever just made a key by invitation.
    ///
    /// # Errors
    /// They are no member.
    pub async fn let_in(
        &self,
        who: &PrincipalRef,
        coming: &Coming<'_>,
    ) -> Result<Zeroizing<String>, AdminError> {
        // Passkeys of those who sign in at an issuer prove acts; that they are still somebody there, the issuer says.
        if self.state().member(&who.name).await?.is_none() {
            return Err(refused(format!("{who} signs in at their issuer: choose it below")));
        }
        self.begin_visit(who, None, Vec::new(), i64::MAX, coming).await
    }
}

/// Whose passkey is made.
pub enum Whose<'a> {
    /// Of whoever is signed in; they show that they mean it before it is kept.
    Here(&'a Guest),
    /// Of whom an invitation is for, by its secret.
    Invited(&'a str),
}

fn is_same(a: &PrincipalRef, b: &PrincipalRef) -> bool {
    a.kind == b.kind && a.name.to_lowercase() == b.name.to_lowercase()
}
