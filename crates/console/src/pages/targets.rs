//! Targets: how they are, how to connect to one, and adding one, which is looked at before it is taken.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::configure::{ColumnConfig, Password, TargetConfig};
use gateway::desk::Tried;
use gateway::doctor::{Check, Grade};
use gateway::drafts::Added;
use gateway::presence::Act;
use gateway::requests::AdminError;
use maud::{Markup, html};
use model::TargetName;
use policy::rights::Right;

use super::frame::{self, Page};
use super::health::contact_chip;
use super::presence::{fields, of_passkey, passkey_hint, question};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, drafts, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// So many columns are listed.
const MOST_COLUMNS: usize = 300;
const MODES: &[&str] = &["verify-full", "verify-ca", "require", "prefer", "disable"];

/// What makes a role that can do no more than policies could ever allow.
const ROLE: &str = "\
CREATE ROLE durward LOGIN PASSWORD 'only-the-gateway-knows';
GRANT CONNECT ON DATABASE shop TO durward;
GRANT USAGE ON SCHEMA public TO durward;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO durward;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO durward;
-- Only where policies will allow writes:
-- GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO durward;
-- GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO durward;";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/targets", Right::SeeTargets, get(page))
        .page("/targets/new", Right::ChangeTargets, get(new).post(add))
        .page("/targets/new/try", Right::ChangeTargets, post(look_first))
        .page("/targets/new/question", Right::ChangeTargets, post(ask))
        .page("/targets/{name}", Right::SeeTargets, get(one))
        .page("/targets/{name}/look", Right::SeeTargets, post(look))
        .page("/targets/{name}/propose", Right::ChangeTargets, post(propose))
}

