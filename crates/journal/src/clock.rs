//! The time of a record: RFC 3339 in UTC, with microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// What is written of a second, which many records share.
#[derive(Default)]
pub(crate) struct Clock {
    second: Option<u64>,
    text: Vec<u8>,
}

impl Clock {
    /// Now, as `2026-11-26T01:24:27.000001Z`.
    pub(crate) fn now(&mut self) -> &[u8] {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(since.as_secs(), since.subsec_micros())
    }

    fn at(&mut self, second: u64, micros: u32) -> &[u8] {
        if self.second != Some(second) {
            let timestamp = i64::try_from(second).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
            self.text = format!("{:.6}", timestamp.unwrap_or(jiff::Timestamp::MAX)).into_bytes();
            self.second = Some(second);
        }
        // Six digits before the Z.
        let mut rest = micros;
        let digits = self.text.len().saturating_sub(7)..self.text.len().saturating_sub(1);
        for digit in self.text.get_mut(digits).unwrap_or_default().iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_jiff_writes_it() {
        let mut clock = Clock::default();
        for (second, micros) in
            [(0, 0), (1_764_120_267, 1), (1_764_120_267, 999_999), (1_764_120_268, 20_304), (4, 5)]
        {
            let whole = i64::try_from(second).expect("small");
            let expected =
                jiff::Timestamp::new(whole, i32::try_from(micros * 1000).expect("small")).expect("valid");
            assert_eq!(String::from_utf8_lossy(clock.at(second, micros)), format!("{expected:.6}"));
        }
    }
}
