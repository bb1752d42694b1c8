//! What all sessions share: policy, journal, store, targets, live sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::{hmac, rand};
use hashbrown::HashMap;
use journal::{Journal, record};
use masking::HashKey;
use model::{Inspect, PrincipalRef, TargetName};
use policy::identity::Groups;
use policy::rights::{Rights, Role};
use policy::{Context, Denied, Grant, Identity, Policies, Question, Verdict};
use tokio::sync::watch;

use crate::audit::{self, JournalDown, Origin};
use crate::break_glass::Alarm;
use crate::configure::Means;
use crate::credentials::Sources;
use crate::denials::Denials;
use crate::holds::{Answer, Holds, Ticket};
use crate::introspection::Watched;
use crate::issuers::Issuers;
use crate::lease::{self, Lease, Moment};
use crate::metrics::{Metrics, Snapshot, Stage};
use crate::net::cancel::CancelRegistry;
use crate::net::login::Failures;
use crate::people::Roles;
use crate::presence;
use crate::requests::AdminError;
use crate::sessions::{Ended, Live, Place, Sessions};
use crate::spine::Auditable;
use crate::state::{Happened, Purged, State, StateError};
use crate::targets::{Contact, Target};
use crate::tokens::{Admitted, Entrance, Tokens};
use crate::traces::Traces;

/// How often targets' catalogues are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the store is looked at: a session ends within a second, with time to spare for the look itself.
const LOOK_AT_STORE: Duration = Duration::from_millis(400);
/// How often what is over for long is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// What a gateway is started with.
pub struct Config {
    /// Where its records go.
    pub journal: Journal,
    /// Its state.
    pub state: State,
    /// Bounds.
    pub limits: Limits,
    /// Who is told when a break-glass code is used, beside log and journal.
    pub alarm: Option<Arc<dyn Alarm>>,
    /// Where passwords of targets are that do not lie in the store.
    pub sources: Sources,
    /// Where spans go, where traces are built in.
    pub traces: Traces,
}

/// Bounds, which may change while a gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a held operation waits for its answer outside a transaction block.
    pub hold: Duration,
    /// The same inside one, where it holds locks.
    pub hold_in_block: Duration,
    /// How long sessions that are busy may go on when the gateway drains.
    pub drain: Duration,
    /// How long what is over is kept in the store. The journal keeps what happened.
    pub retention: Retention,
    /// How old what is known of a store that others change may be.
    pub lease: Duration,
}

