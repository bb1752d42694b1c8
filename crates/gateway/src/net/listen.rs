//! Towards clients: accept, TLS, the start-up packet. Nothing is read beyond what is understood.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::TargetName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor};
use wire::postgres::build;
use wire::postgres::error::ErrorFields;
use wire::postgres::startup::{self, Startup, split_startup};

use super::login::TOKEN_PREFIX;
use super::stream::Stream;
use super::tls::{ALPN, ServerTls};
use crate::inside::Ear;
use crate::sessions::Place;
use crate::tokens::Admitted;

/// The connection to a client, as the pump uses it.
pub type ClientStream = Stream;

/// Where whoever comes by a UNIX socket is said to come from.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The newest minor version that is spoken here.
pub const NEWEST_MINOR: u16 = 2;

/// Terminate, which node-postgres sends also where it has sent nothing yet.
const GOODBYE: &[u8] = b"X\0\0\0\x04";

/// Bounds on clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// From the first byte to the end of the login.
    pub login: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 20_000, per_address: 10_000, login: Duration::from_secs(10) }
    }
}

/// A listening socket with its bounds.
pub struct Front {
    tcp: TcpListener,
    bounds: Bounds,
    target: Option<TargetName>,
    names: Arc<BTreeMap<String, TargetName>>,
    bearer: bool,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's share of the bounds; given back when it is dropped.
pub struct Share {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

impl Front {
    /// Listens.
    pub async fn bind(address: SocketAddr, bounds: Bounds) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            bounds,
            target: None,
            names: Arc::default(),
            bearer: false,
            open: Arc::default(),
        })
    }

    /// Makes it the listener of one target: what clients give as the database is then the real one.
    #[must_use]
    pub fn of(self, target: TargetName) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Lets clients name a target by the name, in lower case, that their TLS asks for: what they give as the database is
    /// then the real one.
    #[must_use]
    pub fn naming(self, names: Arc<BTreeMap<String, TargetName>>) -> Self {
        Self { names, ..self }
    }

    /// Makes it one whose clients sign in by OAUTHBEARER.
    #[must_use]
    pub fn by_bearer(self) -> Self {
        Self { bearer: true, ..self }
    }

    /// Whether its clients sign in by OAUTHBEARER.
    pub fn asks_for_bearer(&self) -> bool {
        self.bearer
    }

    /// The target that it is the listener of.
    pub fn target(&self) -> Option<&TargetName> {
        self.target.as_ref()
    }

    /// The targets that clients name by their TLS.
    pub fn names(&self) -> &Arc<BTreeMap<String, TargetName>> {
        &self.names
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The bounds it keeps.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The next client within the bounds; others are dropped at once. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr, Share) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    if let Some(share) = self.share(peer.ip()) {
                        let _ = stream.set_nodelay(true);
                        return (stream, peer, share);
                    }
                    tracing::warn!(%peer, "too many connections: dropped");
                }
                Err(error) => {
                    // Out of file descriptors: accepting again at once would only burn the processor.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn share(&self, address: IpAddr) -> Option<Share> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let count = open.entry(address).or_default();
        if total >= self.bounds.connections || *count >= self.bounds.per_address {
            if *count == 0 {
                open.remove(&address);
            }
            return None;
        }
        *count += 1;
        Some(Share { open: Arc::clone(&self.open), address })
    }
}

/// A client with its start-up packet, before its login.
pub struct Accepted {
    pub(super) stream: ClientStream,
    pub(super) login: startup::Login,
    pub(super) end_point: Option<Arc<[u8]>>,
    tls_version: Option<String>,
    server_name: Option<String>,
    peer: SocketAddr,
    fixed: Option<TargetName>,
    bearer: bool,
    ear: Option<Arc<Ear>>,
    /// Who it is, of a client within the gateway that has shown it already.
    known: Option<Box<Known>>,
    /// What it sent before it was let in.
    early: Vec<u8>,
}

/// What a client asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    login: &'a startup::Login,
    fixed: Option<&'a TargetName>,
    peer: SocketAddr,
}

