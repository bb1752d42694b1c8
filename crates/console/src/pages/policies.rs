//! Policies: read, changed, asked, and who changed what. A change is checked as it is everywhere, and saved with a passkey.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::cases;
use gateway::configure::{Configuration, PolicyFile};
use gateway::desk::{Checked, PolicyEdit};
use gateway::drafts::Changed;
use gateway::explain::{Answer, Asked, Asker, Explained};
use gateway::presence::Act;
use gateway::requests::AdminError;
use gateway::state::Former;
use maud::{Markup, html};
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::frame::{self, Page};
use super::presence::{fields, of_passkey, passkey_hint, question};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, diff, drafts, health, outcomes, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// So many versions are listed.
const MOST: usize = 50;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/policies", Right::SeePolicies, get(page))
        .page("/policies/files/{*name}", Right::SeePolicies, get(file))
        .page("/policies/new", Right::ChangePolicies, get(new))
        .page("/policies/check", Right::ChangePolicies, post(check))
        .page("/policies/question", Right::ChangePolicies, post(ask))
        .page("/policies/save", Right::ChangePolicies, post(save))
        .page("/policies/tests", Right::SeePolicies, post(run))
        .page("/policies/explain", Right::SeePolicies, get(asking).post(explain))
        .page("/policies/history", Right::SeePolicies, get(history))
        .page("/policies/history/{version}", Right::SeePolicies, get(version))
}

pub(super) fn places(at: &str) -> Markup {
    html! {
        ul.tabs aria-label="Policies" {
            @for (path, says) in [("/policies", "In force"), ("/policies/explain", "Why?"), ("/policies/history", "History"), (drafts::AT, "Changes")] {
                li { a href=(path) aria-current=[(path == at).then_some("page")] { (says) } }
            }
        }
    }
}

async fn page(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    all(&pages, &visitor, &html! {}).await
}

/// Runs the tests of what is in force.
async fn run(State(pages): Here, Submitted { visitor, .. }: Submitted) -> Result<Html<String>, Problem> {
    let tests = pages.gateway.run_tests_for(visitor.guest()).await?;
    all(&pages, &visitor, &outcomes::of(&tests)).await
}

async fn all(pages: &Pages, visitor: &Visitor, says: &Markup) -> Result<Html<String>, Problem> {
    let (_, configured) = pages.gateway.configured().await?;
    let may = pages.gateway.may(visitor.guest(), Right::ChangePolicies);
    let version = pages.gateway.status().await.policies;
    let body = html! {
        main #main {
            div.head { h1 { "Policies" } p.count { "version " code { (words::visible(&health::short(&version))) } } }
            (places("/policies"))
            div #result { (says) }
            @if configured.policies.is_empty() {
                section.panel {
                    h2 { "There is no policy, so nothing is allowed" }
                    p { "A policy permits or forbids actions on targets, tables and columns, in Cedar; one with approvers holds a statement until people have said yes. The starter policies are a good beginning: " code { "durward up" } " puts them in force." }
                }
            }
            ul.cards {
                @for PolicyFile { name, text } in &configured.policies {
                    li.card {
                        a.cover href={ "/policies/files/" (words::encoded(name)) } { strong { (words::visible(name)) } }
                        p.foot { @for id in ids(text) { span { (words::visible(id)) } } }
                    }
                }
            }
            @if may { p { a.button href="/policies/new" { "Write a new file" } } }
            section.panel aria-labelledby="tests" {
                h2 #tests { "Tests" }
                @if configured.tests.is_empty() {
                    p { "There are none yet. A test is a question with the verdict that it must have; they stand beside a file of policies, and are run before a change of it is saved." }
                } @else {
                    ul.rows {
                        @for PolicyFile { name, text } in &configured.tests {
                            li.split { a href={ "/policies/files/" (words::encoded(name)) } { (words::visible(name)) } span.count { (outcomes::count(name, text)) } }
                        }
                    }
                    form method="post" action="/policies/tests" {
                        input type="hidden" name="csrf" value=(visitor.csrf());
                        button type="submit" { "Run the tests" }
                    }
                }
            }
        }
    };
    Ok(frame::page(pages, visitor, Page { title: "Policies", at: "/policies", body, live: None }))
}

/// The names of a file's policies, as far as they are seen without parsing it.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split("@id(\"").skip(1).filter_map(|rest| rest.split('"').next())
}

