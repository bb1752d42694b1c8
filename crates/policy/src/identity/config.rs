//! What is typed of an issuer. It means something after [`super::Issuer::new`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::introspection::IntrospectionConfig;
use super::preset::Preset;

/// An issuer of tokens whose word is taken for some principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What it is called here: in policies (`context.issuer`), in the journal and, unless `prefix` says otherwise, in front of
    /// its principals' names and groups.
    pub name: String,
    /// Whose tokens these are, where that is known: what is not said below is as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Exactly the tokens' `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The tokens' `aud` has one of these.
    pub audience: BTreeSet<String>,
    /// The algorithms it signs with: `RS256`, `ES256`, `EdDSA`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<BTreeSet<String>>,
    /// Where its keys are, if discovery is not to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Its keys as JSON: then nothing is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Authorities in PEM for its TLS; the system's where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A condition that every token of it meets: `repository == "acme/api" && environment == "production"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Which principals its tokens are; the first whose condition fits. The preset's where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<PrincipalConfig>,
    /// In front of names and groups; `NAME/` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What clocks may differ by, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway: Option<u32>,
    /// A token may be this old when it is brought, in seconds since its `iat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// A session of one of its agents lasts so long at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<u32>,
    /// A session of one of its users lasts so long at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_session: Option<u32>,
    /// A token that is exchanged for one of its tokens lives so long at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_life: Option<u32>,
    /// What the command line is called there, where people sign in by it (`durward login`): a public client, which has a
    /// redirect to `http://127.0.0.1/callback` on any port. It is in `audience`, since identity tokens are for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_client: Option<String>,
    /// What `durward login` asks for; `openid profile email` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_scopes: Option<String>,
    /// Whether people may sign in by a code that they enter on another device (RFC 8628).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub login_device: bool,
    /// What the console is called there, where people sign in to it: a client that has a redirect to `/signin/callback` at the
    /// console's address. It is in `audience`, since identity tokens are for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_client: Option<String>,
    /// A source of the console's secret there, by its name in `durward.toml`; none where it is a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_credential: Option<String>,
    /// How it is asked whether tokens are still good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionConfig>,
}

/// Which principal a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalConfig {
    /// For which tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// A person or a workload.
    pub kind: Kind,
    /// The claim that names it, or several in braces with text between them: `{repository}/{environment}`.
    pub name: String,
    /// The claims that name its groups, each a text or a list of texts: `groups`, `realm_access.roles`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Groups that all of them are in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub in_groups: BTreeSet<String>,
    /// Whether `email` may name it though the token does not say that it was verified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified_email: bool,
}

/// As [`model::PrincipalKind`], in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person.
    User,
    /// A workload.
    Agent,
}
