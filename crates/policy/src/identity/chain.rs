//! Who acts for whom: `act` claims (RFC 8693 §4.1) and tokens of actors.

use std::collections::BTreeSet;

use model::{MayAct, Principal, PrincipalRef};

use super::claims::Claims;
use super::refusal::Refusal;

/// So many may stand in one chain, the principal included.
const LONGEST: usize = 8;

/// One actor of a token's.
pub(super) struct Link {
    pub(super) subject: String,
    /// What the token says of this actor.
    pub(super) claims: Claims,
}

/// The actors that a token names, who acts now first. One of another issuer's is not this issuer's to name.
pub(super) fn actors(claims: &Claims, issuer: &str) -> Result<Vec<Link>, Refusal> {
    let mut links = Vec::new();
    let mut within = claims.clone();
    while within.mentions("act") {
        let claims = within.at("act").and_then(Claims::of).ok_or(Refusal::Chain)?;
        let subject = claims.text("sub").ok_or(Refusal::Chain)?.to_owned();
        if claims.mentions("iss") && claims.text("iss") != Some(issuer) || links.len() >= LONGEST {
            return Err(Refusal::Chain);
        }
        within = claims.clone();
        links.push(Link { subject, claims });
    }
    Ok(links)
}

/// Who alone may act for whoever a token is.
pub(super) fn may_act(claims: &Claims) -> Result<Option<MayAct>, Refusal> {
    if !claims.mentions("may_act") {
        return Ok(None);
    }
    let named = claims.at("may_act").and_then(Claims::of).ok_or(Refusal::Chain)?;
    let issuer = match named.at("iss") {
        Some(issuer) => Some(issuer.as_str().ok_or(Refusal::Chain)?.to_owned()),
        None => None,
    };
    let subject = named.text("sub").ok_or(Refusal::Chain)?.to_owned();
    Ok(Some(MayAct { issuer, subject }))
}

/// An actor for whoever a token is: the actor is the principal, with its own groups, and everybody of the other token is acted
/// for. Nothing else of the other's becomes the actor's.
///
/// # Errors
/// The chain is too long, or somebody is in it twice.
pub fn acting(actor: Principal, subject: &Principal) -> Result<Principal, Refusal> {
    let Principal { id, groups, mut on_behalf_of, purpose, mut asserted } = actor;
    on_behalf_of.extend(subject.chain().cloned());
    asserted.extend(subject.asserted.iter().cloned());
    let both = Principal { id, groups, on_behalf_of, purpose, asserted };
    check(&both)?;
    Ok(both)
}

pub(super) fn check(principal: &Principal) -> Result<(), Refusal> {
    let all: Vec<&PrincipalRef> = principal.chain().collect();
    let different: BTreeSet<&PrincipalRef> = all.iter().copied().collect();
    if all.len() > LONGEST || different.len() < all.len() { Err(Refusal::Chain) } else { Ok(()) }
}
