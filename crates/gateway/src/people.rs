//! People in the console: who was invited, who is there. Whoever comes brings a passkey or an issuer's word; what their browser
//! keeps then shows pages, and approves nothing by itself (`presence`).

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{Asserted, Backing, Member, Principal, PrincipalKind, PrincipalRef, Signed, Visit};
use policy::quorum;
use policy::rights::{Person, Right, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::approvers::{TAKEN, Voter};
use crate::audit::hex;
use crate::gateway::{Gateway, now};
use crate::presence::Pledge;
use crate::requests::{AdminError, parse_principal};
use crate::state::{State, StateError};

/// A visit ends after so long without a question, in seconds.
const IDLE: i64 = 2 * 3600;
/// A visit lasts so long at most, in seconds.
const VISIT: i64 = 12 * 3600;
/// When something was last asked is noted so often, in seconds.
const NOTED: i64 = 60;
/// An invitation is good for so long, in seconds.
pub const INVITATION: i64 = 24 * 3600;

/// Whom an administrator invites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// A person's name.
    pub name: String,
    /// What they will be in the console: `administrator`, `policy_editor`, `auditor`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// For which groups they will answer.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// An invitation. This is the only time that its secret is seen.
pub struct Invitation {
    /// What the link ends with.
    pub secret: Zeroizing<String>,
    /// In seconds since 1970.
    pub expires: i64,
}

/// Somebody who was invited and has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Invited {
    /// Who, and what they will be.
    #[serde(flatten)]
    pub who: NewMember,
    /// Until when they may come, in seconds since 1970.
    pub expires: i64,
}

impl NewMember {
    /// The first, who may do everything.
    pub fn administrator(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            roles: vec![Role::Administrator.as_str().to_owned()],
            groups: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), AdminError> {
        let Self { name, roles, groups } = self;
        let refused = |why: String| Err(AdminError::Refused(why));
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        // A name of an issuer's has a slash in it, so that nobody here is somebody there.
        if name.is_empty() || name.len() > 100 || !name.chars().all(fine) {
            return refused(format!("\"{name}\" is no name: it has letters, digits and . - _ @"));
        }
        if name.eq_ignore_ascii_case(TAKEN) {
            return refused(format!(
                "{TAKEN} is whoever has the administrator's secret: choose another name"
            ));
        }
        if let Some(role) = roles.iter().find(|role| Role::read(role).is_none()) {
            let all: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
            return refused(format!("there is no role {role}: there is {}", all.join(", ")));
        }
        if roles.is_empty() && groups.is_empty() {
            return refused("somebody without a role and without a group could do nothing here".to_owned());
        }
        let wrong = |g: &&String| g.trim().is_empty() || g.trim() != g.as_str() || g.contains(',');
        if let Some(wrong) = groups.iter().find(wrong) {
            return refused(format!("\"{wrong}\" is no group"));
        }
        if let Some(own) = groups.iter().find(|group| policy::identity::is_local(group)) {
            return refused(format!(
                "\"{own}\" is a group of those who ask, from [[groups]]: approvers are in groups of their own"
            ));
        }
        Ok(())
    }
}

/// Makes an invitation in a state that may have no gateway yet. It is good once, and those of before no more.
///
/// # Errors
/// What is wanted is nobody, or it cannot be stored.
pub async fn invite(state: &State, wanted: &NewMember) -> Result<Invitation, AdminError> {
    wanted.check()?;
    if state.approvers().await?.iter().any(|a| a.name.eq_ignore_ascii_case(&wanted.name)) {
        return Err(AdminError::Refused(format!(
            "there is an approver {} already, who has a secret: two votes would be one person's",
            wanted.name
        )));
    }
    let secret = secret()?;
    let expires = now().saturating_add(INVITATION);
    let pledge = Pledge::Invitation(wanted.clone());
    state.keep_invitation(&mark(&secret), &pledge.text()?, expires, &wanted.name).await?;
    Ok(Invitation { secret, expires })
}

