//! Towards a target: connect, TLS, login.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wire::postgres::backend::{Authentication, Backend, backend};
use wire::postgres::{build, error, md5, scram, startup};
use zeroize::Zeroizing;

use super::stream::{Message, Stream, message};
use super::tls::{SslMode, UpstreamTls, end_point};

mod fault;

pub use fault::{DialError, shell};
pub(crate) use fault::{untold, way_on};

/// Connecting may take so long, and the login behind it as long again.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest message that a server may send before it is ready, in bytes.
const LONGEST: usize = 1 << 20;
/// So many messages may come before the server is ready.
const MOST_MESSAGES: usize = 10_000;

/// The connection to a target, as the pump uses it.
pub type UpstreamStream = Stream;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// By TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// By a UNIX-domain socket, `directory/.s.PGSQL.port`.
    Unix {
        /// The socket's directory.
        directory: PathBuf,
        /// Part of its name.
        port: u16,
    },
}

impl Address {
    /// `host` as libpq takes it: a path is a socket's directory.
    pub fn new(host: &str, port: u16) -> Self {
        if host.starts_with('/') {
            Self::Unix { directory: host.into(), port }
        } else {
            Self::Tcp { host: host.to_owned(), port }
        }
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Unix { .. } => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { directory, port } => write!(f, "{}/.s.PGSQL.{port}", directory.display()),
        }
    }
}

/// A password, with what its last login by SCRAM has worked out. It is never printed.
pub struct Password {
    bytes: Zeroizing<Vec<u8>>,
    salted: Mutex<Option<scram::Salted>>,
}

impl Password {
    /// A password that nobody logged in with yet.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { bytes, salted: Mutex::default() }
    }

    /// What it is, for whoever proves with it who the gateway is: nobody else asks.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.bytes
    }

    fn salted(&self) -> MutexGuard<'_, Option<scram::Salted>> {
        self.salted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Password {}

/// Who logs in, and how the session starts.
pub struct Login<'a> {
    /// The role.
    pub user: &'a str,
    /// Its password, if there is one.
    pub password: Option<&'a Password>,
    /// The newest minor version that we ask for.
    pub minor: u16,
    /// Start-up parameters, `user` and `database` among them.
    pub parameters: &'a [(String, Vec<u8>)],
}

/// A session at the target that is ready for its first command.
pub struct Upstream {
    /// The connection.
    pub stream: UpstreamStream,
    /// What the server said of its settings, in its order.
    pub parameters: Vec<(String, Vec<u8>)>,
    /// The server's process id.
    pub process: u32,
    /// What cancels its statements.
    pub secret: Vec<u8>,
    /// The minor version that is spoken.
    pub minor: u16,
    /// Notices from before it was ready, whole.
    pub notices: Vec<Vec<u8>>,
}

/// Opens a session.
pub async fn dial(address: &Address, tls: &UpstreamTls, login: &Login<'_>) -> Result<Upstream, DialError> {
    let (stream, binding) = reach(address, tls).await?;
    let binding = Binding { hash: binding, required: tls.is_bound() };
    timeout(PATIENCE, log_in(stream, binding, address.is_local(), login))
        .await
        .map_err(|_| DialError::Timeout)?
}

/// Asks the server to cancel what a session does. The server never answers.
pub async fn cancel(
    address: &Address,
    tls: &UpstreamTls,
    process: u32,
    secret: &[u8],
) -> Result<(), DialError> {
    let (mut stream, _) = reach(address, tls).await?;
    let mut out = Vec::new();
    startup::cancel_request(&mut out, process, secret);
    let send = async {
        stream.write_all(&out).await?;
        stream.flush().await?;
        // The server closes when it has dealt with it.
        let mut nothing = [0; 1];
        let _ = stream.read(&mut nothing).await;
        Ok(())
    };
    timeout(PATIENCE, send).await.map_err(|_| DialError::Timeout)?
}

/// The certificate that a server shows to whoever asks, whether or not it would be trusted; `None` without TLS.
pub async fn shown(address: &Address, tls: &UpstreamTls) -> Option<Vec<u8>> {
    if tls.mode() == SslMode::Disable {
        return None;
    }
    let unjudged = UpstreamTls::new(SslMode::Require, None, tls.is_direct());
    let (stream, _) = timeout(PATIENCE, connect(address, &unjudged)).await.ok()?.ok()?;
    match stream {
        Stream::TlsClient(stream) => {
            let shown = stream.get_ref().1.peer_certificates()?.first()?;
            Some(shown.to_vec())
        }
        Stream::Tcp(_) | Stream::Unix(_) | Stream::Inside { .. } | Stream::TlsServer(_) => None,
    }
}

