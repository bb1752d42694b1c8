//! What an issuer says of people who signed out there (OpenID Connect Back-Channel Logout 1.0): their sessions end, those of
//! their agents, too, and what was issued before opens nothing any more.

use std::net::SocketAddr;

use model::{SignOut, SignedOut};
use policy::identity::{LoggedOut, Refusal};

use crate::gateway::Gateway;
use crate::requests::AdminError;

/// Why an issuer's word is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LogoutError {
    /// It is no logout token of an issuer's, or was brought before.
    #[error("the logout token is not valid")]
    Token(#[source] Refusal),
    /// The issuer's keys cannot be fetched, so whether it is one cannot be said.
    #[error("it cannot be checked now: {0}")]
    Unasked(#[source] Refusal),
    /// It cannot be stored or recorded.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl Gateway {
    /// Takes a logout token. Returns how many sessions ended here.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn logged_out(&self, token: &str, from: SocketAddr) -> Result<usize, LogoutError> {
        let issuers = self.issuers();
        let said = match issuers.logged_out(token.as_bytes()).await {
            Ok(said) => said,
            Err(refusal) if refusal.is_unanswered() => return Err(LogoutError::Unasked(refusal)),
            Err(refusal) => {
                tracing::warn!(%from, "a logout token was refused: {refusal}");
                tokio::time::sleep(self.failures().penalty(from.ip())).await;
                return Err(LogoutError::Token(refusal));
            }
        };
        let LoggedOut { issuer, subject, session, id, at, until, remembered } = said;
        // Of one sign-in, where it says which, and of what may be of that one; of all before, where it says only whose.
        let of = |issuer: &String| issuer.clone();
        let ended = match (session, subject) {
            (Some(session), None) => vec![SignedOut::SignIn { issuer: of(&issuer), session }],
            (Some(session), Some(subject)) => vec![
                SignedOut::SignIn { issuer: of(&issuer), session },
                SignedOut::Unbound { issuer: of(&issuer), subject },
            ],
            (None, Some(subject)) => vec![SignedOut::Account { issuer: of(&issuer), subject }],
            (None, None) => return Err(LogoutError::Token(Refusal::Claims)),
        };
        let outs: Vec<SignOut> =
            ended.into_iter().map(|of| SignOut { of, since: at, until: remembered }).collect();
        let once = format!("logout {issuer} {id}");
        let ended = self.sign_out((&once, until), &outs, &format!("issuer:{issuer}")).await?;
        ended.ok_or(LogoutError::Token(Refusal::Replayed))
    }
}
