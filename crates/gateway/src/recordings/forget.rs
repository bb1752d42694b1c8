//! Recordings are kept as long as the configuration says. The journal is told which go before they do.

use std::time::{Duration, SystemTime};

use journal::record::Body;
use recording::verify::FORGOTTEN;

use crate::gateway::Gateway;

/// So many are named in one record.
const MOST_NAMED: usize = 100;

impl Gateway {
    /// Removes recordings that were written last longer ago than this. Those of live sessions stay.
    pub(crate) fn forget_recordings(&self, kept: Duration) {
        let Some(before) = SystemTime::now().checked_sub(kept) else { return };
        let old = match recording::written_before(self.recorder().directory(), before) {
            Ok(old) => old,
            Err(error) => return tracing::error!("recordings cannot be looked at: {error}"),
        };
        let old: Vec<_> = old.into_iter().filter(|(session, _)| !self.recorder().is_open(session)).collect();
        for some in old.chunks(MOST_NAMED) {
            let names: Vec<&str> = some.iter().map(|(session, _)| session.as_str()).collect();
            let told = self.note(&Body::Administered {
                who: "gateway".to_owned(),
                what: FORGOTTEN.to_owned(),
                detail: names.join(" "),
            });
            // What cannot be told is not done.
            if told.is_err() {
                return;
            }
            for (session, path) in some {
                if let Err(error) = std::fs::remove_file(path) {
                    tracing::error!(session, "a recording cannot be removed: {error}");
                }
            }
        }
    }
}
