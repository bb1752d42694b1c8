//! Tests of policies, run where the targets are known.

use std::time::Duration;

use policy::rights::Right;
use policy::{Policies, Source};
use tokio::time::{Instant, timeout_at};

use super::{Asks, Case, read};
use crate::configure::PolicyFile;
use crate::gateway::Gateway;
use crate::people::Guest;
use crate::requests::AdminError;

/// So many are run at once.
const MOST: usize = 1000;
/// All together may take so long: statements ask their target.
const LONGEST: Duration = Duration::from_secs(20);

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The file that it is in.
    pub file: String,
    /// What it shows, in a sentence.
    pub name: String,
    /// What is wrong, if something is.
    pub problem: Option<String>,
}

impl Gateway {
    /// Runs the tests of what is in force.
    ///
    /// # Errors
    /// They may not, or the store cannot be read.
    pub async fn run_tests_for(&self, guest: &Guest) -> Result<Vec<Outcome>, AdminError> {
        self.with_right(guest, Right::SeePolicies)?;
        let (_, configured) = self.configured().await?;
        self.run_tests(&configured.policies, &configured.tests).await
    }

    /// Runs tests of policies that need not be in force.
    ///
    /// # Errors
    /// The policies are not valid.
    pub(crate) async fn run_tests(
        &self,
        files: &[PolicyFile],
        tests: &[PolicyFile],
    ) -> Result<Vec<Outcome>, AdminError> {
        let sources: Vec<Source> =
            files.iter().map(|file| Source { name: file.name.clone(), text: file.text.clone() }).collect();
        let policies = Policies::load(&sources).map_err(|problems| {
            AdminError::Refused(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let until = Instant::now() + LONGEST;
        let mut all = Vec::new();
        for PolicyFile { name: file, text } in tests {
            let outcome = |name: String, problem| Outcome { file: file.clone(), name, problem };
            let cases = match read(file, text) {
                Ok(tests) => tests.case,
                Err(why) => {
                    all.push(outcome("the file can be read".to_owned(), Some(why)));
                    continue;
                }
            };
            for case in cases {
                let problem = if all.len() < MOST {
                    let problem = timeout_at(until, self.problem_of(&case, &policies, files)).await;
                    problem.unwrap_or_else(|_| Some("it was not run: all together took too long".to_owned()))
                } else {
                    Some(format!("it was not run: {MOST} are, at once"))
                };
                all.push(outcome(case.name, problem));
            }
        }
        Ok(all)
    }

    async fn problem_of(&self, case: &Case, policies: &Policies, files: &[PolicyFile]) -> Option<String> {
        let explained = match case.asks(files) {
            Ok(Asks::Effects) => case.decided(policies),
            Ok(Asks::Statement(asked)) => self.explain(&asked).await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        match explained {
            Ok(explained) => case.problem(&explained.answer),
            Err(why) => Some(why),
        }
    }
}

/// Those that did not come out as they must.
pub fn failing(all: &[Outcome]) -> impl Iterator<Item = &Outcome> {
    all.iter().filter(|outcome| outcome.problem.is_some())
}
