//! What `login` keeps: one file, for its owner alone, whole or not at all.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::exit::Fault;

/// A sign-in.
pub(crate) struct Stored {
    /// The gateway's port for agents.
    pub agents: String,
    /// At which issuer.
    pub issuer: String,
    /// Who.
    pub principal: String,
    pub token: Zeroizing<String>,
    /// In seconds since 1970.
    pub expires: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    agents: String,
    issuer: String,
    principal: String,
    token: String,
    expires: i64,
}

impl Stored {
    /// The sign-in of this machine's user, if there is one.
    pub(crate) fn read() -> anyhow::Result<Option<Self>> {
        let file = file()?;
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let mode = std::fs::metadata(&file)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let why = format!(
                "{} can be read by others (mode {mode:o}): durward logout, and in again",
                file.display()
            );
            return Err(Fault::Unauthorized(why).into());
        }
        let Written { agents, issuer, principal, token, expires } = serde_json::from_str(&text)
            .with_context(|| format!("{}: durward login again", file.display()))?;
        Ok(Some(Self { agents, issuer, principal, token: Zeroizing::new(token), expires }))
    }

    /// The same, where it is still good.
    pub(crate) fn usable() -> anyhow::Result<Self> {
        let stored = Self::read()?
            .ok_or_else(|| Fault::Unauthorized("nobody is signed in: durward login".to_owned()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if stored.expires <= i64::try_from(now).unwrap_or(i64::MAX) {
            return Err(Fault::Unauthorized("the sign-in has ended: durward login".to_owned()).into());
        }
        Ok(stored)
    }

    /// Keeps it in the place of the one before.
    pub(crate) fn keep(&self) -> anyhow::Result<()> {
        let Self { agents, issuer, principal, token, expires } = self;
        let written = Written {
            agents: agents.clone(),
            issuer: issuer.clone(),
            principal: principal.clone(),
            token: token.as_str().to_owned(),
            expires: *expires,
        };
        let text = Zeroizing::new(serde_json::to_string(&written)?);
        // It is in `text` now.
        drop(Zeroizing::new(written.token));
        let file = file()?;
        let directory = file.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        replace(&file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Removes what is kept.
    pub(crate) fn remove() -> anyhow::Result<()> {
        let file = file()?;
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
    }
}

/// Whoever reads sees the old file or the new one, also after a crash.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written =
        new.write_all(bytes).and_then(|()| new.sync_all()).and_then(|()| std::fs::rename(&beside, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn file() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let state = state.ok_or_else(|| Fault::Invalid("neither XDG_STATE_HOME nor HOME is set".to_owned()))?;
    Ok(state.join("durward").join("login.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_replaced_whole() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("login.json");
        for text in ["first", "second"] {
            replace(&file, text.as_bytes()).expect("written");
            assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
            assert_eq!(std::fs::metadata(&file).expect("a file").mode() & 0o777, 0o600);
        }
        assert_eq!(
            std::fs::read_dir(place.path()).expect("a directory").count(),
            1,
            "nothing is left beside it"
        );
    }
}
