//! How long statements, waits for locks and idle sessions may last, and how often what is refused may be tried, as the policies
//! say that let a session be opened.

use cedar_policy::Policy;

/// The annotations, each with the name of PostgreSQL's setting that it bounds.
pub(crate) const ANNOTATIONS: [&str; 3] =
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// The annotation that says how often.
pub(crate) const TRIES: &str = "tries";

/// The longest times of one session, in milliseconds; nothing where no policy bounds them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    times: [Option<u64>; 3],
    tries: Option<u32>,
}

impl Caps {
    /// What stands before a policy.
    pub(crate) fn of(policy: &Policy) -> Result<Self, String> {
        let mut caps = [None; 3];
        for (cap, name) in caps.iter_mut().zip(ANNOTATIONS) {
            if let Some(text) = policy.annotation(name) {
                let seconds = crate::load::duration(Some(text)).map_err(|why| format!("@{name}: {why}"))?;
                *cap = Some(seconds.saturating_mul(1000).min(LONGEST));
            }
        }
        let tries = match policy.annotation(TRIES).map(str::parse::<u32>) {
            None => None,
            Some(Ok(tries)) if tries > 0 => Some(tries),
            Some(_) => return Err(format!("@{TRIES} is a number from 1")),
        };
        Ok(Self { times: caps, tries })
    }

    pub(crate) fn is_none(&self) -> bool {
        self.times.iter().all(Option::is_none) && self.tries.is_none()
    }

    /// The less of each.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        let mut times = self.times;
        for (one, two) in times.iter_mut().zip(other.times) {
            *one = less(*one, two);
        }
        Self { times, tries: less(self.tries, other.tries) }
    }

    /// How often the same may be refused before the session ends; nothing where it may be for ever.
    pub fn tries(&self) -> Option<u32> {
        self.tries
    }

    /// Every setting that is bounded, and its longest time in milliseconds.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ANNOTATIONS.into_iter().zip(self.times).filter_map(|(name, cap)| Some((name, cap?)))
    }

    /// Whether a setting may be set to this; `None` stands for a value that is not certain. Says what would be taken.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn allow(&self, setting: &str, value: Option<&str>) -> Result<(), String> {
        let Some((name, cap)) = self.settings().find(|(name, _)| name.eq_ignore_ascii_case(setting)) else {
            return Ok(());
        };
        let is_within = value.and_then(milliseconds).is_some_and(|ms| (1..=cap).contains(&ms));
        if is_within { Ok(()) } else { Err(format!("policy bounds {name} to {cap} ms for this session")) }
    }
}

fn less<T: Ord>(one: Option<T>, two: Option<T>) -> Option<T> {
    match (one, two) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The longest that the server takes.
const LONGEST: u64 = i32::MAX as u64;

/// A time as PostgreSQL reads it where its unit is milliseconds; rounded up, so that what it takes for 0 is not.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim_start() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        // Fractions, microseconds, other bases: whoever writes them can write it plainly.
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_be_made_shorter_and_not_longer_or_endless() {
        let of = |times, tries| Caps { times, tries };
        let caps = of([Some(30_000), None, Some(600_000)], Some(7));
        for (name, value, fine) in [
            ("statement_timeout", Some("30s"), true),
            ("Statement_Timeout", Some(" 1 s "), true),
            ("statement_timeout", Some("30000"), true),
            ("statement_timeout", Some("30001"), false),
            ("statement_timeout", Some("0"), false),
            ("statement_timeout", Some("0s"), false),
            ("statement_timeout", Some("1min"), false),
            ("statement_timeout", Some("-1"), false),
            ("statement_timeout", Some("0.4"), false),
            ("statement_timeout", Some("0x1"), false),
            ("statement_timeout", Some(""), false),
            ("statement_timeout", Some("99999999999999999999"), false),
            ("statement_timeout", None, false),
            ("lock_timeout", Some("0"), true),
            ("lock_timeout", None, true),
            ("idle_in_transaction_session_timeout", Some("10min"), true),
            ("idle_in_transaction_session_timeout", Some("11min"), false),
            ("work_mem", None, true),
        ] {
            assert_eq!(caps.allow(name, value).is_ok(), fine, "{name} = {value:?}");
        }
        let other = of([Some(60_000), Some(5), None], None);
        assert_eq!(caps.and(other), of([Some(30_000), Some(5), Some(600_000)], Some(7)));
    }
}
