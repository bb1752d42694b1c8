//! `durward policy`: check, test and explain, without a target and without a gateway.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use gateway::configure::Configuration;
use gateway::requests::parse_principal;
use model::{
    Action, ColumnName, Effect, Facts, FunctionName, Inspect, Principal, Resource, TableName, Tag, TargetName,
};
use policy::{Context, Identity, Policies, Source, TargetFacts, Verdict};
use serde::Deserialize;
use serde_json::json;

use crate::args::Policy;
use crate::client::Client;
use crate::exit::Fault;
use crate::show::{self, say};
use crate::{files, typed};

pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, command: Policy) -> anyhow::Result<()> {
    match command {
        Policy::Check { paths } => {
            let sources = files::policies(&paths)?;
            let policies = load(&sources)?;
            Ok(say(format_args!("{} files are valid; version {}.", sources.len(), policies.version()))?)
        }
        Policy::Test { directory, json } => test(&directory, json),
        Policy::Explain {
            paths,
            principal,
            groups,
            target,
            target_tags,
            without_where,
            approved,
            effects,
            json,
        } => {
            let sources = if paths.is_empty() { in_force(&client()?)? } else { files::policies(&paths)? };
            let question =
                Question { principal, groups, target, target_tags, without_where, approved, effects };
            explain(&load(&sources)?, question, json)
        }
    }
}

fn load(sources: &[Source]) -> anyhow::Result<Policies> {
    let lines =
        |all: Vec<policy::Problem>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Policies::load(sources).map_err(|problems| Fault::Invalid(lines(problems)).into())
}

fn in_force(client: &Client) -> anyhow::Result<Vec<Source>> {
    let configuration: Configuration = serde_json::from_value(client.get("/configuration")?)?;
    Ok(configuration.policies.into_iter().map(|p| Source { name: p.name, text: p.text }).collect())
}

// ---------------------------------------------------------------------- a question and its answer

/// Who would do what.
#[derive(Clone, Deserialize)]
struct Question {
    principal: String,
    #[serde(default)]
    groups: Vec<String>,
    target: String,
    #[serde(default)]
    target_tags: Vec<String>,
    #[serde(default)]
    without_where: bool,
    #[serde(default)]
    approved: Vec<String>,
    effects: Vec<String>,
}

struct Operation {
    effects: Vec<Effect>,
    facts: Facts,
}

impl Inspect for Operation {
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
}

struct Answer {
    verdict: &'static str,
    policies: Vec<String>,
    reason: Option<String>,
    hint: Option<String>,
}

fn ask(policies: &Policies, question: Question) -> anyhow::Result<Answer> {
    let Question { principal, groups, target, target_tags, without_where, approved, effects } = question;
    let id = parse_principal(&principal).map_err(|error| Fault::Invalid(error.to_string()))?;
    let who = Principal { id, groups, on_behalf_of: Vec::new(), purpose: None };
    let effects: Vec<Effect> =
        effects.iter().map(|text| effect(text)).collect::<Result<_, _>>().map_err(Fault::Invalid)?;
    let now = Context {
        now: jiff::Timestamp::now().as_second(),
        address: Ipv4Addr::LOCALHOST.into(),
        application: "".into(),
        in_transaction: false,
        encrypted: true,
    };
    let facts = TargetFacts { tags: target_tags.into_iter().map(Tag).collect() };
    let denied = |denied: policy::Denied| Answer {
        verdict: "deny",
        policies: denied.policies,
        reason: Some(denied.reason),
        hint: denied.hint,
    };
    let grant = match policies.authorize(Identity::verified(who), &TargetName(target), &facts, &now) {
        Ok(grant) => grant,
        Err(refusal) => return Ok(denied(refusal)),
    };
    let operation =
        Operation { effects, facts: Facts { has_where: !without_where, statements: 1, ..Facts::default() } };
    Ok(match policies.decide(&grant, &facts, operation, &now, &approved.into_iter().collect()) {
        Verdict::Allow(pass) => {
            Answer { verdict: "allow", policies: pass.permit().policies.to_vec(), reason: None, hint: None }
        }
        Verdict::Deny(_, refusal) => denied(refusal),
        Verdict::Hold(held) => {
            let rule = |h: &policy::HoldRule| format!("{} of {}", h.quorum, h.approvers.join(", "));
            Answer {
                verdict: "hold",
                policies: held.holds().iter().map(|h| h.id.clone()).collect(),
                reason: Some(format!(
                    "waits for {}",
                    held.holds().iter().map(rule).collect::<Vec<_>>().join("; ")
                )),
                hint: None,
            }
        }
    })
}

