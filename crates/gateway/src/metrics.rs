//! What the gateway counts, in the text form that Prometheus reads. Names and numbers only: never a value or a text.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use self::latency::Latency;
pub use self::latency::{Begun, Stage, Stages};
pub use self::rules::Rules;

mod latency;
mod rules;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabel {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntrospectionLabel {
    issuer: String,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CarrierLabel {
    carrier: String,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StrategyLabel {
    strategy: &'static str,
}

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
    /// Values in answers to agents that look like instructions.
    pub instructions: Counter,
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
    /// 1 while the store answers.
    store_up: Gauge,
    store_trouble: Family<CauseLabel, Gauge>,
    /// Records that are not on disk yet.
    journal_lag: Gauge,
    /// Bytes of recordings.
    recorded: Gauge,
    /// Events of recordings that were lost.
    unrecorded: Gauge,
    /// How long stages take.
    pub stages: Stages,
    /// Decisions by verdict and rule.
    pub rules: Rules,
    /// Sessions that stand still for an answer.
    pub holds_waiting: Gauge,
    holds_answered: Family<AnswerLabel, Counter>,
    /// Sessions that were let in.
    pub sessions_opened: Counter,
    sessions_ended: Family<Why, Counter>,
    target_sessions: Family<TargetLabel, Gauge>,
    target_reachable: Family<TargetLabel, Gauge>,
    masked: Family<StrategyLabel, Counter>,
    introspections: Family<IntrospectionLabel, Counter>,
    introspection_reachable: Family<IssuerLabel, Gauge>,
    carried: Family<CarrierLabel, Counter>,
    /// Times that changed files were taken.
    files_taken: Counter,
    /// Times that changed files were not valid.
    files_refused: Counter,
    /// 1 while the files that should be in force are.
    files_valid: Gauge,
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
        let instructions =
            counter("instruction_like_values", "Values in answers to agents that look like instructions");
        let held = counter("operations_held", "Operations that were held for an approval");
        let unreadable = counter("operations_unreadable", "Messages that could not be understood");
        let failed = counter("operations_failed", "Allowed operations that failed at their target");
        let rows = counter("rows", "Rows returned or changed");
        let bytes = counter("answer_bytes", "Bytes of answers sent to clients");
        let sessions_opened = counter("sessions_opened", "Sessions that were let in");
        let faults = counter("faults", "Sessions ended by a fault of the gateway itself");
        let catalogue_reads = counter("catalogue_reads", "Times that a catalogue was read whole");
        let catalogue_failures = counter("catalogue_failures", "Times that a catalogue could not be read");
        let files_taken = counter("files_taken", "Times that configuration files were read again and taken");
        let files_refused =
            counter("files_refused", "Times that configuration files were read again and not valid");
        let (sessions, journal_up, files_valid) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("files_valid", "1 while the configuration files are in force", files_valid.clone());
        files_valid.set(1);
        registry.register("sessions", "Sessions open now", sessions.clone());
        registry.register("journal_up", "1 while the journal can be written", journal_up.clone());
        journal_up.set(1);
        let times = Family::<StageLabel, Latency>::default();
        let help = "Time that a stage takes; of what each statement goes through, one in sixteen is timed and counts for all";
        registry.register_with_unit("stage", help, Unit::Seconds, times.clone());
        let stages = Stages::new(|stage| times.get_or_create_owned(&StageLabel { stage: stage.as_str() }));
        let rules = Rules::default();
        let help = "Decisions by verdict and by each rule that decided; (none) where no rule allows";
        registry.register("decisions", help, rules.family.clone());
        let (store_up, journal_lag, holds_waiting) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("store_up", "1 while the store answers and can be written", store_up.clone());
        let store_trouble = Family::default();
        let help = "1 for what is wrong with the store; none where nothing is";
        registry.register("store_trouble", help, store_trouble.clone());
        registry.register("journal_lag_records", "Records that are not on disk yet", journal_lag.clone());
        let (recorded, unrecorded) = (Gauge::default(), Gauge::default());
        registry.register(
            "recordings_written_bytes",
            "Bytes of recordings since the start",
            recorded.clone(),
        );
        let help = "Events of recordings that could not be written since the start";
        registry.register("recordings_lost_events", help, unrecorded.clone());
        let help = "Sessions that stand still for a person's answer";
        registry.register("holds_waiting", help, holds_waiting.clone());
        let holds_answered = Family::default();
        registry.register("holds_answered", "Held operations by their answer", holds_answered.clone());
        let sessions_ended = Family::default();
        registry.register(
            "sessions_ended",
            "Connections and sessions that ended, by why",
            sessions_ended.clone(),
        );
        let (target_sessions, target_reachable) = (Family::default(), Family::default());
        registry.register("target_sessions", "Sessions open now, by target", target_sessions.clone());
        let help = "1 where the target answered when it was last met, 0 where it did not";
        registry.register("target_reachable", help, target_reachable.clone());
        let masked = Family::default();
        registry.register("values_masked", "Values that were masked, by strategy", masked.clone());
        let introspections = Family::default();
        let help = "Questions to issuers about tokens, by what they said: yes, no, or none where there was no answer";
        registry.register("introspections", help, introspections.clone());
        let introspection_reachable = Family::default();
        let help = "1 while an issuer answers about tokens; none before it was asked";
        registry.register("introspection_reachable", help, introspection_reachable.clone());
        let carried = Family::default();
        let help =
            "Messages to carriers by what came of them: taken, failed (and tried again), or dropped for good";
        registry.register("carrier_messages", help, carried.clone());
        Self {
            registry,
            sessions,
            logins_refused,
            break_glass,
            allowed,
            denied,
            held,
            instructions,
            unreadable,
            rows,
            bytes,
            failed,
            faults,
            journal_up,
            store_up,
            store_trouble,
            journal_lag,
            recorded,
            unrecorded,
            stages,
            rules,
            holds_waiting,
            holds_answered,
            sessions_opened,
            sessions_ended,
            target_sessions,
            target_reachable,
            masked,
            introspections,
            introspection_reachable,
            carried,
            files_taken,
            files_refused,
            files_valid,
            catalogue_reads,
            catalogue_failures,
        }
    }

