//! The master key: 32 bytes that lie outside of the database, or that somebody else keeps.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::children;
use crate::vault::KeyName;

const KEY: usize = 32;

/// The key that wraps all others. It is never printed, and wiped when it is dropped.
pub struct MasterKey(Zeroizing<[u8; KEY]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The file cannot be read or made.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Others could read it.
    #[error("{0} can be read by others (mode {1:o}): chmod 600 it, and think about who has read it already")]
    Exposed(PathBuf, u32),
    /// There is none, and what it sealed is there.
    #[error(
        "{0} is missing: without it nothing that is sealed in the store can be opened; bring it back from where it is kept"
    )]
    Missing(PathBuf),
    /// It is no key.
    #[error("{0} is no master key: it has 64 hexadecimal digits")]
    Malformed(String),
    /// The command that gives it fails.
    #[error("the command that gives a secret: {0}")]
    Command(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

/// Gives all master keys that there are, the one that is in force or comes into force next first.
pub type Keys = Arc<dyn Fn() -> Result<Vec<MasterKey>, MasterError> + Send + Sync>;

impl MasterKey {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn fresh() -> Result<Self, MasterError> {
        let mut key = Zeroizing::new([0; KEY]);
        rand::fill(key.as_mut_slice()).map_err(|_| MasterError::Randomness)?;
        Ok(Self(key))
    }

    /// From a file that only its owner can read, one on each line. Where there is none, one is made, unless `must_exist`.
    ///
    /// # Errors
    /// The file cannot be read or made, is readable by others, or holds no key.
    pub fn from_file(path: &Path, must_exist: bool) -> Result<Vec<Self>, MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && must_exist => {
                return Err(MasterError::Missing(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::fresh()?;
                let text = key.text();
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
                return Ok(vec![key]);
            }
            Err(error) => return Err(fault(error)),
        };
        let mode = file.metadata().map_err(fault)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterError::Exposed(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(fault)?;
        Self::all_from_hex(&text, &path.display().to_string())
    }

    /// Writes keys into a file in place of those that are there, so that at each moment it holds either.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_file(path: &Path, keys: &[&Self]) -> Result<(), MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let beside = path.with_extension("new");
        let text: Zeroizing<String> = Zeroizing::new(keys.iter().map(|key| key.text().to_string()).collect());
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(fault)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
        std::fs::rename(&beside, path).map_err(fault)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
    }

    /// Its name, which tells nothing of it.
    pub fn name(&self) -> KeyName {
        KeyName::of(self)
    }

    /// From text: 64 hexadecimal digits. `source` names it in an error.
    ///
    /// # Errors
    /// It is no key.
    pub fn from_hex(text: &str, source: &str) -> Result<Self, MasterError> {
        let malformed = || MasterError::Malformed(source.to_owned());
        let mut key = Zeroizing::new([0; KEY]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_| malformed())?;
        Ok(Self(key))
    }

    /// The same for several keys, each on a line of its own.
    ///
    /// # Errors
    /// One of them is no key, or there is none.
    pub fn all_from_hex(text: &str, source: &str) -> Result<Vec<Self>, MasterError> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let keys = lines.map(|line| Self::from_hex(line, source)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(MasterError::Malformed(source.to_owned())) } else { Ok(keys) }
    }

    /// From what a command writes to its standard output. No shell is asked.
    ///
    /// # Errors
    /// It cannot be run, fails, or gives no key.
    pub fn from_command(words: &[String]) -> Result<Vec<Self>, MasterError> {
        let text = secret_of(words)?;
        Self::all_from_hex(&text, words.first().map_or("", String::as_str))
    }

    /// Its text, for a backup alone: that is sealed under the recovery key.
    pub fn reveal_for_backup(&self) -> Zeroizing<String> {
        self.text()
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", hex::encode(self.0.as_slice())))
    }

    pub(crate) fn reveal(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// What a command writes to its standard output. No shell is asked.
///
/// # Errors
/// It cannot be run, fails, or gives no text.
pub fn secret_of(words: &[String]) -> Result<Zeroizing<String>, MasterError> {
    let failed = |why: String| MasterError::Command(why);
    let (program, arguments) = words.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
    let output = children::without_secrets(&mut Command::new(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("{program}: {error}")))?;
    let text = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(format!("{program}: {}", output.status)));
    }
    let text = std::str::from_utf8(&text).map_err(|_| failed(format!("{program}: it gives no text")))?;
    Ok(Zeroizing::new(text.to_owned()))
}
