//! From files to policies: parsed, named, validated, and their holds understood.

use std::collections::BTreeMap;
use std::str::FromStr;

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use model::{Action, SlackYes, Tier};

use crate::asks::Asks;
use crate::caps::{self, Caps};
use crate::decide::covers;
use crate::nearest::nearest;
use crate::{HoldRule, Most, Record, most};

/// What may stand before a policy.
const ANNOTATIONS: [&str; 22] = [
    "id",
    "description",
    "reason",
    "hint",
    "approvers",
    "quorum",
    "expires",
    "valid_for",
    "ceiling",
    "tolerance",
    "preview",
    "grant",
    "self",
    "record",
    "carry",
    "slack",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    caps::TRIES,
    "rows",
    "bytes",
];
/// What is asked of approvals alone.
const OF_APPROVALS: [&str; 10] =
    ["quorum", "expires", "valid_for", "ceiling", "tolerance", "preview", "grant", "self", "carry", "slack"];
/// `@expires` and `@valid_for` where they are not given, in seconds.
const QUARTER: u64 = 15 * 60;

/// Standing grants are given for so long at most, in seconds.
const LONGEST_GRANT: u64 = 24 * 3600;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for errors.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// Why policies cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct Problem {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Policies that passed.
pub(crate) struct Loaded {
    pub policies: Vec<Policy>,
    pub holds: BTreeMap<String, HoldRule>,
    pub records: BTreeMap<String, Record>,
    pub caps: BTreeMap<String, Caps>,
    pub mosts: BTreeMap<String, Most>,
}

pub(crate) fn load(sources: &[Source]) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut loaded = Loaded {
        policies: Vec::new(),
        holds: BTreeMap::new(),
        records: BTreeMap::new(),
        caps: BTreeMap::new(),
        mosts: BTreeMap::new(),
    };
    let mut places: BTreeMap<String, (&Source, usize)> = BTreeMap::new();
    for source in sources {
        let set = match PolicySet::from_str(&source.text) {
            Ok(set) => set,
            Err(errors) => {
                problems.extend(errors.iter().map(|error| {
                    let at = error.labels().and_then(|mut l| l.next()).map_or(0, |label| label.offset());
                    problem(source, at, error.to_string())
                }));
                continue;
            }
        };
        if set.templates().next().is_some() {
            problems.push(problem(source, 0, "templates are not supported".to_owned()));
        }
        let mut searched = 0;
        for policy in in_order(&set) {
            let text = policy.to_string();
            let rest = source.text.get(searched..).unwrap_or_default();
            let at = rest.find(&text).map_or(0, |found| searched + found);
            searched = at + text.len();
            match named(policy) {
                Err(message) => problems.push(problem(source, at, message)),
                Ok((id, hold)) => {
                    if places.insert(id.clone(), (source, at)).is_some() {
                        problems.push(problem(source, at, format!("a second policy with @id(\"{id}\")")));
                    }
                    let record = policy.annotation("record").and_then(Record::parse);
                    loaded.records.extend(record.map(|record| (id.clone(), record)));
                    let caps = Caps::of(policy).ok().filter(|caps| !caps.is_none());
                    loaded.caps.extend(caps.map(|caps| (id.clone(), caps)));
                    let most = Most::of(policy, &id).ok().filter(|most| !most.is_none());
                    loaded.mosts.extend(most.map(|most| (id.clone(), most)));
                    loaded.holds.extend(hold.map(|hold| (id.clone(), hold)));
                    loaded.policies.push(policy.new_id(PolicyId::new(id)));
                }
            }
        }
    }
    if problems.is_empty() {
        problems.extend(validate(&loaded.policies, &places));
    }
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// The policies as they stand in their file: Cedar's parser numbers them (`policy0`, `policy1`, …).
fn in_order(set: &PolicySet) -> Vec<&Policy> {
    let mut policies: Vec<&Policy> = set.policies().collect();
    policies.sort_by_key(|policy| {
        policy.id().to_string().trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    });
    policies
}