// ---------------------------------------------------------------------- one file

async fn file(
    State(pages): Here,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Html<String>, Problem> {
    let (seen, configured) = pages.gateway.configured().await?;
    let gone = || {
        Problem::from(AdminError::Missing(format!("file of policies \"{name}\"")))
            .with_onward("Policies", "/policies")
    };
    let text = Some(text_of(&configured, &name).ok_or_else(gone)?.to_owned());
    let tests = (!cases::is_one(&name)).then(|| beside(&configured, &name));
    let edit = PolicyEdit { seen, name, text, tests, anyway: false };
    Ok(editing(&pages, &visitor, &edit, false, &html! {}))
}

async fn new(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let (seen, _) = pages.gateway.configured().await?;
    let example = "@id(\"reads\")\npermit (principal, action in Action::\"read\", resource);\n";
    let (text, tests) = (Some(example.to_owned()), Some(String::new()));
    let edit = PolicyEdit { seen, name: String::new(), text, tests, anyway: false };
    Ok(editing(&pages, &visitor, &edit, true, &html! {}))
}

/// A file of policies or of tests.
fn text_of<'c>(configured: &'c Configuration, name: &str) -> Option<&'c str> {
    let mut all = configured.policies.iter().chain(&configured.tests);
    all.find(|file| file.name == name).map(|file| file.text.as_str())
}

/// The tests of a file of policies.
fn beside(configured: &Configuration, name: &str) -> String {
    text_of(configured, &cases::beside(name)).unwrap_or_default().to_owned()
}

const A_TEST: &str = "[[case]]
name = \"agents read orders\"
principal = \"agent:claude\"
target = \"orders\"
effects = [\"select=public.orders\"]
expect = \"allow\"";

/// The form of one file, with what was found in it.
fn editing(pages: &Pages, visitor: &Visitor, edit: &PolicyEdit, is_new: bool, says: &Markup) -> Html<String> {
    failing(pages, visitor, (edit, is_new), says, false)
}

/// The same; where tests fail, it can be said that it is wanted all the same.
fn failing(
    pages: &Pages,
    visitor: &Visitor,
    (edit, is_new): (&PolicyEdit, bool),
    says: &Markup,
    anyway: bool,
) -> Html<String> {
    let may = pages.gateway.may(visitor.guest(), Right::ChangePolicies);
    let text = edit.text.as_deref().unwrap_or_default();
    let title = if is_new { "A new file" } else { &edit.name };
    let is_tests = cases::is_one(&edit.name);
    let body = html! {
        main #main {
            p.back { a href="/policies" { "← Policies" } }
            div.head { h1 { (words::visible(title)) } }
            div #result { (says) }
            @if may {
                form.stack.editor method="post" action="/policies/save" data-passkey="/policies/question" {
                    (fields(visitor))
                    input type="hidden" name="seen" value=(edit.seen);
                    @if is_new {
                        input type="hidden" name="new" value="yes";
                        label for="name" { "Its name" }
                        input #name name="name" type="text" maxlength="100" value=(edit.name) placeholder="reports.cedar" autocomplete="off" required;
                    } @else {
                        input type="hidden" name="name" value=(edit.name);
                    }
                    label for="text" { @if is_tests { "Tests, in TOML" } @else { "Policies, in Cedar" } }
                    textarea.code #text name="text" rows="22" spellcheck="false" autocapitalize="off" autocomplete="off" { "\n" (text) }
                    @if let Some(tests) = edit.tests.as_ref().filter(|_| !is_tests) {
                        input type="hidden" name="with_tests" value="yes";
                        details open[!tests.is_empty()] {
                            summary { "Its tests" }
                            label for="tests" { "Tests, in TOML" }
                            textarea.code #tests name="tests" rows="10" spellcheck="false" autocapitalize="off" autocomplete="off" placeholder=(A_TEST) { "\n" (tests) }
                        }
                    }
                    @if anyway {
                        label.check { input type="checkbox" name="anyway" value="yes" checked[edit.anyway]; " I have seen which tests fail, and want it saved all the same" }
                    }
                    div.buttons {
                        button type="submit" formaction="/policies/check" { "Check" }
                        button.primary type="submit" data-presence { "Save" span.by { " with your passkey" } }
                    }
                    p.problem role="alert" hidden {}
                    (drafts::hint(pages, visitor, Right::ChangePolicies))
                    (passkey_hint())
                }
                @if !is_new {
                    details.panel {
                        summary { @if is_tests { "Remove these tests …" } @else { "Remove this file, and its tests …" } }
                        form.stack method="post" action="/policies/save" data-passkey="/policies/question" {
                            (fields(visitor))
                            input type="hidden" name="seen" value=(edit.seen);
                            input type="hidden" name="name" value=(edit.name);
                            input type="hidden" name="remove" value="yes";
                            button.danger type="submit" data-presence { "Remove it with your passkey" }
                            p.problem role="alert" hidden {}
                        }
                    }
                }
            } @else {
                pre.code tabindex="0" aria-label="Policies" { code { (words::visible_lines(text)) } }
            }
            p.hint { "Where the gateway takes its policies from files, those are read again when they change, and replace what is saved here." }
        }
    };
    frame::page(pages, visitor, Page { title, at: "/policies", body, live: None })
}