/// What people of issuers are in the console: for each role, groups and, as `user:NAME`, people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(pub BTreeMap<Role, BTreeSet<String>>);

impl Roles {
    /// Those of somebody.
    pub(crate) fn of(&self, who: &PrincipalRef, groups: &[String]) -> BTreeSet<Role> {
        let name = who.to_string();
        let fits =
            |named: &BTreeSet<String>| named.contains(&name) || groups.iter().any(|g| named.contains(g));
        self.0.iter().filter(|(_, named)| fits(named)).map(|(role, _)| *role).collect()
    }
}

/// How a browser comes that somebody signs in with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Coming<'a> {
    /// What it kept of a visit before, which ends.
    pub before: Option<&'a str>,
    /// From which address, where it is known.
    pub from: Option<std::net::IpAddr>,
}

/// Somebody who is in the console now.
#[derive(Debug, Clone)]
pub struct Guest {
    id: PrincipalRef,
    roles: BTreeSet<Role>,
    groups: Vec<String>,
    visit: Visit,
}

impl Guest {
    /// Who.
    pub fn id(&self) -> &PrincipalRef {
        &self.id
    }

    /// Names the visit.
    pub fn mark(&self) -> &str {
        &self.visit.mark
    }

    /// What they are here.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.roles.iter().copied()
    }

    /// Their groups.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whose word it is that it is them; `None` where a passkey showed it.
    pub fn word(&self) -> Option<&Signed> {
        self.visit.word.as_ref()
    }

    /// As policies for the console see them.
    pub fn person(&self) -> Person<'_> {
        Person { id: &self.id, roles: &self.roles, groups: &self.groups }
    }

    /// The groups that their answers count for.
    pub(crate) fn answers_for(&self) -> Vec<String> {
        let admins = self.roles.contains(&Role::Administrator).then(|| quorum::ADMINS.to_owned());
        self.groups.iter().cloned().chain(admins).collect()
    }

    /// What makes them one who answers: they were invited or are signed in, their visit is not over, and nobody denies them.
    pub(crate) fn backing(&self) -> Vec<Backing> {
        let member = self.visit.word.is_none().then(|| Backing::Member(self.id.name.clone()));
        let visit = (!self.visit.mark.is_empty()).then(|| Backing::Visit(self.visit.mark.clone()));
        let welcome = Backing::Welcome(self.id.to_string());
        member.into_iter().chain(visit).chain([welcome]).collect()
    }

    /// Whether they answer for one of these rules.
    pub fn voter_answers(&self, rules: &[model::HoldRule]) -> bool {
        self.voter().answers_for(rules)
    }

    /// As somebody who answers: of a visit alone, which says no and never yes.
    pub fn voter(&self) -> Voter {
        Voter::visiting(self)
    }
}

impl Gateway {
    /// Invites somebody.
    ///
    /// # Errors
    /// What is wanted is nobody, or it cannot be stored or recorded.
    pub async fn invite(&self, wanted: &NewMember, by: &str) -> Result<Invitation, AdminError> {
        wanted.check()?;
        let NewMember { name, roles, groups } = wanted;
        let detail = format!("{name} as {}", [&roles[..], &groups[..]].concat().join(", "));
        self.administered(by, "person invited", &detail)?;
        invite(self.state(), wanted).await
    }

