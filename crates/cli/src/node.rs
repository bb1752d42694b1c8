//! One running gateway: its data directory, its listeners, its end.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use gateway::break_glass::Alarm;
use gateway::configure::{Applied, ConfigureError, Rest};
use gateway::embedded::Embedded;
use gateway::gateway::{Config, Gateway};
use gateway::net::listen::Front;
use gateway::net::tls::{ServerTls, TlsError};
use gateway::serve::{Certificate, THREAD_STACK, serve_postgres};
use gateway::state::State;
use gateway::traces::Traces;
use model::TargetName;
use store::{Address, Location, MasterError, MasterKey, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::alarm::Told;
use crate::config::{Agents, Applying, Settings, SharedStore, Source};
use crate::exit::Fault;
use crate::kept;
pub(crate) use crate::kept::{
    journal_in, must_have_journal, note_if_nobody_serves, open_store, open_store_that_is_there,
};
use crate::passphrase::Unlock;
use crate::reload::{self, Reload, Shown};
use crate::wanted::Wanted;

/// So often another gateway of the same store may be first.
const MOST_RACES: u32 = 8;

/// A gateway that is ready to serve: its listeners are bound, nobody is let in yet.
pub(crate) struct Node {
    pub gateway: Arc<Gateway>,
    pub store: Store,
    fronts: Vec<Front>,
    certificate: Arc<Certificate>,
    console: TcpListener,
    agents: Option<TcpListener>,
    /// What browsers are shown; empty where they come in clear.
    console_certificate: Arc<Certificate>,
    /// What agents are shown; empty where they come in clear.
    agents_certificate: Arc<Certificate>,
    settings: Settings,
    /// What was read for what is applied.
    files: Vec<PathBuf>,
    /// Heard from the start: whoever sends SIGHUP as soon as the ports are open does not end the process by it.
    hangups: Signal,
}

/// Listeners of targets that are not there let nobody in; the targets may still come.
pub(crate) fn warn_of_listeners(settings: &Settings, gateway: &Gateway) {
    let there = gateway.target_names();
    let own =
        settings.targets.keys().map(|target| (target.as_str(), ["postgres", "targets", target.as_str()]));
    let named =
        settings.names.iter().map(|(name, target)| (target.as_str(), ["postgres", "names", name.as_str()]));
    for (name, place) in own.chain(named).filter(|(name, _)| !there.iter().any(|n| n.as_str() == *name)) {
        let meant = policy::nearest(name, there.iter().map(TargetName::as_str));
        let meant = meant.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
        tracing::warn!("{}: there is no target \"{name}\"{meant}", settings.at(&place));
    }
}

/// The runtime of a gateway: statements are parsed by recursive code.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(THREAD_STACK).build()
}