fn edit(form: &Form) -> PolicyEdit {
    let text = form.text("text").replace("\r\n", "\n");
    PolicyEdit {
        seen: form.text("seen").parse().unwrap_or(-1),
        name: form.text("name").trim().to_owned(),
        text: form.text("remove").is_empty().then_some(text),
        tests: (!form.text("with_tests").is_empty()).then(|| form.text("tests").replace("\r\n", "\n")),
        anyway: !form.text("anyway").is_empty(),
    }
}

/// Each problem with its place, so that it can be found.
fn problems(says: &str) -> Markup {
    html! {
        div.problem role="alert" {
            strong { "Not valid; nothing was changed:" }
            ul { @for line in says.lines() { li { (words::visible(line)) } } }
        }
    }
}

async fn check(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Html<String>, Problem> {
    let edit = edit(&form);
    let is_new = !form.text("new").is_empty();
    looked_at(&pages, &visitor, &edit, is_new).await
}

/// What a change would come to, line by line, and what the tests would say.
async fn looked_at(
    pages: &Pages,
    visitor: &Visitor,
    edit: &PolicyEdit,
    is_new: bool,
) -> Result<Html<String>, Problem> {
    let mut fail = false;
    let says = match pages.gateway.check_policy_for(visitor.guest(), edit).await {
        Ok(Checked { applied, tests }) => {
            fail = cases::failing(&tests).next().is_some();
            html! {
                div.notice.good role="status" {
                    strong { "Valid." } " "
                    @if applied.changes.is_empty() { "It changes nothing." }
                    @else { "Saved, it would change: " ul { @for change in &applied.changes { li { (words::visible(change)) } } } }
                }
                (outcomes::of(&tests))
            }
        }
        Err(AdminError::Refused(says)) => problems(&says),
        Err(error) => return Err(error.into()),
    };
    let (_, configured) = pages.gateway.configured().await?;
    let before = text_of(&configured, &edit.name).unwrap_or_default();
    let says = html! {
        (says)
        (diff::lines(before, edit.text.as_deref().unwrap_or_default()))
        @if let Some(tests) = &edit.tests { (diff::lines(&beside(&configured, &edit.name), tests)) }
    };
    Ok(failing(pages, visitor, (edit, is_new), &says, fail))
}

async fn ask(State(pages): Here, sent: Submitted) -> Response {
    let edit = edit(&sent.form);
    let guest = sent.visitor.guest();
    // What is not valid is said before anybody is asked for a passkey.
    match pages.gateway.check_policy_for(guest, &edit).await {
        Ok(checked) => {
            if let Some(why) = edit.failing(&checked.tests) {
                return question(Err(AdminError::Refused(why)));
            }
        }
        Err(error) => return question(Err(error)),
    }
    question(pages.gateway.ask_to_sign(&pages.place, Act::policy(&edit), Some(guest)).await)
}

async fn save(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let edit = edit(&form);
    let proof = of_passkey(&pages, &visitor, &form, Act::policy(&edit)).await?;
    match pages.gateway.change_policy_for(visitor.guest(), &edit, Some(proof)).await {
        Ok(Changed::Now(_)) => Ok(Redirect::to("/policies/history").into_response()),
        Ok(Changed::Waits(id)) => Ok(Redirect::to(&drafts::path(&id)).into_response()),
        Err(AdminError::Refused(says)) if edit.text.is_some() => {
            let is_new = !form.text("new").is_empty();
            let page = match pages.gateway.check_policy_for(visitor.guest(), &edit).await {
                // Its tests are why.
                Ok(checked) if cases::failing(&checked.tests).next().is_some() && !edit.anyway => {
                    looked_at(&pages, &visitor, &edit, is_new).await?
                }
                Ok(_) | Err(_) => editing(&pages, &visitor, &edit, is_new, &problems(&says)),
            };
            Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(Problem::from(error).with_onward("Policies", "/policies")),
    }
}

// ---------------------------------------------------------------------- why?

#[derive(Deserialize, Default)]
#[serde(default)]
struct Question {
    principal: String,
    groups: String,
    on_behalf_of: String,
    target: String,
    statement: String,
}

impl Question {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).trim().to_owned();
        Self {
            principal: text("principal"),
            groups: text("groups"),
            on_behalf_of: text("on_behalf_of"),
            target: text("target"),
            statement: text("statement"),
        }
    }

    fn asked(&self) -> Asked {
        let list = |text: &str| {
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let who = Asker {
            principal: self.principal.clone(),
            groups: list(&self.groups),
            on_behalf_of: list(&self.on_behalf_of),
            target: self.target.clone(),
            target_tags: Default::default(),
            approved: Default::default(),
        };
        Asked { who, statement: self.statement.clone(), policies: None }
    }
}

async fn asking(
    State(pages): Here,
    visitor: Visitor,
    Query(asked): Query<Question>,
) -> Result<Html<String>, Problem> {
    why(&pages, &visitor, &asked, &html! {}).await
}

async fn explain(
    State(pages): Here,
    Submitted { visitor, form }: Submitted,
) -> Result<Html<String>, Problem> {
    let asked = Question::of(&form);
    let says = match pages.gateway.explain_for(visitor.guest(), &asked.asked()).await {
        Ok(explained) => answer(&explained),
        Err(AdminError::State(error)) => return Err(AdminError::State(error).into()),
        Err(error) => html! { p.problem role="alert" { (frame::sentence(&error.to_string())) } },
    };
    why(&pages, &visitor, &asked, &says).await
}

async fn why(
    pages: &Pages,
    visitor: &Visitor,
    asked: &Question,
    says: &Markup,
) -> Result<Html<String>, Problem> {
    let (_, configured) = pages.gateway.configured().await?;
    let body = html! {
        main #main {
            div.head { h1 { "Why?" } p.count { "what a statement would come to; nothing of it is sent" } }
            (places("/policies/explain"))
            div #result { (says) }
            form.stack.panel method="post" action="/policies/explain" {
                input type="hidden" name="csrf" value=(visitor.csrf());
                label for="principal" { "Who asks" }
                input #principal name="principal" type="text" value=(asked.principal) placeholder="agent:claude" autocomplete="off" required;
                label for="target" { "On which target" }
                select #target name="target" { @for target in &configured.targets { option value=(target.name) selected[target.name == asked.target] { (words::visible(&target.name)) } } }
                label for="statement" { "The statement" }
                textarea.code #statement name="statement" rows="4" spellcheck="false" autocapitalize="off" required { (asked.statement) }
                p.hint { "The journal keeps no values: in statements from there, NULL stands in their place." }
                details open[!asked.groups.is_empty() || !asked.on_behalf_of.is_empty()] {
                    summary { "Groups, and for whom" }
                    label for="groups" { "Groups, with commas between" }
                    input #groups name="groups" type="text" value=(asked.groups) autocomplete="off";
                    label for="on_behalf_of" { "Acts for" }
                    input #on_behalf_of name="on_behalf_of" type="text" value=(asked.on_behalf_of) placeholder="user:alice" autocomplete="off";
                }
                button.primary type="submit" { "Ask" }
            }
        }
    };
    Ok(frame::page(pages, visitor, Page { title: "Why?", at: "/policies", body, live: None }))
}

