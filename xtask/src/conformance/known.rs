//! Differences that are by design, each with its reason.

use std::path::Path;

use testkit::Failure;

/// Lines of `tests/suites/known.txt`: a suite, part of a test's name, and the reason, with `|` between.
pub(super) struct Known(Vec<Line>);

struct Line {
    suite: String,
    part: String,
    reason: String,
}

impl Known {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|e| Failure::of(format!("cannot read {}", file.display()), e))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let known = lines.map(|line| {
            let mut words = line.splitn(3, '|').map(|word| word.trim().to_owned());
            match (words.next(), words.next(), words.next()) {
                (Some(suite), Some(part), Some(reason)) if !part.is_empty() => {
                    Ok(Line { suite, part, reason })
                }
                _ => Err(Failure::from(format!("not `suite | part of a name | reason`: {line}"))),
            }
        });
        Ok(Self(known.collect::<Result<_, _>>()?))
    }

    /// Why a test of a suite does not pass through the gateway, if that is known.
    pub(super) fn reason(&self, suite: &str, test: &str) -> Option<&str> {
        let line = self.0.iter().find(|line| line.suite == suite && test.contains(&line.part))?;
        Some(&line.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn a_reason_is_for_one_suite_and_part_of_a_name() {
        let known = Known::parse("# a remark\n\na | test_one | because\n").unwrap();
        assert_eq!(known.reason("a", "x test_one[1]"), Some("because"));
        assert_eq!(known.reason("b", "test_one"), None);
        assert_eq!(known.reason("a", "test_two"), None);
    }

    #[test]
    fn a_line_without_a_reason_or_for_every_test_is_refused() {
        assert!(Known::parse("a | test").is_err());
        assert!(Known::parse("a | | everything").is_err());
    }
}
