//! A child process's way to a gateway that is elsewhere: it logs in here with a secret that is good for this run alone, and
//! each of its connections goes on with a fresh token, which it never sees.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, rand};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;
use wire::postgres::error::ErrorFields;
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::audit::hex;
use crate::net::dial::{self, Address, DialError, Login, Password, Upstream};
use crate::net::listen::{Accepted, Negotiated, Wish, negotiate, negotiate_unix};
use crate::net::login::{Authenticator, Discovery, Failures, Refused, authenticate};
use crate::net::tls::UpstreamTls;

/// So many connections of the child's are served at a time.
const MOST: usize = 500;
/// What could not be taken is tried again after so long.
const REST: Duration = Duration::from_millis(200);
/// From the first byte of a connection to its start-up packet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where tokens come from.
pub trait Mint: Send + Sync + 'static {
    /// A token that is good for a while.
    fn token(&self) -> impl Future<Output = Result<Arc<Minted>, String>> + Send;
}

/// A token.
pub struct Minted {
    /// Its id, which is the user name for SCRAM.
    pub id: String,
    /// The token.
    pub token: Password,
}

/// The gateway that the child's connections go on to.
pub struct Gate {
    /// Where clients are served.
    pub address: Address,
    /// How it is reached.
    pub tls: UpstreamTls,
}

/// What serves one run.
pub struct Broker<M> {
    gate: Gate,
    mint: M,
    secret: Zeroizing<String>,
    failures: Failures,
    room: Semaphore,
}

/// The next connection. That one could not be taken, as where there are too many open files, is no reason to take none any more.
async fn taken<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection of the child's could not be taken");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

impl<M: Mint> Broker<M> {
    /// With a secret of its own; `None` without randomness.
    pub fn new(gate: Gate, mint: M) -> Option<Self> {
        let mut chance = Zeroizing::new([0; 24]);
        rand::fill(chance.as_mut_slice()).ok()?;
        let secret = Zeroizing::new(hex(chance.as_slice()));
        Some(Self { gate, mint, secret, failures: Failures::default(), room: Semaphore::new(MOST) })
    }

    /// What the child logs in with, under any name.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Where tokens come from.
    pub fn mint(&self) -> &M {
        &self.mint
    }

    /// Serves a UNIX socket: processes of this user alone, whatever the socket's permissions are.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener, user: u32) {
        loop {
            let (stream, _) = taken(|| listener.accept()).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == user => (),
                Ok(peer) => {
                    tracing::warn!(user = peer.uid(), process = ?peer.pid(), "another user's process was turned away");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "a process that does not say whose it is was turned away");
                    continue;
                }
            }
            let this = Arc::clone(&self);
            tokio::spawn(async move { this.connection(negotiate_unix(stream)).await });
        }
    }

    /// Serves a port of the loopback.
    pub async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, peer) = taken(|| listener.accept()).await;
            let this = Arc::clone(&self);
            tokio::spawn(async move { this.connection(negotiate(stream, peer, None)).await });
        }
    }

    async fn connection(&self, negotiation: impl Future<Output = io::Result<Negotiated>>) {
        let Ok(_room) = self.room.acquire().await else { return };
        match tokio::time::timeout(PATIENCE, negotiation).await {
            Ok(Ok(Negotiated::Login(accepted))) => self.session(*accepted).await,
            Ok(Ok(Negotiated::Cancel { process, secret, waiting })) => {
                let Gate { address, tls } = &self.gate;
                if let Err(error) = dial::cancel(address, tls, process, &secret).await {
                    tracing::warn!(%error, "a cancel did not reach the gateway");
                }
                drop(waiting);
            }
            Ok(Ok(Negotiated::Gone) | Err(_)) | Err(_) => (),
        }
    }

    async fn session(&self, mut accepted: Accepted) {
        if let Err(refused) = authenticate(&mut accepted, &Secret(&self.secret), &self.failures).await {
            tracing::warn!("a connection was refused: {refused}");
            return accepted.refuse(&refused.farewell()).await;
        }
        let (wish, leaving) = accepted.split();
        // The gateway may let one wait for its target, and a child that leaves meanwhile leaves nothing there.
        let dialled = tokio::select! {
            biased;
            () = leaving.left() => return,
            dialled = self.dial(wish) => dialled,
        };
        let mut upstream = match dialled {
            Ok(upstream) => upstream,
            Err(farewell) => return accepted.refuse(&farewell).await,
        };
        let (mut client, early) = accepted.into_stream();
        if client.write_all(&welcome(&upstream)).await.is_ok()
            && upstream.stream.write_all(&early).await.is_ok()
        {
            let _ = copy_bidirectional(&mut client, &mut upstream.stream).await;
        }
    }

    /// A session at the gateway with a fresh token, or the last message to the child.
    async fn dial(&self, wish: Wish<'_>) -> Result<Upstream, Vec<u8>> {
        let minted = self.mint.token().await.map_err(|why| fatal("28000", &format!("no token: {why}")))?;
        let login = Login {
            user: &minted.id,
            password: Some(&minted.token),
            minor: wish.minor(),
            parameters: &parameters(wish, &minted.id),
        };
        dial::dial(&self.gate.address, &self.gate.tls, &login).await.map_err(|error| {
            if let DialError::Refused { whole, .. } = error {
                return whole;
            }
            let at = &self.gate.address;
            fatal("08001", &format!("the gateway at {at} cannot be used: {error}"))
        })
    }
}

