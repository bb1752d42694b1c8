//! `[[issuers]]`: whose tokens are taken; `[[clients]]`: workloads with keys of their own. Files that they name are read here,
//! so that what is stored needs none.

use std::collections::BTreeSet;
use std::path::PathBuf;

use policy::identity::{
    AuthenticationConfig, ClientConfig, IntrospectionConfig, IssuerConfig, Kind, Preset, PrincipalConfig,
};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Page, Wanted};
use crate::typed::{OneOrMore, Time};

/// An issuer of tokens whose word is taken for some principals.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedIssuer {
    /// What it is called here: in policies, in the journal and, unless `prefix` says otherwise, in front of its principals'
    /// names and groups.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// Whose tokens these are, where that is known: what is not said below is as they are.
    preset: Option<PresetWord>,
    /// Exactly the tokens' `iss`.
    issuer: Option<String>,
    /// The tokens' `aud` has one of these.
    audience: OneOrMore,
    /// The algorithms it signs with: `RS256`, `ES256`, `EdDSA`.
    algorithms: Option<BTreeSet<String>>,
    /// Where its keys are, if discovery is not to be asked.
    jwks_uri: Option<String>,
    /// A file with its keys: then nothing is fetched.
    #[schemars(with = "Option<PathBuf>")]
    jwks_file: Option<Spanned<PathBuf>>,
    /// A file with the authorities of its TLS, in PEM.
    #[schemars(with = "Option<PathBuf>")]
    ca_file: Option<Spanned<PathBuf>>,
    /// A condition that every token of it meets: `repository == "acme/api" && environment == "production"`.
    when: Option<String>,
    /// Which principals its tokens are; the first whose condition fits. The preset's where nothing is said.
    #[serde(default)]
    principals: Vec<TypedPrincipal>,
    /// In front of names and groups; `NAME/` where nothing is said.
    prefix: Option<String>,
    /// What clocks may differ by.
    leeway: Option<Time>,
    /// A token may be this old when it is brought.
    max_age: Option<Time>,
    /// A session of one of its agents lasts so long at most.
    agent_session: Option<Time>,
    /// A session of one of its users lasts so long at most.
    user_session: Option<Time>,
    /// A token that is exchanged for one of its tokens lives so long at most.
    exchange_life: Option<Time>,
    /// The client as which people sign in at it on their own machines, with `durward login`.
    login_client: Option<String>,
    /// What that asks for; `openid profile email` where nothing is said.
    login_scopes: Option<String>,
    /// Whether they may sign in by a code that they enter on another device (`durward login --device`).
    #[serde(default)]
    login_device: bool,
    /// The client as which people sign in to the console at it; its redirect is `/signin/callback` at the console's address.
    console_client: Option<String>,
    /// A source of the console's secret there, by its name in the gateway's `durward.toml`; none where it is a public client.
    #[schemars(with = "Option<String>")]
    console_credential: Option<Spanned<String>>,
    /// How it is asked whether its tokens are still good.
    introspection: Option<TypedIntrospection>,
}

/// How the gateway proves at an issuer who it is.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AuthWord {
    /// With a secret.
    #[default]
    ClientSecretBasic,
    /// With a private key (RFC 7523): the source gives it in PEM.
    PrivateKeyJwt,
}

/// How an issuer is asked whether its tokens are still good (RFC 7662).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedIntrospection {
    /// What the gateway is called there.
    client_id: String,
    /// A source of its secret or private key there, by its name in the gateway's `durward.toml`.
    #[schemars(with = "String")]
    credential: Spanned<String>,
    /// How it proves there who it is; `client_secret_basic` where nothing is said.
    #[serde(default)]
    auth: AuthWord,
    /// The name that its private key has there (`kid`), if it has one.
    key_id: Option<String>,
    /// Where it is asked, if discovery is not to say it.
    endpoint: Option<String>,
    /// How often it is asked about the tokens of live sessions; `1m` where nothing is said.
    every: Option<Time>,
    /// How long live sessions go on while it cannot be asked; `5m` where nothing is said.
    grace: Option<Time>,
    /// Whether tokens that say nothing by themselves are taken, too.
    #[serde(default)]
    opaque: bool,
}

/// Which principal a token is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedPrincipal {
    /// For which tokens.
    when: Option<String>,
    /// A person or a workload.
    kind: KindWord,
    /// The claim that names it, or several in braces with text between them: `{repository}/{environment}`.
    name: String,
    /// The claims that name its groups: `groups`, `realm_access.roles`.
    #[serde(default)]
    groups: Vec<String>,
    /// Groups that all of them are in.
    #[serde(default)]
    in_groups: BTreeSet<String>,
    /// Whether `email` may name it though the token does not say that it was verified.
    #[serde(default)]
    unverified_email: bool,
}

/// A person or a workload.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    User,
    Agent,
}

/// Whose tokens they are.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PresetWord {
    GithubActions,
    Gitlab,
    Kubernetes,
    Google,
    Azure,
    Okta,
    Auth0,
    Keycloak,
    AgentVendor,
}

