//! What all sessions share: policy, journal, store, targets, live sessions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::{hmac, rand};
use hashbrown::HashMap;
use journal::{Journal, record};
use masking::HashKey;
use model::{Inspect, PrincipalRef, TargetName};
use policy::identity::Groups;
use policy::rights::{Right, Rights, Role};
use policy::{Context, Denied, Grant, Policies};
use recording::Recorder;
use tokio::sync::watch;

use crate::attempts::Attempts;
use crate::audit::{self, JournalDown, Origin};
use crate::authorization::{self, Authorization};
use crate::break_glass::Alarm;
use crate::carriers::{Carrier, Slack};
use crate::clock::Moment;
pub(crate) use crate::clock::{now, until};
use crate::configure::Means;
use crate::credentials::Sources;
use crate::denials::Denials;
use crate::exchange::Mints;
use crate::holds::Holds;
use crate::inside::{Doorbell, Recent};
use crate::introspection::Watched;
use crate::issuers::Issuers;
use crate::lease::{self, Lease};
use crate::metrics::Metrics;
use crate::net::cancel::CancelRegistry;
use crate::net::login::Failures;
use crate::net::refusals::Refusals;
use crate::people::Roles;
use crate::presence;
use crate::protocols::postgres::missing::is_missing;
use crate::recordings::{Readers, Surveys};
use crate::sessions::{Ended, Live, Place, Sessions};
use crate::state::{State, StateError};
use crate::suspicions::Suspicions;
use crate::targets::Target;
use crate::tokens::{Admitted, Entrance, Tokens};
use crate::traces::Traces;

mod deciding;
mod health;
mod limits;
mod room;
mod start;
mod upkeep;

pub use deciding::NoLeave;
pub use health::{Files, Health, Status};
pub use limits::{Calls, Limits, Retention};
pub use start::{Config, StartError};

/// So often it is looked whether the last session has ended, once the gateway drains.
const LOOK_FOR_END: Duration = Duration::from_millis(50);

/// Policies and the targets that they speak of: replaced together, so that no decision sees half of a change.
pub(crate) struct InForce {
    /// Which version of the store's it is.
    pub stored: i64,
    pub policies: Policies,
    pub targets: HashMap<TargetName, Arc<Target>>,
    pub issuers: Arc<Issuers>,
    /// The gateway's own, and who is in them.
    pub groups: Arc<Groups>,
    /// Names the configuration that both come from.
    pub digest: String,
}

/// Everything that sessions share.
pub struct Gateway {
    pub(crate) in_force: ArcSwap<InForce>,
    /// How often that was replaced.
    pub(crate) turns: AtomicU64,
    journal: Journal,
    recorder: Recorder,
    readers: Readers,
    surveys: Arc<Surveys>,
    state: State,
    holds: Holds,
    tokens: Tokens,
    watched: Watched,
    sessions: Sessions,
    denials: Denials,
    cancels: CancelRegistry,
    failures: Failures,
    refusals: Refusals,
    pub(crate) minting: Mints,
    limits: ArcSwap<Limits>,
    /// What is wrong with the files that should be in force, if something is.
    files: ArcSwapOption<String>,
    metrics: Arc<Metrics>,
    mask_key: Arc<HashKey>,
    commitments: hmac::Key,
    buttons: hmac::Key,
    console_key: hmac::Key,
    slack: Option<Arc<Slack>>,
    alarm: Option<Arc<dyn Alarm>>,
    draining: watch::Sender<Option<Duration>>,
    sources: Sources,
    traces: Traces,
    lease: Lease,
    beat: health::Beat,
    /// Who may do what in the console.
    rights: Rights,
    /// Where the console is, and what people of issuers are there.
    console: OnceLock<(presence::Place, Roles, BTreeSet<Right>)>,
    /// The authorization server of our own, where there is one.
    pub(crate) authorization: Option<Authorization>,
    /// What commands did to the store is in the journal up to this number.
    told: AtomicI64,
    /// What was refused lately, to whom.
    attempts: Attempts,
    /// Who was answered of late with text that looks like instructions.
    pub(crate) suspicions: Suspicions,
    /// Where clients inside this process wait to be served.
    doorbell: Doorbell,
    /// Tokens that were good a moment ago.
    recent: Recent,
    /// Seals what doors give to their clients to bring back.
    door_key: [u8; 32],
    /// The plans that wait here for their answers.
    waiting_plans: crate::plans::Waiting,
    /// One change of the configuration at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Gateway {
    /// Whether what is known of the store is young enough to let somebody in by it.
    ///
    /// # Errors
    /// What to tell who cannot come in.
    pub fn is_current(&self) -> Result<(), Denied> {
        if self.lease.is_over(self.limits.load().lease) { Err(lease::closed()) } else { Ok(()) }
    }

