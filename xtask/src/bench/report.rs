//! From samples to rows, on the terminal and as JSON.

use std::fmt::Write as _;

use testkit::json::quoted;

/// One measurement.
pub(super) struct Sample {
    tps: f64,
    p50: f64,
    p99: f64,
    requests: f64,
    pub(super) cpu_seconds: Option<f64>,
}

impl Sample {
    /// A rate per second, and the latency of each request in microseconds.
    pub(super) fn new(tps: f64, mut latencies: Vec<f64>) -> Self {
        latencies.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 requests")]
        let requests = latencies.len() as f64;
        let (p50, p99) = (quantile(&latencies, 50), quantile(&latencies, 99));
        Self { tps, p50, p99, requests, cpu_seconds: None }
    }

    /// The same without the latencies, where those that were measured are not those of whole requests.
    pub(super) fn rate_alone(self) -> Self {
        Self { p50: f64::NAN, p99: f64::NAN, ..self }
    }

    /// The median latency in microseconds.
    pub(super) fn p50(&self) -> f64 {
        self.p50
    }
}

/// The smallest value that so many of a hundred do not exceed.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 50)
}

/// JSON has no word for what was not measured but `null`.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "null".to_owned() }
}

/// What a workload is called.
pub(super) struct Title<'a> {
    pub(super) name: &'a str,
    pub(super) mode: &'a str,
    pub(super) clients: u32,
}

#[derive(Default)]
pub(super) struct Report {
    rows: Vec<String>,
}

impl Report {
    /// What came of a workload on each way.
    pub(super) fn add(&mut self, work: &Title<'_>, ways: &[&str], samples: &[Vec<Sample>]) {
        println!("\n{}, {} protocol, {} client(s)", work.name, work.mode, work.clients);
        println!(
            "{:<16} {:>10} {:>8} {:>7} {:>10} {:>10} {:>14}",
            "", "per second", "ratio", "spread", "p50 µs", "p99 µs", "CPU µs/request"
        );
        let direct = ways.iter().position(|way| *way == "direct").and_then(|at| samples.get(at));
        let direct = direct.map_or(f64::NAN, |s| median(s.iter().map(|s| s.tps)));
        for (way, samples) in ways.iter().zip(samples) {
            let rates = || samples.iter().map(|s| s.tps);
            let tps = median(rates());
            let (low, high) = rates().fold((f64::MAX, 0.0_f64), |(l, h), r| (l.min(r), h.max(r)));
            let (p50, p99) = (median(samples.iter().map(|s| s.p50)), median(samples.iter().map(|s| s.p99)));
            let requests: f64 = samples.iter().map(|s| s.requests).sum();
            let cpu: Option<f64> = samples.iter().map(|s| s.cpu_seconds).sum();
            let cpu = cpu.map(|seconds| seconds * 1e6 / requests);
            let shown = cpu.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"));
            let latency = |us: f64| if us.is_nan() { "-".to_owned() } else { format!("{us:.0}") };
            println!(
                "{way:<16} {tps:>10.1} {:>7.3}x {:>6.0}% {:>10} {:>10} {shown:>14}",
                tps / direct,
                (high - low) / tps * 100.0,
                latency(p50),
                latency(p99)
            );
            let mut row = format!("{{\"workload\": {}, \"mode\": \"{}\"", quoted(work.name), work.mode);
            let _ = write!(row, ", \"clients\": {}, \"target\": \"{way}\"", work.clients);
            let fields = [("tps", tps), ("ratio_to_direct", tps / direct), ("p50_us", p50), ("p99_us", p99)];
            for (name, value) in fields.into_iter().chain([("cpu_us_per_request", cpu.unwrap_or(f64::NAN))]) {
                let _ = write!(row, ", \"{name}\": {}", number(value));
            }
            self.rows.push(row + "}");
        }
    }

    pub(super) fn idle(&mut self, what: &str, peer: &str, sessions: u32, bytes: f64) {
        println!("{sessions} {what}, {peer}: {:.1} KiB each", bytes / 1024.0);
        self.rows.push(format!(
            "{{\"workload\": \"{what}\", \"mode\": \"simple\", \"clients\": {sessions}, \
             \"target\": \"{peer}\", \"bytes_per_session\": {bytes:.0}}}"
        ));
    }

    pub(super) fn json(&self) -> String {
        format!("[\n{}\n]\n", self.rows.join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 50), 50.0);
        assert_eq!(quantile(&values, 99), 99.0);
        assert_eq!(quantile(&[7.0], 99), 7.0);
        assert!(quantile(&[], 50).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}
