//! Who may do what. Pure: no IO, no clock, no async. Facts come in, verdicts go out; Cedar decides.

pub mod access;
pub mod answering;
mod asks;
mod caps;
mod decide;
mod deep;
mod explain;
mod facts;
mod grant;
pub mod identity;
pub mod json;
mod load;
mod most;
mod nearest;
pub mod oauth;
mod particular;
pub mod passkey;
pub mod persons;
pub mod quorum;
mod reads;
mod references;
mod remembered;
pub mod rights;
mod schema;
pub mod standing;
mod starter;
mod verdict;

pub use caps::Caps;
pub use decide::{PROTECTED, Policies, TargetFacts};
pub use explain::{Explanation, Opinion, Word};
pub use grant::{Context, Grant, Identity, Record};
pub use load::{Problem, Source};
pub use model::HoldRule;
pub use most::{Bound, Most};
pub use nearest::nearest;
pub use references::References;
pub use schema::text as schema;
pub use starter::{IN_WORDS as STARTER_IN_WORDS, starter, starter_for_one};
pub use verdict::{Denied, Pass, Permit, Question, Verdict};

#[cfg(test)]
mod tests;
