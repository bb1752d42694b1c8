//! Changes of what is configured that take two people: what one wants in the console waits as a draft, and comes into force when
//! somebody else has looked at exactly it, against what is in force then, and shows that they mean it.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use model::{Draft, DraftStatus, PrincipalKind, PrincipalRef};
use policy::persons;
use policy::rights::{Person, Right, Role};
use serde::{Deserialize, Serialize};

use crate::audit::hex;
use crate::cases::{self, Outcome};
use crate::configure::{Applied, Configuration, Password, TargetConfig};
use crate::desk::{PolicyEdit, Tried, text_of};
use crate::gateway::{Gateway, now};
use crate::people::Guest;
use crate::presence::{Act, Proof};
use crate::requests::{AdminError, parse_principal};

/// A change waits so long, in seconds.
const WAITS: i64 = 3 * 24 * 3600;
/// So many wait at most.
const MOST: i64 = 50;
/// So many are listed.
const LISTED: i64 = 100;

/// What somebody wants changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// A file of policies.
    Policy {
        /// Its name.
        name: String,
        /// Its text; nothing where it is to go.
        text: Option<String>,
        /// What it was when its author looked at it; nothing where there was none.
        before: Option<String>,
        /// The tests beside it, where they change, too; empty where they are to go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tests: Option<String>,
        /// What those were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tests_before: Option<String>,
    },
    /// A new target.
    Target(Box<TargetConfig>),
}

impl Wanted {
    /// The right that it takes.
    pub fn right(&self) -> Right {
        match self {
            Self::Policy { .. } => Right::ChangePolicies,
            Self::Target(_) => Right::ChangeTargets,
        }
    }

    /// In a few words.
    pub fn title(&self) -> String {
        match self {
            Self::Policy { name, text: Some(_), before: Some(_), .. } => format!("policies {name} changed"),
            Self::Policy { name, text: Some(_), before: None, .. } => format!("policies {name} added"),
            Self::Policy { name, text: None, .. } => format!("policies {name} removed"),
            Self::Target(target) => format!("target {} added", target.name),
        }
    }

    fn body(&self) -> Result<String, AdminError> {
        serde_json::to_string(self).map_err(|error| AdminError::Refused(error.to_string()))
    }

    fn read(body: &str) -> Result<Self, AdminError> {
        let unreadable = |error| AdminError::Refused(format!("the change cannot be read: {error}"));
        serde_json::from_str(body).map_err(unreadable)
    }
}

/// A change that waits, or did, as somebody sees it.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Where it stands.
    pub draft: Draft,
    /// What it would do.
    pub wanted: Wanted,
}

/// The same with what it is looked at against.
#[derive(Debug)]
pub struct Looked {
    /// The change.
    pub waiting: Waiting,
    /// The version of what is configured.
    pub seen: i64,
    /// What it would come to now, or why it cannot be.
    pub would: Result<Applied, String>,
    /// What tests of policies would say then.
    pub tests: Vec<Outcome>,
    /// Why whoever looks cannot confirm it, where they cannot.
    pub not_yours: Option<String>,
}

/// What became of a change that somebody wanted.
#[derive(Debug)]
pub enum Changed {
    /// It is in force.
    Now(Applied),
    /// It waits for a second person, under this id.
    Waits(String),
}

/// What became of a target that somebody wanted.
#[derive(Debug)]
pub struct Added {
    /// What was found where it would be.
    pub tried: Tried,
    /// The change that waits for a second person, where it does.
    pub waits: Option<String>,
}

impl Act {
    /// Confirming somebody else's change: exactly this one, against exactly this version.
    pub fn confirm(id: &str, digest: &str, seen: i64) -> Self {
        Self::new("confirm", &[id, digest, &seen.to_string()])
    }
}

fn digest_of(body: &str) -> String {
    hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref())
}

impl Gateway {
    /// Whether what takes a right waits for a second person.
    pub fn takes_two(&self, guest: &Guest, right: Right) -> bool {
        self.takes_two_people().contains(&right) && !self.rights().may_alone(guest.person(), right, true)
    }

    /// Whether whoever gets these roles could be the second person of some change: nobody invites theirs in the console.
    pub fn makes_a_second(&self, roles: &[Role]) -> bool {
        let id = PrincipalRef { kind: PrincipalKind::User, name: String::new() };
        let roles = roles.iter().copied().collect();
        let person = Person { id: &id, roles: &roles, groups: &[] };
        self.takes_two_people().iter().any(|right| self.rights().may(person, *right))
    }

