//! What is denied whatever policies say: access, sessions that are to end, targets that are frozen. It is kept in the store;
//! what holds now is known here, so that a login asks nobody, and a denial that another gateway of the same store made is
//! found when it is looked for next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use model::{Denial, Principal, PrincipalRef, SignOut, Subject, Which};
use policy::identity::Groups;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::audit::hex;
use crate::gateway::{Gateway, now};
use crate::net::login::TOKEN_PREFIX;
use crate::requests::{AdminError, parse_principal};
use crate::sessions::{Ended, Live};
use crate::sign_outs::SignOuts;
use crate::state::{State, StateError};
use crate::tokens::{self, Admitted};

/// What a denial's id begins with.
const PREFIX: &str = "dwr_";
/// A reason is told to those concerned; it is not longer, in bytes.
const LONGEST_REASON: usize = 500;

/// Why somebody is shut out, in words that they are told.
pub(crate) enum Shut {
    /// Somebody denied it.
    Denied(String),
    /// They signed out, or it is as if they had.
    SignedOut(String),
}

impl Shut {
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Denied(reason) | Self::SignedOut(reason) => reason,
        }
    }

    /// What they can do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Denied(_) => "A new token changes nothing: ask the gateway's operator.",
            Self::SignedOut(_) => {
                "Sign in again, or ask the issuer for a new token: one of before is good for nothing."
            }
        }
    }
}

/// What holds now.
#[derive(Default)]
pub(crate) struct Denials {
    known: ArcSwap<Known>,
    /// How often it became another.
    turns: AtomicU64,
    sign_outs: SignOuts,
    /// One change or look at a time, so that whoever denies can say how many sessions ended.
    looking: Mutex<()>,
}

#[derive(Default, PartialEq)]
struct Known {
    /// Whose sessions may not be; the longest denial of each.
    by_subject: HashMap<Subject, Denial>,
    /// Targets that are frozen.
    frozen: Vec<Denial>,
}

