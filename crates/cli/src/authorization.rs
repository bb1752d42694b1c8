//! `[agents.authorization]` in `durward.toml`: clients that speak MCP sign people in at the console.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gateway::authorization::Settings as Server;
use policy::oauth::{Client, DocumentAddress, Known, Redirect};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Agents, Settings};
use crate::exit::Fault;
use crate::typed::Time;

/// What a person said yes to lasts so long where nobody says how long.
const USUAL: Duration = Duration::from_secs(8 * 3600);
/// And so long at most.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Encrypted, or on the browser's own machine.
const REDIRECT: &str =
    r"^(https://[^@#\\\s]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?([/?][^#\\\s]*)?)$";
const ID: &str = r"^([A-Za-z0-9][A-Za-z0-9.-]{0,62}|https://[^/@#?\\\s]+/[^@#\\\s]*)$";

/// Programs that many have, by the addresses of their documents, and what those say: they are answered on the machine of their person
/// alone. A gateway without a way to these hosts knows them all the same.
const WIDESPREAD: [(&str, &str); 2] = [
    ("Claude Code", "https://claude.ai/oauth/claude-code-client-metadata"),
    ("Codex", "https://chatgpt.com/oauth/codex/client.json"),
];

/// How clients get tokens, before files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationSettings {
    session: Duration,
    registration: bool,
    clients: Vec<Client>,
    anywhere: BTreeSet<String>,
    authorities: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedAuthorization {
    /// How long a client goes on after somebody has let it in; `8h` where it is not given, 30 days at most.
    #[schemars(with = "Option<Time>")]
    session: Option<Session>,
    /// Whether clients that nobody vouches for may register themselves; `false` where it is not given.
    #[serde(default)]
    registration: bool,
    /// Clients that are known beforehand.
    #[serde(default)]
    clients: Vec<TypedClient>,
    /// Hosts whose documents of clients may be fetched although they are at private addresses. No others are.
    #[serde(default)]
    documents_at_private_hosts: BTreeSet<String>,
    /// A file with authorities in PEM that are trusted for such documents, beside the system's.
    documents_authorities: Option<PathBuf>,
}

/// A client that is known beforehand.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedClient {
    /// What it calls itself when it asks: letters, digits, `-` and `.`, and its agents are called so, too. Or the address of the
    /// document in which it describes itself, which is then not fetched; its agents are called by the host.
    #[schemars(with = "String", extend("pattern" = ID))]
    id: Id,
    /// What people are shown; the id where it is not given.
    name: Option<String>,
    /// Where it may be answered: over https, or http of the loopback, on any port there.
    #[schemars(with = "Vec<String>", extend("minItems" = 1, "items" = { "type": "string", "pattern": REDIRECT }))]
    redirects: Redirects,
}

#[derive(Deserialize)]
#[serde(try_from = "Time")]
struct Session(Duration);

impl TryFrom<Time> for Session {
    type Error = String;

