//! `durward policy`: check, test and explain. Effects are decided here, by policies alone; statements are understood by a
//! target's own catalogue, which a gateway reads.

mod ask;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::cases::{self, Asks, Case, Tests};
use gateway::configure::PolicyFile;
use gateway::explain::{Answer, Asked, Asker, Explained};
use policy::{Policies, Source};
use serde_json::json;

use self::ask::Oracle;
use crate::args::{Place, Policy};
use crate::client::Client;
use crate::exit::Fault;
use crate::files;
use crate::show::{self, say};

pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, command: Policy) -> anyhow::Result<()> {
    match command {
        Policy::Check { paths } => {
            let sources = files::policies(&paths)?;
            let policies = load(&sources)?;
            Ok(say(format_args!("{} are valid; version {}.", files_of(sources.len()), policies.version()))?)
        }
        Policy::Test { directory, place, json } => test(client, &directory, &place, json),
        Policy::Explain {
            paths,
            principal,
            groups,
            on_behalf_of,
            target,
            target_tags,
            without_where,
            approved,
            questions,
            place,
            json,
        } => {
            let who = Asker {
                principal,
                groups,
                on_behalf_of,
                target,
                target_tags: target_tags.into_iter().collect(),
                approved: approved.into_iter().collect(),
            };
            let effects = questions.iter().filter(|q| cases::looks_like_an_effect(q)).count();
            let explained = if effects == questions.len() {
                vec![of_effects(client, &paths, who, without_where, &questions, &place)?]
            } else if effects > 0 {
                let why = "effects (update=shop.orders) and statements cannot be asked about together";
                return Err(Fault::Invalid(why.to_owned()).into());
            } else if without_where {
                let why =
                    "--without-where is for effects: a statement says itself whether it has a condition";
                return Err(Fault::Invalid(why.to_owned()).into());
            } else {
                of_statements(client, &paths, &who, questions, &place)?
            };
            if json { print_json(&explained) } else { explained.iter().try_for_each(print) }
        }
    }
}

