//! A new passkey: first it is made, then it is theirs. By invitation the link's secret is enough. Whoever is in already has the
//! key laid by and shows, for exactly that key, that they mean it: a proof that named no key could be spent on another's.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{Member, Passkey, PrincipalRef};
use policy::passkey::{self, Expected, NewKey};

use super::{Act, Brought, MOST_KEYS, Place, Pledge, Proof, Whose, bytes, challenge, nonce, over, refused};
use crate::audit::hex;
use crate::gateway::{Gateway, now};
use crate::people::{Guest, NewMember, mark};
use crate::requests::AdminError;

/// A key that is laid by is theirs within so long, in seconds, or not at all.
const PROPOSED: i64 = 900;
/// What a passkey is called, in characters.
const LONGEST_LABEL: usize = 60;
/// So many bytes of a key's digest are shown.
const FINGERPRINT: usize = 8;

/// A passkey that somebody made and has not added yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// What it is called.
    pub label: String,
    /// Tells it from others, for people.
    pub fingerprint: String,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    /// What is shown to be meant.
    pub act: Act,
}

/// `ab12 cd34 ef56 7890`, of a public key.
pub fn fingerprint(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, key);
    let short = digest.as_ref().get(..FINGERPRINT).unwrap_or_default();
    short.chunks(2).map(hex).collect::<Vec<_>>().join(" ")
}

impl Gateway {
    /// Keeps the passkey of whom an invitation is for. They are a member then.
    ///
    /// # Errors
    /// It was made for something else, is known already, or cannot be stored or recorded.
    pub async fn join(
        &self,
        place: &Place,
        invitation: &str,
        label: &str,
        brought: &Brought,
    ) -> Result<PrincipalRef, AdminError> {
        let (owner, key) = self.attested(place, &Whose::Invited(invitation), label, brought).await?;
        // Used up here, so that of two who follow one link one comes in.
        let kept = self.state().take_once(&mark(invitation)).await?;
        let Some(Pledge::Invitation(member)) = kept.and_then(|body| Pledge::read(&body)) else {
            return Err(over());
        };
        let NewMember { name, roles, groups } = member;
        self.administered(&key.owner, "person came by invitation", &key.id)?;
        let member = Member { name, roles, groups, added: now() };
        if self.state().admit(&member, &key).await? { Ok(owner) } else { Err(known()) }
    }

    /// Lays a passkey by that somebody has made, and says by what name. It opens nothing until they have added it.
    ///
    /// # Errors
    /// It was made for something else, is known already, or cannot be stored.
    pub async fn propose_passkey(
        &self,
        place: &Place,
        guest: &Guest,
        label: &str,
        brought: &Brought,
    ) -> Result<String, AdminError> {
        let (_, key) = self.attested(place, &Whose::Here(guest), label, brought).await?;
        if self.state().passkey(&key.id).await?.is_some() {
            return Err(known());
        }
        self.lay_by(guest, key).await
    }

    async fn lay_by(&self, guest: &Guest, key: Passkey) -> Result<String, AdminError> {
        let name = nonce()?;
        let Passkey { id, owner: _, key, counter, label, added: made, used: _ } = key;
        let pledge =
            Pledge::Key { of: guest.mark().to_owned(), id, key: BASE64.encode(key), counter, label, made };
        self.state().keep_once(&mark(&name), &pledge.text()?, now().saturating_add(PROPOSED)).await?;
        Ok(name)
    }

    /// A passkey that was laid by in this visit.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be read.
    pub async fn proposed_passkey(&self, guest: &Guest, name: &str) -> Result<Proposed, AdminError> {
        let key = laid_by(guest, self.state().look_once(&mark(name)).await?)?;
        Ok(Proposed {
            fingerprint: fingerprint(&key.key),
            made: key.added,
            act: Act::add_passkey(&key),
            label: key.label,
        })
    }

    /// Adds a passkey that was laid by, with the proof that somebody means this one.
    ///
    /// # Errors
    /// The proof is of another, there is none of this name or too many, or it cannot be stored or recorded.
    pub async fn add_passkey(&self, guest: &Guest, name: &str, proof: Proof) -> Result<(), AdminError> {
        let key = laid_by(guest, self.state().take_once(&mark(name)).await?)?;
        let how = proof.of(Act::add_passkey(&key), guest.id());
        let how = how.ok_or_else(|| refused("adding a passkey takes your word for exactly this one"))?;
        if self.passkeys(guest).await?.len() >= MOST_KEYS {
            return Err(refused(format!("you have {MOST_KEYS} passkeys: remove one first")));
        }
        let detail = format!("{}, fingerprint {}, by {how}", key.id, fingerprint(&key.key));
        self.administered(&key.owner, "passkey added", &detail)?;
        let key = Passkey { added: now(), ..key };
        if self.state().add_passkey(&key).await? { Ok(()) } else { Err(known()) }
    }

    /// What an authenticator made in answer to a question of ours, and whose it is to be.
    async fn attested(
        &self,
        place: &Place,
        whose: &Whose<'_>,
        label: &str,
        brought: &Brought,
    ) -> Result<(PrincipalRef, Passkey), AdminError> {
        let client_data = bytes(&brought.client_data)?;
        let (pledge, asked) = self.answered(&client_data).await?;
        let Pledge::Made { nonce, of } = pledge else { return Err(over()) };
        let (owner, meant) = self.owner(whose).await?;
        if of != meant || challenge(&nonce, &of) != *asked {
            return Err(refused("the passkey was made for something else"));
        }
        let attestation = bytes(brought.attestation.as_deref().unwrap_or_default())?;
        let expected = Expected { challenge: &asked, origin: &place.origin, rp_id: &place.host };
        let NewKey { id, key, counter } =
            passkey::made(expected, &client_data, &attestation).map_err(|why| refused(why.to_string()))?;
        let label: String = label.trim().chars().take(LONGEST_LABEL).collect();
        let key = Passkey {
            id: BASE64.encode(id),
            owner: owner.to_string(),
            key,
            counter: i64::from(counter),
            label: if label.is_empty() { "passkey".to_owned() } else { label },
            added: now(),
            used: None,
        };
        Ok((owner, key))
    }
}

/// The key in what was kept, where it was laid by in this visit.
fn laid_by(guest: &Guest, kept: Option<String>) -> Result<Passkey, AdminError> {
    let none = || refused("this passkey was added already, or made too long ago or elsewhere: make it again");
    let Some(Pledge::Key { of, id, key, counter, label, made }) = kept.and_then(|body| Pledge::read(&body))
    else {
        return Err(none());
    };
    if of != guest.mark() {
        return Err(none());
    }
    let key = BASE64.decode(key).map_err(|_| none())?;
    Ok(Passkey { id, owner: guest.id().to_string(), key, counter, label, added: made, used: None })
}

fn known() -> AdminError {
    refused("this passkey is known already")
}

#[cfg(test)]
pub(super) mod tests;
