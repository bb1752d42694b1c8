//! Where targets' passwords come from when they do not lie sealed in the store: files, the environment, commands, and HashiCorp
//! Vault or OpenBao. They are named by the process's own configuration, so that whoever may apply targets can use them but not
//! choose what is read or run here.
//!
//! What was read is used again for as long as it is told, and no longer: where it cannot be read anew, nobody is let in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::children;
use zeroize::Zeroizing;

use crate::net::dial::Password;
use crate::net::vault::{Vault, VaultError};

/// A command may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A password is not longer.
const LONGEST: usize = 64 * 1024;

/// One source, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Where the password is.
    pub from: Whence,
    /// How long it may be used again without being read anew.
    pub cache: Duration,
}

/// Where a password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whence {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// What a command writes, given as its words. No shell is asked.
    Command(Vec<String>),
    /// A secret of Vault's or OpenBao's key-value store, version 2, and the word for the password in it.
    Vault {
        /// Behind the mount: `databases/orders`.
        path: String,
        /// Usually `password`.
        key: String,
    },
}

/// The sources of a process.
#[derive(Default)]
pub struct Sources(BTreeMap<String, Arc<Sourced>>);

impl Sources {
    /// From what is configured. `vault` is needed where a source is in one.
    ///
    /// # Errors
    /// The name of a source that is in a vault, without there being one.
    pub fn new(
        configured: BTreeMap<String, SourceConfig>,
        vault: Option<Arc<Vault>>,
    ) -> Result<Self, String> {
        let mut sources = BTreeMap::new();
        for (name, SourceConfig { from, cache }) in configured {
            let vault = match (&from, &vault) {
                (Whence::Vault { .. }, None) => return Err(name),
                (Whence::Vault { .. }, Some(vault)) => Some(Arc::clone(vault)),
                (Whence::File(_) | Whence::Env(_) | Whence::Command(_), _) => None,
            };
            let sourced = Sourced { name: name.clone(), from, cache, vault, kept: Mutex::default() };
            sources.insert(name, Arc::new(sourced));
        }
        Ok(Self(sources))
    }

    /// That there is none of a name, in words for whoever wrote it.
    pub(crate) fn missing(&self, name: &str) -> String {
        let near = policy::nearest(name, self.0.keys().map(String::as_str));
        let near = near.map(|near| format!(": did you mean \"{near}\"?")).unwrap_or_default();
        format!("the gateway's durward.toml has no [credentials.{name}]{near}")
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Sourced>> {
        self.0.get(name).map(Arc::clone)
    }
}

/// A password that is somewhere else.
pub struct Sourced {
    name: String,
    from: Whence,
    cache: Duration,
    vault: Option<Arc<Vault>>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    password: Arc<Password>,
    until: Instant,
}

/// Why there is no password. The words are for the log; they have nothing of what was read in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the environment has no {0}")]
    Env(String),
    #[error("{0}: {1}")]
    Command(String, String),
    #[error("{0}")]
    Vault(#[from] VaultError),
    #[error("it is empty, or longer than {LONGEST} bytes")]
    Length,
    #[error("durward.toml has no credentials.{0}")]
    Unknown(String),
}

impl Sourced {
    /// The password, read anew where what was kept is too old.
    pub(crate) async fn password(&self) -> Result<Arc<Password>, SourceError> {
        if let Some(kept) = &*self.kept()
            && Instant::now() < kept.until
        {
            return Ok(Arc::clone(&kept.password));
        }
        // From before it was asked, so that it is not used for longer than told.
        let asked = Instant::now();
        let (text, told) = self.read().await?;
        if text.is_empty() || text.len() > LONGEST {
            return Err(SourceError::Length);
        }
        let password = Arc::new(Password::new(Zeroizing::new(text.as_bytes().to_vec())));
        let until = asked + told.map_or(self.cache, |told| told.min(self.cache));
        *self.kept() = Some(Kept { password: Arc::clone(&password), until });
        Ok(password)
    }

    /// The target did not take this one: whoever comes next reads it anew. Whether it was kept until now.
    pub(crate) fn forget(&self, password: &Arc<Password>) -> bool {
        let mut kept = self.kept();
        let was = kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.password, password));
        if was {
            *kept = None;
        }
        was
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the source gives, and for how long, where it says so.
    async fn read(&self) -> Result<(Zeroizing<String>, Option<Duration>), SourceError> {
        match &self.from {
            Whence::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let text = read.map_err(|error| SourceError::File(path.clone(), error))?;
                Ok((one_line(Zeroizing::new(text)), None))
            }
            Whence::Env(name) => {
                let text = std::env::var(name).map_err(|_| SourceError::Env(name.clone()))?;
                Ok((Zeroizing::new(text), None))
            }
            Whence::Command(words) => Ok((one_line(command(words).await?), None)),
            Whence::Vault { path, key } => {
                let vault = self.vault.as_ref().ok_or_else(|| SourceError::Unknown(self.name.clone()))?;
                Ok(vault.secret(path, key).await?)
            }
        }
    }
}

