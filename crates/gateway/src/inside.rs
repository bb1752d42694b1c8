//! Clients inside the gateway's own process: doors that speak another protocol to agents (MCP) and PostgreSQL's to the spine,
//! so that what comes by them is understood, decided, held, masked and put down as what `psql` sends.

mod own;
mod recent;
mod sealed;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use journal::record;
use model::{Action, ColumnName, Effect, Facts, Inspect, Resource, TableName, Tag, TargetName};
use policy::{Context, Denied, Identity, Opinion};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::postgres::startup::Login;

use self::recent::Mark;
pub(crate) use self::recent::Recent;
use crate::audit::JournalDown;
use crate::errand::Errand;
use crate::gateway::Gateway;
use crate::lease;
use crate::net::listen::{Accepted, NEWEST_MINOR};
use crate::net::login::{Authenticator, Refused};
use crate::serve;
use crate::targets::Target;
use crate::tokens::Admitted;

/// So much is under way in either direction before its writer waits, in bytes.
const UNDER_WAY: usize = 64 * 1024;

/// While a store takes its time, what is known without it is looked at so often.
const MEANWHILE: Duration = Duration::from_millis(250);

/// Seconds since 1970, as decisions are made by.
pub fn now() -> i64 {
    crate::gateway::now()
}

/// Such a moment as RFC 3339 writes it, in UTC.
pub fn written(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|moment| moment.to_string()).unwrap_or_default()
}

