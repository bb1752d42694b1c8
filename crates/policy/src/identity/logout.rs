//! Logout tokens: <https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation>.

use super::issuer::Issuer;
use super::refusal::Refusal;
use super::token::Proven;

/// What a logout token is called in its `events`.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// It is brought at once: so old it may be, in seconds, beside what clocks differ by.
const OLDEST: i64 = 120;

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
    /// From when on it is refused anyway, in seconds since 1970.
    pub until: i64,
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
        if issued.saturating_sub(self.leeway()) > now {
            return Err(Refusal::NotYet);
        }
        let text =
            |name: &str| claims.text(name).filter(|t| !t.is_empty() && t.len() <= 255).map(str::to_owned);
        let (subject, session, id) = (text("sub"), text("sid"), text("jti").ok_or(Refusal::Claims)?);
        if subject.is_none() && session.is_none() {
            return Err(Refusal::Claims);
        }
        Ok(LoggedOut { issuer: self.name().to_owned(), subject, session, id, until })
    }
}