    /// Notes that configuration files were read again, and whether they were taken.
    pub fn reloaded(&self, taken: bool) {
        if taken {
            self.files_taken.inc()
        } else {
            self.files_refused.inc()
        };
        self.files_valid.set(i64::from(taken));
    }

    /// Notes how a held operation was answered.
    pub fn answered(&self, answer: &'static str) {
        self.holds_answered.get_or_create(&AnswerLabel { answer }).inc();
    }

    /// Notes why a connection ended.
    pub fn ended(&self, why: &'static str) {
        self.sessions_ended.get_or_create(&Why { why }).inc();
    }

    /// Notes that values were masked.
    pub fn masked(&self, strategy: &'static str, values: u64) {
        self.masked.get_or_create(&StrategyLabel { strategy }).inc_by(values);
    }

    /// Notes what is true at this moment, before it is shown.
    pub fn observe(&self, moment: &Snapshot) {
        let Snapshot { journal, store, store_trouble, lag, recorded, targets, askers } = moment;
        self.recorded.set(i64::try_from(recorded.0).unwrap_or(i64::MAX));
        self.unrecorded.set(i64::try_from(recorded.1).unwrap_or(i64::MAX));
        self.introspection_reachable.clear();
        for (issuer, reachable) in askers {
            let label = IssuerLabel { issuer: issuer.clone() };
            self.introspection_reachable.get_or_create(&label).set(i64::from(*reachable));
        }
        self.journal_up.set(i64::from(*journal));
        self.store_up.set(i64::from(*store));
        self.store_trouble.clear();
        if let Some(cause) = store_trouble {
            self.store_trouble.get_or_create(&CauseLabel { cause }).set(1);
        }
        self.journal_lag.set(i64::try_from(*lag).unwrap_or(i64::MAX));
        self.target_sessions.clear();
        self.target_reachable.clear();
        for (name, sessions, reachable) in targets {
            let label = TargetLabel { target: name.clone() };
            let sessions = i64::try_from(*sessions).unwrap_or(i64::MAX);
            self.target_sessions.get_or_create(&label).set(sessions);
            if let Some(reachable) = reachable {
                self.target_reachable.get_or_create(&label).set(i64::from(*reachable));
            }
        }
    }

