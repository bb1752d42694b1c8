//! Break-glass: one-time codes that an administrator made beforehand, for the day on which nobody can sign in. A code is a
//! password for one session on one target, as long as it was said to be. It is on record, and an alarm is raised, before it
//! opens anything; what it may do there is what policy says of `context.break_glass`, never beyond a forbid.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Principal, PrincipalKind, Subject, TargetName};
use policy::Denied;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::audit::{Audit, Origin};
use crate::gateway::{Gateway, now};
use crate::requests::{AdminError, only_from_elsewhere, parse_principal};
use crate::spine::Stop;
use crate::state::StoredCode;
use crate::tokens::{Admitted, ITERATIONS, new_secret};

/// What a code begins with: `dwb_<id>_<secret>`.
pub const CODE_PREFIX: &str = "dwb_";
/// A session that a code opens lasts this long at most.
pub const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600);
/// A code can be kept this long at most.
pub const LONGEST_KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
/// So many are made at once, at most.
const MOST: u32 = 20;

/// Who is told when a code is used, beside the log and the journal.
pub trait Alarm: Send + Sync {
    /// Tells them. It must not take long: what does is done elsewhere.
    fn raise(&self, used: &CodeUsed);
}

/// That a code was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeUsed {
    /// The code's id.
    pub code: String,
    /// Whose it is.
    pub principal: String,
    /// On which target.
    pub target: String,
    /// The client's address.
    pub address: String,
    /// The session.
    pub session: String,
    /// When it ends by itself, in seconds since 1970.
    pub until: i64,
}

/// Codes to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCodes {
    /// For whom: `user:alice`.
    pub principal: String,
    /// The principal's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The target that each opens.
    pub target: String,
    /// How long a session lasts, in seconds.
    pub lifetime: u64,
    /// How long they can be kept, in seconds.
    pub kept: u64,
    /// How many.
    pub count: u32,
}

/// A code that was just made. This is the only time that it is seen.
pub struct Made {
    /// Its id.
    pub id: String,
    /// The code.
    pub code: Zeroizing<String>,
    /// Until when it can be used, in seconds since 1970.
    pub expires: i64,
}

/// A code without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CodeInfo {
    /// Its id.
    pub id: String,
    /// For whom.
    pub principal: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// For which target.
    pub target: String,
    /// How long its session lasts, in seconds.
    pub lifetime: i64,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    /// Until when it can be used, in seconds since 1970.
    pub expires: i64,
    /// When it was, in seconds since 1970.
    pub used: Option<i64>,
    /// Whether it was.
    pub revoked: bool,
}

impl Gateway {
    /// Makes codes.
    ///
    /// # Errors
    /// What is asked for is not possible, or cannot be stored or recorded.
    pub async fn make_codes(&self, wanted: &NewCodes, by: &str) -> Result<Vec<Made>, AdminError> {
        let NewCodes { principal, groups, target, lifetime, kept, count } = wanted;
        let refused = |why: &str| Err(AdminError::Refused(why.to_owned()));
        let principal = parse_principal(principal)?;
        only_from_elsewhere(groups)?;
        if principal.kind != PrincipalKind::User {
            return refused("a break-glass code is for a person: user:NAME");
        }
        if *lifetime == 0 || *lifetime > LONGEST_SESSION.as_secs() {
            return refused("a session that a break-glass code opens lasts from 1 second to 24 hours");
        }
        if *kept == 0 || *kept > LONGEST_KEPT.as_secs() {
            return refused("a break-glass code is kept from 1 second to 366 days");
        }
        if *count == 0 || *count > MOST {
            return refused("1 to 20 codes are made at once");
        }
        let target = TargetName::new(target.as_str());
        if self.target(&target).is_none() {
            return Err(AdminError::Missing(format!("target \"{target}\"")));
        }
        let seconds = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (made, no_chance) = (now(), || AdminError::Refused("the system gives no randomness".to_owned()));
        let mut all = Vec::new();
        for _ in 0..*count {
            let (id, code) = new_secret(CODE_PREFIX).ok_or_else(no_chance)?;
            let mut salt = [0; 16];
            aws_lc_rs::rand::fill(&mut salt).map_err(|_| no_chance())?;
            let expires = made.saturating_add(seconds(*kept));
            let stored = StoredCode {
                id: id.clone(),
                verifier: ScramVerifier::new(code.as_bytes(), &salt, ITERATIONS),
                principal: principal.clone(),
                groups: groups.clone(),
                target: target.clone(),
                lifetime: seconds(*lifetime),
                made,
                expires,
                used: None,
                revoked: false,
            };
            self.administered(by, "break-glass code made", &format!("{id} for {principal} on {target}"))?;
            self.state().add_code(&stored).await?;
            all.push(Made { id, code, expires });
        }
        Ok(all)
    }