/// A connection, encrypted as `sslmode` says, and the hash of the server's certificate.
async fn reach(address: &Address, tls: &UpstreamTls) -> Result<(Stream, Option<Vec<u8>>), DialError> {
    let reaching = async {
        match connect(address, tls).await {
            Err(DialError::Tls(_) | DialError::NoTls) if tls.mode() == SslMode::Prefer => {
                connect(address, &UpstreamTls::new(SslMode::Disable, None, false)).await
            }
            reached => reached,
        }
    };
    timeout(PATIENCE, reaching).await.map_err(|_| DialError::Timeout)?
}

async fn connect(address: &Address, tls: &UpstreamTls) -> Result<(Stream, Option<Vec<u8>>), DialError> {
    let (host, mut tcp) = match address {
        Address::Unix { directory, port } => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            return Ok((Stream::Unix(UnixStream::connect(path).await?), None));
        }
        Address::Tcp { host, port } => {
            let found = lookup_host((host.as_str(), *port)).await.map_err(DialError::Name)?;
            let found: Vec<SocketAddr> = found.collect();
            (host, TcpStream::connect(found.as_slice()).await?)
        }
    };
    tcp.set_nodelay(true)?;
    if tls.mode() == SslMode::Disable {
        return Ok((Stream::Tcp(tcp), None));
    }
    if !tls.is_direct() {
        let mut request = Vec::new();
        startup::ssl_request(&mut request);
        tcp.write_all(&request).await?;
        // One byte and no more: whatever else came in clear before the handshake would be somebody else's.
        match tcp.read_u8().await? {
            b'S' => (),
            b'N' if tls.mode() == SslMode::Prefer => return Ok((Stream::Tcp(tcp), None)),
            b'N' => return Err(DialError::NoTls),
            b'E' => return Err(DialError::Protocol("an error in answer to the request for TLS")),
            _ => return Err(DialError::Protocol("neither yes nor no to the request for TLS")),
        }
    }
    let name = ServerName::try_from(host.clone()).map_err(|e| DialError::Tls(e.to_string()))?;
    let connector = TlsConnector::from(tls.config()?);
    let stream = connector.connect(name, tcp).await.map_err(|e| DialError::Tls(e.to_string()))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let binding = certificate.and_then(|c| end_point(c));
    Ok((Stream::TlsClient(Box::new(stream)), binding))
}

/// What a login can be bound to.
struct Binding {
    /// The hash of the server's certificate, where there is one.
    hash: Option<Vec<u8>>,
    /// Nothing else will do.
    required: bool,
}

async fn log_in(
    mut stream: Stream,
    binding: Binding,
    local: bool,
    login: &Login<'_>,
) -> Result<Upstream, DialError> {
    let mut out = Vec::new();
    startup::login_request(&mut out, login.minor, login.parameters)?;
    stream.write_all(&out).await?;
    stream.flush().await?;
    authenticate(&mut stream, binding, local, login).await?;

    let mut upstream = Upstream {
        stream,
        parameters: Vec::new(),
        process: 0,
        secret: Vec::new(),
        minor: login.minor,
        notices: Vec::new(),
    };
    let mut said = 0_usize;
    for _ in 0..MOST_MESSAGES {
        let message = message(&mut upstream.stream, LONGEST).await?;
        // Much of it is kept.
        said = said.saturating_add(message.whole.len());
        if said > LONGEST {
            return Err(DialError::Protocol("it says too much during login"));
        }
        match backend(&message.frame()?)? {
            Backend::ReadyForQuery(_) => return Ok(upstream),
            Backend::ParameterStatus { name, value } => {
                upstream.parameters.push((lossy(name), value.to_vec()));
            }
            Backend::BackendKeyData { process, secret } => {
                upstream.process = process;
                upstream.secret = secret.to_vec();
            }
            Backend::NegotiateProtocolVersion { minor, .. } => {
                upstream.minor = u16::try_from(minor).unwrap_or(0).min(login.minor);
            }
            Backend::NoticeResponse(_) => upstream.notices.push(message.whole),
            Backend::ErrorResponse(body) => return Err(refused(body)),
            Backend::Authentication(_)
            | Backend::RowDescription(_)
            | Backend::DataRow(_)
            | Backend::CommandComplete(_)
            | Backend::EmptyQuery
            | Backend::ParseComplete
            | Backend::BindComplete
            | Backend::CloseComplete
            | Backend::NoData
            | Backend::ParameterDescription(_)
            | Backend::PortalSuspended
            | Backend::NotificationResponse { .. }
            | Backend::CopyIn(_)
            | Backend::CopyOut(_)
            | Backend::CopyBoth(_)
            | Backend::CopyData(_)
            | Backend::CopyDone
            | Backend::FunctionCallResponse(_) => {
                return Err(DialError::Protocol("an unexpected message before the server was ready"));
            }
        }
    }
    Err(DialError::Protocol("too many messages before the server was ready"))
}

