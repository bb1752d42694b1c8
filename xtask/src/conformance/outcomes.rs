//! What suites say of their tests, and how two runs of one suite differ.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::Failure;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// Each test's outcome by its name. Names that come again get a number.
#[derive(Debug, Default)]
pub(super) struct Outcomes(BTreeMap<String, Outcome>);

impl Outcomes {
    /// Reads the outcomes in a folder: JUnit's `*.xml`, and `*.txt` as `tests/suites/lib.sh` says.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let mut outcomes = Self::default();
        let mut files: Vec<_> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let reader = match file.extension().and_then(|ending| ending.to_str()) {
                Some("xml") => Self::junit,
                Some("txt") => Self::lines,
                _ => continue,
            };
            reader(&mut outcomes, &String::from_utf8_lossy(&std::fs::read(&file)?));
        }
        Ok(outcomes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn passed(&self) -> usize {
        self.0.values().filter(|outcome| **outcome == Outcome::Pass).count()
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("pass", name)) => self.add(name, Outcome::Pass),
                Some(("FAIL", name)) => self.add(name, Outcome::Fail),
                Some(("skip", name)) => self.add(name, Outcome::Skip),
                _ => {}
            }
        }
    }

    /// `<testcase classname="…" name="…">`, alone or with an element in it that says how it ended.
    fn junit(&mut self, text: &str) {
        for case in text.split("<testcase").skip(1) {
            let Some((head, rest)) = case.split_once('>') else { continue };
            let inside =
                if head.ends_with('/') { "" } else { rest.split("</testcase>").next().unwrap_or("") };
            // What a test printed may hold anything, but not an unescaped `<` outside of CDATA, which comes later.
            let outcome = if inside.contains("<failure") || inside.contains("<error") {
                Outcome::Fail
            } else if inside.contains("<skipped") {
                Outcome::Skip
            } else {
                Outcome::Pass
            };
            let attribute = |name: &str| {
                let (_, value) = head.split_once(&format!(" {name}=\""))?;
                value.split('"').next()
            };
            let class = attribute("classname").unwrap_or("");
            self.add(&format!("{class} {}", attribute("name").unwrap_or("")), outcome);
        }
    }

    fn add(&mut self, name: &str, outcome: Outcome) {
        let mut unique = name.to_owned();
        let mut number = 2;
        while self.0.contains_key(&unique) {
            unique = format!("{name} ({number})");
            number += 1;
        }
        self.0.insert(unique, outcome);
    }
}

/// Two runs of one suite, directly and through the gateway.
pub(super) struct Comparison {
    direct: usize,
    through: usize,
    /// Tests that pass directly and do not pass through the gateway.
    lost: Vec<String>,
}

impl Comparison {
    /// # Errors
    /// Nothing passes directly: then nothing was compared.
    pub(super) fn of(direct: &Outcomes, through: &Outcomes) -> Result<Self, Failure> {
        if direct.passed() == 0 {
            return Err("no test of it passes directly".into());
        }
        let passes = |name: &String| through.0.get(name) == Some(&Outcome::Pass);
        let passed = direct.0.iter().filter(|(_, outcome)| **outcome == Outcome::Pass);
        let lost = passed.map(|(name, _)| name).filter(|name| !passes(name)).cloned().collect();
        Ok(Self { direct: direct.passed(), through: through.passed(), lost })
    }

    pub(super) fn direct(&self) -> usize {
        self.direct
    }

    pub(super) fn through(&self) -> usize {
        self.through
    }

    pub(super) fn lost(&self) -> impl Iterator<Item = &str> {
        self.lost.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Outcome, Outcomes};

    fn lines(text: &str) -> Outcomes {
        let mut outcomes = Outcomes::default();
        outcomes.lines(text);
        outcomes
    }

    #[test]
    fn junit_says_how_each_test_ended() {
        let mut outcomes = Outcomes::default();
        outcomes.junit(
            r#"<testsuite><testcase classname="a" name="one" time="0.1" /><testcase name="two" classname="a">
               <failure message="x"/></testcase><testcase classname="a" name="three"><skipped/></testcase>
               <testcase classname="a" name="one"><system-out>said</system-out></testcase></testsuite>"#,
        );
        let found: Vec<_> = outcomes.0.into_iter().collect();
        let expected = [
            ("a one", Outcome::Pass),
            ("a one (2)", Outcome::Pass),
            ("a three", Outcome::Skip),
            ("a two", Outcome::Fail),
        ];
        assert_eq!(found, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    }

    #[test]
    fn what_passes_directly_alone_is_lost() {
        let direct = lines("pass a\npass b\nFAIL c\nskip d\npass e\nnoise");
        let through = lines("pass a\nFAIL b\npass c\npass d");
        let comparison = Comparison::of(&direct, &through).unwrap();
        assert_eq!(comparison.lost().collect::<Vec<_>>(), ["b", "e"]);
        assert_eq!((comparison.direct(), comparison.through()), (3, 3));
    }

    #[test]
    fn a_suite_that_does_not_run_directly_is_no_success() {
        assert!(Comparison::of(&lines("FAIL a"), &lines("pass a")).is_err());
    }
}