impl Node {
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        let tls = certificate(&settings)?;
        let agents_tls = certificate_for_agents(&settings)?;
        let console_tls = certificate_for_console(&settings)?;
        let mut fronts = Vec::new();
        let names = Arc::new(settings.names.clone());
        for address in &settings.postgres {
            fronts.push(front(*address, &settings).await?.naming(Arc::clone(&names)));
        }
        for (target, address) in &settings.targets {
            fronts.push(front(*address, &settings).await?.of(TargetName::new(target)));
        }
        for address in &settings.oauth {
            fronts.push(front(*address, &settings).await?.naming(Arc::clone(&names)).by_bearer());
        }
        let console = TcpListener::bind(settings.console)
            .await
            .map_err(|error| cannot_listen(&error, settings.console, "the admin API"))?;
        let agents = match &settings.agents {
            None => None,
            Some(Agents { listen, .. }) => {
                let bound = TcpListener::bind(listen).await;
                Some(bound.map_err(|error| cannot_listen(&error, *listen, "agents"))?)
            }
        };
        // Before the store and its key: of two that begin at once one is told here.
        let begun = kept::Begun::of(&settings)?;
        let journal = kept::open_journal(&settings)?;
        let store = open_store(&settings).await?;
        settings.unlock.serves();
        begun.tell(&store, &journal).await?;
        let state = State::new(Embedded::new(store.clone()));
        let alarm = settings.alarm.clone().map(|words| Arc::new(Told { words }) as Arc<dyn Alarm>);
        let sources = crate::credentials::sources(&settings)?;
        let traces = crate::traces::start(&settings)?;
        let config = Config {
            journal,
            recordings: settings.recordings.clone(),
            state,
            limits: settings.limits.clone(),
            alarm,
            sources,
            traces,
            carriers: crate::carriers::all(&settings)?,
            authorization: crate::authorization::server(&settings)?,
        };
        let gateway = Gateway::start(config).await?;
        let mut files = Vec::new();
        if let Some(applying) = &settings.apply {
            files = apply(&gateway, applying).await?.1;
        }
        warn_of_listeners(&settings, &gateway);
        let certificate = Arc::new(Certificate::new(tls.map(Arc::new)));
        let agents_certificate = Arc::new(Certificate::new(agents_tls.map(Arc::new)));
        let console_certificate = Arc::new(Certificate::new(console_tls.map(Arc::new)));
        Ok(Self {
            gateway,
            store,
            fronts,
            certificate,
            console,
            console_certificate,
            agents,
            agents_certificate,
            settings,
            files,
            hangups,
        })
    }

    /// Serves until a signal to end, then lets sessions end. At SIGHUP, and when it changes, the file, if there is one, is
    /// read again.
    pub(crate) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let Self {
            gateway,
            store,
            fronts,
            certificate,
            console,
            console_certificate,
            agents,
            agents_certificate,
            settings,
            files,
            mut hangups,
        } = self;
        let names = settings.agents.as_ref().map(|agents| agents.urls.clone()).unwrap_or_default();
        let by_tls = settings.agents.as_ref().is_some_and(|agents| agents.tls.is_some());
        let (hosts, mut public) = (settings.hosts.clone(), settings.public.clone());
        public.clients = fronts.first().map(|front| front.address()).transpose()?;
        let console_shown = settings.console_tls.is_some().then(|| Arc::clone(&console_certificate));
        let shown = Shown {
            clients: Arc::clone(&certificate),
            console: console_certificate,
            agents: Arc::clone(&agents_certificate),
        };
        let mut reload = Reload::new(file, settings, files, Arc::clone(&gateway), shown);
        let mut tasks = JoinSet::new();
        for front in fronts {
            tracing::info!(address = %front.address()?, "clients are served");
            let (gateway, certificate) = (Arc::clone(&gateway), Arc::clone(&certificate));
            tasks.spawn(async move {
                serve_postgres(gateway, front, certificate).await;
                Ok(())
            });
        }
        tracing::info!(address = %console.local_addr()?, "the console and the admin API are served");
        tasks.spawn(console::serve(console, Arc::clone(&gateway), hosts, public, console_shown));
        if let Some(agents) = agents {
            tracing::info!(address = %agents.local_addr()?, "agents are served");
            let certificate = by_tls.then_some(agents_certificate);
            tasks.spawn(console::serve_agents(agents, Arc::clone(&gateway), names, certificate));
        }
        tokio::select! {
            told = told_to_end(&mut reload, &mut hangups) => {
                tracing::info!(signal = told?, "draining");
            }
            // No listener ends by itself: one that does has failed, and the others must not hide it.
            Some(ended) = tasks.join_next() => {
                tracing::error!("a listener has ended: {ended:?}; draining");
            }
        }
        let drain = gateway.limits().drain;
        gateway.drain(drain);
        // The admin API may have a client that does not leave; sessions have their own time limit.
        let patience = drain + std::time::Duration::from_secs(5);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("not everybody left in time");
        }
        gateway.finish_recordings();
        gateway.flush_traces().await;
        store.close().await;
        tracing::info!("ended");
        Ok(())
    }
}