fn verdict(answer: &Answer) -> Markup {
    let (class, says) = match answer.verdict.as_str() {
        "allow" => ("chip good", "allowed"),
        "hold" => ("chip wait", "held"),
        "deny" => ("chip bad", "refused"),
        other => ("chip", other),
    };
    html! { span class=(class) { (says) } }
}

fn by(answer: &Answer) -> Markup {
    html! { "by " @if answer.policies.is_empty() { "no policy" } @else { strong { (words::visible(&answer.policies.join(", "))) } } }
}

fn answer(explained: &Explained) -> Markup {
    let Explained { statement, answer, effects, masked, cut } = explained;
    html! {
        section.panel role="status" {
            p.line-of { (verdict(answer)) span { (by(answer)) } }
            @if let Some(reason) = &answer.reason { p { (frame::sentence(reason)) } }
            @if let Some(hint) = &answer.hint { p.hint { (frame::sentence(hint)) } }
            @if let Some(statement) = statement { pre.sql { code { (words::statement(statement)) } } }
            ul.rows {
                @for part in effects {
                    li.split { span { (words::visible(&words::effect(&part.effect).0)) } span.foot { (verdict(&part.answer)) span { (by(&part.answer)) } } }
                }
            }
            @if !masked.is_empty() { p { "Masked in its result: " (words::visible(&masked.join(", "))) } }
            @if let Some(cut) = cut { p.problem { "Its result would not come: " (words::visible(cut)) } }
        }
    }
}