/// `ACTION=[KIND:]NAME[#TAG…]`; without a kind, two parts are a table and three a column.
fn effect(text: &str) -> Result<Effect, String> {
    let bad = |why: &str| format!("\"{text}\": {why}; an effect is written ACTION=[KIND:]NAME[#TAG…]");
    let (word, rest) = text.split_once('=').unwrap_or((text, "target:"));
    let action = Action::ALL.iter().find(|a| a.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Action::ALL.iter().map(|a| a.as_str()).collect();
        bad(&format!("there is no action {word}; there are {}", words.join(", ")))
    })?;
    let mut parts = rest.split('#');
    let named = parts.next().unwrap_or_default();
    let (kind, name) = named.split_once(':').unwrap_or(("", named));
    let names: Vec<String> = name.split('.').map(str::to_owned).collect();
    let table = |schema: String, name: String| TableName { schema, name };
    let resource = match (kind, <[String; 3]>::try_from(names.clone()), <[String; 2]>::try_from(names)) {
        ("target", _, _) => Resource::Target,
        ("schema", _, _) => Resource::Schema(name.to_owned()),
        ("setting", _, _) => Resource::Setting(name.to_owned()),
        ("" | "column", Ok([schema, of, name]), _) => {
            Resource::Column(ColumnName { table: table(schema, of), name })
        }
        ("" | "table", _, Ok([schema, name])) => Resource::Table(table(schema, name)),
        ("function", _, Ok([schema, name])) => Resource::Function(FunctionName { schema, name }),
        ("" | "table" | "column" | "function", _, _) => {
            return Err(bad("tables and functions have two parts, columns three"));
        }
        _ => return Err(bad("the kinds are target, schema, table, column, function and setting")),
    };
    Ok(Effect { tags: parts.map(|tag| Tag(tag.to_owned())).collect(), ..Effect::new(*action, resource) })
}

// ---------------------------------------------------------------------- explain and test