impl<'a> Wish<'a> {
    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// A start-up parameter, to be read by people and compared with names of ours.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        self.login.parameter(name).map(String::from_utf8_lossy)
    }

    /// All start-up parameters.
    pub(crate) fn parameters(&self) -> &'a [(String, Vec<u8>)] {
        &self.login.parameters
    }

    /// The minor version that is spoken with this client.
    pub(crate) fn minor(&self) -> u16 {
        self.login.minor.min(NEWEST_MINOR)
    }

    /// The database that the client asks for, where it is not the target's own.
    pub(crate) fn database(&self) -> Option<&'a [u8]> {
        let name = match self.fixed {
            // Where none is given, libraries give the user's name: here that may be a token's.
            Some(_) => self.login.parameter("database").filter(|n| {
                !(n.starts_with(TOKEN_PREFIX.as_bytes()) && self.login.parameter("user") == Some(n))
            }),
            None => self.named().splitn(2, |byte| *byte == b'/').nth(1),
        };
        name.filter(|n| !n.is_empty())
    }

    fn named(&self) -> &'a [u8] {
        self.login
            .parameter("database")
            .filter(|n| !n.is_empty())
            .or_else(|| self.login.parameter("user"))
            .unwrap_or_default()
    }
}

/// A client that may go away before it is let in.
pub(crate) struct Leaving<'a> {
    stream: &'a mut ClientStream,
    early: &'a mut Vec<u8>,
}

/// So much of what a client sends before it is let in is kept, in bytes. With more it is not heard any more until then.
const EARLY: usize = 64 * 1024;

