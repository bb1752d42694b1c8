//! The passphrase that the file of master keys may be sealed under: from a file descriptor that is open already, systemd's
//! credential, or the terminal; never from an argument or a variable. What it was stretched to is kept, so that a file that is
//! rotated while a gateway serves opens again; the passphrase itself is not.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{MasterError, Opener, Passphrase, SHORTEST_PASSPHRASE, Sealed, Stretch, Wrap, sealed_in};
use zeroize::Zeroizing;

/// By which systemd gives it: `LoadCredential=durward-passphrase:/path` or `LoadCredentialEncrypted=`.
const CREDENTIAL: &str = "durward-passphrase";
/// It is not longer, in bytes.
const LONGEST: u64 = 4096;
/// So often it is asked for at the terminal.
const TRIES: usize = 3;

/// One that was given. It is never printed.
#[derive(Clone)]
pub(crate) struct Given(Arc<Passphrase>);

/// Reads it while the arguments are read: later, the process's own descriptors are closed to it by their names as well.
pub(crate) fn from_descriptor(number: &str) -> Result<Given, String> {
    let number: u32 = number.parse().map_err(|_| "it is the number of an open file descriptor".to_owned())?;
    let read = File::open(format!("/proc/self/fd/{number}")).map_err(|error| error.to_string())?;
    from(read)
}

fn from(file: File) -> Result<Given, String> {
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LONGEST {
        return Err(format!("it gives more than {LONGEST} bytes"));
    }
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err("its first line is empty".to_owned());
    }
    Ok(Given(Arc::new(Passphrase::new(line))))
}

/// What opens the file of master keys in this process.
#[derive(Clone, Default)]
pub(crate) struct Unlock(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    given: Option<Given>,
    /// For what is sealed from now on.
    new: Option<Given>,
    /// Whether a file that is made now is sealed.
    seals: bool,
    /// Whether nobody is asked any more: a gateway serves.
    serves: bool,
    kept: Vec<Arc<Wrap>>,
}

impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unlock")
    }
}

impl Unlock {
    /// With what was given, if it was.
    pub(crate) fn given(given: Option<&Given>) -> Self {
        let unlock = Self::default();
        unlock.inner().given = given.cloned();
        unlock
    }

    /// A file that is made from now on is sealed under this, or under what is asked for.
    pub(crate) fn seal_new(&self, new: Option<&Given>) {
        let mut inner = self.inner();
        (inner.seals, inner.new) = (true, new.cloned());
    }

    /// From now on nobody is asked, and only what was stretched is kept.
    pub(crate) fn serves(&self) {
        let mut inner = self.inner();
        (inner.serves, inner.given, inner.new) = (true, None, None);
    }

    /// Under what a file is sealed again when it is written anew; `None` where it lies in clear.
    pub(crate) fn of_file(&self, file: &Path) -> Result<Option<Arc<Wrap>>, MasterError> {
        sealed_in(file)?.map(|sealed| self.wrap(&sealed)).transpose()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, wrap: Wrap) -> Arc<Wrap> {
        let wrap = Arc::new(wrap);
        self.inner().kept.push(Arc::clone(&wrap));
        wrap
    }
}

impl Opener for Unlock {
    fn wrap(&self, file: &Sealed) -> Result<Arc<Wrap>, MasterError> {
        let source = file.source();
        let (given, serves) = {
            let inner = self.inner();
            if let Some(kept) = inner.kept.iter().find(|kept| kept.stretch() == file.stretch()) {
                return Ok(Arc::clone(kept));
            }
            (inner.given.clone(), inner.serves)
        };
        if serves {
            let why = format!(
                "{source} was sealed under another passphrase since this gateway began: start it again"
            );
            return Err(MasterError::NoPassphrase(why));
        }
        let given = match given {
            Some(given) => Some(given),
            None => of_systemd()?,
        };
        if let Some(Given(passphrase)) = given {
            return opened(file, &passphrase).map(|wrap| self.keep(wrap));
        }
        for left in (0..TRIES).rev() {
            let typed = ask(&format!("Passphrase of {source}: ")).ok_or_else(|| nobody(source))?;
            match opened(file, &typed) {
                Err(MasterError::Passphrase(_)) if left > 0 => eprintln!("durward: that does not open it"),
                other => return other.map(|wrap| self.keep(wrap)),
            }
        }
        Err(MasterError::Passphrase(source.to_owned()))
    }

    fn new_wrap(&self) -> Result<Option<Arc<Wrap>>, MasterError> {
        let (seals, new) = {
            let inner = self.inner();
            (inner.seals, inner.new.clone())
        };
        if !seals {
            return Ok(None);
        }
        let short = || {
            MasterError::NoPassphrase(format!("a passphrase has {SHORTEST_PASSPHRASE} characters at least"))
        };
        let passphrase = match new {
            Some(Given(new)) => new,
            None => {
                let nobody = || {
                    MasterError::NoPassphrase(
                        "a new passphrase is needed, and there is no terminal: --new-passphrase-fd N reads it from an open file descriptor"
                            .to_owned(),
                    )
                };
                let typed = ask("New passphrase of the master key: ").ok_or_else(nobody)?;
                if !typed.is_long() {
                    return Err(short());
                }
                if !ask("The same again: ").ok_or_else(nobody)?.is(&typed) {
                    return Err(MasterError::NoPassphrase(
                        "the two are not the same: nothing was changed".to_owned(),
                    ));
                }
                Arc::new(typed)
            }
        };
        if !passphrase.is_long() {
            return Err(short());
        }
        Ok(Some(self.keep(Stretch::fresh()?.wrap(&passphrase)?)))
    }
}

fn opened(file: &Sealed, passphrase: &Passphrase) -> Result<Wrap, MasterError> {
    let wrap = file.stretch().wrap(passphrase)?;
    if wrap.opens(file) { Ok(wrap) } else { Err(MasterError::Passphrase(file.source().to_owned())) }
}

fn of_systemd() -> Result<Option<Given>, MasterError> {
    let Some(place) = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|place| !place.is_empty()) else {
        return Ok(None);
    };
    let file = Path::new(&place).join(CREDENTIAL);
    match File::open(&file) {
        Ok(read) => from(read)
            .map(Some)
            .map_err(|why| MasterError::NoPassphrase(format!("{}: {why}", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MasterError::NoPassphrase(format!("{}: {error}", file.display()))),
    }
}

/// What is typed at the terminal, whatever the standard input is; `None` without one.
fn ask(prompt: &str) -> Option<Passphrase> {
    let typed = Zeroizing::new(rpassword::prompt_password(prompt).ok()?);
    Some(Passphrase::new(&typed))
}

fn nobody(source: &str) -> MasterError {
    MasterError::NoPassphrase(format!(
        "a passphrase is needed for {source}, and there is no terminal: --passphrase-fd N reads it from an open file descriptor, \
         LoadCredential={CREDENTIAL}:FILE of systemd gives it to a unit"
    ))
}

/// Refuses to go on as if a key were sealed that lies in clear.
pub(crate) fn must_be_sealed(file: &Path) -> anyhow::Result<()> {
    if file.exists() && sealed_in(file)?.is_none() {
        let why = format!("{} is there and lies in clear: durward keys passphrase seals it", file.display());
        return Err(crate::exit::Fault::Invalid(why).into());
    }
    Ok(())
}
