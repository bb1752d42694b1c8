//! A target that tells of altered definitions (`doctor` offers the event trigger) is listened to: what it tells is looked at at
//! once. It is looked at every second all the same, since not every alteration is told of.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use journal::record;
use sql::postgres::catalog::tells;

use super::{SHARE, SharedCatalogue};
use crate::catalogue::ReadError;

/// So often it is seen whether anybody still wants to hear.
const WANTED: Duration = Duration::from_secs(10);
/// Between looks at what is told one after the other passes at least so long.
const PAUSE: Duration = Duration::from_millis(50);
/// After a connection was lost.
const LOST: Duration = Duration::from_secs(5);

impl SharedCatalogue {
    /// Listens, where the target tells and nobody listens yet.
    pub(crate) fn hear(self: &Arc<Self>) {
        if !self.current().0.tells_of_definitions() || self.hearing.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            let heard = listen(&weak).await;
            if let (Err(error), Some(this)) = (&heard, weak.upgrade()) {
                tracing::warn!(target_name = %this.place.target, %error, "the target is not listened to");
            }
            tokio::time::sleep(LOST).await;
            if let Some(this) = weak.upgrade() {
                this.hearing.store(false, Ordering::Release);
            }
        });
    }
}

async fn listen(weak: &Weak<SharedCatalogue>) -> Result<(), ReadError> {
    let Some(this) = weak.upgrade() else { return Ok(()) };
    let purpose = "listens for altered definitions".to_owned();
    let note = record::Body::Gateway { target: this.place.target.to_string(), purpose };
    this.journal.append(&note).map_err(|_| ReadError::Journal)?;
    let mut control = this.place.control().await?;
    control.query(&format!("LISTEN {}", tells::CHANNEL)).await?;
    // What was altered before that was told to nobody.
    this.refresh_if_moved().await;
    drop(this);
    loop {
        {
            // What has been read of a message is kept while it is seen whether anybody still wants it.
            let mut next = std::pin::pin!(control.notified());
            loop {
                tokio::select! {
                    told = &mut next => break told?,
                    () = tokio::time::sleep(WANTED) => {
                        if weak.strong_count() == 0 {
                            return Ok(());
                        }
                    }
                }
            }
        }
        let Some(this) = weak.upgrade() else { return Ok(()) };
        if !this.current().0.tells_of_definitions() {
            return Ok(());
        }
        this.refresh_if_moved().await;
        let cost = this.reader.lock().await.cost;
        drop(this);
        // The server does not feel it where tables are made all the time; but it is sooner than a second.
        tokio::time::sleep(PAUSE.max((cost * SHARE).min(Duration::from_millis(500)))).await;
    }
}
