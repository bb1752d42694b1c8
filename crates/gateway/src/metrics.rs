//! What the gateway counts, in the text form that Prometheus reads. Names and numbers only: never a value or a text.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// All counters of one gateway. The verdicts are fields, so that counting is one atomic addition.
pub struct Metrics {
    registry: Registry,
    /// Sessions open now.
    pub sessions: Gauge,
    /// Logins that were refused.
    pub logins_refused: Counter,
    /// Break-glass codes that were used.
    pub break_glass: Counter,
    /// Operations that policy allowed.
    pub allowed: Counter,
    /// Operations that policy denied.
    pub denied: Counter,
    /// Operations that wait or waited for a person.
    pub held: Counter,
    /// Messages that could not be understood.
    pub unreadable: Counter,
    /// Rows shown to clients or changed by them.
    pub rows: Counter,
    /// Bytes of answers sent to clients.
    pub bytes: Counter,
    /// Operations that failed at the target.
    pub failed: Counter,
    /// Sessions that ended by a fault of the gateway's own.
    pub faults: Counter,
    /// 1 while the journal can be written.
    pub journal_up: Gauge,
    /// How long a decision takes, in seconds.
    decision: Histogram,
    /// Times that a catalogue was read whole.
    pub catalogue_reads: Counter,
    /// Times that a target's catalogue could not be read.
    pub catalogue_failures: Counter<u64, AtomicU64>,
}

impl Metrics {
    /// Everything at zero, the journal up.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("durward");
        let mut counter = |name: &str, help: &str| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let logins_refused = counter("logins_refused", "Logins that were refused");
        let break_glass = counter("break_glass_used", "Break-glass codes that were used");
        let allowed = counter("operations_allowed", "Operations that policy allowed");
        let denied = counter("operations_denied", "Operations that policy denied");
        let held = counter("operations_held", "Operations that were held for an approval");
        let unreadable = counter("operations_unreadable", "Messages that could not be understood");
        let failed = counter("operations_failed", "Allowed operations that failed at their target");
        let rows = counter("rows", "Rows returned or changed");
        let bytes = counter("answer_bytes", "Bytes of answers sent to clients");
        let faults = counter("faults", "Sessions ended by a fault of the gateway itself");
        let catalogue_reads = counter("catalogue_reads", "Times that a catalogue was read whole");
        let catalogue_failures = counter("catalogue_failures", "Times that a catalogue could not be read");
        let (sessions, journal_up) = (Gauge::default(), Gauge::default());
        registry.register("sessions", "Sessions open now", sessions.clone());
        registry.register("journal_up", "1 while the journal can be written", journal_up.clone());
        journal_up.set(1);
        // From one microsecond to about one second.
        let decision = Histogram::new(exponential_buckets(1e-6, 4.0, 11));
        registry.register_with_unit(
            "decision",
            "Time that one decision takes",
            Unit::Seconds,
            decision.clone(),
        );
        Self {
            registry,
            sessions,
            logins_refused,
            break_glass,
            allowed,
            denied,
            held,
            unreadable,
            rows,
            bytes,
            failed,
            faults,
            journal_up,
            decision,
            catalogue_reads,
            catalogue_failures,
        }
    }

    /// Notes how long one decision took.
    pub fn decided_in(&self, took: Duration) {
        self.decision.observe(took.as_secs_f64());
    }

    /// Everything as text, for `GET /metrics`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if encode(&mut out, &self.registry).is_err() {
            // Writing to a string does not fail; if it did, half a page would be wrong.
            out.clear();
            let _ = writeln!(out, "# EOF");
        }
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.allowed.inc();
        metrics.sessions.set(3);
        metrics.decided_in(Duration::from_micros(20));
        let page = metrics.render();
        for line in
            ["durward_operations_allowed_total 1", "durward_sessions 3", "durward_decision_seconds_count 1"]
        {
            assert!(page.contains(line), "{line} is not in:\n{page}");
        }
    }
}
