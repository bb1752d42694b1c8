//! Master keys in a file that a passphrase opens: one line that says how the passphrase is stretched (Argon2id, RFC 9106), and
//! the keys under AES-256-GCM. Whoever has the file alone can only guess, and each guess costs them time and memory.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::master::MasterError;

/// With which a sealed file begins.
const BEGINS: &str = "durward-sealed-key";
const VERSION: &str = "1";
const SALT: usize = 16;
const KEY: usize = 32;
/// A passphrase has so many characters at least.
pub const SHORTEST_PASSPHRASE: usize = 12;
/// What a guess costs in a file that is made now: 64 MiB, three passes.
const COSTS: Costs = Costs { memory: 64 * 1024, passes: 3 };
/// And what a file may ask for at most: whoever can write it must not take all memory.
const MOST: Costs = Costs { memory: 1024 * 1024, passes: 64 };

/// What one guess costs: memory in KiB, and how often it is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Costs {
    memory: u32,
    passes: u32,
}

/// What somebody remembers. It is never printed, and wiped when it is dropped.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// As it was typed, without the end of its line.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Whether it is long enough to seal with.
    pub fn is_long(&self) -> bool {
        self.0.chars().count() >= SHORTEST_PASSPHRASE
    }

    /// Whether it is the same as another.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// How the passphrase of one file is stretched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    costs: Costs,
    salt: [u8; SALT],
}

/// A passphrase that was stretched for one file. It is never printed, and wiped when it is dropped.
pub struct Wrap {
    stretch: Stretch,
    key: Zeroizing<[u8; KEY]>,
}

/// A file that a passphrase opens.
pub struct Sealed {
    stretch: Stretch,
    nonce: [u8; NONCE_LEN],
    sealed: Vec<u8>,
    source: String,
}

impl Stretch {
    /// With chance of its own.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn fresh() -> Result<Self, MasterError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| MasterError::Randomness)?;
        Ok(Self { costs: COSTS, salt })
    }

    /// Takes a while and memory, which is its purpose.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn wrap(&self, passphrase: &Passphrase) -> Result<Wrap, MasterError> {
        let Costs { memory, passes } = self.costs;
        let fault = |error: argon2::Error| MasterError::Stretch(error.to_string());
        let params = Params::new(memory, passes, 1, Some(KEY)).map_err(fault)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; KEY]);
        argon2.hash_password_into(passphrase.0.as_bytes(), &self.salt, key.as_mut_slice()).map_err(fault)?;
        Ok(Wrap { stretch: *self, key })
    }

    fn header(&self) -> String {
        let Costs { memory, passes } = self.costs;
        format!("{BEGINS} {VERSION} argon2id m={memory} t={passes} salt={}", hex::encode(self.salt))
    }
}

impl Wrap {
    /// For which file it is.
    pub fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// The line that only this opens.
    ///
    /// # Errors
    /// There is no randomness.
    pub(crate) fn seal(&self, text: &str) -> Result<String, MasterError> {
        let header = self.stretch.header();
        let mut sealed = Zeroizing::new(text.as_bytes().to_vec());
        let nonce = self
            .key()?
            .seal_in_place_append_tag(Aad::from(header.as_bytes()), &mut *sealed)
            .map_err(|_| MasterError::Randomness)?;
        Ok(format!(
            "{header} nonce={} sealed={}\n",
            hex::encode(nonce.as_ref()),
            hex::encode(sealed.as_slice())
        ))
    }

    /// Whether it is the right one for a file.
    pub fn opens(&self, file: &Sealed) -> bool {
        self.open(file).is_ok()
    }

    /// What is in a file.
    ///
    /// # Errors
    /// The passphrase is another, or the file was changed.
    pub(crate) fn open(&self, file: &Sealed) -> Result<Zeroizing<String>, MasterError> {
        let wrong = || MasterError::Passphrase(file.source.clone());
        let nonce = Nonce::assume_unique_for_key(file.nonce);
        let mut bytes = Zeroizing::new(file.sealed.clone());
        let header = file.stretch.header();
        let text = self
            .key()?
            .open_in_place(nonce, Aad::from(header.as_bytes()), &mut bytes)
            .map_err(|_| wrong())?;
        let text = std::str::from_utf8(text).map_err(|_| wrong())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn key(&self) -> Result<RandomizedNonceKey, MasterError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.key.as_slice()).map_err(|_| MasterError::Randomness)
    }
}