    /// All codes, newest first, without their secrets.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn codes(&self) -> Result<Vec<CodeInfo>, AdminError> {
        let info = |code: StoredCode| {
            let StoredCode {
                id,
                verifier: _,
                principal,
                groups,
                target,
                lifetime,
                made,
                expires,
                used,
                revoked,
            } = code;
            let (principal, target) = (principal.to_string(), target.0);
            CodeInfo { id, principal, groups, target, lifetime, made, expires, used, revoked }
        };
        Ok(self.state().codes().await?.into_iter().map(info).collect())
    }

    /// Revokes a code and ends the session that it opened. Returns how many ended.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be stored or recorded.
    pub async fn revoke_code(&self, id: &str, by: &str) -> Result<usize, AdminError> {
        self.administered(by, "break-glass code revoked", id)?;
        if !self.state().revoke_code(id).await? {
            return Err(AdminError::Missing(format!("break-glass code {id}")));
        }
        // What it opened ends on every gateway of the store.
        let subject = Subject::Token(id.to_owned());
        let reason = "the break-glass code was revoked";
        let (_, ended) = self.deny_subject(subject, reason, Some(LONGEST_SESSION.as_secs()), by).await?;
        Ok(ended)
    }

    /// Uses a code up: on record and on disk, then used, then an alarm, and only then may its session begin.
    ///
    /// # Errors
    /// It is for another target, was used meanwhile, or that cannot be recorded: nothing is opened.
    pub(crate) async fn break_glass(
        &self,
        admitted: Admitted,
        target: &TargetName,
        origin: &Origin,
        audit: &mut Audit,
    ) -> Result<Admitted, Stop> {
        if !admitted.is_emergency() {
            return Ok(admitted);
        }
        let refused = |reason: &str| {
            Stop::Denied(Denied {
                code: "28000",
                reason: reason.to_owned(),
                hint: None,
                policies: Vec::new(),
                version: Arc::from(""),
            })
        };
        if !admitted.is_for(target) {
            return Err(refused("this break-glass code is for another target; it was not used"));
        }
        let used = CodeUsed {
            code: admitted.token().to_owned(),
            principal: admitted.principal().id.to_string(),
            target: target.to_string(),
            address: origin.address.to_string(),
            session: origin.session.clone(),
            until: admitted.expires(),
        };
        audit.break_glass(&used).await?;
        match self.state().use_code(admitted.token(), now()).await {
            Ok(true) => (),
            Ok(false) => return Err(refused("this break-glass code was used already")),
            Err(error) => {
                tracing::error!("a break-glass code cannot be used: {error}");
                return Err(refused(
                    "the gateway's store cannot be written, so no break-glass code can be used",
                ));
            }
        }
        self.metrics().break_glass.inc();
        let CodeUsed { code, principal, target, address, session, until } = &used;
        tracing::error!(
            code,
            principal,
            target,
            address,
            session,
            until,
            "BREAK-GLASS: an emergency code was used"
        );
        if let Some(alarm) = self.alarm() {
            alarm.raise(&used);
        }
        Ok(admitted.used_up())
    }
}

impl StoredCode {
    /// Whom a login with it admits, were it used now.
    pub(crate) fn admits(self, now: i64) -> Admitted {
        let Self { id, principal, groups, target, lifetime, .. } = self;
        let principal = Principal {
            id: principal,
            groups,
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: Vec::new(),
        };
        Admitted::emergency(principal, id, BTreeSet::from([target]), now.saturating_add(lifetime))
    }
}