impl Denials {
    /// Takes what the store says; whether it is other than before.
    pub(crate) async fn read(&self, state: &State) -> Result<bool, StateError> {
        // Both are here before either counts: who is dropped between the two leaves nothing known of which nobody was told.
        let (denials, signed_out) = (state.denials(now()).await?, self.sign_outs.new_in(state).await?);
        let mut read = Known::default();
        for denial in denials {
            if matches!(denial.subject, Subject::Frozen { .. }) {
                read.frozen.push(denial);
                continue;
            }
            let rank = |d: &Denial| (d.until.unwrap_or(i64::MAX), d.since);
            let subject = folded(denial.subject.clone());
            let longest = read.by_subject.get(&subject).is_none_or(|d| rank(d) < rank(&denial));
            if longest {
                read.by_subject.insert(subject, denial);
            }
        }
        let differs = **self.known.load() != read;
        if differs {
            self.known.store(Arc::new(read));
        }
        let differs = self.sign_outs.take(signed_out, now()) || differs;
        if differs {
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
        Ok(differs)
    }

    /// How often it became another.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    /// Whether no target is frozen, which is how it nearly always is.
    pub(crate) fn freezes_nothing(&self) -> bool {
        self.known.load().frozen.is_empty()
    }

    /// Every freeze that holds.
    pub(crate) fn frozen(&self, now: i64) -> Vec<Denial> {
        self.known.load().frozen.iter().filter(|denial| denial.holds(now)).cloned().collect()
    }

    /// Why a session may not be, if so.
    pub(crate) fn of(&self, live: &Live, groups: &Groups, now: i64) -> Option<Shut> {
        self.of_subjects(
            live.tokens().map(|token| Subject::Token(token.clone())),
            &live.principal,
            groups,
            now,
        )
    }

    /// Why somebody may not be here without a token, if so.
    pub(crate) fn of_principal(&self, who: &Principal, groups: &Groups, now: i64) -> Option<Shut> {
        self.of_subjects(std::iter::empty(), who, groups, now)
    }

    /// Why a token of somebody's may not be used, if so.
    pub(crate) fn of_token(&self, token: &str, who: &Principal, groups: &Groups, now: i64) -> Option<Shut> {
        self.of_subjects(std::iter::once(Subject::Token(token.to_owned())), who, groups, now)
    }

    /// The same of somebody who was let in, by a token or by one that it was made of.
    pub(crate) fn of_admitted(&self, admitted: &Admitted, groups: &Groups, now: i64) -> Option<Shut> {
        let tokens = std::iter::once(admitted.token()).chain(admitted.lineage().iter().map(String::as_str));
        self.of_subjects(tokens.map(|t| Subject::Token(t.to_owned())), admitted.principal(), groups, now)
    }

    fn of_subjects(
        &self,
        tokens: impl Iterator<Item = Subject>,
        who: &Principal,
        groups: &Groups,
        now: i64,
    ) -> Option<Shut> {
        let known = &self.known.load().by_subject;
        let denied = || {
            let holds = |subject: Subject| known.get(&folded(subject)).filter(|d| d.holds(now));
            tokens
                .chain(subjects(who, groups))
                .find_map(holds)
                .map(|denial| Shut::Denied(denial.reason.clone()))
        };
        let denied = if known.is_empty() { None } else { denied() };
        denied.or_else(|| self.sign_outs.of(who, now).map(Shut::SignedOut))
    }

    /// Whether everything that an issuer or a client said at a moment was before this store was restored.
    pub(crate) fn is_before_restore(&self, at: i64) -> bool {
        self.sign_outs.restored().is_some_and(|restored| at <= restored)
    }

    /// The end of a session that began before, if there is one.
    fn end_of(&self, live: &Live, now: i64) -> Option<Denial> {
        let known = &self.known.load().by_subject;
        let ends = |which| {
            let ended = folded(Subject::Sessions(which));
            known.get(&ended).filter(|d| d.holds(now) && live.since <= d.since).cloned()
        };
        if known.is_empty() { None } else { sessions_of(live).find_map(ends) }
    }
}

/// Whom a denial is about, whatever letters they were typed in: one that misses somebody by these would let them in.
fn folded(subject: Subject) -> Subject {
    let fold = |who: PrincipalRef| PrincipalRef { name: who.name.to_lowercase(), ..who };
    match subject {
        Subject::Principal(who) => Subject::Principal(fold(who)),
        Subject::Sessions(Which::Of(who)) => Subject::Sessions(Which::Of(fold(who))),
        Subject::Group { issuer, group } => Subject::Group { issuer, group: group.to_lowercase() },
        other @ (Subject::Token(_) | Subject::Issuer(_) | Subject::Sessions(_) | Subject::Frozen { .. }) => {
            other
        }
    }
}

/// Everything that an end of this session could be about.
fn sessions_of(live: &Live) -> impl Iterator<Item = Which> {
    [Which::Session(live.id.clone()), Which::On(live.target.clone())]
        .into_iter()
        .chain(live.principal.chain().map(|p| Which::Of(p.clone())))
}

/// Everything that a denial of somebody could be about, beside tokens.
fn subjects<'a>(who: &'a Principal, groups: &'a Groups) -> impl Iterator<Item = Subject> + 'a {
    // Those whom it acts for are in groups of the gateway's own, too, be it by a group that an issuer says.
    let said = || who.groups.iter().chain(who.asserted.iter().flat_map(|word| &word.groups));
    let own = who.chain().flat_map(move |p| groups.of(p, said()).into_iter().map(str::to_owned));
    let own = own.map(|group| Subject::Group { issuer: None, group });
    let any = who.groups.iter().map(|group| Subject::Group { issuer: None, group: group.clone() });
    let of_issuers = who.asserted.iter().flat_map(|word| {
        let groups = word.groups.iter().flat_map(|group| {
            let of =
                |issuer: Option<&String>| Subject::Group { issuer: issuer.cloned(), group: group.clone() };
            [of(None), of(Some(&word.issuer))]
        });
        std::iter::once(Subject::Issuer(word.issuer.clone())).chain(groups)
    });
    who.chain().map(|p| Subject::Principal(p.clone())).chain(any).chain(own).chain(of_issuers)
}

/// What to deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDenial {
    /// `principal`, `token`, `group` or `issuer`.
    pub kind: String,
    /// The principal (`agent:bot`), the token's id, the group or the issuer.
    pub name: String,
    /// The group's issuer; any where none is named.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Why. Those concerned are told.
    pub reason: String,
    /// For how long, in seconds; until it is lifted where nothing is said.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// A denial as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DenialInfo {
    /// What it is lifted by.
    pub id: String,
    /// `principal`, `token`, `group` or `issuer`.
    pub kind: String,
    /// Whom it is about, in words.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who denied.
    pub by: String,
    /// In seconds since 1970.
    pub since: i64,
    /// In seconds since 1970.
    pub until: Option<i64>,
}