/// Without the end of its line.
fn one_line(text: Zeroizing<String>) -> Zeroizing<String> {
    Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn command(words: &[String]) -> Result<Zeroizing<String>, SourceError> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| SourceError::Command("a command".to_owned(), "it is empty".to_owned()))?;
    let failed = |why: String| SourceError::Command(program.clone(), why);
    let mut child = tokio::process::Command::new(program);
    children::without_secrets(child.as_std_mut());
    let run = child
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(PATIENCE, run).await;
    let output =
        ended.map_err(|_| failed("it takes too long".to_owned()))?.map_err(|e| failed(e.to_string()))?;
    let text = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = std::str::from_utf8(&text).map_err(|_| failed("it gives no text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The password of a target: none, one that lay sealed in the store, or one that is somewhere else. It is never printed, and copied
/// only into the login that needs it.
#[derive(Clone, Default)]
pub enum Credential {
    /// The target asks for none.
    #[default]
    None,
    /// From the store.
    Kept(Arc<Password>),
    /// From somewhere else.
    Sourced(Arc<Sourced>),
    /// From a source that this process does not have.
    Missing(String),
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Kept(a), Self::Kept(b)) => a == b,
            (Self::Sourced(a), Self::Sourced(b)) => Arc::ptr_eq(a, b),
            (Self::Missing(a), Self::Missing(b)) => a == b,
            (Self::None | Self::Kept(_) | Self::Sourced(_) | Self::Missing(_), _) => false,
        }
    }
}

impl Eq for Credential {}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// The password to log in with now. For the dial alone: what it returns never reaches a client, a log or an error.
    pub(crate) async fn password(&self) -> Result<Option<Arc<Password>>, SourceError> {
        match self {
            Self::None => Ok(None),
            Self::Kept(password) => Ok(Some(Arc::clone(password))),
            Self::Sourced(sourced) => sourced.password().await.map(Some),
            Self::Missing(name) => Err(SourceError::Unknown(name.clone())),
        }
    }

    /// The target did not take it. Whether reading it anew may help.
    pub(crate) fn refused(&self, password: Option<&Arc<Password>>) -> bool {
        match (self, password) {
            (Self::Sourced(sourced), Some(password)) => sourced.forget(password),
            (Self::None | Self::Kept(_) | Self::Sourced(_) | Self::Missing(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(from: Whence, cache: Duration) -> Arc<Sourced> {
        let configured = BTreeMap::from([("x".to_owned(), SourceConfig { from, cache })]);
        Sources::new(configured, None)
            .unwrap_or_else(|name| panic!("{name} needs a vault"))
            .find("x")
            .expect("it is there")
    }

    async fn given(source: &Sourced) -> Result<String, String> {
        let password = source.password().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(password.reveal().to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_password_is_used_again_for_as_long_as_told_and_no_longer() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("password");
        std::fs::write(&file, "one\n").expect("written");
        let source = source(Whence::File(file.clone()), Duration::from_millis(200));
        assert_eq!(given(&source).await.as_deref(), Ok("one"));
        std::fs::write(&file, "two\r\n").expect("written");
        assert_eq!(given(&source).await.as_deref(), Ok("one"), "it is kept");
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(given(&source).await.as_deref(), Ok("two"));
        // One that the target does not take is read anew at once; what is gone is not used again.
        std::fs::write(&file, "three").expect("written");
        let kept = source.password().await.expect("kept");
        assert!(source.forget(&kept) && !source.forget(&kept));
        assert_eq!(given(&source).await.as_deref(), Ok("three"));
        std::fs::remove_file(&file).expect("removed");
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(given(&source).await.expect_err("an error").contains("password: No such file"));
    }

    #[tokio::test]
    async fn what_a_source_says_when_it_fails_has_no_secret_in_it() {
        let words = |all: &[&str]| Whence::Command(all.iter().map(|w| (*w).to_owned()).collect());
        for (from, expected) in [
            (words(&["printf", "hunter2\n"]), Ok("hunter2")),
            (words(&["sh", "-c", "echo hunter2; exit 3"]), Err("sh: exit status: 3")),
            (words(&["no-such-program"]), Err("no-such-program: No such file or directory (os error 2)")),
            (words(&[]), Err("a command: it is empty")),
            (words(&["true"]), Err("it is empty, or longer than 65536 bytes")),
            (Whence::Env("DURWARD_NO_SUCH".to_owned()), Err("the environment has no DURWARD_NO_SUCH")),
        ] {
            let said = given(&source(from, Duration::ZERO)).await;
            assert_eq!(said.as_deref().map_err(String::as_str), expected);
        }
        assert!(
            Sources::new(
                BTreeMap::from([(
                    "v".to_owned(),
                    SourceConfig {
                        from: Whence::Vault { path: "p".to_owned(), key: "k".to_owned() },
                        cache: Duration::ZERO
                    }
                )]),
                None
            )
            .is_err()
        );
    }
}
