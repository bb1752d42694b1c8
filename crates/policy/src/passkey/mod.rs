//! Passkeys: whether what a browser brings was signed by a person's authenticator, for this place, for this very question, by
//! somebody whom the authenticator knows. Pure: bytes come in, a key or a refusal comes out.
//!
//! The source is Web Authentication Level 3, §7.1 and §7.2. No attestation is asked for, and none is believed: which make an
//! authenticator is of decides nothing here.

mod cbor;
mod key;

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;

use self::cbor::Cbor;
pub use self::key::ALGORITHMS;
use self::key::PublicKey;

/// Nothing that a browser brings is longer, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// An authenticator's name for a key is not longer (§5.8.3).
const LONGEST_ID: usize = 1023;

/// User present.
const UP: u8 = 0x01;
/// User verified.
const UV: u8 = 0x04;
/// Backup eligible, and backed up: the second without the first is none (§6.1).
const BE: u8 = 0x08;
const BS: u8 = 0x10;
/// Attested credential data follow.
const AT: u8 = 0x40;
/// Extension data follow.
const ED: u8 = 0x80;

/// The question that must have been answered.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What was to be signed.
    pub challenge: &'a [u8],
    /// Where: `https://gate.example.com`.
    pub origin: &'a str,
    /// The host alone, as the authenticator knows it.
    pub rp_id: &'a str,
}

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The authenticator's name for it.
    pub id: Vec<u8>,
    /// As it came (RFC 9052 §7), to be kept.
    pub key: Vec<u8>,
    /// How often it says that it has signed.
    pub counter: u32,
}

/// Why it proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// It cannot be read.
    #[error("what the browser sent cannot be read")]
    Malformed,
    /// It is of the other ceremony.
    #[error("it answers another kind of question")]
    Kind,
    /// Another question.
    #[error("it answers another question")]
    Challenge,
    /// Another page.
    #[error("it was made for another address")]
    Origin,
    /// Another place.
    #[error("the passkey is of another place")]
    Place,
    /// Nobody touched it.
    #[error("nobody was there")]
    Absent,
    /// Whoever touched it did not show who they are.
    #[error("the authenticator did not ask who it is: it must know you by a finger, a face or a PIN")]
    Unverified,
    /// A kind of key that is not taken.
    #[error("passkeys of this kind are not taken: ES256, EdDSA and RS256 are")]
    Algorithm,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// It has signed more often than it says: there are two of it.
    #[error("the passkey seems to have been copied: it counts backwards")]
    Copied,
}

/// A key that was made in answer to a question (§7.1).
///
/// # Errors
/// Why it is none.
pub fn made(expected: Expected<'_>, client_data: &[u8], attestation: &[u8]) -> Result<NewKey, Unproved> {
    answers(expected, "webauthn.create", client_data)?;
    let attestation = Cbor::whole(bounded(attestation)?).ok_or(Unproved::Malformed)?;
    let data = attestation.of_text("authData").and_then(Cbor::bytes).ok_or(Unproved::Malformed)?;
    let Data { counter, attested, .. } = Data::read(data, expected.rp_id)?;
    let Attested { id, key } = attested.ok_or(Unproved::Malformed)?;
    PublicKey::read(key)?;
    Ok(NewKey { id: id.to_vec(), key: key.to_vec(), counter })
}

/// What was signed in answer to a question.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// What the browser says of it.
    pub client_data: &'a [u8],
    /// What the authenticator says of it.
    pub data: &'a [u8],
    /// Over both.
    pub signature: &'a [u8],
}

/// That a kept key answered a question (§7.2). Returns how often it says now that it has signed.
///
/// # Errors
/// Why it did not.
pub fn signed(
    expected: Expected<'_>,
    assertion: Assertion<'_>,
    key: &[u8],
    counter: u32,
) -> Result<u32, Unproved> {
    answers(expected, "webauthn.get", assertion.client_data)?;
    let said = Data::read(bounded(assertion.data)?, expected.rp_id)?;
    let mut message = assertion.data.to_vec();
    message.extend_from_slice(digest::digest(&digest::SHA256, assertion.client_data).as_ref());
    PublicKey::read(key)?.verify(&message, bounded(assertion.signature)?)?;
    // Many count nothing and say 0 for ever.
    if (said.counter != 0 || counter != 0) && said.counter <= counter {
        return Err(Unproved::Copied);
    }
    Ok(said.counter)
}

fn bounded(bytes: &[u8]) -> Result<&[u8], Unproved> {
    if bytes.len() <= LONGEST { Ok(bytes) } else { Err(Unproved::Malformed) }
}

/// §5.8.1. Fields that are not here may come; one that comes twice is an error.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

fn answers(expected: Expected<'_>, kind: &str, client_data: &[u8]) -> Result<(), Unproved> {
    let said: ClientData = serde_json::from_slice(bounded(client_data)?).map_err(|_| Unproved::Malformed)?;
    if said.kind != kind {
        return Err(Unproved::Kind);
    }
    let challenge = BASE64.decode(&said.challenge).map_err(|_| Unproved::Malformed)?;
    if constant_time::verify_slices_are_equal(&challenge, expected.challenge).is_err() {
        return Err(Unproved::Challenge);
    }
    if said.origin != expected.origin || said.cross_origin {
        return Err(Unproved::Origin);
    }
    Ok(())
}

/// Authenticator data (§6.1), of a person who was there and whom the authenticator knew.
struct Data<'a> {
    counter: u32,
    attested: Option<Attested<'a>>,
}

struct Attested<'a> {
    id: &'a [u8],
    key: &'a [u8],
}

impl<'a> Data<'a> {
    fn read(data: &'a [u8], rp_id: &str) -> Result<Self, Unproved> {
        let (place, rest) = data.split_at_checked(32).ok_or(Unproved::Malformed)?;
        let (&flags, rest) = rest.split_first().ok_or(Unproved::Malformed)?;
        let (counter, rest) = rest.split_first_chunk::<4>().ok_or(Unproved::Malformed)?;
        if place != digest::digest(&digest::SHA256, rp_id.as_bytes()).as_ref() {
            return Err(Unproved::Place);
        }
        if flags & UP == 0 {
            return Err(Unproved::Absent);
        }
        if flags & UV == 0 {
            return Err(Unproved::Unverified);
        }
        if flags & BE == 0 && flags & BS != 0 {
            return Err(Unproved::Malformed);
        }
        let (attested, rest) = if flags & AT == 0 {
            (None, rest)
        } else {
            let (attested, rest) = Attested::read(rest).ok_or(Unproved::Malformed)?;
            (Some(attested), rest)
        };
        let rest = if flags & ED == 0 { rest } else { Cbor::read(rest).ok_or(Unproved::Malformed)?.1 };
        if !rest.is_empty() {
            return Err(Unproved::Malformed);
        }
        Ok(Self { counter: u32::from_be_bytes(*counter), attested })
    }
}

impl<'a> Attested<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (_make, rest) = bytes.split_at_checked(16)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > LONGEST_ID {
            return None;
        }
        let (id, rest) = rest.split_at_checked(length)?;
        let (_, after) = Cbor::read(rest)?;
        let (key, after) = rest.split_at_checked(rest.len() - after.len())?;
        Some((Self { id, key }, after))
    }
}

#[cfg(test)]
mod tests;