impl Sealed {
    /// Reads a file's text; `None` where it is no sealed one. `source` names it in an error.
    ///
    /// # Errors
    /// It is one that cannot be read.
    pub(crate) fn parse(text: &str, source: &str) -> Result<Option<Self>, MasterError> {
        let Some(rest) = text.trim_start_matches('\u{feff}').trim_start().strip_prefix(BEGINS) else {
            return Ok(None);
        };
        let malformed = || MasterError::Seal(source.to_owned());
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [VERSION, "argon2id", memory, passes, salt, nonce, sealed] = *words.as_slice() else {
            return Err(malformed());
        };
        let number = |word: &str, name: &str, most: u32| {
            let number = word.strip_prefix(name)?.parse::<u32>().ok()?;
            (number > 0 && number <= most).then_some(number)
        };
        let memory = number(memory, "m=", MOST.memory).ok_or_else(malformed)?;
        let passes = number(passes, "t=", MOST.passes).ok_or_else(malformed)?;
        let (mut of_salt, mut of_nonce) = ([0; SALT], [0; NONCE_LEN]);
        let digits = |word: &str, name: &str, into: &mut [u8]| {
            word.strip_prefix(name).is_some_and(|digits| hex::decode_to_slice(digits, into).is_ok())
        };
        if !digits(salt, "salt=", &mut of_salt) || !digits(nonce, "nonce=", &mut of_nonce) {
            return Err(malformed());
        }
        let sealed = sealed.strip_prefix("sealed=").and_then(|digits| hex::decode(digits).ok());
        Ok(Some(Self {
            stretch: Stretch { costs: Costs { memory, passes }, salt: of_salt },
            nonce: of_nonce,
            sealed: sealed.ok_or_else(malformed)?,
            source: source.to_owned(),
        }))
    }

    /// How many bytes are in it.
    pub(crate) fn length(&self) -> usize {
        self.sealed.len().saturating_sub(AES_256_GCM.tag_len())
    }

    /// How its passphrase is stretched.
    pub fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// Where it lies.
    pub fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_alone_and_unchanged_alone() {
        let cheap = Stretch { costs: Costs { memory: 64, passes: 1 }, salt: [7; SALT] };
        let wrap = |words: &str| cheap.wrap(&Passphrase::new(words)).expect("stretched");
        let line = wrap("correct horse battery").seal("the key\n").expect("sealed");
        let read = |text: &str| Sealed::parse(text, "x").map(|read| read.expect("a sealed one"));
        let open = |text: &str, words: &str| wrap(words).open(&read(text)?).map(|text| text.to_string());
        assert_eq!(open(&line, "correct horse battery\n").expect("open"), "the key\n");
        assert!(matches!(open(&line, "Correct horse battery"), Err(MasterError::Passphrase(_))));
        // Cheaper to guess than it was made.
        for (from, to) in [("t=1", "t=2"), ("m=64", "m=65"), ("salt=07", "salt=08")] {
            assert!(matches!(
                open(&line.replace(from, to), "correct horse battery"),
                Err(MasterError::Passphrase(_))
            ));
        }
        for broken in [
            line.replace("m=64", "m=4294967295"),
            line.replace("m=64", "m=0"),
            line.replace("t=1", "t=65"),
            line.replace("key 1", "key 2"),
            line.replace("argon2id", "argon2d"),
            line.replace("nonce=", "nonce=zz"),
            line.replace("sealed=", "sealed=z"),
            BEGINS.to_owned(),
        ] {
            assert!(matches!(read(&broken), Err(MasterError::Seal(_))), "{broken}");
        }
        assert!(Sealed::parse(&"ab".repeat(32), "x").expect("no sealed one").is_none());
        assert!(!line.contains("the key"));
    }
}
