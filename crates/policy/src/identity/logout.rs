//! Logout tokens: <https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation>.

use super::issuer::Issuer;
use super::refusal::Refusal;
use super::token::Proven;

/// What a logout token is called in its `events`.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// It is brought at once: so old it may be, in seconds, beside what clocks differ by.
const OLDEST: i64 = 120;
/// It is remembered so long at least, in seconds, so that a configuration that takes older tokens brings nobody back.
const SHORTEST: i64 = 7 * 24 * 3600;

/// That somebody signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    /// The issuer's name.
    pub issuer: String,
    /// Whom it is about: `sub`.
    pub subject: Option<String>,
    /// Which sign-in: `sid`.
    pub session: Option<String>,
    /// What it is called, so that it is taken once: `jti`.
    pub id: String,
    /// When they did, by the issuer's clock, as the tokens that it gave before: `iat`, in seconds since 1970.
    pub at: i64,
    /// From when on it is refused anyway, in seconds since 1970.
    pub until: i64,
    /// Until when something could be good that the issuer said before, in seconds since 1970.
    pub remembered: i64,
}

impl Issuer {
    /// Reads a logout token whose signature was checked.
    ///
    /// # Errors
    /// Why it is none.
    pub fn logged_out(&self, token: &Proven, now: i64) -> Result<LoggedOut, Refusal> {
        let claims = token.claims();
        if claims.text("iss") != Some(self.url()) {
            return Err(Refusal::Issuer);
        }
        let events = claims.at("events").and_then(super::claims::Claims::of).ok_or(Refusal::Type)?;
        // An identity token has a nonce, and must not be taken for one of these.
        if !events.mentions(EVENT) || claims.mentions("nonce") {
            return Err(Refusal::Type);
        }
        if !self.is_heard_by(claims.texts("aud").ok_or(Refusal::Claims)?.into_iter()) {
            return Err(Refusal::Audience);
        }
        let issued = claims.moment("iat").map_err(|_| Refusal::Claims)?.ok_or(Refusal::Claims)?;
        let until = issued.saturating_add(OLDEST).saturating_add(self.leeway());
        if until <= now {
            return Err(Refusal::TooOld);
        }
        let expires = claims.moment("exp").map_err(|_| Refusal::Claims)?;
        if expires.is_some_and(|expires| expires.saturating_add(self.leeway()) <= now) {
            return Err(Refusal::Expired);
        }
        if issued.saturating_sub(self.leeway()) > now {
            return Err(Refusal::NotYet);
        }
        let text =
            |name: &str| claims.text(name).filter(|t| !t.is_empty() && t.len() <= 255).map(str::to_owned);
        let (subject, session, id) = (text("sub"), text("sid"), text("jti").ok_or(Refusal::Claims)?);
        if subject.is_none() && session.is_none() {
            return Err(Refusal::Claims);
        }
        let remembered = now.saturating_add(self.reach().max(SHORTEST));
        let issuer = self.name().to_owned();
        Ok(LoggedOut { issuer, subject, session, id, at: issued, until, remembered })
    }
}
