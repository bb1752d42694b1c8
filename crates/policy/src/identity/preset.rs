//! Issuers that are known: what their tokens look like, and what must be said of them before their word is taken.

use serde::{Deserialize, Serialize};

use super::config::{Kind, PrincipalConfig};

/// Whose tokens they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Jobs of GitHub Actions.
    GithubActions,
    /// Jobs of GitLab (`id_tokens`).
    Gitlab,
    /// Service accounts of a Kubernetes cluster (projected tokens).
    Kubernetes,
    /// People and service accounts of Google.
    Google,
    /// Microsoft Entra ID, one tenant.
    Azure,
    /// Okta's authorization servers.
    Okta,
    /// An Auth0 tenant.
    Auth0,
    /// A realm of Keycloak.
    Keycloak,
    /// A vendor of agents, whose tokens name the agent in `sub` and, in `act`, who acts for whom.
    AgentVendor,
}

/// What is so where nothing else is said.
pub(super) struct Usual {
    /// The only issuer there is of this kind.
    pub issuer: Option<&'static str>,
    pub algorithms: &'static [&'static str],
    /// Whose tokens strangers get as well: then a condition must say which are ours.
    pub shared: Option<Shared>,
    pub principals: Vec<PrincipalConfig>,
}

/// An issuer that gives everybody tokens: which of their claims nobody else's have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    /// These alone; where none is named, all but those that everybody's have.
    ours: &'static [&'static str],
}

/// What tokens of strangers say, too, whoever issues them: a value of these tells nobody apart.
const EVERYBODYS: &[&str] = &[
    "iss",
    "aud",
    "typ",
    "token_use",
    "ver",
    "email_verified",
    "acr",
    "amr",
    "scope",
    "scp",
    "environment",
    "ref",
    "ref_type",
    "branch",
    "event_name",
    "exp",
    "iat",
    "nbf",
];

const ANY: Shared = Shared { ours: &[] };
const GITHUB: Shared = Shared {
    ours: &[
        "sub",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "enterprise",
        "enterprise_id",
    ],
};
const GITLAB: Shared =
    Shared { ours: &["sub", "project_path", "project_id", "namespace_path", "namespace_id"] };
const GOOGLE: Shared = Shared { ours: &["sub", "hd", "email"] };

/// Hosts of issuers that give everybody tokens, whatever preset is named for them.
const HOSTS: [(&str, Shared); 14] = [
    ("token.actions.githubusercontent.com", GITHUB),
    ("gitlab.com", GITLAB),
    ("accounts.google.com", GOOGLE),
    ("agent.buildkite.com", ANY),
    ("app.terraform.io", ANY),
    ("api.pulumi.com", ANY),
    ("oidc.vercel.com", ANY),
    ("oidc.circleci.com", ANY),
    ("oauth2.sigstore.dev", ANY),
    ("appleid.apple.com", ANY),
    ("www.facebook.com", ANY),
    ("www.linkedin.com", ANY),
    ("slack.com", ANY),
    ("securetoken.google.com", ANY),
];
/// The tenant of everybody's personal accounts at Microsoft.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl Shared {
    /// An issuer of these that an `iss` is of, if it is.
    pub(super) fn of(url: &str) -> Option<Self> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default().trim_end_matches('.');
        let known =
            HOSTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(host)).map(|(_, shared)| *shared);
        known.or_else(|| rest.to_ascii_lowercase().contains(PERSONAL).then_some(ANY))
    }

    /// Whether nobody else's token has the same in this claim.
    pub(super) fn tells(self, claim: &str) -> bool {
        if self.ours.is_empty() { !EVERYBODYS.contains(&claim) } else { self.ours.contains(&claim) }
    }

    /// A comparison that would do, for whoever has none.
    pub(super) fn example(self) -> &'static str {
        match self.ours {
            ["sub", "hd", ..] => "hd == \"example.com\"",
            ["sub", "project_path", ..] => "project_path == \"acme/api\"",
            _ => "repository == \"acme/api\"",
        }
    }
}

impl Preset {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::GithubActions,
        Self::Gitlab,
        Self::Kubernetes,
        Self::Google,
        Self::Azure,
        Self::Okta,
        Self::Auth0,
        Self::Keycloak,
        Self::AgentVendor,
    ];

    pub(super) fn usual(self) -> Usual {
        let rsa: &[&str] = &["RS256"];
        let usual = |principals: Vec<PrincipalConfig>| Usual {
            issuer: None,
            algorithms: rsa,
            shared: None,
            principals,
        };
        match self {
            Self::GithubActions => Usual {
                issuer: Some("https://token.actions.githubusercontent.com"),
                shared: Some(GITHUB),
                ..usual(vec![agent("repository", &[])])
            },
            Self::Gitlab => Usual {
                issuer: Some("https://gitlab.com"),
                shared: Some(GITLAB),
                ..usual(vec![agent("project_path", &["namespace_path"])])
            },
            Self::Kubernetes => Usual {
                algorithms: &["RS256", "ES256"],
                ..usual(vec![agent(
                    "{kubernetes.io.namespace}/{kubernetes.io.serviceaccount.name}",
                    &["kubernetes.io.namespace"],
                )])
            },
            Self::Google => Usual {
                issuer: Some("https://accounts.google.com"),
                shared: Some(GOOGLE),
                ..usual(vec![
                    agent("email", &[]).when("email like \"*.gserviceaccount.com\""),
                    user("email", &["hd"]),
                ])
            },
            // A name there may be given to somebody else, an e-mail address is not verified: `oid` stays.
            Self::Azure => usual(vec![
                agent("azp", &["roles"]).when("has(azp) && (idtyp == \"app\" || has(azpacr) && !has(scp))"),
                agent("appid", &["roles"]).when("has(appid) && (idtyp == \"app\" || !has(scp))"),
                user("oid", &["groups", "roles"])
                    .when("(has(scp) || has(preferred_username)) && !(idtyp == \"app\")"),
            ]),
            Self::Okta => {
                usual(vec![agent("cid", &["groups"]).when("has(cid) && !has(uid)"), user("sub", &["groups"])])
            }
            Self::Auth0 => {
                usual(vec![agent("azp", &[]).when("gty == \"client-credentials\""), user("sub", &[])])
            }
            Self::Keycloak => Usual {
                algorithms: &["RS256", "ES256", "EdDSA"],
                ..usual(vec![
                    agent("azp", &["groups", "realm_access.roles"]).when(
                        "(has(client_id) || has(clientId)) && preferred_username like \"service-account-*\"",
                    ),
                    user("preferred_username", &["groups", "realm_access.roles"]),
                ])
            },
            Self::AgentVendor => Usual {
                algorithms: &["RS256", "ES256", "EdDSA"],
                shared: Some(ANY),
                ..usual(vec![agent("sub", &["groups"])])
            },
        }
    }
}

fn agent(name: &str, groups: &[&str]) -> PrincipalConfig {
    principal(Kind::Agent, name, groups)
}

fn user(name: &str, groups: &[&str]) -> PrincipalConfig {
    principal(Kind::User, name, groups)
}

fn principal(kind: Kind, name: &str, groups: &[&str]) -> PrincipalConfig {
    PrincipalConfig {
        when: None,
        kind,
        name: name.to_owned(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        in_groups: std::collections::BTreeSet::new(),
        unverified_email: false,
    }
}

impl PrincipalConfig {
    fn when(self, condition: &str) -> Self {
        Self { when: Some(condition.to_owned()), ..self }
    }
}