// ---------------------------------------------------------------------- history

/// Versions whose policies differ from those before, the newest first, with those before.
fn changed(all: &[Former]) -> Vec<(&Former, Option<&Former>)> {
    let pairs = all.iter().enumerate().map(|(n, one)| (one, all.get(n + 1)));
    pairs
        .filter(|(one, before)| {
            before.is_none_or(|before| {
                before.configuration.policies != one.configuration.policies
                    || before.configuration.tests != one.configuration.tests
            })
        })
        .collect()
}

/// The files that differ, each with its text before and after.
fn files<'f>(one: &'f Former, before: Option<&'f Former>) -> Vec<(&'f str, &'f str, &'f str)> {
    let files = |of: &'f Configuration| of.policies.iter().chain(&of.tests).collect::<Vec<&'f PolicyFile>>();
    let old = before.map(|before| files(&before.configuration)).unwrap_or_default();
    let new = files(&one.configuration);
    let text = |all: &[&'f PolicyFile], name: &str| {
        all.iter().find(|f| f.name == name).map_or("", |f| f.text.as_str())
    };
    let mut names: Vec<&str> = old.iter().chain(&new).map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let all = names.into_iter().map(|name| (name, text(&old, name), text(&new, name)));
    all.filter(|(_, before, after)| before != after).collect()
}

async fn history(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let all = pages.gateway.former().await?;
    let changed = changed(&all);
    let body = html! {
        main #main {
            div.head { h1 { "History of policies" } }
            (places("/policies/history"))
            @if changed.is_empty() { section.panel { p { "Nothing was changed yet. Each change stays here with who made it, and with what was there before." } } }
            ul.cards {
                @for (one, before) in changed.iter().take(MOST) {
                    li.card {
                        a.cover href={ "/policies/history/" (one.version) } { strong { "Version " (one.version) } }
                        p { (words::visible(&files(one, *before).iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(", "))) }
                        p.foot { span { "by " (words::visible(&one.by)) } span { (words::moment(one.at)) } }
                    }
                }
            }
        }
    };
    Ok(frame::page(
        &pages,
        &visitor,
        Page { title: "History of policies", at: "/policies", body, live: None },
    ))
}

async fn version(
    State(pages): Here,
    visitor: Visitor,
    Path(version): Path<i64>,
) -> Result<Html<String>, Problem> {
    let all = pages.gateway.former().await?;
    let at = all.iter().position(|one| one.version == version);
    let gone = || {
        Problem::from(AdminError::Missing(format!("version {version}")))
            .with_onward("History", "/policies/history")
    };
    let one = at.and_then(|at| all.get(at)).ok_or_else(gone)?;
    let before = at.and_then(|at| all.get(at + 1));
    let title = format!("Version {version}");
    let body = html! {
        main #main {
            p.back { a href="/policies/history" { "← History" } }
            div.head { h1 { (title) } p.count { "by " (words::visible(&one.by)) ", " (words::moment(one.at)) } }
            @for (name, before, after) in files(one, before) {
                section.panel { h2 { (words::visible(name)) } (diff::lines(before, after)) }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/policies", body, live: None }))
}
