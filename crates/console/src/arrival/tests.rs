//! Networks, and what is believed of whom.

use super::*;

#[test]
fn a_network_is_an_address_and_its_first_bits() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.128/25", "192.0.2.129", "192.0.2.127"),
        ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("::1", "::1", "::2"),
        ("128.0.0.0/1", "200.0.0.1", "8000::1"),
    ] {
        let network: Network = network.parse().expect("a network");
        assert!(network.contains(inside.parse().expect("an address")), "{inside}");
        assert!(!network.contains(outside.parse().expect("an address")), "{outside}");
    }
    for wrong in [
        "",
        "proxy.example.com",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "0.0.0.0/0",
        "::/0",
        "/8",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

fn headers(said: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// One proxy at 10.1.1.1, another behind it.
fn arrivals() -> Arrivals {
    let trusted = ["10.1.0.0/16", "127.0.0.2"].map(|network| network.parse().expect("a network"));
    Arrivals { trusted: trusted.to_vec(), encrypted: None }
}

#[test]
fn what_is_forwarded_is_believed_of_those_who_are_trusted_alone() {
    const HTTPS: (&str, &str) = ("x-forwarded-proto", "https");
    const OTHER: (&str, &str) = ("x-forwarded-host", "other");
    let strange = "the proxy does not say by X-Forwarded-Proto, once, that its client came by https";
    let several = "X-Forwarded-Host names several hosts";
    // Who comes, by TLS or not, what they say; who it is then, and by which host.
    for (from, by_tls, said, expected) in [
        ("192.0.2.1", true, &[][..], Ok(("192.0.2.1", "own"))),
        ("127.0.0.1", false, &[], Ok(("127.0.0.1", "own"))),
        ("192.0.2.1", false, &[], Err(Not::Clear)),
        // Whoever is not trusted says it in vain.
        ("192.0.2.1", false, &[HTTPS], Err(Not::Clear)),
        ("192.0.2.1", true, &[HTTPS, OTHER, ("x-forwarded-for", "203.0.113.9")], Ok(("192.0.2.1", "own"))),
        ("127.0.0.1", false, &[HTTPS, OTHER, ("x-forwarded-for", "203.0.113.9")], Ok(("127.0.0.1", "own"))),
        // Whoever is trusted is believed, and must say it.
        ("10.1.1.1", false, &[], Err(Not::Strange(strange))),
        ("10.1.1.1", false, &[HTTPS], Ok(("10.1.1.1", "own"))),
        ("10.1.1.1", false, &[("x-forwarded-proto", "http")], Err(Not::ClientInClear)),
        ("10.1.1.1", true, &[("x-forwarded-proto", "http")], Err(Not::ClientInClear)),
        ("10.1.1.1", false, &[HTTPS, HTTPS], Err(Not::Strange(strange))),
        ("10.1.1.1", false, &[HTTPS, OTHER], Ok(("10.1.1.1", "other"))),
        ("10.1.1.1", false, &[HTTPS, OTHER, OTHER], Err(Not::Strange(several))),
        ("127.0.0.2", false, &[], Ok(("127.0.0.2", "own"))),
        // The client is the last one who is no proxy; what it claims for itself is before that.
        ("10.1.1.1", false, &[HTTPS, ("x-forwarded-for", "203.0.113.9")], Ok(("203.0.113.9", "own"))),
        (
            "10.1.1.1",
            false,
            &[HTTPS, ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.1.2.2")],
            Ok(("203.0.113.9", "own")),
        ),
        (
            "10.1.1.1",
            false,
            &[HTTPS, ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "[2001:db8::1]:443")],
            Ok(("2001:db8::1", "own")),
        ),
        ("10.1.1.1", false, &[HTTPS, ("x-forwarded-for", "1.1.1.1, unknown")], Ok(("10.1.1.1", "own"))),
    ] {
        let mut all = headers(said);
        all.insert(HOST, HeaderValue::from_static("own"));
        let came = Came { from: from.parse().expect("an address"), by_tls };
        let found = arrivals().judge(&came, "/", &mut all);
        let host = all.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        let found = found.map(|Client(client)| (client.to_string(), host));
        assert_eq!(
            found,
            expected.map(|(client, host)| (client.to_owned(), host.to_owned())),
            "{from} {by_tls} {said:?}"
        );
        assert!(said.iter().all(|(name, _)| !all.contains_key(*name)), "nobody reads it any more");
    }
}

#[test]
fn a_proxy_may_look_whether_we_are_well() {
    let came = Came { from: "10.1.1.1".parse().expect("an address"), by_tls: false };
    for (path, fine) in
        [("/healthz", true), ("/readyz", true), ("/metrics", true), ("/", false), ("/api/v1/health", false)]
    {
        assert_eq!(arrivals().judge(&came, path, &mut HeaderMap::new()).is_ok(), fine, "{path}");
    }
}
