//! Questions to whoever is not known yet, as they come in by a passkey or go to their issuer: nothing is kept for one, so that those who ask fill nothing.
//! A question carries its end and its seal; what was answered by somebody who is known here is remembered, so that it is good once.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::PrincipalRef;
use zeroize::Zeroizing;

use super::{Act, Place, Pledge, QUESTION, challenge_in, over, refused};
use crate::audit::hex;
use crate::gateway::{Gateway, now};
use crate::people::{mark, secret};
use crate::requests::AdminError;

/// A question's end, in seconds since 1970, as big-endian bytes.
const END: usize = 8;
/// So many bytes make one differ from any other.
const CHANCE: usize = 16;

/// Seals questions, and names people to authenticators: made of a key of the store, so that all of its gateways have the same and
/// no other has it.
pub(crate) fn key(secret: &[u8; 32]) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, b"durward console").as_ref())
}

/// What authenticators call somebody. By a name that two gateways of one host share, a key of the one would take the place of a key
/// of the other.
pub(super) fn handle(key: &hmac::Key, owner: &PrincipalRef) -> hmac::Tag {
    hmac::sign(key, format!("user handle\n{}", owner.to_string().to_lowercase()).as_bytes())
}

/// The seal of a question's first part: for an act, at a place.
fn about(place: &Place, act: Act, first: &[u8]) -> Vec<u8> {
    let mut about = b"question\n".to_vec();
    about.extend_from_slice(&act.0);
    about.extend_from_slice(first);
    about.extend_from_slice(place.origin.as_bytes());
    about
}

fn of_pledge(first: &str) -> String {
    format!("pledge\n{first}")
}

impl Gateway {
    /// The challenge of a question to whoever it is.
    pub(super) fn sealed_question(&self, place: &Place, act: Act) -> Result<Vec<u8>, AdminError> {
        let mut chance = [0; CHANCE];
        aws_lc_rs::rand::fill(&mut chance).map_err(|_| refused("the system gives no randomness"))?;
        let mut question = now().saturating_add(QUESTION).to_be_bytes().to_vec();
        question.extend_from_slice(&chance);
        let seal = hmac::sign(self.console_key(), &about(place, act, &question));
        question.extend_from_slice(seal.as_ref());
        Ok(question)
    }

    /// The challenge that a browser brings, where it is of a question that was asked here for an act and is not over.
    pub(super) fn answered_unknown(
        &self,
        place: &Place,
        act: Act,
        client_data: &[u8],
    ) -> Result<Vec<u8>, AdminError> {
        let question = challenge_in(client_data)?;
        let (first, seal) = question.split_at_checked(END + CHANCE).ok_or_else(over)?;
        hmac::verify(self.console_key(), &about(place, act, first), seal).map_err(|_| over())?;
        let end = first.first_chunk::<END>().map(|end| i64::from_be_bytes(*end)).ok_or_else(over)?;
        if end <= now() {
            return Err(over());
        }
        Ok(question)
    }

    /// What somebody who is not known takes along to their issuer and back: it is kept by their browser, and says nothing but what they
    /// said.
    pub(crate) fn sealed_pledge(&self, pledge: &Pledge) -> Result<Zeroizing<String>, AdminError> {
        // Nobody else knows it, though the rest can be guessed.
        let chance = secret()?;
        let first = format!("{}.{}", BASE64.encode(pledge.text()?), *chance);
        let seal = BASE64.encode(hmac::sign(self.console_key(), of_pledge(&first).as_bytes()));
        Ok(Zeroizing::new(format!("{first}.{seal}")))
    }

    /// It, where it was sealed here.
    pub(crate) fn opened_pledge(&self, kept: &str) -> Option<Pledge> {
        let (first, seal) = kept.rsplit_once('.')?;
        let seal = BASE64.decode(seal).ok()?;
        hmac::verify(self.console_key(), of_pledge(first).as_bytes(), &seal).ok()?;
        let (body, _) = first.split_once('.')?;
        Pledge::read(&String::from_utf8(BASE64.decode(body).ok()?).ok()?)
    }

    /// Uses an answered question up: of two who bring the same answer, one comes in.
    pub(crate) async fn spend(&self, question: &[u8]) -> Result<(), AdminError> {
        let mark = format!("sign-in {}", mark(&hex(question)));
        if self.state().take_callback(&mark).await? { Ok(()) } else { Err(over()) }
    }
}

#[cfg(test)]
mod tests;