    /// Files a change; its id. Whoever wants it has shown that they mean it.
    pub(crate) async fn hold(
        &self,
        by: &str,
        wanted: &Wanted,
        password: Option<&Password>,
    ) -> Result<String, AdminError> {
        self.end_expired_drafts().await?;
        let body = wanted.body()?;
        let filed = now();
        let draft = Draft {
            id: String::new(),
            author: by.to_owned(),
            digest: digest_of(&body),
            body,
            status: DraftStatus::Open,
            filed,
            expires: filed.saturating_add(WAITS),
            decided_by: None,
        };
        let detail = format!("{}, digest {}", wanted.title(), draft.digest);
        self.administered(by, "change waits for a second person", &detail)?;
        let secret = password.map(Password::reveal).unwrap_or_default();
        let filed = self.state().add_draft(&draft, secret.as_bytes(), MOST).await?;
        filed.ok_or_else(|| {
            AdminError::Refused(format!("{MOST} changes wait already: answer or withdraw some of them first"))
        })
    }

    /// The newest changes that wait, or did.
    ///
    /// # Errors
    /// They may not see them, or they cannot be read.
    pub async fn drafts_for(&self, guest: &Guest) -> Result<Vec<Waiting>, AdminError> {
        self.with_right(guest, Right::SeePolicies)?;
        self.end_expired_drafts().await?;
        let drafts = self.state().drafts(LISTED).await?;
        drafts.into_iter().map(|draft| Ok(Waiting { wanted: Wanted::read(&draft.body)?, draft })).collect()
    }

    /// How many changes wait that somebody may see.
    ///
    /// # Errors
    /// They cannot be counted.
    pub async fn waiting_for(&self, guest: &Guest) -> Result<i64, AdminError> {
        if !self.may(guest, Right::SeePolicies) {
            return Ok(0);
        }
        Ok(self.state().waiting_drafts().await?)
    }

