//! SIGHUP: `durward.toml` is read again. What can change while a gateway runs changes, what cannot is said, and a file that is
//! not valid changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use gateway::gateway::Gateway;
use gateway::serve::Certificate;

use crate::config::Settings;
use crate::node;

/// Who did it, in the journal.
pub(crate) const BY: &str = "durward.toml";

/// What is needed to read a configuration again.
pub(crate) struct Reload {
    /// The file; `None` where the process was started without one.
    pub file: Option<PathBuf>,
    /// What is in force.
    pub settings: Settings,
    pub gateway: Arc<Gateway>,
    pub certificate: Arc<Certificate>,
}

impl Reload {
    /// Reads the file again and says in the log what came of it.
    pub(crate) async fn again(&mut self) {
        let Some(file) = self.file.clone() else {
            return tracing::warn!("SIGHUP changes nothing: this gateway was started without a file");
        };
        match self.take(Settings::read(&file)).await {
            Ok(()) => tracing::info!(file = %file.display(), "read again"),
            Err(error) => {
                tracing::error!("SIGHUP: what was in force stays in force: {error:#}");
            }
        }
    }

    /// All that can fail comes before anything changes.
    async fn take(&mut self, read: anyhow::Result<Settings>) -> anyhow::Result<()> {
        let new = read?;
        let certificate = new.tls.as_ref().map(|(chain, key)| node::certificate(chain, key)).transpose()?;
        if let Some(directory) = &new.apply {
            let applied = node::apply(&self.gateway, directory).await?;
            for change in &applied.changes {
                tracing::info!("applied: {change}");
            }
        }
        self.certificate.store(certificate.map(Arc::new));
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
        Ok(())
    }
}
