//! How long stages take. Noting a time is two additions: no lock, no allocation; and most statements note none, since even
//! looking at the clock costs more than that.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// So many bounds, each four times the one before: from a microsecond to about 17 seconds.
const BOUNDS: usize = 13;
/// One in so many of what statements do is timed, and counts for all of them.
const SAMPLE: u8 = 16;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the first byte of a login to its end.
    Login,
    /// Opening the target's connection.
    Connect,
    /// Understanding a message of the client's.
    Describe,
    /// Asking policy.
    Decide,
    /// Waiting until records are written, or on disk.
    Journal,
    /// From forwarding to the target's last word.
    Answer,
    /// Masking a piece of a result.
    Mask,
}

impl Stage {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Login, Self::Connect, Self::Describe, Self::Decide, Self::Journal, Self::Answer, Self::Mask];

    /// Its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Connect => "connect",
            Self::Describe => "describe",
            Self::Decide => "decide",
            Self::Journal => "journal",
            Self::Answer => "answer",
            Self::Mask => "mask",
        }
    }
}

/// A stage that has begun; most are not timed.
#[derive(Debug)]
#[must_use]
pub struct Begun(Option<Instant>);

thread_local! {
    /// How many of each stage come before the next that is timed: each has its own, or those that come in turn would always
    /// be the same.
    static UNTIL_NEXT: [Cell<u8>; Stage::ALL.len()] = const { [const { Cell::new(0) }; Stage::ALL.len()] };
}

/// The times of all stages.
#[derive(Debug)]
pub struct Stages([Latency; Stage::ALL.len()]);

impl Stages {
    pub(super) fn new(mut make: impl FnMut(Stage) -> Latency) -> Self {
        Self(Stage::ALL.map(&mut make))
    }

    /// Begins one of the many stages of statements.
    pub fn begin(&self, stage: Stage) -> Begun {
        let is_due = UNTIL_NEXT.with(|all| {
            all.get(stage as usize).is_some_and(|left| {
                let now = left.get();
                left.set(if now == 0 { SAMPLE - 1 } else { now - 1 });
                now == 0
            })
        });
        Begun(is_due.then(Instant::now))
    }

    /// Notes how long it took, if it was timed.
    pub fn end(&self, stage: Stage, Begun(begun): Begun) {
        if let (Some(begun), Some(latency)) = (begun, self.0.get(stage as usize)) {
            latency.observe(begun.elapsed(), u64::from(SAMPLE));
        }
    }

    /// Notes a time that is known anyway.
    pub fn took(&self, stage: Stage, time: Duration) {
        if let Some(latency) = self.0.get(stage as usize) {
            latency.observe(time, 1);
        }
    }
}

/// A histogram.
#[derive(Debug, Clone, Default)]
pub(super) struct Latency(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those up to each bound, and those above all.
    counts: [AtomicU64; BOUNDS + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    fn observe(&self, took: Duration, weight: u64) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.counts.get(bucket(nanoseconds)) {
            count.fetch_add(weight, Ordering::Relaxed);
        }
        self.0.nanoseconds.fetch_add(nanoseconds.saturating_mul(weight), Ordering::Relaxed);
    }
}

/// The first bound that is not below a time.
fn bucket(nanoseconds: u64) -> usize {
    let above = nanoseconds.div_ceil(1000).saturating_sub(1);
    let bits = usize::try_from(u64::BITS - above.leading_zeros()).unwrap_or(BOUNDS);
    bits.div_ceil(2).min(BOUNDS)
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let mut bound = 1e-6;
        let mut buckets = Vec::with_capacity(BOUNDS + 1);
        for count in &self.0.counts {
            let upper = if buckets.len() == BOUNDS { f64::INFINITY } else { bound };
            buckets.push((upper, count.load(Ordering::Relaxed)));
            bound *= 4.0;
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_under_the_first_bound_that_is_not_below_it() {
        for (nanoseconds, expected) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (4_000, 1),
            (4_001, 2),
            (16_000, 2),
            (16_001, 3),
            (1_024_000, 5),
            (16_777_216_000, 12),
            (16_777_217_000, 13),
            (u64::MAX, 13),
        ] {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds}");
        }
    }

    #[test]
    fn one_in_sixteen_is_timed_and_counts_for_all_of_them_whatever_comes_between() {
        let stages = Stages::new(|_| Latency::default());
        for _ in 0..160 {
            for stage in [Stage::Describe, Stage::Decide, Stage::Journal, Stage::Mask] {
                let begun = stages.begin(stage);
                stages.end(stage, begun);
            }
        }
        stages.took(Stage::Login, Duration::from_millis(3));
        let count = |stage: Stage| {
            let Latency(inner) = &stages.0[stage as usize];
            inner.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum::<u64>()
        };
        for stage in [Stage::Describe, Stage::Decide, Stage::Journal, Stage::Mask] {
            assert_eq!(count(stage), 160, "{stage:?}");
        }
        assert_eq!((count(Stage::Login), count(Stage::Answer)), (1, 0));
    }
}