impl From<Denial> for DenialInfo {
    fn from(denial: Denial) -> Self {
        let Denial { id, subject, reason, by, since, until } = denial;
        let (kind, subject) = (subject.kind().to_owned(), subject.to_string());
        Self { id, kind, subject, reason, by, since, until }
    }
}

impl Gateway {
    /// Denies access: live sessions that it concerns end, and no new ones begin. Returns the denial and how many ended here.
    ///
    /// # Errors
    /// It makes no sense, or cannot be stored or recorded.
    pub async fn deny(&self, wanted: &NewDenial, by: &str) -> Result<(DenialInfo, usize), AdminError> {
        let subject = self.whom(subject(wanted)?)?;
        // One of the gateway's own that is not kept would stay good for whoever meant another.
        if let Subject::Token(id) = &subject
            && id.starts_with(TOKEN_PREFIX)
            && self.state().token(id).await?.is_none()
        {
            return Err(AdminError::Missing(format!("token {id}")));
        }
        self.deny_subject(subject, reason(&wanted.reason)?, wanted.seconds, by).await
    }

    /// Whom a typed word means: an issuer in whatever letters, and a signed token's id as it is written in records. What is nobody is
    /// told, since whoever meant somebody by it would believe them shut out.
    fn whom(&self, subject: Subject) -> Result<Subject, AdminError> {
        let known = |typed: &str| {
            let found = self.issuers().called(typed);
            found.ok_or_else(|| AdminError::Missing(format!("issuer {typed}")))
        };
        match subject {
            Subject::Issuer(typed) => Ok(Subject::Issuer(known(&typed)?)),
            Subject::Group { issuer: Some(typed), group } => {
                Ok(Subject::Group { issuer: Some(known(&typed)?), group })
            }
            Subject::Token(typed) if typed.trim().to_ascii_lowercase().starts_with("jwt_") => {
                let id = typed.trim().to_ascii_lowercase();
                let digits = id.strip_prefix("jwt_").unwrap_or_default();
                let fine = digits.len() == 24 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let why = || format!("\"{typed}\" is no id of a token: those have 24 digits behind jwt_");
                if fine { Ok(Subject::Token(id)) } else { Err(AdminError::Refused(why())) }
            }
            other @ (Subject::Principal(_)
            | Subject::Token(_)
            | Subject::Group { issuer: None, .. }
            | Subject::Sessions(_)
            | Subject::Frozen { .. }) => Ok(other),
        }
    }

    /// The same, in the gateway's own words.
    pub(crate) async fn deny_subject(
        &self,
        subject: Subject,
        reason: &str,
        seconds: Option<u64>,
        by: &str,
    ) -> Result<(DenialInfo, usize), AdminError> {
        let mut chance = [0; 6];
        aws_lc_rs::rand::fill(&mut chance)
            .map_err(|_| AdminError::Refused("the system gives no randomness".to_owned()))?;
        let since = now();
        let until = seconds.map(|s| since.saturating_add(i64::try_from(s).unwrap_or(i64::MAX)));
        let id = format!("{PREFIX}{}", hex(&chance));
        let denial = Denial { id, subject, reason: reason.to_owned(), by: by.to_owned(), since, until };
        let end = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
        let what = match &denial.subject {
            Subject::Sessions(_) => "sessions ended",
            Subject::Frozen { .. } => "frozen",
            Subject::Principal(_) | Subject::Token(_) | Subject::Group { .. } | Subject::Issuer(_) => {
                "access revoked"
            }
        };
        self.administered(by, what, &format!("{} {}, {end}: {reason}", denial.id, denial.subject))?;
        let _alone = self.denials().looking.lock().await;
        self.state().add_denial(&denial).await?;
        if let Subject::Principal(who) = &denial.subject {
            self.state().disown(&who.to_string()).await?;
            self.holds().changed();
        }
        self.denials().read(self.state()).await?;
        Ok((denial.into(), self.end_denied()))
    }

    /// Lifts a denial: whoever it was about may log in again, as policies say.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be stored or recorded.
    pub async fn lift_denial(&self, id: &str, by: &str) -> Result<(), AdminError> {
        self.lift(id, false, by).await
    }

