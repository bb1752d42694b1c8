//! SIGHUP, and files that change: `durward.toml` is read again. What can change while a gateway runs changes, what cannot is
//! said, and a file that is not valid changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::gateway::Gateway;
use gateway::serve::Certificate;

use crate::config::Settings;
use crate::exit::Fault;
use crate::{files, node};

/// Who did it, in the journal.
pub(crate) const BY: &str = "durward.toml";
/// How often files are looked at. A change is taken when two looks in a row see the same, so that no file is read while it
/// is being written.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// What failed for another reason than what the files say is tried again after so long.
const AGAIN: Duration = Duration::from_secs(30);

/// What is needed to read a configuration again.
pub(crate) struct Reload {
    /// The file; `None` where the process was started without one.
    file: Option<PathBuf>,
    /// What is in force.
    settings: Settings,
    gateway: Arc<Gateway>,
    shown: Shown,
    watched: Watched,
}

/// The certificates that others are shown.
pub(crate) struct Shown {
    pub clients: Arc<Certificate>,
    pub console: Arc<Certificate>,
    pub agents: Arc<Certificate>,
}

/// What files looked like.
struct Watched {
    /// What was read for what is applied, wherever it is.
    read: Vec<PathBuf>,
    /// When they were read last.
    taken: Seen,
    /// At the last look.
    last: Seen,
    retry: Option<Instant>,
}

/// Files with their looks; without one where a file is not there.
type Seen = BTreeMap<PathBuf, Option<Look>>;

/// How a file looks from outside.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl Reload {
    pub(crate) fn new(
        file: Option<PathBuf>,
        settings: Settings,
        read: Vec<PathBuf>,
        gateway: Arc<Gateway>,
        shown: Shown,
    ) -> Self {
        let watched = Watched { read, taken: Seen::new(), last: Seen::new(), retry: None };
        let mut this = Self { file, settings, gateway, shown, watched };
        this.watched.taken = this.seen();
        this
    }

    /// Reads the files again if they have changed.
    pub(crate) async fn look(&mut self) {
        if self.file.is_none() || !self.settings.watch {
            return;
        }
        let seen = self.seen();
        let stands_still = seen == self.watched.last;
        self.watched.last = seen;
        let changed = self.watched.last != self.watched.taken;
        let retry = self.watched.retry.is_some_and(|at| at <= Instant::now());
        if stands_still && (changed || retry) {
            self.again("a file has changed").await;
        }
    }

    /// Reads the file again and says what came of it: in the log, in metrics, and where the gateway tells how it is.
    pub(crate) async fn again(&mut self, why: &str) {
        let Some(file) = self.file.clone() else {
            return tracing::warn!("{why} changes nothing: this gateway was started without a file");
        };
        let before = self.seen();
        let taken = self.take(Settings::read(&file)).await;
        // What changed while it was read is read once more.
        self.watched.taken = self.seen();
        for (path, look) in &mut self.watched.taken {
            if let Some(earlier) = before.get(path) {
                look.clone_from(earlier);
            }
        }
        self.watched.retry = None;
        match taken {
            Ok(()) => {
                self.gateway.reloaded(None);
                tracing::info!(file = %file.display(), "{why}: read again");
            }
            Err(error) => {
                if error.downcast_ref::<Fault>().is_none() {
                    self.watched.retry = Some(Instant::now() + AGAIN);
                }
                self.gateway.reloaded(Some(format!("{error:#}")));
                tracing::error!("{why}: what was in force stays in force: {error:#}");
            }
        }
    }

    /// All that can fail comes before anything changes.
    async fn take(&mut self, read: anyhow::Result<Settings>) -> anyhow::Result<()> {
        let new = read?;
        let certificate = node::certificate(&new)?;
        let for_agents = node::certificate_for_agents(&new)?;
        let for_console = node::certificate_for_console(&new)?;
        let mut files = Vec::new();
        if let Some(applying) = &new.apply {
            // What is not valid is watched as well, or its mending would not be seen.
            self.settings.apply = new.apply.clone();
            let (applied, read) = node::apply(&self.gateway, applying).await?;
            files = read;
            for change in &applied.changes {
                tracing::info!("applied: {change}");
            }
        }
        self.shown.clients.store(certificate.map(Arc::new));
        if let (Some(agents), Some(new_agents)) = (&mut self.settings.agents, &new.agents)
            && agents.tls.is_some()
            && for_agents.is_some()
        {
            self.shown.agents.store(for_agents.map(Arc::new));
            agents.tls.clone_from(&new_agents.tls);
        }
        if self.settings.console_tls.is_some() && for_console.is_some() {
            self.shown.console.store(for_console.map(Arc::new));
            self.settings.console_tls.clone_from(&new.console_tls);
        }
        node::warn_of_listeners(&new, &self.gateway);
        self.gateway.set_limits(new.limits.clone());
        for what in self.settings.differs_for_good(&new) {
            tracing::warn!(
                "{what} has changed in the file and stays as it was until the gateway is started again"
            );
        }
        // What is compared with next time is what is in force, so that it is said each time.
        self.settings.apply = new.apply;
        self.settings.tls = new.tls;
        self.settings.limits = new.limits;
        self.settings.watch = new.watch;
        self.watched.read = files;
        Ok(())
    }

    fn seen(&self) -> Seen {
        let mut paths: BTreeSet<PathBuf> = self.file.iter().cloned().collect();
        let of_agents = self.settings.agents.iter().filter_map(|agents| agents.tls.as_ref());
        let shown = self.settings.tls.iter().chain(&self.settings.console_tls).chain(of_agents);
        paths.extend(shown.flat_map(|(chain, key)| [chain.clone(), key.clone()]));
        if let Some(applying) = &self.settings.apply {
            paths.insert(applying.directory.clone());
            paths.extend(files::all(&applying.directory, &["toml", "cedar"]).unwrap_or_default());
        }
        paths.extend(self.watched.read.iter().cloned());
        paths.into_iter().map(|path| (path.clone(), look_at(&path))).collect()
    }
}

/// A symbolic link is followed: a changed link is a changed file. Of a directory it is told only that it is there, since its
/// files are looked at themselves.
fn look_at(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(if metadata.is_dir() {
        Look { changed: (0, 0), length: 0, inode: 0 }
    } else {
        Look {
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
            inode: metadata.ino(),
        }
    })
}