async fn page(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let (_, configured) = pages.gateway.configured().await?;
    let health = pages.gateway.health().await;
    let sessions = pages.gateway.sessions().list();
    let may = pages.gateway.may(visitor.guest(), Right::ChangeTargets);
    let body = html! {
        main #main {
            div.head { h1 { "Targets" } @if may { a.button.primary href="/targets/new" { "Add a target" } } }
            @if configured.targets.is_empty() {
                section.panel {
                    h2 { "There is no target yet" }
                    p { "A target is a database that agents reach through the gateway alone. The gateway keeps its password; agents get tokens." }
                }
            }
            ul.cards {
                @for target in &configured.targets {
                    @let open = sessions.iter().filter(|live| live.target.as_str() == target.name).count();
                    @let is_frozen = pages.gateway.is_frozen(&TargetName::new(&target.name));
                    li.card {
                        a.cover href={ "/targets/" (words::encoded(&target.name)) } {
                            strong { (words::visible(&target.name)) }
                            span.for { " " (words::visible(&target.database)) " at " (words::visible(&target.host)) }
                        }
                        p.foot {
                            @if let Some(contact) = health.targets.get(&target.name) { (contact_chip(*contact)) }
                            @if is_frozen { span.chip.bad { "frozen" } }
                            @for tag in &target.tags { span.chip { (words::visible(tag)) } }
                            span { (open) @if open == 1 { " session" } @else { " sessions" } }
                            @let proposed = target.columns.values().filter(|column| column.proposed).count();
                            @if proposed > 0 { span { (proposed) " proposed tags to look at" } }
                        }
                    }
                }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Targets", at: "/targets", body, live: None }))
}

// ---------------------------------------------------------------------- one target

async fn one(
    State(pages): Here,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Html<String>, Problem> {
    shown(&pages, &visitor, &name, &html! {}).await
}

async fn shown(pages: &Pages, visitor: &Visitor, name: &str, says: &Markup) -> Result<Html<String>, Problem> {
    let (_, configured) = pages.gateway.configured().await?;
    let gone = || {
        Problem::from(AdminError::Missing(format!("target \"{name}\""))).with_onward("Targets", "/targets")
    };
    let target = configured.targets.iter().find(|target| target.name == name).ok_or_else(gone)?;
    let may = pages.gateway.may(visitor.guest(), Right::ChangeTargets);
    let path = format!("/targets/{}", words::encoded(name));
    let contact = pages.gateway.health().await.targets.get(name).copied();
    let body = html! {
        main #main {
            p.back { a href="/targets" { "← Targets" } }
            div.head { h1 { (words::visible(name)) } @if let Some(contact) = contact { p.count { (contact_chip(contact)) } } }
            dl.facts {
                div { dt { "At" } dd { (words::visible(&target.host)) ":" (target.port) } }
                div { dt { "Database" } dd { (words::visible(&target.database)) } }
                div { dt { "Logs in as" } dd { (words::visible(&target.user)) } }
                div { dt { "TLS" } dd { (words::visible(&target.sslmode)) } }
                @if !target.tags.is_empty() { div { dt { "Tags" } dd { @for tag in &target.tags { span.chip { (words::visible(tag)) } " " } } } }
            }
            div #result { (says) }
            div.row {
                form method="post" action={ (path) "/look" } {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    button type="submit" { "Look at it now" }
                }
                a.button href={ "/journal?target=" (words::encoded(name)) } { "Its journal" }
                a.button href={ "/sessions?target=" (words::encoded(name)) } { "Its sessions" }
            }
            (connecting(pages, visitor, name))
            (columns(visitor, target, may, &path))
        }
    };
    Ok(frame::page(pages, visitor, Page { title: name, at: "/targets", body, live: None }))
}

/// Lines to paste.
fn connecting(pages: &Pages, visitor: &Visitor, name: &str) -> Markup {
    let (host, port) = address(pages);
    let you = word(&visitor.guest().id().name);
    let elsewhere = elsewhere(pages, &host, port);
    let vars = format!("PGHOST={host}\nPGPORT={port}\nPGDATABASE={name}\nPGUSER=claude\nPGPASSWORD=TOKEN");
    let url = format!("postgres://claude:TOKEN@{host}:{port}/{name}");
    let json = format!(
        "\"terminal.integrated.env.linux\": {{\n  \"PGHOST\": \"{host}\", \"PGPORT\": \"{port}\", \"PGDATABASE\": \"{name}\",\n  \"PGUSER\": \"cursor\", \"PGPASSWORD\": \"TOKEN\"\n}}"
    );
    let block = |title: &str, says: &str, text: &str| {
        html! {
            details.paste {
                summary { (title) }
                p.hint { (says) }
                pre.copy { code { (words::visible_lines(text)) } }
            }
        }
    };
    html! {
        section.panel aria-labelledby="connect" {
            h2 #connect { "Connect to it" }
            p { "Through the gateway, with a token where a password goes. For an agent that acts for you:" }
            pre.copy { code { (elsewhere) "durward token issue agent:claude --for user:" (words::visible(&you)) " --target " (words::visible(name)) " --life 8h" } }
            (block("psql", "It reads these from its environment; then it needs no arguments.", &format!("export {}\npsql", vars.replace('\n', " "))))
            (block("DATABASE_URL", "For programs that take a URL.", &format!("export DATABASE_URL={url}")))
            (block("Claude Code", "The agent gets a token of its own with each connection, and none stays when it ends.",
                &format!("{elsewhere}durward run --agent claude --for {you} --target {name} -- claude")))
            (block("Cursor", "In its settings (JSON): what it runs in its terminal reaches the database through the gateway.", &json))
            (block("Devin", "As secrets of its machine; psql and every driver find them. Its machine must reach this address.", &vars))
        }
    }
}

/// As one word of a shell's: an issuer may call somebody whatever it likes.
fn word(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._@/+-".contains(c));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// What tells the command line where this gateway is, where it is not where it looks by itself.
fn elsewhere(pages: &Pages, host: &str, port: u16) -> String {
    let origin = &pages.place.origin;
    let mut said = String::new();
    if !pages.is_encrypted() && !origin.ends_with(":7300") {
        said.push_str(&format!("DURWARD_GATEWAY={origin} "));
    }
    if port != 7432 {
        said.push_str(&format!("DURWARD_POSTGRES={host}:{port} "));
    }
    said
}

/// Where clients connect to.
fn address(pages: &Pages) -> (String, u16) {
    let port = pages.clients.map_or(7432, |address| address.port());
    if pages.is_encrypted() {
        return (pages.place.host.clone(), port);
    }
    let here = pages.clients.map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    (here.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string()), port)
}

fn columns(visitor: &Visitor, target: &TargetConfig, may: bool, path: &str) -> Markup {
    html! {
        section.panel aria-labelledby="columns" {
            h2 #columns { "Columns with tags" }
            @if target.columns.is_empty() { p { "None. Columns with personal data or secrets come masked where they have a tag." } }
            div.scroll tabindex="0" role="region" aria-label="Columns with tags" {
                @if !target.columns.is_empty() {
                    table.result {
                        thead { tr { th scope="col" { "Column" } th scope="col" { "Tags" } th scope="col" { "From" } } }
                        tbody {
                            @for (name, ColumnConfig { tags, strategy, proposed }) in target.columns.iter().take(MOST_COLUMNS) {
                                tr {
                                    td { (words::visible(name)) }
                                    td { @if tags.is_empty() { em { "cleared" } } @for tag in tags { (words::visible(tag)) " " } @if let Some(how) = strategy { span.kind { (words::visible(how)) } } }
                                    td { @if *proposed { "proposed" } @else { "configured" } }
                                }
                            }
                        }
                    }
                }
            }
            @if target.columns.len() > MOST_COLUMNS { p.hint { "The first " (MOST_COLUMNS) " of " (target.columns.len()) " are shown." } }
            @if may {
                form method="post" action={ (path) "/propose" } {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    button type="submit" { "Look for more" }
                    p.hint { "By the names and types of columns. What is proposed is masked at once, until somebody clears it." }
                }
            }
        }
    }
}

async fn look(
    State(pages): Here,
    Path(name): Path<String>,
    Submitted { visitor, .. }: Submitted,
) -> Result<Html<String>, Problem> {
    let checks = pages.gateway.doctor(&TargetName::new(name.as_str())).await.unwrap_or_default();
    shown(&pages, &visitor, &name, &found(&checks)).await
}

async fn propose(
    State(pages): Here,
    Path(name): Path<String>,
    Submitted { visitor, .. }: Submitted,
) -> Result<Html<String>, Problem> {
    let by = visitor.guest().id().to_string();
    let proposed = pages.gateway.propose(&TargetName::new(name.as_str()), &by).await;
    let says = match proposed {
        Ok(none) if none.is_empty() => {
            html! { p.notice role="status" { "No more columns look like personal data or secrets." } }
        }
        Ok(columns) => {
            html! { div.notice role="status" { "Masked from now on: " ul { @for column in &columns { li { (words::visible(column)) } } } } }
        }
        Err(error) => html! { p.problem role="alert" { (frame::sentence(&error.to_string())) } },
    };
    shown(&pages, &visitor, &name, &says).await
}

/// What was found at a target.
fn found(checks: &[Check]) -> Markup {
    html! {
        section.panel aria-labelledby="checks" aria-live="polite" {
            h2 #checks { "What was found" }
            ul.rows {
                @for Check { what, grade, says, mend, advice } in checks {
                    li {
                        p.line-of {
                            @match grade {
                                Grade::Good => { span.chip.good { "good" } }
                                Grade::Warning => { span.chip.wait { "could be better" } }
                                Grade::Bad => { span.chip.bad { "to mend" } }
                            }
                            strong { (what) }
                        }
                        p { (frame::sentence(says)) }
                        @if let Some(advice) = advice { p.hint { (frame::sentence(advice)) } }
                        @if let Some(mend) = mend { pre.copy { code { (words::visible_lines(mend)) } } }
                    }
                }
            }
        }
    }
}

// ---------------------------------------------------------------------- adding one

/// What was typed; its password goes in and never comes out again.
#[derive(Default)]
struct Typed {
    name: String,
    host: String,
    port: String,
    user: String,
    database: String,
    sslmode: String,
    tags: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).trim().to_owned();
        Self {
            name: text("name"),
            host: text("host"),
            port: text("port"),
            user: text("user"),
            database: text("database"),
            sslmode: text("sslmode"),
            tags: text("tags"),
        }
    }

    fn wanted(&self, form: &Form) -> Result<TargetConfig, AdminError> {
        let port = if self.port.is_empty() { Ok(5432) } else { self.port.parse() };
        let wrong =
            |_| AdminError::Refused(format!("\"{}\" is no port: it is a number up to 65535", self.port));
        let password = form.text("password");
        let tags = self.tags.split([',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned);
        Ok(TargetConfig {
            name: self.name.clone(),
            host: self.host.clone(),
            port: port.map_err(wrong)?,
            user: self.user.clone(),
            database: self.database.clone(),
            password: (!password.is_empty()).then(|| Password::new(password.to_owned())),
            credential: None,
            sslmode: self.sslmode.clone(),
            sslrootcert: None,
            direct_tls: false,
            require_channel_binding: false,
            read_only: Default::default(),
            freshness: Default::default(),
            tags: tags.collect(),
            columns: Default::default(),
            functions: Default::default(),
        })
    }
}

async fn new(State(pages): Here, visitor: Visitor) -> Html<String> {
    let typed = Typed { port: "5432".to_owned(), sslmode: "verify-full".to_owned(), ..Typed::default() };
    adding(&pages, &visitor, &typed, &html! {})
}

fn adding(pages: &Pages, visitor: &Visitor, typed: &Typed, says: &Markup) -> Html<String> {
    let field = |name: &str, says: &str, value: &str, like: &str, needed: bool| {
        html! {
            label for=(name) { (says) }
            input id=(name) name=(name) type="text" value=(value) placeholder=(like) autocomplete="off" autocapitalize="off" spellcheck="false" required[needed];
        }
    };
    let body = html! {
        main #main {
            p.back { a href="/targets" { "← Targets" } }
            div.head { h1 { "Add a target" } }
            div #result { (says) }
            section.panel aria-labelledby="role" {
                h2 #role { "First, a role for the gateway" }
                p { "It should be able to do no more than policies will ever allow. In the database, with your own names:" }
                pre.copy { code { (ROLE) } }
            }
            form.stack.panel method="post" action="/targets/new" data-passkey="/targets/new/question" {
                h2 { "Then, where it is" }
                (fields(visitor))
                (field("name", "Its name, which clients give as the database", &typed.name, "shop", true))
                (field("host", "Host, address, or the directory of a socket", &typed.host, "db.example.com", true))
                (field("port", "Port", &typed.port, "5432", true))
                (field("database", "Database", &typed.database, "shop", true))
                (field("user", "Role that the gateway logs in as", &typed.user, "durward", true))
                label for="password" { "Its password" }
                input #password name="password" type="password" autocomplete="new-password";
                label for="sslmode" { "How its TLS is judged" }
                select #sslmode name="sslmode" { @for mode in MODES { option value=(mode) selected[*mode == typed.sslmode] { (mode) } } }
                (field("tags", "Tags for policies, with commas between", &typed.tags, "production", false))
                div.buttons {
                    button type="submit" formaction="/targets/new/try" { "Test" }
                    button.primary type="submit" data-presence { "Add it" span.by { " with your passkey" } }
                }
                p.problem role="alert" hidden {}
                (drafts::hint(pages, visitor, Right::ChangeTargets))
                p.hint { "It is tested before it is added, and columns that look like personal data or secrets are masked from the first moment." }
                (passkey_hint())
            }
        }
    };
    frame::page(pages, visitor, Page { title: "Add a target", at: "/targets", body, live: None })
}

/// What a look at it brought.
pub(super) fn tried(tried: &Tried) -> Markup {
    html! {
        @if !tried.is_usable() { p.problem role="alert" { "It was not added: the gateway cannot use it as it is." } }
        (found(&tried.checks))
        @if !tried.columns.is_empty() {
            section.panel aria-labelledby="proposed" {
                h2 #proposed { "Columns that would be masked" }
                ul.rows { @for (column, tag) in tried.columns.iter().take(MOST_COLUMNS) { li.split { span { (words::visible(column)) } span.chip { (words::visible(tag)) } } } }
            }
        }
    }
}

async fn look_first(
    State(pages): Here,
    Submitted { visitor, form }: Submitted,
) -> Result<Html<String>, Problem> {
    let typed = Typed::of(&form);
    let looked = match typed.wanted(&form) {
        Ok(wanted) => pages.gateway.try_target_for(visitor.guest(), &wanted).await,
        Err(error) => Err(error),
    };
    let says = match looked {
        Ok(looked) => html! { (tried(&looked)) p.hint { "Type its password again to add it." } },
        Err(AdminError::Refused(says)) => html! { p.problem role="alert" { (frame::sentence(&says)) } },
        Err(error) => return Err(error.into()),
    };
    Ok(adding(&pages, &visitor, &typed, &says))
}

async fn ask(State(pages): Here, sent: Submitted) -> Response {
    let asked = match Typed::of(&sent.form).wanted(&sent.form) {
        Ok(wanted) => {
            pages.gateway.ask_to_sign(&pages.place, Act::target(&wanted), Some(sent.visitor.guest())).await
        }
        Err(error) => Err(error),
    };
    question(asked)
}

async fn add(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let typed = Typed::of(&form);
    let wanted = typed.wanted(&form)?;
    let name = wanted.name.clone();
    let proof = of_passkey(&pages, &visitor, &form, Act::target(&wanted)).await?;
    let says = match pages.gateway.add_target_for(visitor.guest(), wanted, Some(proof)).await {
        Ok(Added { waits: Some(id), .. }) => return Ok(Redirect::to(&drafts::path(&id)).into_response()),
        Ok(added) if added.tried.is_usable() => {
            return Ok(Redirect::to(&format!("/targets/{}", words::encoded(&name))).into_response());
        }
        Ok(Added { tried: looked, waits: None }) => tried(&looked),
        Err(AdminError::Refused(says)) => html! { p.problem role="alert" { (frame::sentence(&says)) } },
        Err(error) => return Err(error.into()),
    };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, adding(&pages, &visitor, &typed, &says)).into_response())
}
