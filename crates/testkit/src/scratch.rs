//! Directories that end with their owner.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Account, Failure};

const PREFIX: &str = "durward-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory under the system's place for temporary files, removed when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes `durward-WHAT-PID-N`, and removes those that processes left which are no more.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(what: &str) -> Result<Self, Failure> {
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}{what}-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|e| Failure::of(format!("cannot make {}", path.display()), e))?;
        Ok(Self(path))
    }

    /// The same, given to an account that the server in it runs as.
    ///
    /// # Errors
    /// It cannot be made or given away.
    pub fn owned_by(what: &str, account: &Account) -> Result<Self, Failure> {
        let scratch = Self::new(what)?;
        account.give(&scratch.0)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whatever is left over is swept by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that was killed could not clean up behind itself.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if owner(&name.to_string_lossy()).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process id in `durward-WHAT-PID-N`.
fn owner(name: &str) -> Option<&str> {
    let mut parts = name.strip_prefix(PREFIX)?.rsplit('-');
    parts.next()?.parse::<u32>().ok()?;
    parts.next().filter(|pid| pid.parse::<u32>().is_ok())
}