/// How such a client comes in. It still must bring a token where a password goes.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// Where whoever it speaks for comes from.
    pub peer: SocketAddr,
    /// Whether nobody on the way from there can read along.
    pub encrypted: bool,
    /// Which target.
    pub target: TargetName,
    /// What it calls itself.
    pub application: String,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum NotIn {
    /// The token is not taken.
    #[error("the token is not valid")]
    Token,
    /// Nobody is let in now.
    #[error("{}", .0.reason)]
    Closed(Denied),
    /// What cannot be recorded is not done.
    #[error(transparent)]
    Journal(#[from] JournalDown),
}

/// What such a client is told beside the protocol, which has no word for it.
#[derive(Debug, Default)]
pub struct Ear {
    masked: Mutex<Vec<usize>>,
    times: AtomicU32,
    lasts: AtomicBool,
    refused: Mutex<Option<Vec<String>>>,
    ended: Mutex<Option<Vec<u8>>>,
    held: Mutex<Option<Waiting>>,
    errand: Mutex<Option<Arc<Errand>>>,
}

/// What waits for an answer.
#[derive(Debug)]
pub struct Waiting {
    /// The request.
    pub request: String,
    /// What was altered since the same was asked for before, or why no standing grant covers it that would have.
    pub why: Option<String>,
}

impl Ear {
    /// What is sent from now on is sent for this; to run, where nothing is said.
    pub fn sends_for(&self, errand: Option<Errand>) {
        *self.errand.lock().unwrap_or_else(PoisonError::into_inner) = errand.map(Arc::new);
    }

    /// What for.
    pub(crate) fn errand(&self) -> Option<Arc<Errand>> {
        self.errand.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The columns of a result that begins, from 0.
    pub(crate) fn hears(&self, masked: Vec<usize>) {
        *self.masked.lock().unwrap_or_else(PoisonError::into_inner) = masked;
    }

    /// What was sent was refused or ended by the gateway, in its own words: by these policies, where some are to be told.
    pub(crate) fn hears_refusal(&self, policies: Vec<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(policies);
    }

    /// By which policies that was so since this was asked last; `None` where it was not.
    pub fn refused(&self) -> Option<Vec<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The gateway ends the session, and this is its last word, as the body of an error. What its target says last is none.
    pub(crate) fn hears_end(&self, last: &[u8]) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(last.to_vec());
    }

    /// Its last word, where it has ended the session. Nobody learns it from what comes last, which a target could say as well.
    pub fn ended(&self) -> Option<Vec<u8>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was sent waits for an answer, as this request; and why nothing that was said before answers it, where that is so.
    pub(crate) fn hears_held(&self, request: &str, why: Option<&str>) {
        let waiting = Waiting { request: request.to_owned(), why: why.map(str::to_owned) };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
    }

    /// Which that was since this was asked last. Nobody learns it from a notice, which a target could send as well.
    pub fn held(&self) -> Option<Waiting> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How often what was just refused was refused by now.
    pub(crate) fn hears_again(&self, times: u32) {
        self.times.store(times, Ordering::Relaxed);
    }

    /// Whether what goes to the target now may leave something in the session.
    pub(crate) fn hears_what_lasts(&self, lasts: bool) {
        self.lasts.fetch_or(lasts, Ordering::Relaxed);
    }

    /// Whether something may be left in the session by what was sent since this was asked last.
    pub fn lasts(&self) -> bool {
        self.lasts.swap(false, Ordering::Relaxed)
    }

    /// The same of the last refusal.
    pub fn times(&self) -> u32 {
        self.times.swap(0, Ordering::Relaxed)
    }

    /// The masked columns of the last result.
    pub fn masked(&self) -> Vec<usize> {
        std::mem::take(&mut *self.masked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When a token was looked at.
enum Looked {
    Lately,
    Now,
}

/// Where such clients wait for whoever serves PostgreSQL.
pub(crate) struct Doorbell {
    bell: UnboundedSender<Accepted>,
    waiting: Mutex<Option<UnboundedReceiver<Accepted>>>,
}

impl Default for Doorbell {
    fn default() -> Self {
        let (bell, waiting) = unbounded_channel();
        Self { bell, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Doorbell {
    /// Those who come, for the first who asks: one serves them all.
    pub(crate) fn answer(&self) -> Option<UnboundedReceiver<Accepted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What somebody may do on a target, as far as it does not depend on which table and which statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// `select`, `insert`, …
    pub action: &'static str,
    /// What policies say of it on a table without tags.
    pub opinion: Opinion,
}

/// One effect on some table.
struct Somewhere {
    effect: [Effect; 1],
    facts: Facts,
}

impl Inspect for Somewhere {
    fn effects(&self) -> &[Effect] {
        &self.effect
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    /// None: what is said of no statement is not remembered.
    fn shape(&self) -> [u8; 16] {
        [0; 16]
    }

    fn particulars(&self) -> model::Particulars {
        model::Particulars::default()
    }
}

impl Gateway {
    /// Whoever a token is of that was brought to such a door. Whoever guesses waits, as at every login.
    ///
    /// # Errors
    /// It is not taken; that is in the journal. What cannot be written there lets nobody in.
    pub async fn admit_inside(&self, token: &str, peer: SocketAddr) -> Result<Admitted, NotIn> {
        self.is_current().map_err(NotIn::Closed)?;
        let refused = match self.known_inside(token).await {
            Ok((admitted, Looked::Lately)) => return Ok(admitted),
            Ok((admitted, Looked::Now)) => {
                self.failures().forgive(peer.ip());
                return Ok(admitted);
            }
            // Nobody has guessed anything, and nothing is said against the token.
            Err(Refused::Unknown) => return Err(NotIn::Closed(lease::closed())),
            Err(refused) => refused,
        };
        self.metrics().logins_refused.inc();
        if self.refusals().is_written(peer.ip()) {
            let (address, reason) = (peer.to_string(), refused.code().to_owned());
            self.note(&record::Body::LoginRefused { address, target: None, reason })?;
        }
        if matches!(refused, Refused::Unasked(_)) {
            return Err(NotIn::Closed(lease::unasked()));
        }
        tokio::time::sleep(self.failures().penalty(peer.ip())).await;
        Err(NotIn::Token)
    }

    /// Whether a token that was taken before would be taken now. It is asked while its call goes on, and is no login. Where the
    /// store does not say, what is known of it is: that it was taken, for as long as the gateway's lease is not over.
    ///
    /// # Errors
    /// It would not, or the lease is over.
    pub async fn is_still_in(&self, admitted: &Admitted, token: &str) -> Result<(), NotIn> {
        let looked = self.known_inside(token);
        tokio::pin!(looked);
        loop {
            let known = tokio::time::timeout(MEANWHILE, &mut looked).await;
            if admitted.expires() <= now() || self.is_denied_inside(admitted) {
                return Err(NotIn::Token);
            }
            match known {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(Refused::Unknown)) => return self.is_current().map_err(NotIn::Closed),
                Ok(Err(Refused::Unasked(_))) => return Err(NotIn::Closed(lease::unasked())),
                Ok(Err(_)) => return Err(NotIn::Token),
                Err(_) => self.is_current().map_err(NotIn::Closed)?,
            }
        }
    }

    fn is_denied_inside(&self, admitted: &Admitted) -> bool {
        self.denials().of_admitted(admitted, &self.groups(), now()).is_some()
    }

    /// Whoever a token is of, and when that was looked at.
    async fn known_inside(&self, token: &str) -> Result<(Admitted, Looked), Refused> {
        let (mark, turn, asked) = (Mark::of(token), self.turn(), Instant::now());
        let lately = self.recent().find(&mark, turn);
        if let Some(admitted) = lately.filter(|admitted| !self.is_denied_inside(admitted)) {
            return Ok((admitted, Looked::Lately));
        }
        let admitted = self.authenticator_of_agents().check(token.as_bytes()).await?;
        // A code for emergencies opens one session, and a door asks more than once.
        if admitted.is_emergency() || self.is_denied_inside(&admitted) {
            return Err(Refused::Token);
        }
        self.recent().keep(mark, &admitted, asked, turn);
        Ok((admitted, Looked::Now))
    }

    /// Counts what could make another decision, or another mask, of what was asked before: policies, tags and groups, freezes and
    /// denials.
    pub fn decides_by(&self) -> u64 {
        self.settled_turn()
    }

    /// Which version of the configuration is in force: the same at each gateway of a store.
    pub fn configuration(&self) -> i64 {
        self.in_force.load().stored
    }

    /// Whether somebody may open sessions on a target.
    ///
    /// # Errors
    /// What they are told otherwise, in the same words where there is no such target.
    pub fn may_use(&self, admitted: &Admitted, target: &TargetName, context: &Context) -> Result<(), Denied> {
        match self.admit_to(admitted.identity(), target, context) {
            Ok(_) if admitted.is_for(target) => Ok(()),
            Ok(_) => Err(self.told(admitted.identity(), target, context)),
            Err(no_leave) => Err(no_leave.told),
        }
    }

    /// The targets on which somebody may open sessions, by name.
    pub fn open_to(&self, admitted: &Admitted, context: &Context) -> Vec<Arc<Target>> {
        let in_force = self.in_force.load();
        let mut open: Vec<_> = in_force
            .targets
            .values()
            .filter(|target| {
                admitted.is_for(&target.name)
                    && self.authorize(admitted.identity(), &target.name, context).is_ok()
            })
            .cloned()
            .collect();
        open.sort_by(|a, b| a.name.cmp(&b.name));
        open
    }

    /// Whether it is the targets that a person chose for a client, and nothing else, that keep it from one: it may ask them again.
    pub fn needs_scope(&self, admitted: &Admitted, target: &TargetName, moment: &Context) -> bool {
        admitted.resource().is_some()
            && !admitted.is_for(target)
            && self.authorize(admitted.identity(), target, moment).is_ok()
    }

    /// What somebody may do on a target, in its commonest forms.
    pub fn outlook(&self, admitted: &Admitted, target: &Target, moment: &Context) -> Vec<Outlook> {
        self.outlook_of(admitted.identity(), target, moment)
    }

    pub(crate) fn outlook_of(&self, who: Identity, target: &Target, moment: &Context) -> Vec<Outlook> {
        let in_force = self.in_force.load();
        let Ok(grant) = self.authorize(who, &target.name, moment) else { return Vec::new() };
        let table = TableName { schema: "public".to_owned(), name: "some_table".to_owned() };
        let common = [
            Action::Select,
            Action::Insert,
            Action::Update,
            Action::Delete,
            Action::Create,
            Action::Alter,
            Action::Drop,
        ];
        let said = common.map(|action| {
            let some = Somewhere {
                effect: [Effect::new(action, Resource::Table(table.clone()))],
                facts: Facts {
                    kind: action.as_str().to_owned(),
                    has_where: true,
                    tables: [table.clone()].into(),
                    statements: 1,
                    ..Facts::default()
                },
            };
            let opinion =
                in_force.policies.explain(&grant, &target.facts, &some, moment, &BTreeSet::new()).whole;
            Outlook { action: action.as_str(), opinion }
        });
        said.into()
    }

    /// The tags of a table's columns, by their names.
    pub fn tags_inside(
        &self,
        target: &TargetName,
        schema: &str,
        table: &str,
    ) -> BTreeMap<String, Vec<String>> {
        let Some(target) = self.target(target) else { return BTreeMap::new() };
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for tagged in &target.catalogue.tagging.load().columns {
            let of = &tagged.column.table;
            if of.schema == schema && of.name == table {
                tags.entry(tagged.column.name.clone()).or_default().push(tagged.tag.0.clone());
            }
        }
        tags
    }

    /// The client's end of a new session, in front of its login. It speaks PostgreSQL's protocol from there on, without a
    /// start-up packet. Whoever reads and finds its end was not let in.
    pub fn come_inside(&self, arriving: Arriving) -> (DuplexStream, Arc<Ear>) {
        let Arriving { peer, encrypted, target, application } = arriving;
        let (ours, theirs) = tokio::io::duplex(UNDER_WAY);
        let login = Login {
            major: 3,
            minor: NEWEST_MINOR,
            // No database: the target's own, whatever that is called.
            parameters: [("user", "agent"), ("application_name", &application)]
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .into(),
        };
        let ear = Arc::<Ear>::default();
        let mut accepted = Accepted::inside(theirs, login, peer, encrypted, Arc::clone(&ear));
        accepted.set_target(target);
        // Where nobody serves any more, it is dropped, and the client reads its end.
        let _ = self.doorbell().bell.send(accepted);
        (ours, ear)
    }

    /// Cancels what such a session runs, or withdraws what it holds.
    pub async fn cancel_inside(&self, process: u32, secret: &[u8], peer: IpAddr) {
        serve::cancel(self, process, secret, peer).await;
    }
}
