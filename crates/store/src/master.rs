//! The master key: 32 bytes that lie outside of the database, or that somebody else keeps.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

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

impl MasterKey {
    /// From a file that only its owner can read. Where there is none, one is made, unless `must_exist`.
    ///
    /// # Errors
    /// The file cannot be read or made, is readable by others, or holds no key.
    pub fn from_file(path: &Path, must_exist: bool) -> Result<Self, MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && must_exist => {
                return Err(MasterError::Missing(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::make(path),
            Err(error) => return Err(fault(error)),
        };
        let mode = file.metadata().map_err(fault)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterError::Exposed(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(fault)?;
        Self::from_hex(&text, &path.display().to_string())
    }

    /// From text: 64 hexadecimal digits. `source` names it in an error.
    ///
    /// # Errors
    /// It is no key.
    pub fn from_hex(text: &str, source: &str) -> Result<Self, MasterError> {
        let mut key = Zeroizing::new([0; KEY]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice())
            .map_err(|_| MasterError::Malformed(source.to_owned()))?;
        Ok(Self(key))
    }

    /// From what a command writes to its standard output. No shell is asked.
    ///
    /// # Errors
    /// It cannot be run, fails, or gives no key.
    pub fn from_command(words: &[String]) -> Result<Self, MasterError> {
        let text = secret_of(words)?;
        Self::from_hex(&text, words.first().map_or("", String::as_str))
    }

    fn make(path: &Path) -> Result<Self, MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let mut key = Zeroizing::new([0; KEY]);
        rand::fill(key.as_mut_slice()).map_err(|_| MasterError::Randomness)?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_slice())));
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
        Ok(Self(key))
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
    let output = Command::new(program)
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
