//! Whom a server runs as. PostgreSQL and PgBouncer refuse to run as root.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::process::text;

/// The account that is made where everything else runs as root.
const NAME: &str = "durward-test";

/// Whom a server runs as: ourselves, or where we are root, an account without rights.
#[derive(Debug, Clone)]
pub struct Account(Option<(u32, u32)>);

impl Account {
    /// Ourselves, or the account `durward-test`, which is made when it is not there.
    ///
    /// # Errors
    /// The account cannot be made.
    pub fn unprivileged() -> Result<Self, Failure> {
        if !is_root()? {
            return Ok(Self(None));
        }
        if id("-u").is_err() {
            // Several processes may find it missing at once: one makes it, the others find it after all.
            let made = text(Command::new("useradd").args(["-r", "-M", "-s", "/usr/sbin/nologin", NAME]));
            if id("-u").is_err() {
                made?;
            }
        }
        Ok(Self(Some((id("-u")?, id("-g")?))))
    }

    /// Makes a command run as this account.
    pub fn runs(&self, command: &mut Command) {
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
    }

    /// Gives a file or directory to this account.
    ///
    /// # Errors
    /// The system's.
    pub fn give(&self, path: &Path) -> Result<(), Failure> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        chown(path, Some(user), Some(group))
            .map_err(|e| Failure::of(format!("cannot give away {}", path.display()), e))
    }
}

/// Whether this process is root: `/proc/self` belongs to whom it runs as.
///
/// # Errors
/// There is no `/proc`.
pub fn is_root() -> Result<bool, Failure> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

fn id(which: &str) -> Result<u32, Failure> {
    let said = text(Command::new("id").args([which, NAME]))?;
    said.trim().parse().map_err(|e| Failure::of(format!("id {which} {NAME}"), e))
}
