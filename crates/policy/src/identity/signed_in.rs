//! Identity tokens of people who have just signed in (OpenID Connect Core §2, §3.1.3.7): for the client that they signed in
//! by, and nothing that opens sessions elsewhere.

use super::Known;
use super::claims::Claims;
use super::issuer::Issuer;
use super::refusal::Refusal;
use super::token::Proven;

/// It is brought at once: so old it may be, in seconds, beside what clocks differ by.
const OLDEST: i64 = 600;
/// What access tokens say, and identity tokens do not: what they are for, and by which client.
const OF_ACCESS: [&str; 4] = ["scope", "scp", "client_id", "cid"];

/// Somebody who has just signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub known: Known,
    /// From when on the token is refused anyway, in seconds since 1970: until then it is taken once.
    pub until: i64,
}

/// Whether a token is for a client and nobody else, or for it among others by name.
pub fn is_for(claims: &Claims, client: &str) -> Result<(), Refusal> {
    let heard = claims.texts("aud").ok_or(Refusal::Claims)?;
    let party = claims.text("azp");
    let ours = heard.contains(&client)
        && (heard.len() == 1 || party.is_some())
        && (!claims.mentions("azp") || party == Some(client));
    if ours { Ok(()) } else { Err(Refusal::Audience) }
}

impl Issuer {
    /// Who has just signed in by a client, by the identity token that it got. `asked` is whether the client's question had a
    /// `nonce`, which its answer then has, too.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn signed_in(
        &self,
        token: &Proven,
        client: &str,
        asked: bool,
        now: i64,
    ) -> Result<SignedIn, Refusal> {
        let claims = token.claims();
        is_for(claims, client)?;
        // Issuers that sign access tokens with the same keys say in one of these ways what a token is.
        let says = |name: &str, kind: &str| !claims.mentions(name) || claims.text(name) == Some(kind);
        let is_identity = says("typ", "ID") && says("token_use", "id");
        if !is_identity || OF_ACCESS.iter().any(|name| claims.mentions(name)) {
            return Err(Refusal::Type);
        }
        if asked && !claims.mentions("nonce") {
            return Err(Refusal::Type);
        }
        let known = self.identify(token, now)?;
        let issued = known.principal.asserted.first().map(|word| word.at).ok_or(Refusal::Claims)?;
        let until = issued.saturating_add(OLDEST).saturating_add(self.leeway());
        if until <= now {
            return Err(Refusal::TooOld);
        }
        Ok(SignedIn { known, until })
    }
}
