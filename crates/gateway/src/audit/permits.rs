//! What records say of permits, kept ready, since most operations of a session get the same one.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::record::Fields;
use policy::Permit;
use prometheus_client::metrics::counter::Counter;

/// What records say of the permits that a session got last.
#[derive(Default)]
pub(super) struct Permits(VecDeque<Known>);

/// A permit, its fields, and the counters of the policies that decided it.
struct Known {
    permit: Permit,
    fields: Fields,
    counters: Arc<[Counter]>,
}

/// So many permits are kept.
const MOST_PERMITS: usize = 8;

impl Permits {
    /// Counts a permit and calls a function with its fields. Permits of one verdict share their parts.
    pub(super) fn with<T>(
        &mut self,
        permit: &Permit,
        counters: impl FnOnce(&[String]) -> Arc<[Counter]>,
        write: impl FnOnce(&Fields) -> T,
    ) -> T {
        let same = |known: &&Known| {
            Arc::ptr_eq(&known.permit.policies, &permit.policies)
                && Arc::ptr_eq(&known.permit.version, &permit.version)
                && Arc::ptr_eq(&known.permit.reveal, &permit.reveal)
                && known.permit.approved == permit.approved
        };
        if let Some(known) = self.0.iter().find(same) {
            known.count();
            return write(&known.fields);
        }
        let revealed: Vec<String> = permit.reveal.iter().map(ToString::to_string).collect();
        let fields = Fields::permit(&permit.policies, &permit.version, &revealed, &permit.approved);
        let known = Known { permit: permit.clone(), fields, counters: counters(&permit.policies) };
        known.count();
        let written = write(&known.fields);
        if self.0.len() >= MOST_PERMITS {
            self.0.pop_front();
        }
        self.0.push_back(known);
        written
    }
}

impl Known {
    fn count(&self) {
        self.counters.iter().for_each(|counter| {
            counter.inc();
        });
    }
}