    /// Whom an invitation is for, without using it up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn invitation(&self, secret: &str) -> Result<Option<NewMember>, AdminError> {
        let kept = self.state().look_once(&mark(secret)).await?;
        Ok(kept.and_then(|body| Pledge::read(&body)).and_then(|pledge| match pledge {
            Pledge::Invitation(member) => Some(member),
            Pledge::Made { .. }
            | Pledge::Signed { .. }
            | Pledge::SignIn { .. }
            | Pledge::Signing { .. }
            | Pledge::Key { .. }
            | Pledge::Slack(_) => None,
        }))
    }

    /// Everybody who was invited and has not come.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn invited(&self) -> Result<Vec<Invited>, AdminError> {
        let kept = self.state().invitations().await?;
        let read = |(body, expires): (String, i64)| match Pledge::read(&body)? {
            Pledge::Invitation(who) => Some(Invited { who, expires }),
            Pledge::Made { .. }
            | Pledge::Signed { .. }
            | Pledge::SignIn { .. }
            | Pledge::Signing { .. }
            | Pledge::Key { .. }
            | Pledge::Slack(_) => None,
        };
        Ok(kept.into_iter().filter_map(read).collect())
    }

    /// Everybody who was invited and came.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn members(&self) -> Result<Vec<Member>, AdminError> {
        Ok(self.state().members().await?)
    }

    /// Removes somebody: their passkeys, their visits, and their answers to what waits or is approved and not used. Whoever is
    /// invited and has not come cannot come any more.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be stored or recorded.
    pub async fn remove_member(&self, name: &str, by: &str) -> Result<(), AdminError> {
        self.administered(by, "person removed", name)?;
        if self.state().remove_member(name).await? {
            self.recent().forget();
            self.holds().changed();
            return Ok(());
        }
        Err(AdminError::Missing(format!("person {name}")))
    }

    /// Who has a visit by its secret; nobody where it is over, or they were removed or denied meanwhile.
    pub async fn guest(&self, secret: &str) -> Option<Guest> {
        match self.look_for(secret).await {
            Ok(guest) => guest,
            Err(error) => {
                tracing::error!("a visit cannot be looked up: {error}");
                None
            }
        }
    }

    async fn look_for(&self, secret: &str) -> Result<Option<Guest>, StateError> {
        let Some(visit) = self.state().visit(&mark(secret)).await? else { return Ok(None) };
        if visit.seen.saturating_add(IDLE) < now() {
            return Ok(None);
        }
        if visit.seen.saturating_add(NOTED) < now() {
            self.state().see_visit(&visit.mark).await?;
        }
        self.guest_of(visit).await
    }

    /// Somebody who comes by another way than a browser and has shown who they are there. Whose groups an issuer says is known
    /// as long as they are signed in to the console.
    pub(crate) async fn somebody(&self, owner: &str) -> Result<Option<Guest>, StateError> {
        let Ok(id) = parse_principal(owner) else { return Ok(None) };
        if self.state().member(&id.name).await?.is_none() {
            let visit = self.state().last_visit(owner).await?;
            let visit =
                visit.filter(|visit| visit.word.is_some() && visit.seen.saturating_add(IDLE) >= now());
            return match visit {
                Some(visit) => self.guest_of(visit).await,
                None => Ok(None),
            };
        }
        let (owner, at) = (owner.to_owned(), now());
        let visit = Visit {
            mark: String::new(),
            owner,
            word: None,
            groups: Vec::new(),
            began: at,
            seen: at,
            expires: at,
        };
        self.guest_of(visit).await
    }

    async fn guest_of(&self, visit: Visit) -> Result<Option<Guest>, StateError> {
        let Ok(id) = parse_principal(&visit.owner) else { return Ok(None) };
        let (id, roles, groups) = match &visit.word {
            None => {
                let Some(member) = self.state().member(&id.name).await? else { return Ok(None) };
                let id = PrincipalRef { kind: PrincipalKind::User, name: member.name };
                (id, member.roles.iter().filter_map(|role| Role::read(role)).collect(), member.groups)
            }
            Some(_) => {
                let roles = self.roles_of(&id, &visit.groups);
                (id, roles, visit.groups.clone())
            }
        };
        let guest = Guest { id, roles, groups, visit };
        let denied = self.denials().of_principal(&guest.principal(), &self.groups(), now()).is_some();
        Ok((!denied).then_some(guest))
    }

    /// Begins a visit of somebody who has shown who they are; what their browser is to keep.
    pub(crate) async fn begin_visit(
        &self,
        owner: &PrincipalRef,
        word: Option<Signed>,
        groups: Vec<String>,
        longest: i64,
        coming: &Coming<'_>,
    ) -> Result<Zeroizing<String>, AdminError> {
        let secret = secret()?;
        let began = now();
        let visit = Visit {
            mark: mark(&secret),
            owner: owner.to_string(),
            word,
            groups,
            began,
            seen: began,
            expires: began.saturating_add(VISIT.min(longest)),
        };
        let from = coming.from.map(|address| format!("from {address}")).unwrap_or_default();
        self.administered(&visit.owner, "signed in to the console", &from)?;
        self.state().begin_visit(&visit, coming.before.map(mark).as_deref()).await?;
        Ok(secret)
    }

    /// Ends a visit.
    ///
    /// # Errors
    /// It cannot be stored.
    pub async fn end_visit(&self, guest: &Guest) -> Result<(), AdminError> {
        Ok(self.state().end_visit(guest.mark()).await?)
    }

    /// Whether somebody may see or do something in the console.
    pub fn may(&self, guest: &Guest, right: Right) -> bool {
        self.rights().may(guest.person(), right)
    }

    /// A held operation with its exact values. That they were seen is on record.
    ///
    /// # Errors
    /// There is none that they may see, or it cannot be read or recorded.
    pub async fn request_seen_by(&self, guest: &Guest, id: &str) -> Result<model::Request, AdminError> {
        let found = self.state().request(id).await?;
        let found = found.filter(|request| self.rights().may_see(guest.person(), request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        self.administered(&guest.id.to_string(), "request shown", id)?;
        Ok(found)
    }

    /// Where one stands that somebody may see, in a word that changes with it.
    ///
    /// # Errors
    /// There is none that they may see, or it cannot be read.
    pub async fn standing_seen_by(&self, guest: &Guest, id: &str) -> Result<String, AdminError> {
        let found = self.state().request(id).await?;
        let found = found.filter(|request| self.rights().may_see(guest.person(), request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        Ok(format!("{} {} {:?}", found.status, found.votes.len(), found.outcome))
    }

    /// Resolves when a request was filed here or somebody answered one here.
    pub fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        self.holds().news()
    }

    /// Whether somebody may answer one.
    pub fn may_answer(&self, guest: &Guest, request: &model::Request) -> May {
        let rights = self.rights();
        if !rights.may_deny(guest.person(), request) {
            return May::Nothing;
        }
        if !rights.may_answer(guest.person(), request) {
            return May::Deny("you ask for it yourself, or it is asked for you".to_owned());
        }
        match self.policy_lets_approve(&guest.voter(), request) {
            Ok(()) => May::Answer,
            Err(why) => May::Deny(why.to_string()),
        }
    }
}

/// How somebody may answer a held operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum May {
    /// Approve it or deny it.
    Answer,
    /// Deny it alone: why they do not approve it, as a clause.
    Deny(String),
    /// It is for others.
    Nothing,
}

impl May {
    /// Whether they may approve it.
    pub fn approve(&self) -> bool {
        *self == Self::Answer
    }
}

impl Guest {
    /// As who acts, on whose word.
    pub(crate) fn principal(&self) -> Principal {
        let word = self.visit.word.as_ref().map(|Signed { issuer, subject, sid, at }| Asserted {
            issuer: issuer.clone(),
            subject: subject.clone(),
            at: *at,
            session: sid.clone(),
            groups: self.groups.clone(),
        });
        Principal {
            id: self.id.clone(),
            groups: self.groups.clone(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: word.into_iter().collect(),
        }
    }
}

/// 256 bits of chance, as text.
pub(crate) fn secret() -> Result<Zeroizing<String>, AdminError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice())
        .map_err(|_| AdminError::Refused("the system gives no randomness".to_owned()))?;
    Ok(Zeroizing::new(BASE64.encode(bytes.as_slice())))
}

/// What is kept instead of a secret that nobody can guess.
pub(crate) fn mark(secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}