async fn authenticate(
    stream: &mut Stream,
    binding: Binding,
    local: bool,
    login: &Login<'_>,
) -> Result<(), DialError> {
    let private = local || stream.is_encrypted();
    let mut bound = !binding.required;
    loop {
        let message = authentication(stream).await?;
        let mut out = Vec::new();
        match step(&message)? {
            Authentication::Ok if !bound => return Err(DialError::Unbound),
            Authentication::Ok => return Ok(()),
            Authentication::Cleartext | Authentication::Md5 { .. } if binding.required => {
                return Err(DialError::Unbound);
            }
            Authentication::Cleartext if !private => return Err(DialError::ClearText),
            Authentication::Cleartext => {
                build::password(&mut out, &login.password.ok_or(DialError::NoPassword)?.bytes)
                    .map_err(|error| DialError::Credential(error.to_string()))?;
            }
            Authentication::Md5 { salt } => {
                let password = login.password.ok_or(DialError::NoPassword)?;
                build::password(
                    &mut out,
                    md5::response(login.user.as_bytes(), &password.bytes, salt).as_bytes(),
                )?;
            }
            Authentication::Sasl(mechanisms) => {
                let password = login.password.ok_or(DialError::NoPassword)?;
                sasl(stream, &mechanisms, &binding, password).await?;
                bound = true;
                continue;
            }
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                return Err(DialError::Protocol("a step of SASL that was not begun"));
            }
            Authentication::Other(method) => return Err(DialError::Unsupported(method)),
        }
        stream.write_all(&out).await?;
        stream.flush().await?;
    }
}

async fn sasl(
    stream: &mut Stream,
    mechanisms: &[&[u8]],
    binding: &Binding,
    password: &Password,
) -> Result<(), DialError> {
    let offers = |name: &str| mechanisms.contains(&name.as_bytes());
    let (mechanism, binding) = match binding.hash.clone() {
        Some(hash) if offers(scram::SHA_256_PLUS) => {
            (scram::SHA_256_PLUS, scram::Binding::ServerEndPoint(hash))
        }
        _ if binding.required => return Err(DialError::Unbound),
        // "y" would say that the server has taken its offer away.
        Some(_) if stream.is_encrypted() => (scram::SHA_256, scram::Binding::Unoffered),
        _ => (scram::SHA_256, scram::Binding::None),
    };
    if !offers(mechanism) {
        return Err(DialError::Unsupported(10));
    }
    let nonce = nonce().ok_or(DialError::Protocol("no randomness"))?;
    let known = password.salted().clone();
    let mut client = scram::Client::new(&password.bytes, &nonce, binding, known);
    let mut out = Vec::new();
    build::sasl_initial(&mut out, mechanism, &client.first())?;
    stream.write_all(&out).await?;
    stream.flush().await?;
    let first = authentication(stream).await?;
    let Authentication::SaslContinue(first) = step(&first)? else {
        return Err(DialError::Protocol("SASL did not go on"));
    };
    let mut out = Vec::new();
    build::sasl_response(&mut out, &client.answer(first)?);
    stream.write_all(&out).await?;
    stream.flush().await?;
    let last = authentication(stream).await?;
    let Authentication::SaslFinal(last) = step(&last)? else {
        return Err(DialError::Protocol("SASL did not end"));
    };
    client.verify(last)?;
    *password.salted() = client.into_salted();
    Ok(())
}

/// The next message of the login. A server may speak of versions and notices between them.
async fn authentication(stream: &mut Stream) -> Result<Message, DialError> {
    for _ in 0..MOST_MESSAGES {
        let message = message(stream, LONGEST).await?;
        match message.kind {
            b'R' => return Ok(message),
            b'N' | b'v' => (),
            b'E' => return Err(refused(message.frame()?.body)),
            _ => return Err(DialError::Protocol("an unexpected message during login")),
        }
    }
    Err(DialError::Protocol("too many messages during login"))
}

fn step(message: &Message) -> Result<Authentication<'_>, DialError> {
    let Backend::Authentication(step) = backend(&message.frame()?)? else {
        return Err(DialError::Protocol("an unexpected message during login"));
    };
    Ok(step)
}

fn refused(body: &[u8]) -> DialError {
    let code = error::field(body, b'C').unwrap_or_default();
    let mut whole = Vec::new();
    build::message(&mut whole, b'E', |out| out.extend_from_slice(body));
    DialError::Refused { code, message: error::field(body, b'M').unwrap_or_default(), whole }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// 18 bytes of chance in base64, as libpq's.
pub(super) fn nonce() -> Option<String> {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}