impl Leaving<'_> {
    /// Resolves when the client has gone. What it says meanwhile is kept. Cancel-safe.
    pub(crate) async fn left(self) {
        while self.early.len() < EARLY {
            match (&mut *self.stream).take(4096).read_buf(self.early).await {
                Ok(0) | Err(_) => return,
                Ok(_) => (),
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Who a client within the gateway is, and its place among the sessions.
pub(crate) struct Known {
    pub admitted: Admitted,
    pub place: Place,
    pub application: Arc<str>,
}

/// What a new connection turned out to be.
pub enum Negotiated {
    /// A client that wants in.
    Login(Box<Accepted>),
    /// Somebody who wants a statement cancelled.
    Cancel {
        /// Of which process.
        process: u32,
        /// With which secret.
        secret: Vec<u8>,
        /// Its connection. Clients take its end for the sign that the cancel is behind them, and send their next statement,
        /// so it must not end before the cancel is at the target.
        waiting: ClientStream,
    },
    /// It was answered, or it left.
    Gone,
}

impl Accepted {
    /// A client inside this process.
    pub(crate) fn inside(
        stream: DuplexStream,
        login: startup::Login,
        peer: SocketAddr,
        encrypted: bool,
        ear: Arc<Ear>,
    ) -> Self {
        Self {
            stream: Stream::Inside { stream, encrypted },
            login,
            end_point: None,
            tls_version: None,
            server_name: None,
            peer,
            fixed: None,
            bearer: false,
            ear: Some(ear),
            known: None,
            early: Vec::new(),
        }
    }

    /// Where it is told what the protocol has no word for, if it is a client inside this process.
    pub(crate) fn ear(&self) -> Option<Arc<Ear>> {
        self.ear.clone()
    }

    /// A client of the gateway's own within the gateway, which comes from where whoever it acts for came from.
    pub(crate) fn within(stream: UnixStream, peer: SocketAddr, target: TargetName, known: Known) -> Self {
        let parameters = vec![("application_name".to_owned(), known.application.as_bytes().to_vec())];
        Self {
            stream: Stream::Unix(stream),
            login: startup::Login { major: 3, minor: 0, parameters },
            end_point: None,
            tls_version: None,
            server_name: None,
            peer,
            fixed: Some(target),
            bearer: false,
            ear: None,
            known: Some(Box::new(known)),
            early: Vec::new(),
        }
    }

    /// Who it is, where it has shown that already.
    pub(crate) fn take_known(&mut self) -> Option<Known> {
        self.known.take().map(|known| *known)
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// A start-up parameter, to be read by people and compared with names of ours.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.login.parameter(name).map(String::from_utf8_lossy)
    }

    /// All start-up parameters.
    pub fn parameters(&self) -> &[(String, Vec<u8>)] {
        &self.login.parameters
    }

    /// The minor version that is spoken with this client.
    pub fn minor(&self) -> u16 {
        self.login.minor.min(NEWEST_MINOR)
    }

    /// `TLSv1.3`, if there is TLS.
    pub fn tls_version(&self) -> Option<&str> {
        self.tls_version.as_deref()
    }

    /// The name that the client's TLS asked for, in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether a password may be asked for in clear text.
    pub fn is_private(&self) -> bool {
        matches!(self.stream, Stream::Inside { .. })
            || self.stream.is_encrypted()
            || self.peer.ip().is_loopback()
    }

    /// Fixes the target, as a listener of its own does: `database` is then the real one.
    pub fn set_target(&mut self, target: TargetName) {
        self.fixed = Some(target);
    }

    /// Lets the client sign in by OAUTHBEARER, whatever user it names.
    pub fn set_bearer(&mut self, bearer: bool) {
        self.bearer = bearer;
    }

    /// Whether the client is to sign in by OAUTHBEARER.
    pub fn asks_for_bearer(&self) -> bool {
        self.bearer
    }

    /// The target that the client names by `target` or `target/other_database`, in the place of the database, which is
    /// the user where there is none.
    pub fn target(&self) -> TargetName {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let wish = Wish { login: &self.login, fixed: None, peer: self.peer };
        let name = wish.named();
        let target = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        TargetName::new(String::from_utf8_lossy(target).into_owned())
    }

    /// The connection itself, once the client is in, and what it has sent behind its login.
    pub fn into_stream(self) -> (ClientStream, Vec<u8>) {
        (self.stream, self.early)
    }

    /// What the client asks for, and its going away meanwhile.
    pub(crate) fn split(&mut self) -> (Wish<'_>, Leaving<'_>) {
        let Self { stream, login, fixed, peer, early, .. } = self;
        (Wish { login, fixed: fixed.as_ref(), peer: *peer }, Leaving { stream, early })
    }

    /// Sends what tells the client that it is in.
    ///
    /// # Errors
    /// The client has left.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Sends a last message.
    pub async fn refuse(mut self, farewell: &[u8]) {
        let _ = self.stream.write_all(farewell).await;
        let _ = self.stream.shutdown().await;
    }
}

/// Reads what a connection begins with. The caller bounds the time.
pub async fn negotiate(tcp: TcpStream, peer: SocketAddr, tls: Option<&ServerTls>) -> io::Result<Negotiated> {
    let mut first = [0; 1];
    if tcp.peek(&mut first).await? == 0 {
        return Ok(Negotiated::Gone);
    }
    if first == [0x16] {
        let Some(tls) = tls else { return Ok(Negotiated::Gone) };
        let Some(stream) = shake_hands(tcp, tls, true).await? else { return Ok(Negotiated::Gone) };
        return startup_packet(stream, peer, Some(tls), true).await;
    }
    startup_packet(Stream::Tcp(tcp), peer, tls, false).await
}

/// The same of a UNIX socket, which needs no TLS.
///
/// # Errors
/// The connection fails.
pub async fn negotiate_unix(stream: UnixStream) -> io::Result<Negotiated> {
    startup_packet(Stream::Unix(stream), HERE, None, false).await
}

async fn startup_packet(
    mut stream: Stream,
    peer: SocketAddr,
    tls: Option<&ServerTls>,
    mut encrypted: bool,
) -> io::Result<Negotiated> {
    let mut asked_for_gss = false;
    loop {
        let packet = match packet(&mut stream).await? {
            Ok(Some(packet)) => packet,
            // Servers say nothing to that either, and clients take an answer for a failure.
            Ok(None) => return Ok(Negotiated::Gone),
            Err(wire::Malformed(why)) => return farewell(stream, "08P01", why).await,
        };
        match packet {
            Startup::Ssl if encrypted => return farewell(stream, "08P01", "TLS within TLS").await,
            Startup::Ssl => match (tls, stream) {
                (Some(tls), Stream::Tcp(mut tcp)) => {
                    tcp.write_all(b"S").await?;
                    // What came in clear behind the request is read as part of the handshake, and fails it.
                    let Some(shaken) = shake_hands(tcp, tls, false).await? else {
                        return Ok(Negotiated::Gone);
                    };
                    stream = shaken;
                    encrypted = true;
                }
                (_, mut clear) => {
                    clear.write_all(b"N").await?;
                    stream = clear;
                    encrypted = false;
                }
            },
            Startup::Gss if asked_for_gss || encrypted => {
                return farewell(stream, "08P01", "a second request for GSSAPI encryption").await;
            }
            Startup::Gss => {
                asked_for_gss = true;
                stream.write_all(b"N").await?;
            }
            Startup::Cancel { process, secret } => {
                return Ok(Negotiated::Cancel { process, secret, waiting: stream });
            }
            Startup::Login(login) => return accepted(stream, login, peer, tls).await,
        }
    }
}

async fn accepted(
    mut stream: Stream,
    login: startup::Login,
    peer: SocketAddr,
    tls: Option<&ServerTls>,
) -> io::Result<Negotiated> {
    if login.major != 3 {
        let why =
            format!("protocol {}.{} is not supported: 3.0 to 3.{NEWEST_MINOR} are", login.major, login.minor);
        return farewell(stream, "0A000", &why).await;
    }
    if login.parameter("user").is_none_or(<[u8]>::is_empty) {
        return farewell(stream, "28000", "no user name in the startup packet").await;
    }
    if login.parameter("replication").is_some_and(|v| !matches!(v, b"false" | b"off" | b"no" | b"0")) {
        return farewell(stream, "0A000", "replication connections are not supported").await;
    }
    let unknown: Vec<&str> =
        login.parameters.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with("_pq_.")).collect();
    if login.minor > NEWEST_MINOR || !unknown.is_empty() {
        let mut out = Vec::new();
        build::negotiate_protocol_version(&mut out, u32::from(NEWEST_MINOR.min(login.minor)), &unknown);
        stream.write_all(&out).await?;
    }
    let (tls_version, server_name) = match &stream {
        Stream::TlsServer(tls) => {
            let connection = tls.get_ref().1;
            let version = connection.protocol_version().and_then(|v| v.as_str()).map(str::to_owned);
            (version, connection.server_name().map(str::to_ascii_lowercase))
        }
        Stream::Tcp(_) | Stream::Unix(_) | Stream::Inside { .. } | Stream::TlsClient(_) => (None, None),
    };
    let end_point = tls.filter(|_| stream.is_encrypted()).and_then(|t| t.end_point.clone());
    Ok(Negotiated::Login(Box::new(Accepted {
        stream,
        login,
        end_point,
        tls_version,
        server_name,
        peer,
        fixed: None,
        bearer: false,
        ear: None,
        known: None,
        early: Vec::new(),
    })))
}

/// Reads exactly one start-up packet; `None` is the goodbye of a client that has changed its mind.
async fn packet(stream: &mut Stream) -> io::Result<Result<Option<Startup>, wire::Malformed>> {
    let mut bytes = vec![0; 4];
    stream.read_exact(&mut bytes).await?;
    if GOODBYE.starts_with(&bytes) {
        // What is left unread when a connection is closed resets it.
        stream.read_u8().await?;
        return Ok(Ok(None));
    }
    if let Err(malformed) = split_startup(&bytes) {
        return Ok(Err(malformed));
    }
    let length = bytes.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
    bytes.resize(length.clamp(4, startup::LONGEST), 0);
    stream.read_exact(bytes.get_mut(4..).unwrap_or_default()).await?;
    match split_startup(&bytes) {
        Ok(Some((packet, _))) => Ok(Ok(Some(packet))),
        Ok(None) => Ok(Err(wire::Malformed("startup packet is cut short"))),
        Err(malformed) => Ok(Err(malformed)),
    }
}

async fn shake_hands(tcp: TcpStream, tls: &ServerTls, direct: bool) -> io::Result<Option<Stream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    // Without it a browser that was tricked into speaking to us could be made to (the ALPACA attack).
    let offers = start.client_hello().alpn().is_some_and(|mut offered| offered.any(|p| p == ALPN));
    if direct && !offers {
        return Ok(None);
    }
    let stream = start.into_stream(Arc::clone(&tls.config)).await?;
    Ok(Some(Stream::TlsServer(Box::new(stream))))
}

async fn farewell(mut stream: Stream, code: &str, why: &str) -> io::Result<Negotiated> {
    let mut out = Vec::new();
    build::error(&mut out, &ErrorFields::fatal(code, why));
    stream.write_all(&out).await?;
    stream.shutdown().await?;
    Ok(Negotiated::Gone)
}