/// Applies the directory of targets, tags and policies that the configuration names; returns what was read for it, too.
pub(crate) async fn apply(gateway: &Gateway, applying: &Applying) -> anyhow::Result<(Applied, Vec<PathBuf>)> {
    let Applying { directory, prune } = applying;
    let wanted = Wanted::read(directory).with_context(|| format!("apply = \"{}\"", directory.display()))?;
    let rest = if *prune { Rest::Prune } else { Rest::Keep };
    let mut tries = 0;
    let applied = loop {
        match gateway.change(wanted.configuration.clone(), rest, reload::BY).await {
            // Gateways of one store may be told of the same change at the same time.
            Err(ConfigureError::Raced) if tries < MOST_RACES => tries += 1,
            Err(
                error @ (ConfigureError::Policies(_)
                | ConfigureError::Tests(_)
                | ConfigureError::Target { .. }
                | ConfigureError::Issuer { .. }
                | ConfigureError::Groups(_)),
            ) => {
                let place = error.about().and_then(|(name, member)| wanted.place(name, member));
                let place = place.map_or_else(|| directory.display().to_string(), str::to_owned);
                return Err(Fault::Invalid(format!("{place}: {error}")).into());
            }
            Err(error @ (ConfigureError::State(_) | ConfigureError::Journal(_) | ConfigureError::Raced)) => {
                return Err(error.into());
            }
            Ok(applied) => break applied,
        }
    };
    Ok((applied, wanted.files))
}

/// A gateway that serves nobody, on the data directory of one that does not run.
pub(crate) async fn without_listeners(settings: &Settings) -> anyhow::Result<Arc<Gateway>> {
    let store = open_store_that_is_there(settings).await?;
    let journal = kept::open_journal(settings)?;
    let state = State::new(Embedded::new(store));
    let sources = crate::credentials::sources(settings)?;
    let config = Config {
        journal,
        recordings: settings.recordings.clone(),
        state,
        limits: settings.limits.clone(),
        alarm: None,
        sources,
        traces: Traces::default(),
        // A command tells nobody; a gateway does when it runs.
        carriers: Vec::new(),
        authorization: None,
    };
    Ok(Gateway::start(config).await?)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn front(address: SocketAddr, settings: &Settings) -> anyhow::Result<Front> {
    let front = Front::bind(address, settings.bounds.clone()).await;
    front.map_err(|error| cannot_listen(&error, address, "clients"))
}

/// Says what may help, by what went wrong.
fn cannot_listen(error: &io::Error, address: SocketAddr, whom: &str) -> anyhow::Error {
    let advice = if error.kind() == io::ErrorKind::AddrInUse {
        "does a gateway run already? Another address is given in durward.toml, to `up` by --listen and --console"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "ports below 1024 are for root"
    } else {
        "has this machine that address?"
    };
    anyhow::anyhow!("cannot listen on {address} for {whom}: {error}; {advice}")
}

/// Resolves at SIGTERM or SIGINT. At SIGHUP, and when its files have changed, the configuration is read again.
async fn told_to_end(reload: &mut Reload, hangups: &mut Signal) -> io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut looks = tokio::time::interval(reload::LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = term.recv() => return Ok("SIGTERM"),
            _ = int.recv() => return Ok("SIGINT"),
            _ = hangups.recv() => reload.again("SIGHUP").await,
            _ = looks.tick() => reload.look().await,
        }
    }
}

/// The master keys. A file is made where nothing is sealed yet.
pub(crate) fn master_keys(settings: &Settings, must_exist: bool) -> anyhow::Result<Vec<MasterKey>> {
    keys_from(&settings.master_key, must_exist, &settings.unlock)
        .map_err(|error| {
            if matches!(error, MasterError::Passphrase(_) | MasterError::NoPassphrase(_)) {
                return anyhow::Error::from(Fault::Unauthorized(error.to_string()));
            }
            error.into()
        })
        .with_context(|| settings.at(&["master_key"]))
}

pub(crate) fn keys_from(
    source: &Source,
    must_exist: bool,
    unlock: &Unlock,
) -> Result<Vec<MasterKey>, MasterError> {
    match source {
        Source::File(file) => MasterKey::from_file(file, must_exist, unlock),
        Source::Env(name) => {
            let missing = |_| MasterError::Missing(format!("the environment variable {name}").into());
            let text = Zeroizing::new(std::env::var(name).map_err(missing)?);
            MasterKey::all_from_hex(&text, name)
        }
        Source::Command(words) => MasterKey::from_command(words),
    }
}

