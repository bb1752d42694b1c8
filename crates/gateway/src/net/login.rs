//! A client's login: a token where a password goes, or SCRAM under the token's name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use policy::identity::{self, Refusal};
use tokio::io::AsyncWriteExt;
use wire::postgres::error::ErrorFields;
use wire::postgres::scram::{self, ScramVerifier};
use wire::postgres::{build, frontend, oauth};
use wire::reader::Reader;

use super::dial::nonce;
use super::listen::Accepted;
use super::stream::{ReadError, message};
use crate::lease;

/// JSON Web Tokens are long: so many bytes a password may have, with what the protocol puts around it.
const LONGEST_PASSWORD: usize = identity::LONGEST + 16;
/// A user name that begins so names a token, whose secret is proven by SCRAM.
pub const TOKEN_PREFIX: &str = "dwt_";
/// A user name that begins so, up to a colon, asks for OAUTHBEARER.
const OAUTH_USER: &str = "oauth";
/// A login may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A wrong password costs so long, times the number of recent ones from the same address, up to ten.
const PENALTY: Duration = Duration::from_millis(100);
/// So many addresses are remembered with their failures.
const MOST_ADDRESSES: usize = 10_000;

/// Where a client learns how to get a token, and for which scopes it is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Of the issuer's description of itself.
    pub address: String,
    /// With spaces between them.
    pub scopes: String,
}

/// Knows tokens.
pub trait Authenticator {
    /// What a right token proves.
    type Proof;

    /// Whom this password belongs to.
    fn check(&self, password: &[u8]) -> impl Future<Output = Result<Self::Proof, Refused>> + Send;

    /// Where clients learn how to get a token of an issuer's; of no issuer's by name, of the first.
    fn discovery(&self, issuer: Option<&str>) -> Option<Discovery>;