    /// Knows tokens, its own and those of the issuers in force.
    pub fn authenticator(&self) -> Entrance<'_> {
        let in_force = self.in_force.load();
        let (issuers, groups) = (Arc::clone(&in_force.issuers), Arc::clone(&in_force.groups));
        Entrance { tokens: &self.tokens, issuers, groups, watched: &self.watched, resource: None }
    }

    /// The same, for those who come by the agents' port, whose tokens may be for that alone.
    pub(crate) fn authenticator_of_agents(&self) -> Entrance<'_> {
        Entrance { resource: self.authorization().map(|server| server.resource()), ..self.authenticator() }
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// The gateway's own groups, and who is in them.
    pub(crate) fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.in_force.load().groups)
    }

    pub(crate) fn known_tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Whose tokens are taken.
    pub fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.in_force.load().issuers)
    }

    /// How often policy has refused the effects of an operation to this principal by now. What a person refused, or nobody
    /// answered, is asked again as it should be.
    pub(crate) fn tried<M: Inspect>(&self, grant: &Grant, message: &M, denied: &Denied) -> u32 {
        // Nor is a slip an attempt, where nothing else is in it.
        let slips = !message.effects().is_empty() && message.effects().iter().all(is_missing);
        if denied.code() == "42501" && !slips { self.attempts.again(grant, message.effects()) } else { 1 }
    }

    /// Where clients inside this process wait to be served.
    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(crate) fn door_key(&self) -> &[u8; 32] {
        &self.door_key
    }

    /// Recent failed logins.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Which refusals of logins are written down one by one.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Writes down how many refusals were not, of a minute that is over.
    pub(crate) fn note_folded(&self) {
        for (address, folded) in self.refusals.folded() {
            let address = address.map_or_else(|| "many".to_owned(), |address| address.to_string());
            let reason = format!("{folded} more like those before");
            // What cannot be written is in the log, and nothing goes on without the journal anyway.
            let _ = self.note(&record::Body::LoginRefused { address, target: None, reason });
        }
    }

    /// Gives an admitted client its place among the live sessions.
    ///
    /// # Errors
    /// A refusal where its token is not for this target, or access is revoked.
    pub fn enter(&self, admitted: &Admitted, target: &TargetName, origin: &Origin) -> Result<Place, Denied> {
        if !admitted.is_for(target) || !admitted.may_enter() {
            return Err(Denied {
                code: "42501",
                reason: format!("this token is not for the target \"{target}\""),
                hint: Some(
                    "The database's name is the target's. Ask for a token for this target.".to_owned(),
                ),
                policies: Vec::new(),
                version: self.in_force.load().policies.version().into(),
            });
        }
        let live = Live {
            id: origin.session.clone(),
            principal: admitted.principal().clone(),
            token: admitted.token().to_owned(),
            lineage: admitted.lineage().to_vec(),
            target: target.clone(),
            address: origin.address,
            application: Arc::clone(&origin.application),
            encrypted: origin.tls.is_some(),
            since: now(),
            until: admitted.expires(),
            oldest: now().saturating_add(admitted.session_age()),
        };
        // In this order, so that a denial which comes meanwhile, or whoever takes an issuer away or changes who is in a group,
        // is seen here or finds the session.
        let place = self.sessions.enter(live.clone());
        if !self.issuers().vouch_for(admitted.principal()) {
            return Err(Denied {
                code: "28000",
                reason: "the issuer of this identity is not configured any more".to_owned(),
                hint: None,
                policies: Vec::new(),
                version: self.in_force.load().policies.version().into(),
            });
        }
        let groups = self.groups();
        if !groups.agree_with(admitted.principal()) {
            return Err(Denied {
                code: "28000",
                reason: Ended::Regrouped.to_string(),
                hint: None,
                policies: Vec::new(),
                version: self.in_force.load().policies.version().into(),
            });
        }
        self.count_sessions();
        match self.denials.of(&live, &groups, now()) {
            None => Ok(place),
            Some(shut) => Err(Denied {
                code: "28000",
                reason: Ended::Denied(shut.reason().into()).to_string(),
                hint: Some(shut.hint().to_owned()),
                policies: Vec::new(),
                version: self.in_force.load().policies.version().into(),
            }),
        }
    }

    /// The facts of this moment.
    pub fn context(&self, origin: &Origin, in_transaction: bool) -> Context {
        Context {
            now: now(),
            address: origin.address.ip(),
            application: Arc::clone(&origin.application),
            in_transaction,
            encrypted: origin.tls.is_some(),
            read_instructions: false,
        }
    }

    /// The bounds of this moment.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Replaces the bounds. What waits already waits as it was told.
    pub fn set_limits(&self, limits: Limits) {
        self.recorder.keep(limits.recorded);
        self.limits.store(Arc::new(limits));
    }

    /// A target as it is configured now.
    pub fn target(&self, name: &TargetName) -> Option<Arc<Target>> {
        self.in_force.load().targets.get(name).map(Arc::clone)
    }

    /// The names of all targets that are configured now.
    pub fn target_names(&self) -> Vec<TargetName> {
        self.in_force.load().targets.keys().cloned().collect()
    }

    /// Whether policy could allow or hold a write in a session, so that it must be one that can.
    pub fn could_write(&self, grant: &Grant) -> bool {
        let in_force = self.in_force.load();
        in_force.targets.contains_key(grant.target()) && in_force.policies.could_write(grant)
    }

    /// Whether policy could let it store values of its own among those that are hidden from it.
    pub(crate) fn could_store(&self, grant: &Grant) -> bool {
        self.in_force.load().policies.could_store(grant)
    }

    /// Counts what could make another decision of the same question: policies, tags and groups, freezes and denials.
    pub(crate) fn turn(&self) -> u64 {
        self.settled_turn() + self.suspicions.turns()
    }

    /// The same, whatever was read meanwhile.
    pub(crate) fn settled_turn(&self) -> u64 {
        self.turns.load(Ordering::SeqCst) + self.denials.turns()
    }

    /// Whether policy allows everything in a session and nothing is frozen, so that certainty about names changes nothing.
    pub fn allows_everything(&self, grant: &Grant) -> bool {
        let in_force = self.in_force.load();
        in_force.targets.contains_key(grant.target())
            && in_force.policies.allows_everything()
            && !self.is_frozen(grant.target())
    }

    /// Whose statements can be cancelled.
    pub fn cancels(&self) -> &CancelRegistry {
        &self.cancels
    }

    /// The key of masks that are keyed hashes.
    pub fn hash_key(&self) -> Arc<HashKey> {
        Arc::clone(&self.mask_key)
    }

    // ------------------------------------------------------------------ what the rest of this crate asks

    /// Where records go.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where sessions are recorded.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Who reads recordings.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// What was learnt of the recordings that were read.
    pub(crate) fn surveys(&self) -> &Arc<Surveys> {
        &self.surveys
    }

    /// Writes what there is of recordings, and ends with it: for a gateway whose sessions have ended.
    pub fn finish_recordings(&self) {
        self.recorder.finish();
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    pub(crate) fn waiting_plans(&self) -> &crate::plans::Waiting {
        &self.waiting_plans
    }

    pub(crate) fn alarm(&self) -> Option<&dyn Alarm> {
        self.alarm.as_deref()
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.denials
    }

    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Says, once, where the console is, and what people of issuers are there.
    /// Where changes take two people, what they take the right of waits for the second.
    pub fn set_console(&self, place: presence::Place, roles: Roles, takes_two: BTreeSet<Right>) {
        self.holds.set_console(&place);
        if self.console.set((place, roles, takes_two)).is_err() {
            tracing::error!("where the console is was said already");
        }
    }

    /// Where an invitation's secret leads.
    pub fn link_of(&self, invitation: &str) -> Option<String> {
        self.console.get().map(|(place, ..)| place.link_of(invitation))
    }

    /// The channel of Slack's that is told, where there is one.
    pub(crate) fn slack(&self) -> Option<&Arc<Slack>> {
        self.slack.as_ref()
    }

    /// Seals what buttons in Slack say.
    pub(crate) fn buttons(&self) -> &hmac::Key {
        &self.buttons
    }

    /// Seals what the console asks of those who are not known, and names people to authenticators.
    pub(crate) fn console_key(&self) -> &hmac::Key {
        &self.console_key
    }

    pub(crate) fn console_place(&self) -> Option<&presence::Place> {
        self.console.get().map(|(place, ..)| place)
    }

    pub(crate) fn roles_of(&self, who: &PrincipalRef, groups: &[String]) -> BTreeSet<Role> {
        self.console.get().map(|(_, roles, _)| roles.of(who, groups)).unwrap_or_default()
    }

    /// The rights of which what they let change waits for a second person.
    pub(crate) fn takes_two_people(&self) -> &BTreeSet<Right> {
        static NONE: BTreeSet<Right> = BTreeSet::new();
        self.console.get().map_or(&NONE, |(.., takes_two)| takes_two)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The key of one session's commitments. It can be made again from the vault's, and tells nothing of other sessions.
    pub(crate) fn commitment_key(&self, session: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.commitments, session.as_bytes());
        // A tag of HMAC-SHA-256 has as many bytes.
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// A new session's id; `None` without randomness.
    pub fn session_id(&self) -> Option<String> {
        let mut bytes = [0; 6];
        rand::fill(&mut bytes).ok()?;
        Some(format!("s{}", audit::hex(&bytes)))
    }

    /// Waits, and not for long, until spans that are there are sent.
    #[cfg_attr(not(feature = "otel"), expect(clippy::unused_async, reason = "there are none"))]
    pub async fn flush_traces(&self) {
        #[cfg(feature = "otel")]
        let _ = tokio::time::timeout(Duration::from_secs(3), self.traces.flush()).await;
    }

    /// Where spans go.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Writes a record that belongs to no session.
    pub(crate) fn note(&self, body: &record::Body<'_>) -> Result<(), JournalDown> {
        let written = self.journal.append(body);
        written.map(|_| ()).map_err(|down| {
            tracing::error!("the journal cannot be written: {down}");
            JournalDown
        })
    }

    // ------------------------------------------------------------------ live sessions, and the end

    /// The live sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Stops accepting, ends idle sessions, and gives the others this long. The listeners return when all have ended.
    pub fn drain(&self, patience: Duration) {
        self.draining.send_replace(Some(patience));
    }

    /// Tells when the gateway drains, and how long busy sessions get.
    pub fn draining(&self) -> watch::Receiver<Option<Duration>> {
        self.draining.subscribe()
    }

    /// Resolves when the gateway drains and its sessions have ended. Until then there is something to see, to approve and to kill.
    pub async fn drained(&self) {
        let _ = self.draining().wait_for(Option::is_some).await;
        while self.sessions.count() > 0 {
            tokio::time::sleep(LOOK_FOR_END).await;
        }
    }

    /// Files were read again: what is wrong with them, if something is.
    pub fn reloaded(&self, problem: Option<String>) {
        self.metrics.reloaded(problem.is_none());
        self.files.store(problem.map(Arc::new));
    }

    fn count_sessions(&self) {
        self.metrics.sessions.set(i64::try_from(self.sessions.count()).unwrap_or(i64::MAX));
    }
}