/// Where the state is.
pub(crate) fn location(settings: &Settings) -> anyhow::Result<Location> {
    let Some(SharedStore { url, password }) = &settings.store else {
        return Ok(Location::File(settings.data.join("state.db")));
    };
    let address = Address::parse(url).map_err(Fault::Invalid)?.with_patience(settings.limits.lease);
    let address = match password {
        None => address,
        Some(source) => address.with_password(&source.read(&settings.at(&["store", "password"]))?),
    };
    if !address.is_verified() {
        tracing::warn!("{address} is not asked for a certificate that names it: sslmode=verify-full does");
    }
    Ok(Location::Server(Box::new(address)))
}

impl Source {
    /// What it gives, without the end of its line. `what` names it in an error.
    pub(crate) fn read(&self, what: &str) -> anyhow::Result<Zeroizing<String>> {
        let text = match self {
            Self::File(file) => Zeroizing::new(
                std::fs::read_to_string(file).with_context(|| format!("{what}: {}", file.display()))?,
            ),
            Self::Env(name) => {
                let missing = || Fault::Invalid(format!("{what}: {name} is not set"));
                Zeroizing::new(std::env::var(name).map_err(|_| missing())?)
            }
            Self::Command(words) => store::secret_of(words).with_context(|| what.to_owned())?,
        };
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// What clients of PostgreSQL are shown.
pub(crate) fn certificate(settings: &Settings) -> anyhow::Result<Option<ServerTls>> {
    read_certificate(&settings.at(&["postgres", "tls"]), settings.tls.as_ref(), ServerTls::new)
}

/// What browsers are shown.
pub(crate) fn certificate_for_console(settings: &Settings) -> anyhow::Result<Option<ServerTls>> {
    read_certificate(&settings.at(&["console", "tls"]), settings.console_tls.as_ref(), ServerTls::for_http)
}

/// What agents are shown at their own port.
pub(crate) fn certificate_for_agents(settings: &Settings) -> anyhow::Result<Option<ServerTls>> {
    let files = settings.agents.as_ref().and_then(|agents| agents.tls.as_ref());
    read_certificate(&settings.at(&["agents", "tls"]), files, ServerTls::for_http)
}

/// Whether a certificate chain and its key can be read and belong together.
pub(crate) fn check_certificate(chain: &Path, key: &Path) -> anyhow::Result<()> {
    let files = (chain.to_owned(), key.to_owned());
    read_certificate("tls", Some(&files), ServerTls::new).map(drop)
}

/// A certificate chain and its key, where there are any.
fn read_certificate(
    what: &str,
    files: Option<&(PathBuf, PathBuf)>,
    make: impl Fn(&[u8], &[u8]) -> Result<ServerTls, TlsError>,
) -> anyhow::Result<Option<ServerTls>> {
    let Some((chain, key)) = files else { return Ok(None) };
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("{what}: cannot read {}", path.display()));
    let key = Zeroizing::new(read(key)?);
    make(&read(chain)?, &key).map(Some).with_context(|| format!("{what}: {} and its key", chain.display()))
}

/// Whether something is there; that this user may not look is another matter.
pub(crate) fn is_there(path: &Path) -> anyhow::Result<bool> {
    path.try_exists().map_err(|error| {
        let owner = path.ancestors().skip(1).find_map(|above| above.metadata().ok());
        let owner = owner.map(|above| format!(": run this as user id {}, whose it is", above.uid()));
        anyhow::anyhow!("{}: {error}{}", path.display(), owner.unwrap_or_default())
    })
}

/// Where data is kept if nobody says so.
pub(crate) fn usual_data() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let share = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    share.map_or_else(|| PathBuf::from("durward-data"), |share| share.join("durward"))
}

impl crate::args::Place {
    /// What the process there runs with.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let settings = match (&self.config, &self.data) {
            (Some(config), _) => Settings::read(config)?,
            (None, data) => {
                let data = data.clone().unwrap_or_else(usual_data);
                let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
                Settings::for_one(data, nowhere, nowhere, nowhere)
            }
        };
        Ok(Settings { unlock: Unlock::given(self.passphrase.passphrase_fd.as_ref()), ..settings })
    }
}
