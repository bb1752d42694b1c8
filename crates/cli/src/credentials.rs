//! `[credentials.NAME]` and `[vault]` in `durward.toml`: where passwords of targets are that do not lie in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gateway::credentials::{SourceConfig, Sources, Whence};
use gateway::net::vault::{Login, Vault, VaultConfig};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Settings, Source};
use crate::exit::Fault;
use crate::typed::Time;

/// A password that was read somewhere is used again for so long, if nobody says otherwise.
const USUAL_CACHE: Duration = Duration::from_secs(60);

/// A Vault or OpenBao, before its secrets are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VaultSettings {
    pub address: String,
    pub authorities: Option<PathBuf>,
    pub namespace: Option<String>,
    pub mount: String,
    pub login: VaultLogin,
}

/// How it is logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VaultLogin {
    Token(Source),
    AppRole { mount: String, role: String, secret: Source },
}

/// `[credentials.NAME]`: one of the places, and how long what was read there is used again.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "TypedCredentialTable")]
#[schemars(with = "TypedCredentialTable")]
pub(crate) struct TypedCredential(SourceConfig);

/// One of `file`, `env`, `command` and `vault`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["file"] }, { "required": ["env"] }, { "required": ["command"] }, { "required": ["vault"] }],
    "dependentRequired" = { "key": ["vault"] }
))]
struct TypedCredentialTable {
    /// A file that only its owner can read.
    file: Option<PathBuf>,
    /// An environment variable.
    env: Option<String>,
    /// The output of a command, given as its words.
    command: Option<Vec<String>>,
    /// The path of a secret, without the mount: `databases/orders`.
    #[schemars(extend("pattern" = "^[^/]+(/[^/]+)*$", "not" = { "pattern": r"(^|/)\.\.(/|$)" }))]
    vault: Option<String>,
    /// The word in that secret; `password` where it is not given.
    key: Option<String>,
    /// What was read is used again for so long; a minute where it is not given.
    cache: Option<Time>,
}

impl TryFrom<TypedCredentialTable> for TypedCredential {
    type Error = String;

    fn try_from(table: TypedCredentialTable) -> Result<Self, String> {
        let TypedCredentialTable { file, env, command, vault, key, cache } = table;
        if key.is_some() && vault.is_none() {
            return Err("a key is a word in a vault's secret".to_owned());
        }
        let key = key.unwrap_or_else(|| "password".to_owned());
        let from = match (file, env, command, vault) {
            (Some(file), None, None, None) => Whence::File(file),
            (None, Some(name), None, None) => {
                store::children::withhold(&name);
                Whence::Env(name)
            }
            (None, None, Some(words), None) => Whence::Command(words),
            (None, None, None, Some(path))
                if path.split('/').all(|part| !part.is_empty() && part != "..") =>
            {
                Whence::Vault { path, key }
            }
            (None, None, None, Some(path)) => {
                return Err(format!("\"{path}\" is no path of a secret, such as databases/orders"));
            }
            _ => return Err("a credential has one of file, env, command and vault".to_owned()),
        };
        Ok(Self(SourceConfig { from, cache: cache.map_or(USUAL_CACHE, |time| time.0) }))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "TypedVaultTable")]
#[schemars(with = "TypedVaultTable")]
pub(crate) struct TypedVault(VaultSettings);

/// It is logged in to with `token`, or with `role_id` and `secret_id`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["token"] }, { "required": ["role_id", "secret_id"] }],
    "dependentRequired" = { "role_id": ["secret_id"], "secret_id": ["role_id"] }
))]
struct TypedVaultTable {
    /// `https://vault.example.com:8200`.
    address: String,
    /// A file with the authorities of its TLS, in PEM; the system's where it is not given.
    authorities: Option<PathBuf>,
    /// The namespace that everything is in.
    namespace: Option<String>,
    /// Where version 2 of the key-value engine is mounted; `secret` where it is not given.
    mount: Option<String>,
    /// A token of the vault's.
    token: Option<Source>,
    /// The role that AppRole knows the gateway by.
    role_id: Option<String>,
    /// Its secret.
    secret_id: Option<Source>,
    /// Where AppRole is mounted; `approle` where it is not given.
    approle: Option<String>,
}

impl TryFrom<TypedVaultTable> for TypedVault {
    type Error = String;

    fn try_from(table: TypedVaultTable) -> Result<Self, String> {
        let TypedVaultTable { address, authorities, namespace, mount, token, role_id, secret_id, approle } =
            table;
        let login = match (token, role_id, secret_id) {
            (Some(token), None, None) => VaultLogin::Token(token),
            (None, Some(role), Some(secret)) => {
                VaultLogin::AppRole { mount: approle.unwrap_or_else(|| "approle".to_owned()), role, secret }
            }
            _ => return Err("a vault is logged in to with a token, or with role_id and secret_id".to_owned()),
        };
        let mount = mount.unwrap_or_else(|| "secret".to_owned());
        Ok(Self(VaultSettings { address, authorities, namespace, mount, login }))
    }
}

impl TypedCredential {
    /// A file's name starts at a directory.
    pub(crate) fn below(self, home: &Path) -> SourceConfig {
        let Self(SourceConfig { from, cache }) = self;
        let from = match from {
            Whence::File(file) => Whence::File(home.join(file)),
            other @ (Whence::Env(_) | Whence::Command(_) | Whence::Vault { .. }) => other,
        };
        SourceConfig { from, cache }
    }
}

impl TypedVault {
    /// Files' names start at a directory.
    pub(crate) fn below(self, home: &Path) -> VaultSettings {
        let Self(VaultSettings { address, authorities, namespace, mount, login }) = self;
        let login = match login {
            VaultLogin::Token(token) => VaultLogin::Token(token.below(home)),
            VaultLogin::AppRole { mount, role, secret } => {
                VaultLogin::AppRole { mount, role, secret: secret.below(home) }
            }
        };
        let authorities = authorities.map(|file| home.join(file));
        VaultSettings { address, authorities, namespace, mount, login }
    }
}

/// What targets can name.
pub(crate) fn sources(settings: &Settings) -> anyhow::Result<Sources> {
    let vault = settings.vault.as_ref().map(|of| vault(of, settings)).transpose()?.map(Arc::new);
    Sources::new(settings.credentials.clone(), vault).map_err(|name| {
        let what = settings.at(&["credentials", &name]);
        Fault::Invalid(format!("{what} is in a vault, and there is no [vault] that says where it is")).into()
    })
}

fn vault(of: &VaultSettings, settings: &Settings) -> anyhow::Result<Vault> {
    let VaultSettings { address, authorities, namespace, mount, login } = of;
    let at = |key: &str| settings.at(&["vault", key]);
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("{}: {}", at("authorities"), file.display()))
    };
    let login = match login {
        VaultLogin::Token(token) => Login::Token(token.read(&at("token"))?),
        VaultLogin::AppRole { mount, role, secret } => Login::AppRole {
            mount: mount.clone(),
            role: role.clone(),
            secret: secret.read(&at("secret_id"))?,
        },
    };
    let config = VaultConfig {
        address: address.clone(),
        authorities: authorities.as_ref().map(read).transpose()?,
        namespace: namespace.clone(),
        mount: mount.clone(),
        login,
    };
    Vault::new(config).map_err(|error| Fault::Invalid(format!("{}: {error}", at("address"))).into())
}
