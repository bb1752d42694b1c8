//! The master key: 32 bytes that lie outside of the database, or that somebody else keeps.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::children;
use crate::passphrase::{Sealed, Wrap};
use crate::vault::KeyName;

const KEY: usize = 32;
/// A command that gives a secret may take so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// A secret is shorter, in bytes.
const LONGEST: usize = 64 * 1024;

/// The key that wraps all others. It is never printed, and wiped when it is dropped.
pub struct MasterKey(Zeroizing<[u8; KEY]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

fn file_told(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::IsADirectory {
        return "it is a folder, and the master key is a file: bring it back from where it is kept"
            .to_owned();
    }
    error.to_string()
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The file cannot be read or made.
    #[error("{}: {}", .0.display(), file_told(.1))]
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
    /// It begins as a sealed key and goes on otherwise.
    #[error("{0} is no master key that a passphrase opens: it is damaged, or of a newer version")]
    Seal(String),
    /// The passphrase is another one.
    #[error("that passphrase does not open {0}")]
    Passphrase(String),
    /// Nobody gives one.
    #[error("{0}")]
    NoPassphrase(String),
    /// There is no memory for it.
    #[error("a passphrase cannot be stretched: {0}")]
    Stretch(String),
    /// The command that gives it fails.
    #[error("the command that gives a secret: {0}")]
    Command(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

/// Gives all master keys that there are, the one that is in force or comes into force next first.
pub type Keys = Arc<dyn Fn() -> Result<Vec<MasterKey>, MasterError> + Send + Sync>;

/// What opens a file of keys that is sealed under a passphrase.
pub trait Opener {
    /// The passphrase, stretched for this file.
    ///
    /// # Errors
    /// Nobody gives one.
    fn wrap(&self, file: &Sealed) -> Result<Arc<Wrap>, MasterError>;

    /// Under what a file is sealed that is made now; `None` where it is not.
    ///
    /// # Errors
    /// Nobody gives a passphrase.
    fn new_wrap(&self) -> Result<Option<Arc<Wrap>>, MasterError>;
}

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

    /// From a file that only its owner can read, one on each line, or sealed. Where there is none, one is made, unless
    /// `must_exist`.
    ///
    /// # Errors
    /// The file cannot be read or made, is readable by others, or holds no key.
    pub fn from_file(path: &Path, must_exist: bool, opener: &dyn Opener) -> Result<Vec<Self>, MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && must_exist => {
                return Err(MasterError::Missing(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::fresh()?;
                let text = sealed_or_not(key.text(), opener.new_wrap()?.as_deref())?;
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
                return Ok(vec![key]);
            }
            Err(error) => return Err(fault(error)),
        };
        let about = file.metadata().map_err(fault)?;
        if about.is_dir() {
            return Err(fault(io::ErrorKind::IsADirectory.into()));
        }
        let mode = about.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterError::Exposed(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(fault)?;
        if text.is_empty() && !must_exist {
            // Whoever made it was cut off before it held a key.
            let key = Self::fresh()?;
            Self::write_file(path, &[&key], opener.new_wrap()?.as_deref())?;
            return Ok(vec![key]);
        }
        let source = path.display().to_string();
        match Sealed::parse(&text, &source)? {
            None => Self::all_from_hex(&text, &source),
            Some(sealed) => Self::all_from_hex(&opener.wrap(&sealed)?.open(&sealed)?, &source),
        }
    }

    /// Writes keys into a file in place of those that are there, so that at each moment it holds either; sealed, where there is
    /// something to seal them under.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_file(path: &Path, keys: &[&Self], wrap: Option<&Wrap>) -> Result<(), MasterError> {
        let fault = |error| MasterError::Io(path.to_owned(), error);
        let beside = Self::beside(path);
        let text: Zeroizing<String> = Zeroizing::new(keys.iter().map(|key| key.text().to_string()).collect());
        let text = sealed_or_not(text, wrap)?;
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(fault)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
        std::fs::rename(&beside, path).map_err(fault)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
    }

    /// Where new keys are written before they take the place of those in a file: what is found there was cut off, and counts
    /// for nothing.
    pub fn beside(path: &Path) -> PathBuf {
        path.with_extension("new")
    }

    /// How many keys are in a file; of one that is sealed its length tells.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn count_in(path: &Path) -> Result<usize, MasterError> {
        let text = std::fs::read_to_string(path).map_err(|error| MasterError::Io(path.to_owned(), error))?;
        let text = Zeroizing::new(text);
        let sealed = Sealed::parse(&text, &path.display().to_string())?;
        let in_clear = || text.lines().filter(|line| !line.trim().is_empty()).count();
        // Each with the end of its line.
        Ok(sealed.map_or_else(in_clear, |sealed| sealed.length() / (2 * KEY + 1)))
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
        let program = words.first().map_or("", String::as_str);
        Self::all_from_hex(&text, &format!("what {program} prints"))
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

fn sealed_or_not(text: Zeroizing<String>, wrap: Option<&Wrap>) -> Result<Zeroizing<String>, MasterError> {
    match wrap {
        None => Ok(text),
        Some(wrap) => wrap.seal(&text).map(Zeroizing::new),
    }
}

/// What a file holds that is sealed under a passphrase; `None` of another, or where there is none.
///
/// # Errors
/// It cannot be read.
pub fn sealed_in(path: &Path) -> Result<Option<Sealed>, MasterError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Sealed::parse(&Zeroizing::new(text), &path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MasterError::Io(path.to_owned(), error)),
    }
}

/// What a command writes to its standard output. No shell is asked. It may take a minute, in which somebody can type a passphrase
/// into a window of its own.
///
/// # Errors
/// It cannot be run, fails, takes longer, or gives no text.
pub fn secret_of(words: &[String]) -> Result<Zeroizing<String>, MasterError> {
    secret_within(words, PATIENCE)
}

fn secret_within(words: &[String], patience: Duration) -> Result<Zeroizing<String>, MasterError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| MasterError::Command("it is empty".to_owned()))?;
    let failed = |why: String| MasterError::Command(format!("{program}: {why}"));
    let until = Instant::now() + patience;
    let mut child = children::without_secrets(&mut Command::new(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // Whoever it started may hold its output open for longer than it runs itself.
    let (tell, told) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut text = Zeroizing::new(Vec::with_capacity(LONGEST));
            let read = output.take(LONGEST as u64).read_to_end(&mut text);
            // Nobody may wait for it any more.
            let _ = tell.send(read.map(|_| text));
        });
    }
    let text = told.recv_timeout(patience);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if text.is_ok() && Instant::now() < until => std::thread::sleep(LOOK),
            Ok(None) => break Err(format!("it takes longer than {} s", patience.as_secs())),
            Err(error) => break Err(error.to_string()),
        }
    };
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended.map_err(failed)?;
    // No more than this was read: it may have ended for that alone.
    if matches!(&text, Ok(Ok(text)) if text.len() == LONGEST) {
        return Err(failed(format!("it gives more than {LONGEST} bytes")));
    }
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    let text = text.map_err(|_| failed("its output does not end".to_owned()))?;
    let text = text.map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&text).map_err(|_| failed("it gives no text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_a_secret_where_it_ends_well_and_in_time() {
        let patience = Duration::from_secs(2);
        let run = |script: &str| {
            let words = ["sh", "-c", script].map(str::to_owned);
            secret_within(&words, patience).map(|text| text.to_string()).map_err(|why| why.to_string())
        };
        assert_eq!(run("echo key; exit 0"), Ok("key\n".to_owned()));
        for (script, says) in [
            ("echo key; exit 3", "sh: exit status: 3"),
            ("echo key; exec sleep 60", "sh: it takes longer than 2 s"),
            ("exec sleep 60", "sh: it takes longer than 2 s"),
            ("sleep 60 & echo key", "sh: its output does not end"),
            ("printf '\\377'", "sh: it gives no text"),
            ("head -c 70000 /dev/zero", "sh: it gives more than 65536 bytes"),
        ] {
            let begun = Instant::now();
            let why = run(script).expect_err(script);
            assert!(why.ends_with(says), "{script}: {why}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{script}");
        }
        let nothing = secret_within(&["/nonexistent".to_owned()], patience).expect_err("it is not there");
        assert!(nothing.to_string().contains("/nonexistent: No such file"), "{nothing}");
    }

    #[test]
    fn keys_are_lines_of_digits_whatever_stands_around_them() {
        let (one, two) = ("ab".repeat(32), "CD".repeat(32));
        for (text, keys) in [
            (one.clone(), 1),
            (format!("\r\n  {one}\r\n\n"), 1),
            (format!("{one}\n{two}\n"), 2),
            (String::new(), 0),
            ("\n".to_owned(), 0),
            (one.replacen('a', "g", 1), 0),
            (format!("{one}0"), 0),
            (format!("Passphrase: {one}"), 0),
        ] {
            let read = MasterKey::all_from_hex(&text, "x");
            assert_eq!(read.as_ref().map_or(0, Vec::len), keys, "{text:?}");
            assert!(read.is_ok() || read.is_err_and(|why| !why.to_string().contains(&one)), "{text:?}");
        }
    }
}
