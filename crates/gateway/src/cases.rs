//! Tests of policies: questions, each with the verdict that it must have, written in TOML beside the policies. Effects are decided
//! by policies alone; statements are understood by a target's own catalogue.

mod effect;
mod run;

use std::collections::BTreeSet;
use std::path::Path;

use model::{ColumnName, Effect, Facts, Inspect, Particulars, Tag, TargetName, Told};
use policy::{Identity, Opinion, Policies, TargetFacts};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use self::effect::effect;
pub use self::effect::looks_like_one as looks_like_an_effect;
pub use self::run::{Outcome, failing};
use crate::configure::PolicyFile;
use crate::explain::{Answer, Asked, Asker, Explained, some_moment};
use crate::written;

/// Files with tests are called so.
pub const ENDS: &str = ".test.toml";

/// Whether a file has tests in it.
pub fn is_one(name: &str) -> bool {
    name.ends_with(ENDS)
}

/// The file with the tests of a file of policies, beside it.
pub fn beside(policies: &str) -> String {
    format!("{}{ENDS}", policies.strip_suffix(".cedar").unwrap_or(policies))
}

/// Tests of the policies beside them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// The tests.
    pub case: Vec<Case>,
}

/// One test: a question, and the verdict that it must have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a sentence.
    pub name: String,
    /// Who asks: `agent:NAME` or `user:NAME`.
    principal: String,
    /// The principal's groups.
    #[serde(default)]
    groups: Vec<String>,
    /// Whom it acts for, nearest first.
    #[serde(default)]
    on_behalf_of: Vec<String>,
    /// On which target.
    target: String,
    /// Tags of the target, beside those that it is configured with.
    #[serde(default)]
    target_tags: BTreeSet<String>,
    /// Of effects: the statement has no condition.
    #[serde(default)]
    without_where: bool,
    /// Of effects: values that stand beside columns, `{ column, how, value }` each.
    #[serde(default)]
    values: Vec<Value>,
    /// Of effects: there are values beside those, which cannot be told.
    #[serde(default)]
    values_uncertain: bool,
    /// Of effects: how many literals the statement has.
    #[serde(default)]
    literals: u64,
    /// How many rows the target's planner expects.
    estimated_rows: Option<u64>,
    /// How many rows were counted.
    measured_rows: Option<u64>,
    /// Holds that were approved.
    #[serde(default)]
    approved: BTreeSet<String>,
    /// What a statement would do: `ACTION=[KIND:]NAME[#TAG…]`.
    #[serde(default)]
    effects: Vec<String>,
    /// Or the statement itself, which the target's catalogue understands.
    statement: Option<String>,
    /// The verdict that it must have.
    expect: Expected,
    /// The policies that must decide, where it matters.
    by: Option<BTreeSet<String>>,
}

/// A value beside a column, as policies see it in `context.values`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// `schema.table.column`.
    column: String,
    /// `=`, `<`, `in`, `set` and so on.
    how: String,
    /// The value as text.
    #[serde(default)]
    value: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
    Hold,
}

impl Expected {
    fn word(&self) -> policy::Word {
        match self {
            Self::Allow => policy::Word::Allow,
            Self::Deny => policy::Word::Deny,
            Self::Hold => policy::Word::Hold,
        }
    }
}

/// Reads a file of tests.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn read(name: &str, text: &str) -> Result<Tests, String> {
    written::toml(Path::new(name), text)
}

/// What a case asks.
pub enum Asks {
    /// Policies alone.
    Effects,
    /// A gateway, which knows the target's catalogue.
    Statement(Asked),
}

impl Case {
    fn who(&self) -> Asker {
        Asker {
            principal: self.principal.clone(),
            groups: self.groups.clone(),
            on_behalf_of: self.on_behalf_of.clone(),
            target: self.target.clone(),
            target_tags: self.target_tags.clone(),
            approved: self.approved.clone(),
        }
    }

    /// What it states beside its effects.
    fn stated(&self) -> Stated {
        let told = |Value { column, how, value }: &Value| Told {
            column: column.clone(),
            how: how.clone(),
            value: value.clone(),
        };
        let particulars = Particulars {
            values: self.values.iter().map(told).collect(),
            values_certain: !self.values_uncertain,
            literals: self.literals,
            estimated_rows: self.estimated_rows,
            measured_rows: self.measured_rows,
        };
        Stated { without_where: self.without_where, particulars }
    }