fn files_of(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn load(sources: &[Source]) -> anyhow::Result<Policies> {
    let lines =
        |all: Vec<policy::Problem>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Policies::load(sources).map_err(|problems| Fault::Invalid(lines(problems)).into())
}

// ---------------------------------------------------------------------- effects

/// Policies in files are asked without any gateway.
fn of_effects(
    client: impl Fn() -> anyhow::Result<Client>,
    paths: &[PathBuf],
    mut who: Asker,
    without_where: bool,
    questions: &[String],
    place: &Place,
) -> anyhow::Result<Explained> {
    if !paths.is_empty() {
        return decided(&load(&files::policies(paths)?)?, &who, questions, without_where);
    }
    let configured = Oracle::find(client, place)?.configuration()?;
    let target = configured.targets.iter().find(|t| t.name == who.target);
    let target = target.ok_or_else(|| Fault::Missing(format!("there is no target \"{}\"", who.target)))?;
    who.target_tags.extend(target.tags.iter().cloned());
    let principal = who.principal().map_err(|error| Fault::Invalid(error.to_string()))?;
    let own = policy::identity::Groups::new(&configured.groups)
        .map_err(|_| Fault::Invalid("[[groups]]".to_owned()))?;
    who.groups.extend(own.of(&principal.id, &principal.groups).into_iter().map(str::to_owned));
    let sources: Vec<Source> =
        configured.policies.into_iter().map(|p| Source { name: p.name, text: p.text }).collect();
    decided(&load(&sources)?, &who, questions, without_where)
}

fn decided(
    policies: &Policies,
    who: &Asker,
    effects: &[String],
    without_where: bool,
) -> anyhow::Result<Explained> {
    let stated = cases::Stated { without_where, ..cases::Stated::default() };
    Ok(cases::decide(policies, who, effects, stated).map_err(Fault::Invalid)?)
}

// ---------------------------------------------------------------------- statements

fn of_statements(
    client: impl Fn() -> anyhow::Result<Client>,
    paths: &[PathBuf],
    who: &Asker,
    statements: Vec<String>,
    place: &Place,
) -> anyhow::Result<Vec<Explained>> {
    let policies = if paths.is_empty() { None } else { Some(checked(&files::policies(paths)?)?) };
    let oracle = Oracle::find(client, place)?;
    let ask = |statement| oracle.explain(&Asked { who: who.clone(), statement, policies: policies.clone() });
    statements.into_iter().map(ask).collect()
}

/// Policies as they are sent, once they are known to be valid.
fn checked(sources: &[Source]) -> anyhow::Result<Vec<PolicyFile>> {
    load(sources)?;
    Ok(sources.iter().map(|s| PolicyFile { name: s.name.clone(), text: s.text.clone() }).collect())
}

// ---------------------------------------------------------------------- what is printed

fn print_json(explained: &[Explained]) -> anyhow::Result<()> {
    match explained {
        [one] => Ok(show::json(&serde_json::to_value(one)?)?),
        all => Ok(show::json(&serde_json::to_value(all)?)?),
    }
}

fn by(answer: &Answer) -> String {
    if answer.policies.is_empty() { "no policy".to_owned() } else { answer.policies.join(", ") }
}

fn print(explained: &Explained) -> anyhow::Result<()> {
    let Explained { statement, answer, effects, masked, cut } = explained;
    if let Some(statement) = statement {
        say(show::lines(statement))?;
    }
    for part in effects {
        say(format_args!(
            "  {:<6} {} (by {})",
            part.answer.verdict,
            show::line(&part.effect),
            by(&part.answer)
        ))?;
    }
    say(format_args!("{} by {}", answer.verdict, by(answer)))?;
    for words in [&answer.reason, &answer.hint].into_iter().flatten() {
        say(format_args!("  {}", show::line(words)))?;
    }
    if !masked.is_empty() {
        say(format_args!("  masked in its result: {}", show::line(&masked.join(", "))))?;
    }
    if let Some(why) = cut {
        say(format_args!("  its result would not come: {}", show::line(why)))?;
    }
    Ok(())
}

// ---------------------------------------------------------------------- tests beside policies

fn test(
    client: impl Fn() -> anyhow::Result<Client>,
    directory: &Path,
    place: &Place,
    as_json: bool,
) -> anyhow::Result<()> {
    let sources = files::policies(&[directory.to_owned()])?;
    let (policies, sent) = (load(&sources)?, checked(&sources)?);
    // Only statements need a gateway.
    let mut oracle = None;
    let mut results = Vec::new();
    let (mut count, mut failed) = (0, 0);
    for file in files::all(directory, &["toml"])?.into_iter().filter(|f| files::is_test(f)) {
        let text = files::text(&file)?;
        let Tests { case } = cases::read(&file.display().to_string(), &text).map_err(Fault::Invalid)?;
        for one in case {
            let name = one.name.clone();
            let explain = |asked: &Asked| -> anyhow::Result<Explained> {
                if oracle.is_none() {
                    oracle = Some(Oracle::find(&client, place)?);
                }
                oracle.as_ref().context("nobody to ask")?.explain(asked)
            };
            let problem = check(&policies, &sent, &one, explain)
                .with_context(|| format!("{}: the test \"{name}\"", file.display()))?;
            count += 1;
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
    if count == 0 {
        let why = format!("{} has no tests: they are in files *.test.toml", directory.display());
        return Err(Fault::Missing(why).into());
    }
    if failed > 0 {
        return Err(Fault::Wrong(format!("{failed} of {count} tests of policies failed")).into());
    }
    Ok(())
}

/// What is wrong, if something is.
fn check(
    policies: &Policies,
    sent: &[PolicyFile],
    case: &Case,
    mut explain: impl FnMut(&Asked) -> anyhow::Result<Explained>,
) -> anyhow::Result<Option<String>> {
    let explained = match case.asks(sent).map_err(Fault::Invalid)? {
        Asks::Statement(asked) => explain(&asked)?,
        Asks::Effects => case.decided(policies).map_err(Fault::Invalid)?,
    };
    Ok(case.problem(&explained.answer))
}
