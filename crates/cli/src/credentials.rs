//! `[credentials.NAME]` and `[vault]` in `durward.toml`: where passwords of targets are that do not lie in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gateway::credentials::{SourceConfig, Sources, Whence};
use gateway::net::vault::{Login, Vault, VaultConfig};
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
#[derive(Deserialize)]
#[serde(try_from = "TypedCredentialTable")]
pub(crate) struct TypedCredential(SourceConfig);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedCredentialTable {
    file: Option<PathBuf>,
    env: Option<String>,
    command: Option<Vec<String>>,
    vault: Option<String>,
    key: Option<String>,
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
            (None, Some(name), None, None) => Whence::Env(name),
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

#[derive(Deserialize)]
#[serde(try_from = "TypedVaultTable")]
pub(crate) struct TypedVault(VaultSettings);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedVaultTable {
    address: String,
    authorities: Option<PathBuf>,
    namespace: Option<String>,
    mount: Option<String>,
    token: Option<Source>,
    role_id: Option<String>,
    secret_id: Option<Source>,
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
    let vault = settings.vault.as_ref().map(vault).transpose()?.map(Arc::new);
    Sources::new(settings.credentials.clone(), vault).map_err(|name| {
        Fault::Invalid(format!(
            "credentials.{name} is in a vault, and there is no [vault] that says where it is"
        ))
        .into()
    })
}

fn vault(settings: &VaultSettings) -> anyhow::Result<Vault> {
    let VaultSettings { address, authorities, namespace, mount, login } = settings;
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("vault.authorities: {}", file.display()))
    };
    let login = match login {
        VaultLogin::Token(token) => Login::Token(token.read("vault.token")?),
        VaultLogin::AppRole { mount, role, secret } => Login::AppRole {
            mount: mount.clone(),
            role: role.clone(),
            secret: secret.read("vault.secret_id")?,
        },
    };
    let config = VaultConfig {
        address: address.clone(),
        authorities: authorities.as_ref().map(read).transpose()?,
        namespace: namespace.clone(),
        mount: mount.clone(),
        login,
    };
    Vault::new(config).map_err(|error| Fault::Invalid(format!("vault: {error}")).into())
}