/// How long what is over is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Tokens, from their expiry.
    pub tokens: Duration,
    /// Requests that do not wait any more, from when they were filed.
    pub requests: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let usual = Duration::from_secs(90 * 24 * 3600);
        Self { tokens: usual, requests: usual }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(45),
            hold_in_block: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            retention: Retention::default(),
            lease: Duration::from_secs(5),
        }
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be read.
    #[error("the store cannot be read: {0}")]
    State(#[from] StateError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalDown),
    /// The stored configuration is not valid, and there is no older one to go on with.
    #[error("the stored configuration is not valid: {0}")]
    Configuration(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

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
    journal: Journal,
    state: State,
    holds: Holds,
    tokens: Tokens,
    watched: Watched,
    sessions: Sessions,
    denials: Denials,
    cancels: CancelRegistry,
    failures: Failures,
    limits: ArcSwap<Limits>,
    /// What is wrong with the files that should be in force, if something is.
    files: ArcSwapOption<String>,
    metrics: Arc<Metrics>,
    mask_key: Arc<HashKey>,
    commitments: hmac::Key,
    alarm: Option<Arc<dyn Alarm>>,
    draining: watch::Sender<Option<Duration>>,
    sources: Sources,
    traces: Traces,
    lease: Lease,
    /// Who may do what in the console.
    rights: Rights,
    /// Where the console is, and what people of issuers are there.
    console: OnceLock<(presence::Place, Roles)>,
    /// What commands did to the store is in the journal up to this number.
    told: AtomicI64,
    /// One change of the configuration at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Gateway {
    /// Starts with the stored configuration. A store without one denies everything until [`Gateway::apply`].
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let Config { journal, state, limits, alarm, sources, traces } = config;
        let metrics = Arc::new(Metrics::new());
        let keys = state.keys().await?;
        let asked = Moment::now();
        let told = state.last_happened().await?;
        let in_force =
            crate::configure::load(&state, Means { journal: &journal, metrics: &metrics, sources: &sources })
                .await
                .map_err(|problem| StartError::Configuration(problem.to_string()))?;
        let gateway = Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            holds: Holds::new(state.clone(), metrics.holds_waiting.clone()),
            tokens: Tokens::new(state.clone(), keys.verifiers),
            watched: Watched::default(),
            sessions: Sessions::default(),
            denials: Denials::default(),
            cancels: CancelRegistry::default(),
            failures: Failures::default(),
            limits: ArcSwap::from_pointee(limits),
            files: ArcSwapOption::empty(),
            metrics,
            mask_key: Arc::new(HashKey::new(keys.masks)),
            commitments: hmac::Key::new(hmac::HMAC_SHA256, &keys.commitments),
            alarm,
            draining: watch::Sender::new(None),
            lease: Lease::new(state.is_shared(), asked),
            rights: Rights::new().map_err(StartError::Configuration)?,
            console: OnceLock::new(),
            told: AtomicI64::new(told),
            sources,
            traces,
            changing: tokio::sync::Mutex::default(),
            journal,
            state,
        });
        let started = record::Body::Started { version: env!("CARGO_PKG_VERSION").to_owned() };
        gateway.note(&started)?;
        // Before anybody is let in.
        gateway.look_at_denials().await?;
        // Nobody else can say what became of what was claimed before this gateway began.
        if !gateway.state.is_shared() {
            let lost = gateway.state.lose_track().await?;
            if lost > 0 {
                tracing::warn!("of {lost} approved operations nobody knows whether they ran");
            }
        }
        tokio::spawn(keep(Arc::downgrade(&gateway)));
        tokio::spawn(crate::endings::keep(Arc::downgrade(&gateway)));
        tokio::spawn(crate::introspection::keep(Arc::downgrade(&gateway)));
        Ok(gateway)
    }

    // ------------------------------------------------------------------ what the spine asks

    /// Whether a principal may open a session on a target.
    ///
    /// # Errors
    /// The refusal. It does not tell whether the target exists.
    pub fn authorize(&self, identity: Identity, target: &TargetName, now: &Context) -> Result<Grant, Denied> {
        self.is_current()?;
        let in_force = self.in_force.load();
        let facts = in_force.targets.get(target).map(|t| t.facts.clone());
        let grant = in_force.policies.authorize(identity, target, &facts.clone().unwrap_or_default(), now)?;
        match facts {
            Some(_) => Ok(grant),
            None => Err(Denied {
                code: "3D000",
                reason: format!("there is no target \"{target}\""),
                hint: Some(
                    "The database's name is the target's here: ask the gateway's operator which there are, or for a \
                     listener of one target (postgres.targets in durward.toml), where it is the database's own."
                        .to_owned(),
                ),
                policies: Vec::new(),
                version: in_force.policies.version().into(),
            }),
        }
    }

    /// What policy says of an operation.
    pub fn decide<M: Inspect + Auditable>(&self, grant: &Grant, message: M, now: &Context) -> Verdict<M> {
        self.decide_with(grant, message, now, &BTreeSet::new())
    }

    /// What policy says of an operation that was held, now that its answer is known.
    pub fn redecide<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: Question<M>,
        ticket: &Ticket,
        answer: &Answer,
        now: &Context,
    ) -> Verdict<M> {
        let refusal = answer.refusal(&question, &ticket.id);
        let message = question.withdraw();
        match (refusal, answer) {
            (Some(denied), _) => Verdict::Deny(message, denied),
            (None, Answer::Approved(satisfied)) => {
                self.decide_with(grant, message, now, &satisfied.iter().cloned().collect())
            }
            (
                None,
                Answer::Denied(_) | Answer::Pending | Answer::Expired | Answer::Withdrawn | Answer::Frozen(_),
            ) => self.decide_with(grant, message, now, &BTreeSet::new()),
        }
    }

    fn decide_with<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        message: M,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> Verdict<M> {
        let begun = self.metrics.stages.begin(Stage::Decide);
        if self.lease.is_over(self.limits.load().lease) {
            return Verdict::Deny(message, lease::refusal());
        }
        if let Some(frozen) = self.frozen(grant.target(), &message) {
            return Verdict::Deny(message, frozen);
        }
        let in_force = self.in_force.load();
        let verdict = match in_force.targets.get(grant.target()) {
            // What only gives a statement a name runs nothing: an approval is asked for where its values are known.
            Some(target) if message.is_shape_only() => {
                in_force.policies.decide_shape(grant, &target.facts, message, now)
            }
            Some(target) => in_force.policies.decide(grant, &target.facts, message, now, approved),
            None => {
                let denied = Denied {
                    code: "42501",
                    reason: format!("the target \"{}\" was removed from the gateway", grant.target()),
                    hint: None,
                    policies: Vec::new(),
                    version: in_force.policies.version().into(),
                };
                Verdict::Deny(message, denied)
            }
        };
        self.metrics.stages.end(Stage::Decide, begun);
        verdict
    }

    /// Files a held operation.
    ///
    /// # Errors
    /// Why it cannot be, as a refusal.
    pub async fn file<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        patience: Duration,
    ) -> Result<Ticket, Denied> {
        self.holds.file(grant, question, session, patience).await
    }

    /// The client no longer waits for a held operation.
    pub async fn withdraw(&self, ticket: &Ticket) {
        self.holds.withdraw(ticket).await;
    }

    /// The answer to a held operation. Cancel-safe.
    pub async fn answer(&self, ticket: &Ticket) -> Answer {
        self.holds.answer(ticket, || self.frozen_because(&ticket.target)).await
    }

    // ------------------------------------------------------------------ what a protocol asks

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
        Entrance { tokens: &self.tokens, issuers, groups, watched: &self.watched }
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

    /// Recent failed logins.
    pub fn failures(&self) -> &Failures {
        &self.failures
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
            Some(denial) => Err(Denied {
                code: "28000",
                reason: Ended::Denied(denial.reason.into()).to_string(),
                hint: Some("A new token changes nothing: ask the gateway's operator.".to_owned()),
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
        }
    }

    /// The bounds of this moment.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Replaces the bounds. What waits already waits as it was told.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// A target as it is configured now.
    pub fn target(&self, name: &TargetName) -> Option<Arc<Target>> {
        self.in_force.load().targets.get(name).map(Arc::clone)
    }

    /// Whether policy could allow or hold a write in a session, so that it must be one that can.
    pub fn could_write(&self, grant: &Grant) -> bool {
        let in_force = self.in_force.load();
        in_force.targets.get(grant.target()).is_some_and(|t| in_force.policies.could_write(grant, &t.facts))
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

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Everything that is counted, as text, for `GET /metrics`.
    pub async fn metrics_page(&self) -> String {
        self.count_sessions();
        let mut sessions = BTreeMap::<String, usize>::new();
        self.sessions.for_each(|live| *sessions.entry(live.target.to_string()).or_default() += 1);
        let Health { journal, store, targets, .. } = self.health().await;
        let met = |contact: Contact| match contact {
            Contact::Unused => None,
            Contact::Reachable => Some(true),
            Contact::Unreachable => Some(false),
        };
        let targets = targets.into_iter().map(|(name, contact)| {
            let count = sessions.get(&name).copied().unwrap_or_default();
            (name, count, met(contact))
        });
        self.metrics.observe(&Snapshot {
            journal,
            store,
            lag: self.journal.lag(),
            targets: targets.collect(),
        });
        self.metrics.render()
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
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
    pub fn set_console(&self, place: presence::Place, roles: Roles) {
        self.holds.set_console(&place);
        if self.console.set((place, roles)).is_err() {
            tracing::error!("where the console is was said already");
        }
    }

    /// Where an invitation's secret leads.
    pub fn link_of(&self, invitation: &str) -> Option<String> {
        self.console.get().map(|(place, _)| place.link_of(invitation))
    }

    pub(crate) fn roles_of(&self, who: &PrincipalRef, groups: &[String]) -> BTreeSet<Role> {
        self.console.get().map(|(_, roles)| roles.of(who, groups)).unwrap_or_default()
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

    /// Files were read again: what is wrong with them, if something is.
    pub fn reloaded(&self, problem: Option<String>) {
        self.metrics.reloaded(problem.is_none());
        self.files.store(problem.map(Arc::new));
    }

    /// Whether it can serve: the journal can be written and the store read.
    pub async fn health(&self) -> Health {
        let in_force = self.in_force.load_full();
        let journal = self.journal.is_up();
        let store = self.is_current().is_ok() && self.state.is_reachable().await.unwrap_or(false);
        let draining = self.draining.borrow().is_some();
        Health {
            ready: journal && store && !draining,
            journal,
            store,
            draining,
            sessions: self.sessions.count(),
            files: if self.files.load().is_some() { Files::Invalid } else { Files::Valid },
            issuers: self.issuers().standing().into_iter().map(|i| (i.name, i.usable)).collect(),
            targets: in_force.targets.iter().map(|(name, t)| (name.to_string(), t.contact())).collect(),
        }
    }

    /// The same, with what only an administrator is told.
    pub async fn status(&self) -> Status {
        let in_force = self.in_force.load_full();
        Status {
            health: self.health().await,
            version: env!("CARGO_PKG_VERSION"),
            configuration: in_force.digest.clone(),
            policies: in_force.policies.version().to_owned(),
            problem: self.files.load_full().map(|problem| problem.as_ref().clone()),
        }
    }

    fn count_sessions(&self) {
        self.metrics.sessions.set(i64::try_from(self.sessions.count()).unwrap_or(i64::MAX));
    }

    /// What is done every second: catalogues of targets in use are looked at.
    fn look_around(&self) {
        self.count_sessions();
        // Also where the store is slow to answer.
        self.end_expired();
        let mut used = BTreeSet::new();
        self.sessions.for_each(|live| {
            used.insert(live.target.clone());
        });
        for target in used.iter().filter_map(|name| self.target(name)) {
            tokio::spawn(async move { target.catalogue.poll().await });
        }
        self.issuers().refresh();
    }

    /// Looks at the store: what others have changed there is in force here, and tokens that ended end their sessions.
    pub(crate) async fn look_at_store(&self) {
        let asked = Moment::now();
        let looked = self.follow_store().await;
        if looked.is_ok() {
            self.lease.renew(asked);
        }
        let length = self.limits.load().lease;
        let detail = match (self.lease.turned(length), looked) {
            (Some(true), looked) => {
                let why = looked.err().unwrap_or_default();
                tracing::error!("the store is out of reach: nothing new is done until it is back: {why}");
                format!("out of reach for more than {} s: nothing new is done", length.as_secs_f32())
            }
            (Some(false), _) => {
                tracing::info!("the store is back");
                "is back".to_owned()
            }
            (None, Err(why)) => return tracing::debug!("the store cannot be looked at: {why}"),
            (None, Ok(())) => return,
        };
        // It is so whether or not it can be written down; a journal that is down says so by itself.
        let _ = self.note(&record::Body::Administered {
            who: "gateway".to_owned(),
            what: "store".to_owned(),
            detail,
        });
    }

    /// All at once, since the lease counts from when the first of it was asked for.
    async fn follow_store(&self) -> Result<(), String> {
        let (followed, told, denied, ended) = tokio::join!(
            self.follow(),
            self.tell_what_happened(),
            self.look_at_denials(),
            self.end_revoked()
        );
        followed.map_err(|error| error.to_string())?;
        told.map_err(|error| error.to_string())?;
        denied.map_err(|error| error.to_string())?;
        ended.map_err(|error| error.to_string())
    }

    /// Writes into the journal what commands did to the store.
    async fn tell_what_happened(&self) -> Result<(), AdminError> {
        for Happened { number, what, detail } in
            self.state.happened(self.told.load(Ordering::Acquire)).await?
        {
            self.administered("command line", &what, &detail)?;
            self.told.store(number, Ordering::Release);
        }
        Ok(())
    }

    /// How often the store is looked at where nothing is heard from it.
    pub(crate) fn look_often(&self) -> Duration {
        if self.state.is_shared() { (self.limits.load().lease / 8).min(LOOK_AT_STORE) } else { LOOK_AT_STORE }
    }

    /// Forgets what is over for long.
    async fn forget_old(&self) {
        let retention = &self.limits.load().retention;
        let before = |kept: Duration| now().saturating_sub(i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
        match self.state.purge(before(retention.tokens), before(retention.requests), now()).await {
            Ok(Purged { tokens: 0, requests: 0, denials: 0 }) => (),
            Ok(Purged { tokens, requests, denials }) => {
                let detail = format!(
                    "{tokens} expired tokens, {requests} requests that were over, {denials} revocations that had ended"
                );
                tracing::info!("forgotten: {detail}");
                // It is done and harms nobody: a journal that is down says so by itself.
                let _ = self.note(&record::Body::Administered {
                    who: "gateway".to_owned(),
                    what: "forgotten".to_owned(),
                    detail,
                });
            }
            Err(error) => tracing::error!("what is over cannot be forgotten: {error}"),
        }
    }
}

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// Whether new clients should be sent here.
    pub ready: bool,
    /// The journal could be written when it last was.
    pub journal: bool,
    /// The store answers.
    pub store: bool,
    /// It is about to end.
    pub draining: bool,
    /// Sessions open now.
    pub sessions: usize,
    /// The files that should be in force, when they were last read.
    pub files: Files,
    /// Each issuer of tokens by its name, and whether its tokens can be checked.
    pub issuers: BTreeMap<String, bool>,
    /// Each target by its name. One that cannot be reached makes the gateway no less ready for the others.
    pub targets: BTreeMap<String, Contact>,
}

/// Whether files could be read and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// They are in force.
    Valid,
    /// They are not, and what was in force before is.
    Invalid,
}

/// How the gateway is, with what only an administrator is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// What everybody is told.
    #[serde(flatten)]
    pub health: Health,
    /// The gateway's own.
    pub version: &'static str,
    /// Names the configuration in force.
    pub configuration: String,
    /// The version of the policies in force.
    pub policies: String,
    /// What is wrong with the files, if something is.
    pub problem: Option<String>,
}

async fn keep(gateway: std::sync::Weak<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgotten: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.look_around();
        if forgotten.is_none_or(|last| last.elapsed() >= FORGET) {
            gateway.forget_old().await;
            forgotten = Some(Instant::now());
        }
    }
}

/// From now to a moment in seconds since 1970. What is too far away for a timer is a year away.
pub(crate) fn until(moment: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = Duration::from_secs(u64::try_from(moment).unwrap_or_default());
    moment.saturating_sub(now).min(Duration::from_secs(365 * 24 * 3600))
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
