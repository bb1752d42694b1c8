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
    /// Whether strangers get tokens of the same issuer: then a condition must say which are ours.
    pub shared: bool,
    pub principals: Vec<PrincipalConfig>,
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
            shared: false,
            principals,
        };
        match self {
            Self::GithubActions => Usual {
                issuer: Some("https://token.actions.githubusercontent.com"),
                shared: true,
                ..usual(vec![agent("repository", &[])])
            },
            Self::Gitlab => Usual {
                issuer: Some("https://gitlab.com"),
                shared: true,
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
                shared: true,
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
                shared: true,
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
