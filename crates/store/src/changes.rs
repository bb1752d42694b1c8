//! That somebody else has changed something: heard from the server, never relied upon.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::Store;
use crate::database::Database;
use crate::server::{Server, within};

/// A server that is silent for so long is asked whether it still is there.
const SILENCE: Duration = Duration::from_secs(10);
/// A server that is not there is tried again so often.
const AGAIN: Duration = Duration::from_secs(1);

/// What is heard. Ends with the last of its clones.
#[derive(Clone, Default)]
pub(crate) struct Changes(Arc<Notify>);

impl Changes {
    /// Listens where there is somebody to listen to.
    pub(crate) fn of(database: &Database) -> Self {
        let changes = Self::default();
        if let Database::Postgres(server) = database {
            tokio::spawn(hear(Server::clone(server), Arc::downgrade(&changes.0)));
        }
        changes
    }
}

impl Store {
    /// Whether several gateways may use it.
    pub fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Resolves when somebody may have changed something; one who waits at a time. It may miss a change. Cancel-safe.
    pub async fn changed(&self) {
        self.changes.0.notified().await;
    }
}

async fn hear(server: Server, changes: Weak<Notify>) {
    while changes.strong_count() > 0 {
        if let Ok(mut ears) = server.ears().await {
            while listen(&server, &mut ears, &changes).await {}
        }
        sleep(AGAIN).await;
    }
}

/// Whether it is worth going on with this connection.
async fn listen(server: &Server, ears: &mut PgListener, changes: &Weak<Notify>) -> bool {
    let heard = match timeout(SILENCE, ears.try_recv()).await {
        Ok(heard) => heard.is_ok_and(|heard| heard.is_some()),
        Err(_) => within(server.patience(), ears.execute("SELECT 1")).await.is_ok(),
    };
    // Of many that come at once one is enough.
    while ears.next_buffered().is_some() {}
    let Some(changes) = changes.upgrade() else { return false };
    // Also where nothing was heard any more: something may have been missed.
    changes.notify_one();
    heard
}
