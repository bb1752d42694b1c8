//! What is configured, as it is kept and as it travels.

use std::collections::{BTreeMap, BTreeSet};

use policy::identity::{ClientConfig, GroupConfig, IssuerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Everything that is configured. Passwords and proposals stay where nothing is said of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The services behind the gateway.
    #[serde(default)]
    pub targets: Vec<TargetConfig>,
    /// The policy files.
    #[serde(default)]
    pub policies: Vec<PolicyFile>,
    /// The files with tests of policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<PolicyFile>,
    /// Whose tokens are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub issuers: Vec<IssuerConfig>,
    /// Workloads without an issuer, each with a key of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub clients: Vec<ClientConfig>,
    /// Groups of the gateway's own, with who is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub groups: Vec<GroupConfig>,
}

/// One policy file, or one with tests of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Its name, for errors.
    pub name: String,
    /// Cedar text; TOML of tests.
    pub text: String,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// What clients give as the database.
    pub name: String,
    /// Name, address, or the directory of a socket.
    pub host: String,
    /// Port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The role that the gateway logs in as.
    pub user: String,
    /// The database.
    pub database: String,
    /// Its password, on its way in; it never comes out again.
    #[serde(default, skip_serializing)]
    pub password: Option<Password>,
    /// The name of a source of its password in the process's own configuration, in place of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// As libpq's.
    #[serde(default = "default_sslmode")]
    pub sslmode: String,
    /// Authorities in PEM; the system's where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<String>,
    /// TLS from the first byte.
    #[serde(default, skip_serializing_if = "is_false")]
    pub direct_tls: bool,
    /// The login has to be bound to the server's certificate, as libpq's `channel_binding=require`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_channel_binding: bool,
    /// How far the server itself refuses to write.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub read_only: ReadOnly,
    /// How certain it is that a statement finds what it was judged by.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub freshness: Freshness,
    /// What a policy may ask of it: `production`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Tags of columns, by `schema.table.column`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnConfig>,
    /// Functions whose code the gateway cannot read and that a person has read, by `schema.name(type, …)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, FunctionConfig>,
}

/// What a person has found a function to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionConfig {
    /// The digest of what they read, as `durward doctor` says it.
    pub digest: String,
    /// What it does, each written `ACTION=[KIND:]NAME`, as in tests of policies.
    pub effects: BTreeSet<String>,
    /// The tagged columns, by `schema.table.column`, whose values its result and its messages may hold.
    pub holds: BTreeSet<String>,
}

/// How far the server itself refuses to write in the sessions of a target whose principal may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnly {
    /// While nothing but reads is sent, outside of transaction blocks.
    #[default]
    Usual,
    /// In blocks that begin with a read as well: these stay read only.
    Strict,
}

/// How certain it is that the server's definitions are those by which a statement was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// They are looked at again and again.
    #[default]
    Polled,
    /// They are looked at for each statement, when what it names is locked already.
    Strict,
}

/// What is said of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnConfig {
    /// Its tags; none clears what was proposed for it.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// How it is masked, where its tags do not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Proposed by the gateway and not yet looked at by a person: it masks all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proposed: bool,
}

/// A password on its way into the vault. It is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// From what was typed or read.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self::new(password)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

fn default_port() -> u16 {
    5432
}

fn default_sslmode() -> String {
    "prefer".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_usual<T: Default + PartialEq>(word: &T) -> bool {
    *word == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed_or_exported() {
        let json = r#"{"name":"t","host":"h","user":"u","database":"d","password":"hunter2"}"#;
        let target: TargetConfig = serde_json::from_str(json).expect("a target");
        assert!(!format!("{target:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&target).expect("json").contains("hunter2"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let json = r#"{"name":"t","host":"h","user":"u","database":"d","pasword":"x"}"#;
        let error = serde_json::from_str::<TargetConfig>(json).expect_err("a typing error");
        assert!(error.to_string().contains("pasword"), "{error}");
    }
}