impl From<PresetWord> for Preset {
    fn from(word: PresetWord) -> Self {
        match word {
            PresetWord::GithubActions => Self::GithubActions,
            PresetWord::Gitlab => Self::Gitlab,
            PresetWord::Kubernetes => Self::Kubernetes,
            PresetWord::Google => Self::Google,
            PresetWord::Azure => Self::Azure,
            PresetWord::Okta => Self::Okta,
            PresetWord::Auth0 => Self::Auth0,
            PresetWord::Keycloak => Self::Keycloak,
            PresetWord::AgentVendor => Self::AgentVendor,
        }
    }
}

impl TypedPrincipal {
    fn read(self) -> PrincipalConfig {
        let Self { when, kind, name, groups, in_groups, unverified_email } = self;
        let kind = match kind {
            KindWord::User => Kind::User,
            KindWord::Agent => Kind::Agent,
        };
        PrincipalConfig { when, kind, name, groups, in_groups, unverified_email }
    }
}

impl TypedIssuer {
    /// Adds what it means to what is wanted, with the files that it names.
    pub(super) fn read(self, page: &Page<'_>, wanted: &mut Wanted) {
        let Self {
            name: spanned,
            preset,
            issuer,
            audience,
            algorithms,
            jwks_uri,
            jwks_file,
            ca_file,
            when,
            principals,
            prefix,
            leeway,
            max_age,
            agent_session,
            user_session,
            exchange_life,
            login_client,
            login_scopes,
            login_device,
            console_client,
            console_credential,
            introspection,
        } = self;
        let place = page.at(&spanned);
        let name = spanned.into_inner();
        let credential = introspection.as_ref().map(|how| ("introspection", &how.credential));
        let console = console_credential.as_ref().map(|word| ("console_credential", word));
        for (member, word) in credential.into_iter().chain(console) {
            wanted.members_at.insert((name.clone(), member), page.at(word));
        }
        let mut seconds = |what: &str, time: Option<Time>| wanted.seconds(&place, what, time);
        let (leeway, max_age) = (seconds("leeway", leeway), seconds("max_age", max_age));
        let agent_session = seconds("agent_session", agent_session);
        let user_session = seconds("user_session", user_session);
        let exchange_life = seconds("exchange_life", exchange_life);
        let introspection = introspection.map(|typed| {
            let TypedIntrospection { client_id, credential, auth, key_id, endpoint, every, grace, opaque } =
                typed;
            let auth = match auth {
                AuthWord::ClientSecretBasic => AuthenticationConfig::ClientSecretBasic,
                AuthWord::PrivateKeyJwt => AuthenticationConfig::PrivateKeyJwt,
            };
            let credential = credential.into_inner();
            let (every, grace) =
                (seconds("introspection.every", every), seconds("introspection.grace", grace));
            IntrospectionConfig { client_id, credential, auth, key_id, endpoint, every, grace, opaque }
        });
        let jwks = jwks_file.and_then(|file| wanted.text(&file, page));
        let ca = ca_file.and_then(|file| wanted.text(&file, page));
        wanted.named_at.entry(name.clone()).or_insert(place);
        wanted.configuration.issuers.push(IssuerConfig {
            name,
            preset: preset.map(Preset::from),
            issuer,
            audience: audience.0,
            algorithms,
            jwks_uri,
            jwks,
            ca,
            when,
            principals: principals.into_iter().map(TypedPrincipal::read).collect(),
            prefix,
            leeway,
            max_age,
            agent_session,
            user_session,
            exchange_life,
            login_client,
            login_scopes,
            login_device,
            console_client,
            console_credential: console_credential.map(Spanned::into_inner),
            introspection,
        });
    }
}

/// A workload that proves itself with a key of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedClient {
    /// The agent's name, and its assertions' `iss` and `sub`.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// A file with its public keys.
    #[schemars(with = "PathBuf")]
    jwks_file: Spanned<PathBuf>,
    /// The algorithms it signs with; `ES256` and `EdDSA` where nothing is said.
    algorithms: Option<BTreeSet<String>>,
    /// Its groups.
    #[serde(default)]
    groups: BTreeSet<String>,
    /// A session of it lasts so long at most.
    agent_session: Option<Time>,
    /// A token that it gets lives so long at most.
    exchange_life: Option<Time>,
}

impl TypedClient {
    /// Adds what it means to what is wanted, with the file that it names.
    pub(super) fn read(self, page: &Page<'_>, wanted: &mut Wanted) {
        let Self { name: spanned, jwks_file, algorithms, groups, agent_session, exchange_life } = self;
        let place = page.at(&spanned);
        let name = spanned.into_inner();
        let jwks = wanted.text(&jwks_file, page).unwrap_or_default();
        let agent_session = wanted.seconds(&place, "agent_session", agent_session);
        let exchange_life = wanted.seconds(&place, "exchange_life", exchange_life);
        wanted.named_at.entry(name.clone()).or_insert(place);
        let client = ClientConfig { name, jwks, algorithms, groups, agent_session, exchange_life };
        wanted.configuration.clients.push(client);
    }
}