    /// An issuer was asked about a token: it said `yes` or `no`, or there was no answer (`none`).
    pub(crate) fn introspected(&self, issuer: &str, answer: &'static str) {
        self.introspections.get_or_create(&IntrospectionLabel { issuer: issuer.to_owned(), answer }).inc();
    }

    /// A carrier was told something, or was not.
    pub fn carried(&self, carrier: &str, answer: &'static str) {
        self.carried.get_or_create(&CarrierLabel { carrier: carrier.to_owned(), answer }).inc();
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

/// What is true when somebody looks.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Whether the journal can be written.
    pub journal: bool,
    /// Whether the store answers and can be written.
    pub store: bool,
    /// The word for what is wrong with it.
    pub store_trouble: Option<&'static str>,
    /// How many records are not on disk.
    pub lag: u64,
    /// Bytes of recordings that were written, and events that were lost, since the start.
    pub recorded: (u64, u64),
    /// Each target with its sessions, and whether it answered when it was last met.
    pub targets: Vec<(String, usize, Option<bool>)>,
    /// Each issuer that was asked about tokens, and whether it answered last.
    pub askers: Vec<(String, bool)>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.allowed.inc();
        metrics.sessions.set(3);
        metrics.stages.took(Stage::Answer, Duration::from_micros(20));
        metrics.rules.count("deny", ["no-\"secrets\""]);
        metrics.masked("partial", 7);
        metrics.ended("client");
        metrics.answered("approved");
        let gone = Snapshot { targets: vec![("old".to_owned(), 1, None)], ..Snapshot::default() };
        metrics.observe(&gone);
        let targets = vec![("orders".to_owned(), 2, Some(true)), ("idle".to_owned(), 0, None)];
        metrics.introspected("company", "no");
        let askers = vec![("company".to_owned(), false)];
        let trouble = Some("full");
        metrics.observe(&Snapshot {
            journal: true,
            store: false,
            store_trouble: trouble,
            lag: 5,
            recorded: (70, 3),
            targets,
            askers,
        });
        let page = metrics.render();
        for line in [
            "durward_operations_allowed_total 1",
            "durward_sessions 3",
            "durward_stage_seconds_bucket{le=\"0.000016\",stage=\"answer\"} 0",
            "durward_stage_seconds_bucket{le=\"0.000064\",stage=\"answer\"} 1",
            "durward_stage_seconds_bucket{le=\"+Inf\",stage=\"answer\"} 1",
            "durward_stage_seconds_count{stage=\"answer\"} 1",
            "durward_decisions_total{verdict=\"deny\",rule=\"no-\\\"secrets\\\"\"} 1",
            "durward_values_masked_total{strategy=\"partial\"} 7",
            "durward_introspections_total{issuer=\"company\",answer=\"no\"} 1",
            "durward_introspection_reachable{issuer=\"company\"} 0",
            "durward_sessions_ended_total{why=\"client\"} 1",
            "durward_holds_answered_total{answer=\"approved\"} 1",
            "durward_store_up 0",
            "durward_store_trouble{cause=\"full\"} 1",
            "durward_journal_lag_records 5",
            "durward_recordings_written_bytes 70",
            "durward_recordings_lost_events 3",
            "durward_target_sessions{target=\"orders\"} 2",
            "durward_target_reachable{target=\"orders\"} 1",
        ] {
            assert!(page.contains(line), "{line} is not in:\n{page}");
        }
        for line in ["target_reachable{target=\"idle\"}", "\"old\""] {
            assert!(!page.contains(line), "{line} is in:\n{page}");
        }
    }
}