    /// Lifts what is of one kind alone: whoever thaws does not let anybody in again by a wrong id.
    pub(crate) async fn lift(&self, id: &str, frozen: bool, by: &str) -> Result<(), AdminError> {
        let what = if frozen { "freeze" } else { "revocation" };
        let missing = || AdminError::Missing(format!("{what} {id}"));
        let all = self.state().denials(now()).await?;
        let is_one = |d: &Denial| d.id == id && matches!(d.subject, Subject::Frozen { .. }) == frozen;
        if !all.iter().any(is_one) {
            return Err(missing());
        }
        self.administered(by, if frozen { "thawed" } else { "revocation lifted" }, id)?;
        if !self.state().lift_denial(id).await? {
            return Err(missing());
        }
        Ok(self.look_at_denials().await?)
    }

    /// Keeps who signed out, as `once` says until a moment, and ends their sessions. How many ended here; `None` where it was said
    /// before.
    pub(crate) async fn sign_out(
        &self,
        once: (&str, i64),
        outs: &[SignOut],
        by: &str,
    ) -> Result<Option<usize>, AdminError> {
        if self.state().was_spent(once.0).await? {
            return Ok(None);
        }
        let whose: Vec<String> = outs.iter().map(|out| out.of.to_string()).collect();
        self.administered(by, "signed out", &whose.join("; "))?;
        let _alone = self.denials().looking.lock().await;
        if !self.state().sign_out(once, outs).await? {
            return Ok(None);
        }
        self.denials().read(self.state()).await?;
        Ok(Some(self.end_denied()))
    }

    /// Reads what is denied now, and ends sessions that are.
    ///
    /// # Errors
    /// The store cannot be read: what was known still holds.
    pub async fn look_at_denials(&self) -> Result<(), StateError> {
        let _alone = self.denials().looking.lock().await;
        if self.denials().read(self.state()).await? {
            self.end_denied();
        }
        Ok(())
    }

    /// Ends sessions that are denied, and those that change what is frozen; returns how many.
    fn end_denied(&self) -> usize {
        let (now, groups) = (now(), self.groups());
        let denied = self.sessions().end_where(|live| {
            let killed = self.denials().end_of(live, now).map(|denial| Ended::Killed(denial.by));
            killed.or_else(|| Some(Ended::Denied(self.denials().of(live, &groups, now)?.reason().into())))
        });
        denied + self.end_frozen()
    }

    /// The denials of access that hold, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list_denials(&self) -> Result<Vec<DenialInfo>, AdminError> {
        let of_access = |d: &Denial| !matches!(d.subject, Subject::Frozen { .. } | Subject::Sessions(_));
        let all = self.state().denials(now()).await?;
        Ok(all.into_iter().filter(of_access).map(DenialInfo::from).collect())
    }
}

/// A reason as it is kept.
pub(crate) fn reason(typed: &str) -> Result<&str, AdminError> {
    let reason = typed.trim();
    if reason.is_empty() || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        let why = format!("a reason is one line of 1 to {LONGEST_REASON} bytes: those concerned are told it");
        return Err(AdminError::Refused(why));
    }
    Ok(reason)
}

fn subject(wanted: &NewDenial) -> Result<Subject, AdminError> {
    let NewDenial { kind, name, issuer, reason: _, seconds: _ } = wanted;
    if name.is_empty() || name.len() > 500 || name.chars().any(char::is_control) {
        return Err(AdminError::Refused("a name is one line of 1 to 500 bytes".to_owned()));
    }
    match (kind.as_str(), issuer) {
        ("group", issuer) => Ok(Subject::Group { issuer: issuer.clone(), group: name.clone() }),
        ("principal", None) => Ok(Subject::Principal(parse_principal(name)?)),
        // A signed token's text is no name of it, and would be kept.
        ("token", None) if name.matches('.').count() >= 2 => Err(AdminError::Refused(
            "a signed token is named by its id (jwt_…), which `durward sessions show` tells".to_owned(),
        )),
        ("token", None) => Ok(Subject::Token(tokens::named(name).to_owned())),
        ("issuer", None) => Ok(Subject::Issuer(name.clone())),
        ("principal" | "token" | "issuer", Some(_)) => {
            Err(AdminError::Refused("only a group is an issuer's".to_owned()))
        }
        (other, _) => Err(AdminError::Refused(format!(
            "\"{other}\": a principal, a token, a group or an issuer can be revoked"
        ))),
    }
}
