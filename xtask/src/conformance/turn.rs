//! Suites share folders, databases' names and ports: they run one at a time on a machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use testkit::Failure;

/// The right to run suites, until this process ends: the kernel gives it back whatever the end is like.
pub(super) struct Turn(#[expect(dead_code, reason = "the lock is the file's being open")] File);

impl Turn {
    /// # Errors
    /// Another process has it, or the file cannot be written.
    pub(super) fn take(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("turn");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                let owner = owner.trim_end();
                return Err(format!("process {owner} runs suites on this machine: one at a time").into());
            }
            Err(TryLockError::Error(failure)) => return Err(failure.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use testkit::Scratch;

    use super::Turn;

    #[test]
    fn whoever_comes_second_is_told_who_is_at_it_and_comes_next() {
        let folder = Scratch::new("turn").unwrap();
        let first = Turn::take(folder.path()).unwrap();
        let second = Turn::take(folder.path()).map(drop).unwrap_err().to_string();
        assert!(second.contains(&format!("process {} runs suites", std::process::id())), "{second}");
        drop(first);
        Turn::take(folder.path()).unwrap();
    }
}
