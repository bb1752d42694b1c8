//! Who may do what. Pure: no IO, no clock, no async. Facts come in, verdicts go out; Cedar decides.

mod decide;
mod grant;
mod verdict;

pub use decide::{Policies, Problem, Source, TargetFacts};
pub use grant::{Context, Grant, Identity};
pub use verdict::{Denied, HoldRule, Pass, Permit, Question, Verdict};
