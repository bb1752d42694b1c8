//! What a gateway is started with, and how it starts.

use super::*;

/// What a gateway is started with.
pub struct Config {
    /// Where its records go.
    pub journal: Journal,
    /// The directory of its sessions' recordings.
    pub recordings: PathBuf,
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
    /// Who is told elsewhere what becomes of requests.
    pub carriers: Vec<Carrier>,
    /// How clients of agents get tokens here, where they do.
    pub authorization: Option<authorization::Settings>,
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
    /// There is no place for recordings.
    #[error("recordings cannot be written to {}: {}", .0.display(), .1)]
    Recordings(PathBuf, std::io::Error),
    /// The stored configuration is not valid, and there is no older one to go on with.
    #[error("the stored configuration is not valid: {0}")]
    Configuration(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Gateway {
    /// Starts with the stored configuration. A store without one denies everything until [`Gateway::apply`].
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let Config { journal, recordings, state, limits, alarm, sources, traces, carriers, authorization } =
            config;
        let metrics = Arc::new(Metrics::new());
        let keys = state.keys().await?;
        let options = recording::Options {
            directory: recordings.clone(),
            key: recording::Key::new(keys.recordings),
            keeps: limits.recorded,
        };
        let recorder = Recorder::start(options, journal.clone())
            .map_err(|error| StartError::Recordings(recordings, error))?;
        let asked = Moment::now();
        let told = state.last_happened().await?;
        let in_force = crate::configure::load(
            &state,
            Means { journal: &journal, state: &state, metrics: &metrics, sources: &sources },
        )
        .await
        .map_err(|problem| StartError::Configuration(problem.to_string()))?;
        let gateway = Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            turns: AtomicU64::default(),
            holds: Holds::new(state.clone(), metrics.holds_waiting.clone()),
            tokens: Tokens::new(state.clone(), keys.verifiers),
            watched: Watched::default(),
            sessions: Sessions::default(),
            denials: Denials::default(),
            cancels: CancelRegistry::default(),
            failures: Failures::default(),
            refusals: Refusals::default(),
            minting: Mints::default(),
            limits: ArcSwap::from_pointee(limits),
            files: ArcSwapOption::empty(),
            metrics,
            mask_key: Arc::new(HashKey::new(keys.masks)),
            commitments: hmac::Key::new(hmac::HMAC_SHA256, &keys.commitments),
            buttons: hmac::Key::new(hmac::HMAC_SHA256, &keys.buttons),
            console_key: crate::presence::key(&keys.verifiers),
            slack: carriers.iter().find_map(Carrier::slack),
            alarm,
            draining: watch::Sender::new(None),
            beat: health::Beat::default(),
            lease: Lease::new(state.is_shared(), asked),
            rights: Rights::new().map_err(StartError::Configuration)?,
            console: OnceLock::new(),
            authorization: authorization.map(Authorization::new),
            told: AtomicI64::new(told),
            waiting_plans: crate::plans::Waiting::default(),
            sources,
            traces,
            attempts: Attempts::default(),
            suspicions: Suspicions::default(),
            doorbell: Doorbell::default(),
            recent: Recent::default(),
            door_key: keys.doors,
            changing: tokio::sync::Mutex::default(),
            journal,
            recorder,
            readers: Readers::default(),
            surveys: Arc::default(),
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
        tokio::spawn(upkeep::keep(Arc::downgrade(&gateway)));
        tokio::spawn(health::keep(Arc::downgrade(&gateway)));
        if gateway.state.is_shared() {
            tokio::spawn(upkeep::keep_claims(Arc::downgrade(&gateway)));
        }
        tokio::spawn(crate::endings::keep(Arc::downgrade(&gateway)));
        tokio::spawn(crate::introspection::keep(Arc::downgrade(&gateway)));
        for carrier in carriers {
            tokio::spawn(crate::carriers::keep(Arc::downgrade(&gateway), carrier));
        }
        Ok(gateway)
    }

    // ------------------------------------------------------------------ what a protocol asks
}
