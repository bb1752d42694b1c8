//! Whether a question is for this gateway, and from no page elsewhere.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};

use crate::rpc::Fault;

/// A page elsewhere whose name was made to resolve to this machine names itself in `Host`, and any page in `Origin`.
pub(crate) fn is_for_here(
    hosts: &BTreeSet<String>,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<(), Fault> {
    let forbidden = |what: &str| {
        let fault = Fault::no_request(format!("{what} is not one of this gateway's"));
        Err(fault.with(StatusCode::FORBIDDEN))
    };
    let named = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        let one = all.next().filter(|_| all.next().is_none())?;
        one.to_str().ok()?.parse::<Uri>().ok()?.host().map(bare)
    };
    let is_loopback =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // An address is nobody's name, and cannot be made to resolve to this machine: whoever names one came by it.
    let fits = |host: &String| hosts.contains(host) || host == "localhost" || host.parse::<IpAddr>().is_ok();
    if !named(HOST).as_ref().is_some_and(fits) {
        return forbidden("Host");
    }
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    // But a page is at its address, too. Those of this machine alone may ask, and by the loopback.
    match named(ORIGIN) {
        Some(host) if hosts.contains(&host) || peer.ip().is_loopback() && is_loopback(&host) => Ok(()),
        Some(_) | None => forbidden("Origin"),
    }
}

/// A host as it is compared.
pub(crate) fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_lowercase()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::is_for_here;

    #[test]
    fn pages_elsewhere_ask_nothing_here() {
        let own = ["gate.example.com", "10.0.0.5"].map(str::to_owned).into();
        let (near, far) = ("127.0.0.1:5".parse().expect("peer"), "192.0.2.1:5".parse().expect("peer"));
        for (peer, host, origin, expected) in [
            (near, Some("127.0.0.1:7380"), None, true),
            (far, Some("10.0.0.9:7380"), None, true),
            (far, Some("GATE.example.com"), Some("https://gate.example.com"), true),
            (far, Some("10.0.0.5:7380"), Some("http://10.0.0.5:7380"), true),
            (near, Some("[::1]:7380"), Some("http://[::1]:6274"), true),
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