fn explain(policies: &Policies, question: Question, as_json: bool) -> anyhow::Result<()> {
    let mut single = Vec::new();
    for effect in &question.effects {
        let one = Question { effects: vec![effect.clone()], ..question.clone() };
        single.push((effect.clone(), ask(policies, one)?));
    }
    let whole = ask(policies, question)?;
    let in_json = |a: &Answer| json!({"verdict": a.verdict, "policies": a.policies, "reason": a.reason, "hint": a.hint});
    if as_json {
        let effects: Vec<_> = single
            .iter()
            .map(|(effect, answer)| json!({"effect": effect, "answer": in_json(answer)}))
            .collect();
        return Ok(show::json(&json!({ "answer": in_json(&whole), "effects": effects }))?);
    }
    let by = |a: &Answer| if a.policies.is_empty() { "no policy".to_owned() } else { a.policies.join(", ") };
    for (effect, answer) in &single {
        say(format_args!("  {:<6} {effect} (by {})", answer.verdict, by(answer)))?;
    }
    say(format_args!("{} by {}", whole.verdict, by(&whole)))?;
    for words in [whole.reason, whole.hint].into_iter().flatten() {
        say(format_args!("  {words}"))?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tests {
    case: Vec<Case>,
}

/// One test: a question, and the verdict that it must have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    principal: String,
    #[serde(default)]
    groups: Vec<String>,
    target: String,
    #[serde(default)]
    target_tags: Vec<String>,
    #[serde(default)]
    without_where: bool,
    #[serde(default)]
    approved: Vec<String>,
    effects: Vec<String>,
    expect: String,
    /// The policies that must decide, where it matters.
    by: Option<BTreeSet<String>>,
}

fn test(directory: &Path, as_json: bool) -> anyhow::Result<()> {
    let policies = load(&files::policies(&[directory.to_owned()])?)?;
    let mut results = Vec::new();
    let mut failed = 0;
    for file in files::all(directory, &["toml"])?.into_iter().filter(|f| files::is_test(f)) {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let Tests { case } = typed::toml(&file, &text).map_err(Fault::Invalid)?;
        for one in case {
            let (name, problem) = check(&policies, one)?;
            failed += usize::from(problem.is_some());
            if as_json {
                results.push(json!({ "file": file.display().to_string(), "name": name, "problem": problem }));
            } else {
                let word = if problem.is_some() { "FAILED" } else { "ok" };
                let why = problem.map(|p| format!(": {p}")).unwrap_or_default();
                say(format_args!("{word:<6} {name}{why}"))?;
            }
        }
    }
    if as_json {
        show::json(&json!(results))?;
    }
    if failed > 0 {
        return Err(Fault::Wrong(format!("{failed} tests of policies failed")).into());
    }
    Ok(())
}

/// The test's name, and what is wrong.
fn check(policies: &Policies, case: Case) -> anyhow::Result<(String, Option<String>)> {
    let Case { name, principal, groups, target, target_tags, without_where, approved, effects, expect, by } =
        case;
    let question = Question { principal, groups, target, target_tags, without_where, approved, effects };
    let answer = ask(policies, question).with_context(|| format!("test \"{name}\""))?;
    let decided: BTreeSet<String> = answer.policies.into_iter().collect();
    let problem = if answer.verdict != expect {
        Some(format!("expected {expect}, and it is {} by {decided:?}", answer.verdict))
    } else {
        by.filter(|by| *by != decided)
            .map(|by| format!("expected to be decided by {by:?}, and it is by {decided:?}"))
    };
    Ok((name, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_an_action_on_a_named_thing() {
        for (text, shown) in [
            ("update=shop.orders", Some("update on shop.orders []")),
            ("select=table:shop.orders#pii#x", Some("select on shop.orders [pii, x]")),
            ("reveal=shop.people.email", Some("reveal on column shop.people.email []")),
            ("call=function:shop.f", Some("call on function shop.f []")),
            ("configure=setting:a.b", Some("configure on setting a.b []")),
            ("create=schema:shop", Some("create on schema shop []")),
            ("program", Some("program on the target []")),
            ("updat=shop.orders", None),
            ("update=orders", None),
            ("update=view:shop.orders", None),
        ] {
            let read = effect(text).ok().map(|e| {
                let tags: Vec<String> = e.tags.iter().map(ToString::to_string).collect();
                format!("{} on {} [{}]", e.action.as_str(), e.resource, tags.join(", "))
            });
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_test_says_what_it_expected() {
        let policies = load(&policy::starter()).expect("policies");
        let case = |expect: &str, by: Option<&str>| Case {
            name: "n".to_owned(),
            principal: "agent:bot".to_owned(),
            groups: Vec::new(),
            target: "orders".to_owned(),
            target_tags: Vec::new(),
            without_where: false,
            approved: Vec::new(),
            effects: vec!["update=shop.orders".to_owned()],
            expect: expect.to_owned(),
            by: by.map(|id| BTreeSet::from([id.to_owned()])),
        };
        for (expect, by, right) in [
            ("hold", None, true),
            ("hold", Some("starter-writes-held"), true),
            ("hold", Some("starter-writes"), false),
            ("allow", None, false),
        ] {
            let (_, problem) = check(&policies, case(expect, by)).expect("asked");
            assert_eq!(problem.is_none(), right, "{expect} {by:?}: {problem:?}");
        }
    }
}
