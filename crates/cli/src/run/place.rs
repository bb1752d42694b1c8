//! The directory of the broker's socket: this user's alone, gone when the run ends.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The longest path of a UNIX socket on Linux, in bytes.
const LONGEST: usize = 107;

/// A directory with mode 0700.
pub(super) struct Place {
    path: PathBuf,
    /// Whose it is: this process's user.
    pub(super) user: u32,
}

impl Place {
    pub(super) fn make() -> anyhow::Result<Self> {
        let set = |name| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
        let mut chance = [0; 8];
        fill(&mut chance)?;
        let name = format!("durward-{}", chance.iter().map(|b| format!("{b:02x}")).collect::<String>());
        let runtime = set("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir());
        let path = runtime.unwrap_or_else(std::env::temp_dir).join(name);
        // Not what somebody else made before: that is an error.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let made = Self { user: std::fs::metadata(&path)?.uid(), path };
        let socket = made.socket();
        anyhow::ensure!(
            socket.as_os_str().len() <= LONGEST,
            "{} is too long for a socket: set TMPDIR to a shorter one, or use --port",
            socket.display()
        );
        Ok(made)
    }

    /// As libpq takes it for a host.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As libpq looks for it, for the usual port.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join(".s.PGSQL.5432")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// From the system, as a directory's name needs no more.
fn fill(chance: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(chance)
}