    fn try_from(Time(time): Time) -> Result<Self, String> {
        if time > LONGEST {
            return Err("a client is asked about again after 30 days at most".to_owned());
        }
        Ok(Self(time))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Id(String);

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        if id.contains("://") {
            return match DocumentAddress::read(&id) {
                Ok(_) => Ok(Self(id)),
                Err(why) => Err(format!("\"{id}\" is no id of a client: it {why}")),
            };
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if id.is_empty() || id.len() > 63 || id.starts_with(['-', '.']) || !id.chars().all(fine) {
            return Err(format!("\"{id}\" is no id of a client: it has 1 to 63 letters, digits, - and ."));
        }
        Ok(Self(id))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Redirects(Vec<Redirect>);

impl TryFrom<Vec<String>> for Redirects {
    type Error = String;

    fn try_from(all: Vec<String>) -> Result<Self, String> {
        if all.is_empty() {
            return Err("a client is answered somewhere: name an address at least".to_owned());
        }
        let read = |uri: String| Redirect::read(&uri).map_err(|why| format!("\"{uri}\" {why}"));
        all.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl AuthorizationSettings {
    /// What `up` runs with. Whatever asks there is on this machine, and the person is asked each time, so that clients may say
    /// themselves who they are: most know no other way.
    pub(crate) fn for_one() -> Self {
        let answered = ["http://localhost/callback", "http://127.0.0.1/callback"];
        let client = |(name, id): (&str, &str)| Client {
            id: id.to_owned(),
            name: name.to_owned(),
            redirects: answered.iter().filter_map(|at| Redirect::read(at).ok()).collect(),
            known: Known::Configured,
        };
        Self {
            session: USUAL,
            registration: true,
            clients: WIDESPREAD.map(client).to_vec(),
            anywhere: BTreeSet::new(),
            authorities: None,
        }
    }
}

impl TypedAuthorization {
    /// Files' names start at a directory.
    pub(crate) fn below(self, home: &Path) -> AuthorizationSettings {
        let Self { session, registration, clients, documents_at_private_hosts, documents_authorities } = self;
        let client = |TypedClient { id: Id(id), name, redirects }| Client {
            name: name.unwrap_or_else(|| id.clone()),
            id,
            redirects: redirects.0,
            known: Known::Configured,
        };
        AuthorizationSettings {
            session: session.map_or(USUAL, |session| session.0),
            registration,
            clients: clients.into_iter().map(client).collect(),
            anywhere: documents_at_private_hosts.into_iter().map(|host| host.to_lowercase()).collect(),
            authorities: documents_authorities.map(|file| home.join(file)),
        }
    }
}

/// Whether browsers can get to where clients send them, and clients to where browsers come from.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let Some(Agents { listen, urls, authorization: Some(_), .. }) = &settings.agents else { return Ok(()) };
    let at = || settings.at(&["agents", "authorization"]);
    let here = |url: &str| Redirect::read(url).is_ok_and(|url| url.is_loopback());
    let local = match urls.first() {
        None if !listen.ip().is_loopback() => {
            return Err(format!(
                "{}: name the URL by which clients reach {listen} (agents.urls): tokens are made for that name",
                at()
            ));
        }
        None => true,
        Some(url) if Redirect::read(url).is_err() || url.contains('?') => {
            return Err(format!("{}: \"{url}\" in agents.urls is no https:// address", at()));
        }
        Some(url) => here(url),
    };
    match (local, &settings.public.url) {
        (false, None) => Err(format!(
            "{}: clients come from elsewhere (agents.urls), and people's browsers find the console on this machine alone: give it a \
             name (console.public_url)",
            at()
        )),
        (true, Some(_)) => Err(format!(
            "{}: people come to the console from elsewhere (console.public_url), and clients find the agents' port on this machine \
             alone: name the URL by which they reach it (agents.urls)",
            at()
        )),
        (true, None) | (false, Some(_)) => Ok(()),
    }
}

/// The server of a configuration, if it has one.
pub(crate) fn server(settings: &Settings) -> anyhow::Result<Option<Server>> {
    let Some(typed) = settings.agents.as_ref().and_then(|agents| agents.authorization.clone()) else {
        return Ok(None);
    };
    let AuthorizationSettings { session, registration, clients, anywhere, authorities } = typed;
    let at = |key: &str| settings.at(&["agents", "authorization", key]);
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .with_context(|| format!("{}: {}", at("documents_authorities"), file.display()))
    };
    let authorities = authorities.as_ref().map(read).transpose()?;
    let session = i64::try_from(session.as_secs()).unwrap_or(i64::MAX);
    let server = Server::new(session, registration, clients, anywhere, authorities.as_deref());
    let server = server
        .map_err(|error| Fault::Invalid(format!("{}: {error}", settings.at(&["agents", "authorization"]))))?;
    Ok(Some(server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Typed;
    use crate::typed;

    fn read(text: &str) -> Result<Settings, String> {
        typed::toml::<Typed>(Path::new("durward.toml"), text).map(|t| t.settings(Path::new("/etc/durward")))
    }

    #[test]
    fn clients_and_browsers_come_from_here_or_both_from_elsewhere() {
        let (elsewhere, here) = ("urls = ['https://gate.example.com']", "");
        let (public, local) = ("[console]\npublic_url = 'https://console.example.com'", "");
        for (agents, console, fine) in [
            (here, local, true),
            (elsewhere, public, true),
            ("urls = ['http://127.0.0.1:7380']", local, true),
            (elsewhere, local, false),
            (here, public, false),
            ("urls = ['http://127.0.0.1:7380']", public, false),
            ("urls = ['http://gate.example.com']", public, false),
            ("listen = '0.0.0.0:7380'\ntls = { certificate = 'c', key = 'k' }", public, false),
            (
                "listen = '0.0.0.0:7380'\nurls = ['https://gate.example.com']\ntls = { certificate = 'c', key = 'k' }",
                public,
                true,
            ),
        ] {
            let settings =
                read(&format!("[agents]\n{agents}\n[agents.authorization]\n{console}")).expect("read");
            assert_eq!(check(&settings).is_ok(), fine, "{agents} {console}");
            let without = read(&format!("[agents]\n{agents}\n{console}")).expect("read");
            assert_eq!(check(&without), Ok(()), "without a server it is nobody's concern");
        }
    }

    #[test]
    fn what_no_client_is_is_refused_with_a_reason() {
        for (text, says) in [
            ("session = '31d'", "30 days at most"),
            ("clients = [{ id = 'a/b', redirects = ['http://127.0.0.1/'] }]", "is no id of a client"),
            (
                "clients = [{ id = 'registered_x', redirects = ['http://127.0.0.1/'] }]",
                "is no id of a client",
            ),
            (
                "clients = [{ id = 'http://app.test/x', redirects = ['http://127.0.0.1/'] }]",
                "is no id of a client",
            ),
            (
                "clients = [{ id = 'https://app.test', redirects = ['http://127.0.0.1/'] }]",
                "is no id of a client",
            ),
            ("clients = [{ id = 'a', redirects = [] }]", "is answered somewhere"),
            ("clients = [{ id = 'a', redirects = ['http://app.example.com/'] }]", "is not encrypted"),
            ("dynamic = true", "unknown field `dynamic`"),
        ] {
            let refused = read(&format!("[agents.authorization]\n{text}")).expect_err("refused");
            assert!(refused.contains(says), "{text}: {refused}");
        }
        let settings = read("[agents.authorization]").expect("settings");
        let server = settings.agents.and_then(|agents| agents.authorization).expect("a server");
        assert_eq!((server.session, server.registration), (USUAL, false), "nobody registers by default");
    }
}