/// A policy's own id, and its rule if it holds.
fn named(policy: &Policy) -> Result<(String, Option<HoldRule>), String> {
    for (name, _) in policy.annotations() {
        if !ANNOTATIONS.contains(&name) {
            let meant =
                nearest(name, ANNOTATIONS).map(|w| format!("; did you mean @{w}?")).unwrap_or_default();
            return Err(format!(
                "unknown annotation @{name}; there are: @{}{meant}",
                ANNOTATIONS.join(", @")
            ));
        }
    }
    if names_administering(policy) {
        return Err("the action \"administer\" is not for policies to decide: who administers the gateway is said by the roles of \
                    people and issuers (durward people invite --role, [console.roles]), and takes a person"
            .to_owned());
    }
    let id = policy.annotation("id").filter(|id| !id.is_empty()).ok_or("every policy needs an @id(\"…\")")?;
    if let Some(word) = policy.annotation("record") {
        if Record::parse(word).is_none() {
            return Err("@record is \"required\", \"best-effort\" or \"off\"".to_owned());
        }
        if policy.effect() != Effect::Permit || !covers(policy, Action::Connect) {
            return Err(
                "@record stands before a permit of the action connect: it is asked of sessions".to_owned()
            );
        }
    }
    if !Caps::of(policy)?.is_none() && (policy.effect() != Effect::Permit || !covers(policy, Action::Connect))
    {
        return Err(format!(
            "@{}, @{} stand before a permit of the action connect: they are asked of sessions",
            caps::ANNOTATIONS.join(", @"),
            caps::TRIES
        ));
    }
    if !Most::of(policy, id)?.is_none()
        && policy.effect() == Effect::Forbid
        && policy.annotation("approvers").is_none()
    {
        return Err(format!(
            "@{} stand before a permit, or a forbid that yields to an approval: they bound what comes of it",
            most::ANNOTATIONS.join(", @")
        ));
    }
    let asks = Asks::of(policy, id)?;
    let ceiling = match policy.annotation("ceiling").map(str::parse::<u64>) {
        None => None,
        Some(Ok(rows)) => Some(rows),
        Some(Err(_)) => return Err("@ceiling is a number of rows".to_owned()),
    };
    let tolerance = match policy.annotation("tolerance").map(percent) {
        None => 0,
        Some(Some(percent)) => percent,
        Some(None) => return Err("@tolerance is a number of percent from 0% to 1000%".to_owned()),
    };
    let preview = match policy.annotation("preview").map(Tier::parse) {
        None => None,
        Some(Some(tier)) => Some(tier),
        Some(None) => return Err("@preview is \"static\", \"counted\", \"executed\" or \"hold\"".to_owned()),
    };
    let grant = match policy.annotation("grant") {
        None | Some("never") => None,
        Some(life) => {
            let seconds = duration(Some(life)).ok().filter(|seconds| *seconds <= LONGEST_GRANT);
            Some(
                seconds
                    .ok_or("@grant is \"never\", or for how long standing grants may be given: up to 24h")?,
            )
        }
    };
    let Some(approvers) = policy.annotation("approvers") else {
        if let Some(name) = OF_APPROVALS.into_iter().find(|name| policy.annotation(name).is_some()) {
            return Err(format!("@{name} is asked of approvals: it needs @approvers(\"group\")"));
        }
        return match asks {
            Asks::Never => Ok((id.to_owned(), None)),
            Asks::Itself | Asks::Otherwise => {
                Err("a policy that asks for approvals needs @approvers(\"group\")".to_owned())
            }
        };
    };
    if policy.effect() != Effect::Forbid || asks != Asks::Itself {
        return Err(format!(
            "a policy with @approvers is a forbid that yields to its own approval alone: \
             forbid (…) unless {{ context.approvals.contains(\"{id}\") }};"
        ));
    }
    let quorum: u32 = policy.annotation("quorum").unwrap_or("1").parse().unwrap_or(0);
    if quorum == 0 {
        return Err("@quorum is a number from 1".to_owned());
    }
    let approvers: Vec<String> =
        approvers.split(',').map(|g| g.trim().to_owned()).filter(|g| !g.is_empty()).collect();
    if approvers.is_empty() {
        return Err("@approvers names no group: nobody could answer".to_owned());
    }
    let carry = match policy.annotation("carry") {
        None => false,
        Some("values") => true,
        Some(_) => {
            return Err(
                "@carry(\"values\") shows a statement's text and values to those who are told elsewhere; without it they see its \
                 shape"
                    .to_owned(),
            );
        }
    };
    let slack = match (policy.annotation("slack"), quorum) {
        (None, _) => SlackYes::Never,
        (Some("approve"), 2..) => SlackYes::WithOthers,
        (Some("alone"), _) => SlackYes::Alone,
        (Some("approve"), _) => {
            return Err("@slack(\"approve\") has a yes that is given in Slack count beside one that is given with a passkey: it needs \
                        @quorum(\"2\") or more. @slack(\"alone\") says that it is enough by itself"
                .to_owned());
        }
        (Some(_), _) => {
            return Err("@slack is \"approve\", where a yes that is given in Slack counts beside others, or \"alone\", where it is enough \
                        by itself"
                .to_owned());
        }
    };
    let by_self = match policy.annotation("self") {
        None | Some("deny") => false,
        Some("allow") => true,
        Some(_) => {
            return Err("@self is \"allow\", where the person for whom an agent asks may answer, too, or \"deny\", as it is without \
                        it"
            .to_owned());
        }
    };
    let rule = HoldRule {
        id: id.to_owned(),
        approvers,
        quorum,
        expires: duration(policy.annotation("expires"))?,
        valid_for: duration(policy.annotation("valid_for"))?,
        reason: policy.annotation("reason").map(str::to_owned),
        carry,
        slack,
        by_self,
        ceiling,
        tolerance,
        preview,
        grant,
    };
    Ok((id.to_owned(), Some(rule)))
}