/// The child's own, but for the name, which is the token's: SCRAM is spoken by it.
fn parameters(wish: Wish<'_>, id: &str) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> =
        wish.parameters().iter().filter(|(name, _)| !name.starts_with("_pq_.")).cloned().collect();
    if wish.parameter("database").is_none() {
        // PostgreSQL's rule, under the name that the child gave.
        let user = wish.parameter("user").unwrap_or_default().into_owned();
        all.push(("database".to_owned(), user.into_bytes()));
    }
    all.retain(|(name, _)| name != "user");
    all.push(("user".to_owned(), id.as_bytes().to_vec()));
    all
}

fn welcome(upstream: &Upstream) -> Vec<u8> {
    let mut out = Vec::new();
    build::authentication_ok(&mut out);
    for (name, value) in &upstream.parameters {
        build::parameter_status(&mut out, name, value);
    }
    build::backend_key_data(&mut out, upstream.process, &upstream.secret);
    for notice in &upstream.notices {
        out.extend_from_slice(notice);
    }
    build::ready(&mut out, TransactionStatus::Idle);
    out
}

fn fatal(code: &str, why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    build::error(&mut out, &ErrorFields::fatal(code, why));
    out
}

/// Knows the run's secret.
struct Secret<'a>(&'a str);

impl Authenticator for Secret<'_> {
    type Proof = ();

    async fn check(&self, password: &[u8]) -> Result<(), Refused> {
        constant_time::verify_slices_are_equal(password, self.0.as_bytes()).map_err(|_| Refused::Token)
    }

    /// Names of tokens are the gateway's: nobody logs in here by one.
    /// Whoever runs behind the broker has its secret already.
    fn discovery(&self, _issuer: Option<&str>) -> Option<Discovery> {
        None
    }

    async fn verifier(&self, _user: &str) -> Result<(ScramVerifier, Option<()>), Refused> {
        let mut salt = [0; 16];
        let _ = rand::fill(&mut salt);
        Ok((ScramVerifier::new(self.0.as_bytes(), &salt, crate::tokens::ITERATIONS), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_connection_that_cannot_be_taken_is_not_the_end() {
        let mut tries = 0;
        let came = taken(|| {
            tries += 1;
            let failed = tries < 4;
            async move { if failed { Err(io::Error::from_raw_os_error(24)) } else { Ok("it came") } }
        });
        assert_eq!(came.await, "it came");
    }
}