    /// One of them, against what is configured now.
    ///
    /// # Errors
    /// There is none of this id, they may not see it, or it cannot be read.
    pub async fn draft_for(&self, guest: &Guest, id: &str) -> Result<Looked, AdminError> {
        self.with_right(guest, Right::SeePolicies)?;
        self.end_expired_drafts().await?;
        let (draft, _) = self.state().draft(id).await?.ok_or_else(|| missing(id))?;
        let wanted = Wanted::read(&draft.body)?;
        let (seen, configured) = self.configured().await?;
        let would = match self.fits(&wanted, &configured) {
            Ok(()) => self.look_at_edit(|all| make(&wanted, all)).await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        let tests = match (&would, &wanted) {
            (Ok(_), Wanted::Policy { .. }) if draft.status == DraftStatus::Open => {
                self.tested(|all| make(&wanted, all)).await?
            }
            (Ok(_) | Err(_), Wanted::Policy { .. } | Wanted::Target(_)) => Vec::new(),
        };
        let not_yours = match self.second_person(guest, &draft, wanted.right()).await {
            Ok(_) => None,
            Err(AdminError::Refused(why)) => Some(why),
            Err(error) => return Err(error),
        };
        Ok(Looked { waiting: Waiting { draft, wanted }, seen, would, tests, not_yours })
    }

    /// Puts somebody else's change in force, as it was looked at and against the version that was looked at.
    ///
    /// # Errors
    /// They may not, it is their own by any name, they have not shown that they mean exactly it, it does not wait any more, or
    /// what is configured has changed since it was looked at.
    pub async fn confirm_draft_for(
        &self,
        guest: &Guest,
        id: &str,
        seen: i64,
        proof: Option<Proof>,
    ) -> Result<Tried, AdminError> {
        let (draft, secret) = self.state().draft(id).await?.ok_or_else(|| missing(id))?;
        let wanted = Wanted::read(&draft.body)?;
        if draft.status != DraftStatus::Open {
            return Err(AdminError::Refused(format!("change {id} is {} already", draft.status.as_str())));
        }
        self.second_person(guest, &draft, wanted.right()).await?;
        if digest_of(&draft.body) != draft.digest {
            return Err(AdminError::Refused(format!("change {id} is not what was filed")));
        }
        let by = self.meant(guest, wanted.right(), Act::confirm(id, &draft.digest, seen), proof)?;
        let (version, configured) = self.configured().await?;
        if version != seen {
            return Err(AdminError::Refused(
                "what is configured was changed since you looked: look at the change again, as it would be now".to_owned(),
            ));
        }
        self.fits(&wanted, &configured).map_err(AdminError::Refused)?;
        let mut wanted = wanted;
        let mut tried = Tried::nothing();
        if let Wanted::Target(target) = &mut wanted {
            let secret = std::str::from_utf8(&secret).unwrap_or_default();
            target.password = (!secret.is_empty()).then(|| Password::new(secret.to_owned()));
            // Its columns may be others by now.
            tried = self.try_and_tag(target).await?;
            if !tried.is_usable() {
                return Ok(tried);
            }
        } else {
            // What is not valid stays, so that its author sees why.
            self.look_at_edit(|all| make(&wanted, all)).await?;
        }
        let detail = format!("{id} of {}: {}, digest {}", draft.author, wanted.title(), draft.digest);
        self.administered(&by, "change confirmed", &detail)?;
        if !self.state().end_draft(id, DraftStatus::Confirmed, &by).await? {
            return Err(AdminError::Refused(format!(
                "change {id} was ended by somebody else at this moment"
            )));
        }
        let both = format!("{by}, with {}", draft.author);
        self.edit(Some(seen), &both, |all| make(&wanted, all)).await?;
        Ok(tried)
    }

    /// Ends a change that waits: its author takes it back, anybody else with its right turns it down.
    ///
    /// # Errors
    /// They may not, there is none of this id, or it does not wait any more.
    pub async fn drop_draft_for(&self, guest: &Guest, id: &str) -> Result<(), AdminError> {
        let (draft, _) = self.state().draft(id).await?.ok_or_else(|| missing(id))?;
        let own = guest.id().to_string();
        let (status, what) = if draft.author.eq_ignore_ascii_case(&own) {
            (DraftStatus::Withdrawn, "change taken back")
        } else {
            self.with_right(guest, Wanted::read(&draft.body)?.right())?;
            (DraftStatus::Refused, "change turned down")
        };
        self.administered(&own, what, &format!("{id} of {}, digest {}", draft.author, draft.digest))?;
        if self.state().end_draft(id, status, &own).await? {
            return Ok(());
        }
        Err(AdminError::Refused(format!("change {id} does not wait any more")))
    }

    pub(crate) async fn end_expired_drafts(&self) -> Result<(), AdminError> {
        for id in self.state().expire_drafts().await? {
            self.administered("gateway", "change expired", &id)?;
        }
        Ok(())
    }

    /// That somebody is another person than the author, who still may want it.
    async fn second_person(&self, guest: &Guest, draft: &Draft, right: Right) -> Result<(), AdminError> {
        self.with_right(guest, right)?;
        let refused = |why: String| Err(AdminError::Refused(why));
        let author = parse_principal(&draft.author)?;
        if author.kind != PrincipalKind::User {
            return refused("its author is no person".to_owned());
        }
        let (own, theirs) = (self.names_of(guest.id()).await?, self.names_of(&author).await?);
        if own.iter().any(|name| theirs.contains(name)) {
            return refused("it is your own change: somebody else confirms it".to_owned());
        }
        if persons::are_one(&own, &theirs) {
            return refused(format!(
                "{} and {} count as one person: somebody else confirms it. If they are two, say what {} is called where the other \
                 comes from: durward approver add {} --is user:…",
                guest.id(),
                draft.author,
                guest.id().name,
                guest.id().name
            ));
        }
        // People of issuers have a slash in their names, and their issuer says who they are when they come.
        if !author.name.contains('/') {
            let roles: BTreeSet<Role> = match self.state().member(&author.name).await? {
                Some(member) => member.roles.iter().filter_map(|role| Role::read(role)).collect(),
                None => BTreeSet::new(),
            };
            let person = Person { id: &author, roles: &roles, groups: &[] };
            if !self.rights().may(person, right) {
                return refused(format!("{} may not change this any more", draft.author));
            }
        }
        Ok(())
    }

    /// That what a change was made from is what is there.
    fn fits(&self, wanted: &Wanted, configured: &Configuration) -> Result<(), String> {
        match wanted {
            Wanted::Policy { name, text: _, before, tests, tests_before } => {
                let is_as_seen =
                    |name: &str, before: &Option<String>| text_of(configured, name) == before.as_ref();
                let beside = cases::beside(name);
                if is_as_seen(name, before) && (tests.is_none() || is_as_seen(&beside, tests_before)) {
                    return Ok(());
                }
                Err(format!(
                    "the policies {name} were changed since: its author looks at them and makes it anew"
                ))
            }
            Wanted::Target(target) => {
                if configured.targets.iter().all(|known| known.name != target.name) {
                    return Ok(());
                }
                Err(format!("there is a target {} by now", target.name))
            }
        }
    }
}

fn missing(id: &str) -> AdminError {
    AdminError::Missing(format!("change {id}"))
}

fn make(wanted: &Wanted, all: &mut Configuration) -> Result<(), AdminError> {
    match wanted {
        Wanted::Policy { name, text, before: _, tests, tests_before: _ } => {
            let (text, tests) = (text.clone(), tests.clone());
            PolicyEdit { seen: 0, name: name.clone(), text, tests, anyway: true }.make(all)
        }
        Wanted::Target(target) => {
            all.targets.push((**target).clone());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