/// Whether its scope names what policies for statements say nothing about.
fn names_administering(policy: &Policy) -> bool {
    let is_it = |uid: &cedar_policy::EntityUid| uid.id().unescaped() == "administer";
    match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::In(uids) => uids.iter().any(is_it),
        ActionConstraint::Eq(uid) => is_it(&uid),
    }
}

/// `20%`.
fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.parse().ok().filter(|percent| *percent <= 1000)
}

/// `30s`, `15m`, `2h`.
pub(crate) fn duration(text: Option<&str>) -> Result<u64, String> {
    let Some(text) = text else { return Ok(QUARTER) };
    let bad = || format!("\"{text}\" is no duration; write 30s, 15m or 2h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    seconds.filter(|s| *s > 0).ok_or_else(bad)
}

fn validate(policies: &[Policy], places: &BTreeMap<String, (&Source, usize)>) -> Vec<Problem> {
    let whole = |message: String| Problem { file: "schema".to_owned(), line: 1, column: 1, message };
    let schema = match Schema::from_cedarschema_str(&crate::schema()) {
        Ok((schema, _)) => schema,
        Err(error) => return vec![whole(error.to_string())],
    };
    let set = match PolicySet::from_policies(policies.iter().cloned()) {
        Ok(set) => set,
        Err(error) => return vec![whole(error.to_string())],
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let mut problems = Vec::new();
    for error in result.validation_errors() {
        let mut message = error.to_string();
        if let Some(help) = error.help() {
            message.push_str(&format!(" ({help})"));
        }
        let place = places.iter().find(|(id, _)| message.contains(&format!("`{id}`")));
        let within = error.labels().and_then(|mut l| l.next()).map(|label| label.offset());
        problems.push(match place {
            Some((_, (source, at))) => problem(source, within.unwrap_or(*at), message),
            None => whole(message),
        });
    }
    problems
}

pub(crate) fn problem(source: &Source, at: usize, message: String) -> Problem {
    let before = source.text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    Problem {
        file: source.name.clone(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}