    /// The verifier of the token that the user name names. Unknown names have one, too, so that an exchange does not
    /// tell which exist; theirs proves nothing.
    ///
    /// # Errors
    /// Nobody can be looked up now.
    fn verifier(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<(ScramVerifier, Option<Self::Proof>), Refused>> + Send;
}

/// Why a login failed. The words are for the log; a client always hears the same.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No such token, or it has ended.
    #[error("no valid token")]
    Token,
    /// A token of an issuer's, and why it is not taken.
    #[error("no valid token of an issuer: {0}")]
    Issued(Refusal),
    /// A token of an issuer's that cannot be asked now. That says nothing against the token.
    #[error("a token that cannot be checked now: {0}")]
    Unasked(Refusal),
    /// Whose it is cannot be known now: the store does not answer. That says nothing against the token.
    #[error("whose token it is cannot be known now")]
    Unknown,
    /// No token was brought: the client was told where it gets one, and comes again.
    #[error("no token yet")]
    Asks,
    /// A password cannot be asked for on this connection.
    #[error("the connection is not encrypted")]
    ClearText,
    /// The client left or did not speak the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl Refused {
    /// A short word for the journal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Issued(refusal) | Self::Unasked(refusal) => refusal.code(),
            Self::Unknown => "store",
            Self::Asks => "asks",
            Self::ClearText => "clear_text",
            Self::Protocol(_) => "protocol",
        }
    }

    /// The last message to the client, the same for every token that is not taken.
    pub fn farewell(&self) -> Vec<u8> {
        let fields = match self {
            Self::Token | Self::Issued(_) => ErrorFields::fatal("28P01", "the token is not valid")
                .hint("Tokens end: ask for a new one. It goes where a password goes, with any user name."),
            Self::Unknown => ErrorFields::fatal("57P03", lease::UNKNOWN).hint(lease::KEEP),
            Self::Unasked(_) => ErrorFields::fatal("57P03", lease::UNASKED).hint(lease::KEEP),
            Self::Asks => ErrorFields::fatal("28000", "a token is needed")
                .hint("Get one where the server's answer says, and come again with it."),
            Self::ClearText => {
                ErrorFields::fatal("28000", "a token is not taken over an unencrypted connection")
                    .hint("Connect with sslmode=require, or with the token's id (dwt_…) as the user name.")
            }
            Self::Protocol(_) => ErrorFields::fatal("08P01", "the login did not follow the protocol"),
        };
        let mut out = Vec::new();
        build::error(&mut out, &fields);
        out
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_unanswered() { Self::Unasked(refusal) } else { Self::Issued(refusal) }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<wire::Malformed> for Refused {
    fn from(error: wire::Malformed) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Recent failures by address.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<IpAddr, u32>>);

impl Failures {
    pub(crate) fn penalty(&self, address: IpAddr) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST_ADDRESSES {
            failures.clear();
        }
        let count = failures.entry(address).or_default();
        *count = count.saturating_add(1).min(10);
        PENALTY * *count
    }

    pub(crate) fn forgive(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

/// Asks for proof. Who fails waits here; the caller tells it, once that is on record.
pub async fn authenticate<A: Authenticator>(
    accepted: &mut Accepted,
    authenticator: &A,
    failures: &Failures,
) -> Result<A::Proof, Refused> {
    let proof = tokio::time::timeout(PATIENCE, prove(accepted, authenticator)).await;
    let proof = proof.unwrap_or_else(|_| Err(Refused::Protocol("the login took too long".to_owned())));
    match &proof {
        Ok(_) => failures.forgive(accepted.peer().ip()),
        Err(Refused::Token | Refused::Issued(_)) => {
            tokio::time::sleep(failures.penalty(accepted.peer().ip())).await;
        }
        Err(_) => {}
    }
    proof
}

async fn prove<A: Authenticator>(accepted: &mut Accepted, authenticator: &A) -> Result<A::Proof, Refused> {
    let user = accepted.parameter("user").unwrap_or_default().into_owned();
    if user.starts_with(TOKEN_PREFIX) {
        return prove_by_scram(accepted, authenticator, &user).await;
    }
    if !accepted.is_private() {
        return Err(Refused::ClearText);
    }
    if accepted.asks_for_bearer() || is_oauth(&user) {
        return prove_by_bearer(accepted, authenticator, &user).await;
    }
    let mut out = Vec::new();
    build::authentication_cleartext(&mut out);
    accepted.stream.write_all(&out).await?;
    accepted.stream.flush().await?;
    let message = message(&mut accepted.stream, LONGEST_PASSWORD).await?;
    let frontend::Frontend::Password(body) = frontend::frontend(&message.frame()?)? else {
        return Err(Refused::Protocol("no password came".to_owned()));
    };
    let password = Reader::new(body).cstr()?;
    authenticator.check(password).await
}

async fn prove_by_scram<A: Authenticator>(
    accepted: &mut Accepted,
    authenticator: &A,
    user: &str,
) -> Result<A::Proof, Refused> {
    let end_point = accepted.end_point.clone();
    let mut out = Vec::new();
    match &end_point {
        Some(_) => build::authentication_sasl(&mut out, &[scram::SHA_256_PLUS, scram::SHA_256]),
        None => build::authentication_sasl(&mut out, &[scram::SHA_256]),
    }
    accepted.stream.write_all(&out).await?;
    accepted.stream.flush().await?;

    let initial = password_body(accepted).await?;
    let mut reader = Reader::new(&initial);
    let plus = match reader.cstr()? {
        name if name == scram::SHA_256.as_bytes() => false,
        name if name == scram::SHA_256_PLUS.as_bytes() && end_point.is_some() => true,
        _ => return Err(Refused::Protocol("a SASL mechanism that was not offered".to_owned())),
    };
    let first = reader.value()?.ok_or(wire::Malformed("SCRAM: no first message"))?;
    let (verifier, proof) = authenticator.verifier(user).await?;
    let nonce = nonce().ok_or_else(|| Refused::Protocol("no randomness".to_owned()))?;
    let (server, said) = scram::Server::begin(verifier, plus, end_point.as_deref(), first, &nonce)?;
    let mut out = Vec::new();
    build::authentication_sasl_continue(&mut out, &said);
    accepted.stream.write_all(&out).await?;
    accepted.stream.flush().await?;

    let last = server.finish(&password_body(accepted).await?)?;
    let (Some(last), Some(proof)) = (last, proof) else { return Err(Refused::Token) };
    let mut out = Vec::new();
    build::authentication_sasl_final(&mut out, &last);
    accepted.stream.write_all(&out).await?;
    Ok(proof)
}

/// Whether a user name asks for OAUTHBEARER: `oauth`, or `oauth:ISSUER`.
fn is_oauth(user: &str) -> bool {
    user.split(':').next() == Some(OAUTH_USER)
}

/// RFC 7628. A client without a token is told where it gets one.
async fn prove_by_bearer<A: Authenticator>(
    accepted: &mut Accepted,
    authenticator: &A,
    user: &str,
) -> Result<A::Proof, Refused> {
    let mut out = Vec::new();
    build::authentication_sasl(&mut out, &[oauth::OAUTHBEARER]);
    accepted.stream.write_all(&out).await?;
    accepted.stream.flush().await?;
    let initial = password_body(accepted).await?;
    let mut reader = Reader::new(&initial);
    if reader.cstr()? != oauth::OAUTHBEARER.as_bytes() {
        return Err(Refused::Protocol("a SASL mechanism that was not offered".to_owned()));
    }
    let first = reader.value()?.ok_or(wire::Malformed("OAUTHBEARER: no first message"))?;
    let refused = match oauth::bearer(first)? {
        oauth::Bearer::Token(token) => match authenticator.check(token).await {
            Ok(proof) => return Ok(proof),
            Err(refused) => refused,
        },
        oauth::Bearer::Asks => Refused::Asks,
    };
    let issuer = user.split_once(':').map(|(_, issuer)| issuer);
    let status = match authenticator.discovery(issuer) {
        Some(Discovery { address, scopes }) => {
            serde_json::json!({ "status": "invalid_token", "scope": scopes, "openid-configuration": address })
        }
        None => serde_json::json!({ "status": "invalid_token", "scope": "openid" }),
    };
    let mut out = Vec::new();
    build::authentication_sasl_continue(&mut out, status.to_string().as_bytes());
    accepted.stream.write_all(&out).await?;
    accepted.stream.flush().await?;
    if password_body(accepted).await? != oauth::DUMMY {
        return Err(Refused::Protocol("an answer to a refusal".to_owned()));
    }
    Err(refused)
}

async fn password_body(accepted: &mut Accepted) -> Result<Vec<u8>, Refused> {
    let message = message(&mut accepted.stream, LONGEST_PASSWORD).await?;
    let frontend::Frontend::Password(body) = frontend::frontend(&message.frame()?)? else {
        return Err(Refused::Protocol("no step of SASL came".to_owned()));
    };
    Ok(body.to_vec())
}
