//! Whether a question is for this gateway, and from no page elsewhere.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};

use crate::rpc::Fault;

/// The names by which this gateway is reached.
pub(crate) struct Names {
    /// Of its host, beside the loopback's and plain addresses.
    hosts: BTreeSet<String>,
    /// Where pages of its own are.
    origins: BTreeSet<Origin>,
}

impl Names {
    /// Those of URLs.
    pub(crate) fn of<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        let uris: Vec<Uri> = urls.filter_map(|url| url.parse().ok()).collect();
        let hosts = uris.iter().filter_map(|uri| uri.host().map(bare)).collect();
        Self { hosts, origins: uris.iter().filter_map(Origin::of).collect() }
    }
}

/// Where a page is (RFC 6454 §4): what differs in any of these is another's.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    is_encrypted: bool,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let is_encrypted = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let usual = if is_encrypted { 443 } else { 80 };
        // A port that is none is not the usual one.
        let port = match uri.authority()?.as_str().rsplit_once(':') {
            Some((_, after)) if !after.ends_with(']') => after.parse().ok()?,
            Some(_) | None => usual,
        };
        Some(Self { is_encrypted, host: bare(uri.host()?), port })
    }

    /// One as a header says it (§6.2): a scheme, a host, a port, and nothing else.
    fn said(text: &str) -> Option<Self> {
        let (_, behind) = text.split_once("://")?;
        if behind.contains(['/', '@', '?', '#']) {
            return None;
        }
        Self::of(&text.parse().ok()?)
    }
}

/// A page elsewhere whose name was made to resolve to this machine names itself in `Host`, and any page in `Origin`.
pub(crate) fn is_for_here(names: &Names, headers: &HeaderMap, peer: SocketAddr) -> Result<(), Fault> {
    let forbidden = |what: &str| {
        let fault = Fault::no_request(format!("{what} is not one of this gateway's"));
        Err(fault.with(StatusCode::FORBIDDEN))
    };
    let one = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        let one = all.next().filter(|_| all.next().is_none())?;
        one.to_str().ok()
    };
    let host = one(HOST).and_then(|host| host.parse::<Uri>().ok()?.host().map(bare));
    // An address is nobody's name, and cannot be made to resolve to this machine: whoever names one came by it.
    let fits =
        |host: &String| names.hosts.contains(host) || host == "localhost" || host.parse::<IpAddr>().is_ok();
    if !host.as_ref().is_some_and(fits) {
        return forbidden("Host");
    }
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let is_loopback =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // But a page is at its address, too. Those of this machine, at whatever port, may ask by the loopback alone.
    match one(ORIGIN).and_then(Origin::said) {
        Some(page) if names.origins.contains(&page) || peer.ip().is_loopback() && is_loopback(&page.host) => {
            Ok(())
        }
        Some(_) | None => forbidden("Origin"),
    }
}

/// A host as it is compared.
fn bare(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().map_or_else(|_| host.to_lowercase(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Names, is_for_here};

    #[test]
    fn pages_elsewhere_ask_nothing_here() {
        // Behind a proxy that speaks TLS, and at its own address.
        let own = ["https://gate.example.com/", "https://gate.example.com:8443", "http://10.0.0.5:7380"];
        let own = Names::of(own.into_iter());
        let (near, far) = ("127.0.0.1:5".parse().expect("peer"), "192.0.2.1:5".parse().expect("peer"));
        for (peer, host, origin, expected) in [
            (near, Some("127.0.0.1:7380"), None, true),
            (far, Some("10.0.0.9:7380"), None, true),
            (far, Some("GATE.example.com"), Some("https://gate.example.com"), true),
            (far, Some("10.0.0.5:7380"), Some("http://10.0.0.5:7380"), true),
            (far, Some("gate.example.com"), Some("https://gate.example.com:443"), true),
            (far, Some("gate.example.com:8443"), Some("https://gate.example.com:8443"), true),
            (far, Some("gate.example.com"), Some("http://gate.example.com"), false),
            (far, Some("gate.example.com"), Some("https://gate.example.com:444"), false),
            (far, Some("gate.example.com"), Some("https://gate.example.com:"), false),
            (far, Some("gate.example.com"), Some("https://gate.example.com/"), false),
            (far, Some("gate.example.com"), Some("https://evil@gate.example.com"), false),
            (far, Some("gate.example.com"), Some("ftp://gate.example.com:443"), false),
            (far, Some("gate.example.com"), Some("gate.example.com"), false),
            (far, Some("gate.example.com"), Some("https://gate.example.com https://evil.example.com"), false),
            (far, Some("10.0.0.5:7380"), Some("http://10.0.0.5"), false),
            (far, Some("10.0.0.5:7380"), Some("https://10.0.0.5:7380"), false),
            (near, Some("[::1]:7380"), Some("http://[::1]:6274"), true),
            (near, Some("[::1]:7380"), Some("http://[0:0:0:0:0:0:0:1]:6274"), true),
            (near, Some("localhost"), Some("http://localhost:6274"), true),
            (far, Some("gate.example.com"), Some("http://localhost:6274"), false),
            (near, Some("127.0.0.1"), Some("http://203.0.113.7"), false),
            (near, Some("127.0.0.1"), Some("https://evil.example.com"), false),
            (near, Some("127.0.0.1"), Some("null"), false),
            (near, Some("127.0.0.1"), Some("http://LOCALHOST:6274"), true),
            (near, Some("127.0.0.1"), Some("http://localhost.evil.example.com"), false),
            (near, Some("127.0.0.1"), Some("http://127.0.0.1.evil.example.com"), false),
            (near, Some("127.0.0.1"), Some("http://localhost@evil.example.com"), false),
            (near, Some("127.0.0.1"), Some("http://localhost."), false),
            (near, Some("127.0.0.1"), Some("file://"), false),
            (near, Some("127.0.0.1"), Some(""), false),
            (near, Some("localhost."), None, false),
            (near, Some("127.0.0.1.evil.example.com"), None, false),
            (near, Some("2130706433"), None, false),
            (far, Some("gate.example.com"), Some("https://gate.example.com.evil.example.com"), false),
            (far, Some("gate.example.com."), None, false),
            (near, Some("evil.example.com"), None, false),
            (near, None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", host), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_for_here(&own, &headers, peer).is_ok(), expected, "{peer} {host:?} {origin:?}");
            // Of two that come at once none counts.
            for name in ["host", "origin"] {
                let mut twice = headers.clone();
                if twice.contains_key(name) {
                    twice.append(name, HeaderValue::from_static("http://localhost"));
                    assert!(is_for_here(&own, &twice, peer).is_err(), "{name} twice: {host:?} {origin:?}");
                }
            }
        }
    }
}
