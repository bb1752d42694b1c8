//! What people do from outside: see held operations, issue and revoke tokens. Every call here comes from the admin plane,
//! which has checked whose secret it was asked with, and is on record before it has an effect.

use std::time::Duration;

use journal::record;
use model::{Part, Principal, PrincipalKind, PrincipalRef, Request, TargetName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::approvers::Voter;
use crate::audit::JournalDown;
use crate::gateway::{Gateway, now};
use crate::sessions::Ended;
use crate::state::{StateError, StoredToken};
use crate::tokens::{self, ITERATIONS, new_token};

/// So many are listed at a time, at most.
pub const MOST_LISTED: usize = 1000;
/// A token lives this long at most.
pub const LONGEST_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// `agent` or `user`.
    pub kind: String,
    /// The principal's name.
    pub name: String,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whom it acts for, nearest first, as `user:alice`.
    #[serde(default)]
    pub on_behalf_of: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The targets that it is good for; all where none is named.
    #[serde(default)]
    pub targets: Vec<String>,
    /// How long it lives, in seconds.
    pub seconds: u64,
}

/// A token that was just issued. This is the only time that it is seen.
pub struct Issued {
    /// Its id, `dwt_…`: what it is revoked by, and the user name for SCRAM.
    pub id: String,
    /// The token.
    pub token: Zeroizing<String>,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenInfo {
    /// Its id.
    pub id: String,
    /// Whom it is for.
    pub principal: String,
    /// The principal's groups.
    pub groups: Vec<String>,
    /// Whom it acts for.
    pub on_behalf_of: Vec<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Its targets; all where there are none.
    pub targets: Vec<String>,
    /// When it was issued, in seconds since 1970.
    pub issued: i64,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
    /// Whether it was revoked.
    pub revoked: bool,
    /// How many sessions it has open.
    pub sessions: usize,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(String),
    /// It may not or cannot be done.
    #[error("{0}")]
    Refused(String),
    /// A target that does not do its part.
    #[error("{0}")]
    Target(String),
    /// The store.
    #[error("the store: {0}")]
    State(#[from] StateError),
    /// What cannot be recorded is not done.
    #[error(transparent)]
    Journal(#[from] JournalDown),
}

impl Gateway {
    // ------------------------------------------------------------------ held operations

    /// A part of the held operations that somebody may answer, newest first and without values; all, or those that wait for an
    /// answer.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn requests(&self, voter: &Voter, all: bool, part: &Part) -> Result<Vec<Request>, AdminError> {
        self.requests_that(all, part, |request| voter.is_asked(request)).await
    }

    /// Those of which something is true. What is read at a time is bounded, whatever there is.
    pub(crate) async fn requests_that(
        &self,
        all: bool,
        part: &Part,
        is_one: impl Fn(&Request) -> bool,
    ) -> Result<Vec<Request>, AdminError> {
        let most = part.most.min(MOST_LISTED);
        let (mut found, mut next) = (Vec::new(), Part { most, before: part.before.clone() });
        loop {
            let read = self.state().requests(all, &next).await?;
            let is_last = read.len() < most;
            next.before = read.last().map(|request| request.id.clone());
            found.extend(read.into_iter().filter(&is_one));
            if is_last || found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// One held operation, with its exact values: whoever answers must see them. That they were seen is on record.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be read or recorded.
    pub async fn request(&self, id: &str, voter: &Voter, by: &str) -> Result<Request, AdminError> {
        let found = self.state().request(id).await?.filter(|request| voter.is_asked(request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        self.administered(by, "request shown", id)?;
        Ok(found)
    }

    // ------------------------------------------------------------------ tokens

    /// Issues a token.
    ///
    /// # Errors
    /// What is asked for is not possible, or cannot be stored or recorded.
    pub async fn issue_token(&self, wanted: &NewToken, by: &str) -> Result<Issued, AdminError> {
        let principal = principal(wanted)?;
        let life = Duration::from_secs(wanted.seconds);
        if life.is_zero() || life > LONGEST_LIFE {
            let most = LONGEST_LIFE.as_secs() / 86_400;
            return Err(AdminError::Refused(format!("a token lives from 1 second to {most} days")));
        }
        for target in &wanted.targets {
            if self.target(&TargetName::new(target.as_str())).is_none() {
                return Err(AdminError::Missing(format!("target \"{target}\"")));
            }
        }
        let targets =
            (!wanted.targets.is_empty()).then(|| wanted.targets.iter().map(TargetName::new).collect());
        let no_chance = || AdminError::Refused("the system gives no randomness".to_owned());
        let (id, token) = new_token().ok_or_else(no_chance)?;
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| no_chance())?;
        let expires = now().saturating_add(i64::try_from(wanted.seconds).unwrap_or(i64::MAX));
        let stored = StoredToken {
            id: id.clone(),
            verifier: ScramVerifier::new(token.as_bytes(), &salt, ITERATIONS),
            principal,
            targets,
            parents: Vec::new(),
            minted_for: None,
            resource: None,
            may_act: None,
            issued: now(),
            expires,
            revoked: false,
        };
        self.administered(by, "token issued", &format!("{id} for {}", stored.principal.id))?;
        self.state().add_token(&stored, usize::MAX).await?;
        Ok(Issued { id, token, expires })
    }

    /// Revokes a token and ends its sessions. Returns how many.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be stored or recorded.
    pub async fn revoke_token(&self, id: &str, by: &str) -> Result<usize, AdminError> {
        let id = tokens::named(id);
        self.administered(by, "token revoked", id)?;
        let revoked = self.state().revoke_token(id).await?;
        self.recent().forget();
        if !revoked {
            return Err(AdminError::Missing(format!("token {id}")));
        }
        Ok(self.sessions().end(&Ended::Revoked, |live| live.tokens().any(|token| token == id)))
    }

    /// A part of the tokens, newest first, without their secrets.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn tokens(&self, part: &Part) -> Result<Vec<TokenInfo>, AdminError> {
        let live = self.sessions().list();
        let info = |t: StoredToken| TokenInfo {
            sessions: live.iter().filter(|l| l.token == t.id).count(),
            id: t.id,
            principal: t.principal.id.to_string(),
            groups: t.principal.groups,
            on_behalf_of: t.principal.on_behalf_of.iter().map(ToString::to_string).collect(),
            purpose: t.principal.purpose,
            targets: t.targets.into_iter().flatten().map(|t| t.0).collect(),
            issued: t.issued,
            expires: t.expires,
            revoked: t.revoked,
        };
        let part = Part { most: part.most.min(MOST_LISTED), before: part.before.clone() };
        Ok(self.state().tokens(&part).await?.into_iter().map(info).collect())
    }

    /// Whether this is the administrator's secret.
    pub async fn is_administrator(&self, secret: &[u8]) -> bool {
        self.state().is_administrator(secret).await.unwrap_or_else(|error| {
            tracing::error!("the administrator's secret cannot be checked: {error}");
            false
        })
    }

    pub(crate) fn administered(&self, who: &str, what: &str, detail: &str) -> Result<(), AdminError> {
        let body = record::Body::Administered {
            who: who.to_owned(),
            what: what.to_owned(),
            detail: detail.to_owned(),
        };
        Ok(self.note(&body)?)
    }
}

fn principal(wanted: &NewToken) -> Result<Principal, AdminError> {
    let NewToken { kind, name, groups, on_behalf_of, purpose, targets: _, seconds: _ } = wanted;
    only_from_elsewhere(groups)?;
    let acted_for = on_behalf_of.iter().map(|p| parse_principal(p)).collect::<Result<_, _>>()?;
    Ok(Principal {
        id: parse_principal(&format!("{kind}:{name}"))?,
        groups: groups.clone(),
        on_behalf_of: acted_for,
        purpose: purpose.clone(),
        asserted: Vec::new(),
    })
}

/// Who is in a group of the gateway's own is configuration: nobody is put into one with a token.
pub(crate) fn only_from_elsewhere(groups: &[String]) -> Result<(), AdminError> {
    match groups.iter().find(|group| policy::identity::is_local(group)) {
        None => Ok(()),
        Some(group) => {
            let why = format!(
                "who is in \"{group}\" is said in [[groups]], and holds for every token: apply it there"
            );
            Err(AdminError::Refused(why))
        }
    }
}

/// `agent:reporting-bot` or `user:alice`.
///
/// # Errors
/// What it should look like.
pub fn parse_principal(text: &str) -> Result<PrincipalRef, AdminError> {
    let wrong = || {
        AdminError::Refused(format!(
            "\"{text}\" is no principal: it is written agent:NAME or user:NAME, without spaces"
        ))
    };
    let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
    let kind = match kind {
        "agent" => PrincipalKind::Agent,
        "user" => PrincipalKind::User,
        _ => return Err(wrong()),
    };
    if name.is_empty() || name.len() > 200 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(wrong());
    }
    Ok(PrincipalRef { kind, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::parse_principal;

    #[test]
    fn a_principal_is_a_kind_and_a_name() {
        for (text, fits) in [
            ("agent:bot", true),
            ("user:alice@example.com", true),
            ("bot", false),
            ("robot:x", false),
            ("agent:", false),
            ("user:a b", false),
        ] {
            assert_eq!(parse_principal(text).is_ok(), fits, "{text}");
        }
    }
}
