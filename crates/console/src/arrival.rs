//! How a question came: encrypted or in clear, and from whom. What a proxy says of it (`X-Forwarded-For`, `-Host`, `-Proto`) is
//! taken from those alone that are trusted by name; from everybody else it is dropped before anything reads it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{FORWARDED, HOST, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;

use crate::bounded::Bounded;
use crate::failure::Failure;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const NAMED: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Asked by those who look whether it runs. A proxy that does asks for itself, and forwards for nobody.
const LOOKS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Addresses that have their first bits in common: `10.0.0.0/8`, `192.0.2.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// How networks are written.
pub const NETWORK: &str = r"^([0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:]*(:[0-9.]+)?)(/[0-9]{1,3})?$";

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("\"{text}\" is no network ({why}): it is written 10.0.0.0/8 or 192.0.2.7");
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| wrong("it has no address"))?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let plain = |bits: &&str| bits.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits)
                .filter(plain)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or_else(|| wrong("it has another number of bits"))?,
        };
        if bits == 0 {
            return Err(wrong("everybody is in it, and nobody can be trusted who is everybody"));
        }
        let this = Self { base, bits };
        if number(base) == this.first(number(base)) {
            Ok(this)
        } else {
            Err(wrong("bits behind its own are set"))
        }
    }
}

impl Network {
    /// A number with its first bits alone.
    fn first(self, number: u128) -> u128 {
        let rest = 128_u32.saturating_sub(u32::from(self.bits));
        number.checked_shr(rest).and_then(|kept| kept.checked_shl(rest)).unwrap_or_default()
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && self.first(number(address)) == number(self.base)
    }
}

/// An address from its first bit on.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()) << 96,
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// What a listener knows of a connection.
#[derive(Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    /// Known when the first byte has come.
    by_tls: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self { address: *stream.remote_addr(), by_tls: stream.io().by_tls() }
    }
}

/// The client's address, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub IpAddr);

/// By whom one may come, and how.
pub(crate) struct Arrivals {
    pub trusted: Vec<Network>,
    /// Where to come by TLS; nothing where this listener has no certificate.
    pub encrypted: Option<String>,
}

/// How somebody came.
struct Came {
    from: IpAddr,
    by_tls: bool,
}

/// Why somebody does not get in.
#[derive(Debug, PartialEq, Eq)]
enum Not {
    /// In clear, and from elsewhere.
    Clear,
    /// A proxy that is trusted says that its client came in clear.
    ClientInClear,
    /// It does not say it right.
    Strange(&'static str),
}

impl Arrivals {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Who the client is. Afterwards the headers say nothing of it, and name the host that the client named.
    fn judge(&self, came: &Came, path: &str, headers: &mut HeaderMap) -> Result<Client, Not> {
        let Came { from, by_tls } = *came;
        let said = Said::take(headers);
        if !self.trusts(from) {
            return if by_tls || from.is_loopback() { Ok(Client(from)) } else { Err(Not::Clear) };
        }
        let said = said.ok_or(Not::Strange("the proxy's forwarded headers are no text"))?;
        match said.proto.as_deref() {
            Some("https") => (),
            Some("http") => return Err(Not::ClientInClear),
            // Its own question, from this machine or to see whether we are well.
            None if by_tls || from.is_loopback() || LOOKS.contains(&path) => (),
            Some(_) | None => {
                return Err(Not::Strange(
                    "the proxy does not say by X-Forwarded-Proto, once, that its client came by https",
                ));
            }
        }
        if let Some(host) = &said.host {
            let host = Some(host).filter(|host| !host.contains(','));
            let host = host.and_then(|host| HeaderValue::from_str(host).ok());
            headers.insert(HOST, host.ok_or(Not::Strange("X-Forwarded-Host names several hosts"))?);
        }
        Ok(Client(self.client(from, &said.clients)))
    }

    /// Each proxy writes at the end whom it had before it: the last one that is no proxy of ours.
    fn client(&self, from: IpAddr, clients: &str) -> IpAddr {
        let mut client = from;
        for said in clients.rsplit(',') {
            let Some(before) = address(said.trim()) else { break };
            client = before;
            if !self.trusts(before) {
                break;
            }
        }
        client
    }
}

/// What headers say of who came before.
struct Said {
    proto: Option<String>,
    host: Option<String>,
    clients: String,
}

impl Said {
    /// Takes it out of them.
    fn take(headers: &mut HeaderMap) -> Option<Self> {
        let all = |name: &HeaderName| -> Option<Vec<String>> {
            headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().ok().map(|v| v.trim().to_owned()))
                .collect()
        };
        let joined = |name: &HeaderName| all(name).map(|all| all.join(","));
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let said = (|| {
            Some(Self { proto: some(joined(&PROTO)?), host: some(joined(&NAMED)?), clients: joined(&FOR)? })
        })();
        for name in [FOR, NAMED, PROTO, FORWARDED] {
            headers.remove(name);
        }
        said
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// Lets a question through that comes encrypted, from this machine, or from a proxy that is trusted.
pub(crate) async fn come(
    State(arrivals): State<Arc<Arrivals>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let by_tls = peer.by_tls.load(Ordering::Acquire);
    let came = Came { from: peer.address.ip().to_canonical(), by_tls };
    let path = request.uri().path().to_owned();
    match arrivals.judge(&came, &path, request.headers_mut()) {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(not) => turned_away(&arrivals, &not, &request),
    }
}

fn turned_away(arrivals: &Arrivals, not: &Not, request: &Request) -> Response {
    let looks = request.method() == Method::GET || request.method() == Method::HEAD;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let reason = match not {
        Not::Clear | Not::ClientInClear => {
            // A secret that came in clear is not sent for again.
            if let Some(origin) = arrivals.encrypted.as_ref().filter(|_| looks && !path.starts_with("/api/"))
            {
                let to = format!("{origin}{path}");
                return (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response();
            }
            "this came in clear, and neither from this machine nor from a proxy that is trusted (console.trusted_proxy): \
             come by https"
        }
        Not::Strange(why) => why,
    };
    Failure::new(StatusCode::FORBIDDEN, "not_encrypted", reason).into_response()
}

#[cfg(test)]
mod tests;