    /// What it asks, of these policies.
    ///
    /// # Errors
    /// It asks nothing, or two things.
    pub fn asks(&self, policies: &[PolicyFile]) -> Result<Asks, String> {
        match (&self.statement, self.effects.as_slice()) {
            (Some(statement), []) => {
                if self.stated().particulars != Particulars::none() {
                    return Err(
                        "values and rows are stated beside effects: a statement has its own".to_owned()
                    );
                }
                let (statement, policies) = (statement.clone(), Some(policies.to_vec()));
                Ok(Asks::Statement(Asked { who: self.who(), statement, policies }))
            }
            (None, [_, ..]) => Ok(Asks::Effects),
            (Some(_), _) | (None, []) => Err("it has either a statement or effects".to_owned()),
        }
    }

    /// What policies say of its effects.
    ///
    /// # Errors
    /// An effect or its principal is none.
    pub fn decided(&self, policies: &Policies) -> Result<Explained, String> {
        decide(policies, &self.who(), &self.effects, self.stated())
    }

    /// What is wrong with an answer, if something is.
    pub fn problem(&self, answer: &Answer) -> Option<String> {
        let decided: BTreeSet<String> = answer.policies.iter().cloned().collect();
        let expect = self.expect.word().as_str();
        let list = |ids: &BTreeSet<String>| {
            if ids.is_empty() {
                "no policy".to_owned()
            } else {
                ids.iter().cloned().collect::<Vec<_>>().join(", ")
            }
        };
        let why = answer.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        if answer.verdict != expect {
            return Some(format!(
                "expected {expect}, and it is {} by {}{why}",
                answer.verdict,
                list(&decided)
            ));
        }
        let by = self.by.as_ref().filter(|by| **by != decided)?;
        Some(format!("expected to be decided by {}, and it is by {}{why}", list(by), list(&decided)))
    }
}

/// What was typed instead of a statement.
struct Typed {
    effects: Vec<Effect>,
    stated: Stated,
    facts: Facts,
}

/// What is stated of a statement beside its effects.
#[derive(Debug, Clone)]
pub struct Stated {
    /// It has no condition.
    pub without_where: bool,
    /// What it has alone.
    pub particulars: Particulars,
}

impl Default for Stated {
    fn default() -> Self {
        Self { without_where: false, particulars: Particulars::none() }
    }
}

impl Inspect for Typed {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    fn shape(&self) -> [u8; 16] {
        [0; 16]
    }

    fn particulars(&self) -> Particulars {
        self.stated.particulars.clone()
    }
}

/// What policies say of effects that were typed.
///
/// # Errors
/// An effect or a principal is none.
pub fn decide(
    policies: &Policies,
    who: &Asker,
    effects: &[String],
    stated: Stated,
) -> Result<Explained, String> {
    let effects: Vec<Effect> = effects.iter().map(|text| effect(text)).collect::<Result<_, _>>()?;
    let facts = who.facts(&TargetFacts::default());
    let (target, moment) = (TargetName::new(who.target.as_str()), some_moment());
    let principal = who.principal().map_err(|error| error.to_string())?;
    let grant = match policies.authorize(Identity::verified(principal), &target, &facts, &moment) {
        Ok(grant) => grant,
        Err(denied) => return Ok(Explained::whole(Opinion::from(denied).into())),
    };
    let facts_of = Facts { has_where: !stated.without_where, statements: 1, ..Facts::default() };
    let typed = Typed { effects, stated, facts: facts_of };
    let explanation = policies.explain(&grant, &facts, &typed, &moment, &who.approved);
    Ok(Explained::new(&typed.effects, explanation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_what_it_expected() {
        let policies = Policies::load(&policy::starter()).expect("policies");
        let case = |expect: Expected, by: Option<&str>| Case {
            name: "n".to_owned(),
            principal: "agent:bot".to_owned(),
            groups: Vec::new(),
            on_behalf_of: Vec::new(),
            target: "orders".to_owned(),
            target_tags: BTreeSet::new(),
            without_where: false,
            values: Vec::new(),
            values_uncertain: false,
            literals: 0,
            estimated_rows: None,
            measured_rows: None,
            approved: BTreeSet::new(),
            effects: vec!["update=shop.orders".to_owned()],
            statement: None,
            expect,
            by: by.map(|id| BTreeSet::from([id.to_owned()])),
        };
        for (expect, by, right) in [
            (Expected::Hold, None, true),
            (Expected::Hold, Some("starter-writes-held"), true),
            (Expected::Hold, Some("starter-writes"), false),
            (Expected::Allow, None, false),
        ] {
            let case = case(expect, by);
            assert!(matches!(case.asks(&[]), Ok(Asks::Effects)), "they are decided here");
            let problem = case.problem(&case.decided(&policies).expect("asked").answer);
            assert_eq!(problem.is_none(), right, "{by:?}: {problem:?}");
        }
    }
}
