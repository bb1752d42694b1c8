//! A console with a name: by its own certificate, or behind a proxy that is trusted; and what others claim to be.

use std::sync::Arc;

use gateway::net::tls::ServerTls;
use gateway::serve::Certificate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Running, start_as};
use crate::Public;

const NAME: &str = "gate.example.com";
const ORIGIN: &str = "https://gate.example.com";

fn public(trusted: &[&str]) -> Public {
    let trusted = trusted.iter().map(|network| network.parse().expect("a network")).collect();
    Public { url: Some(ORIGIN.to_owned()), trusted, ..Public::default() }
}

/// The head of an answer, in small letters.
async fn asked(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    // Whoever closes without saying so has said all that it says.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").expect("a head").0.to_lowercase()
}

async fn comes(running: &Running, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("bound");
    socket.connect(running.address).await.expect("connected")
}

#[tokio::test]
async fn a_proxy_says_what_its_client_asked_for_and_nobody_else_does() {
    let running = start_as(public(&["127.0.0.2"]), None).await;
    let (proxy, other) = ("127.0.0.2", "127.0.0.1");
    let forwarded = format!("Host: 127.0.0.1\r\nX-Forwarded-Host: {NAME}\r\nX-Forwarded-Proto: https\r\n");
    let own = format!("Host: {NAME}\r\n");
    let from_page = format!("{forwarded}Origin: {ORIGIN}\r\n");
    let from_other = format!("{forwarded}Origin: https://gate.example.com.evil.com\r\n");
    for (from, line, headers, status, to) in [
        (proxy, "GET /signin", forwarded.clone(), 200, None),
        (proxy, "POST /signin/question", from_page.clone(), 200, None),
        (proxy, "POST /signin/question", from_other, 403, None),
        // Its word counts for nothing: the request is for 127.0.0.1.
        (other, "GET /signin", forwarded.clone(), 307, Some("https://gate.example.com/signin")),
        (other, "POST /signin/question", from_page, 421, None),
        (other, "GET /signin", format!("Host: evil.example.com\r\nX-Forwarded-Host: {NAME}\r\n"), 421, None),
        // What one on this machine without headers of its own passes on is as it was sent.
        (other, "GET /signin", own.clone(), 200, None),
        (proxy, "GET /signin", format!("{own}X-Forwarded-Proto: http\r\n"), 403, None),
        (
            proxy,
            "GET /signin",
            format!("{own}X-Forwarded-Proto: https\r\nX-Forwarded-Host: a, {NAME}\r\n"),
            403,
            None,
        ),
        (proxy, "GET /healthz", "Host: 127.0.0.1\r\n".to_owned(), 200, None),
    ] {
        let head = asked(comes(&running, from).await, line, &headers).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{from} {line} {headers}: {head}");
        assert_eq!(head.lines().find_map(|line| line.strip_prefix("location: ")), to, "{headers}");
        if status == 200 && line == "GET /signin" {
            assert!(head.contains("strict-transport-security: max-age="), "{head}");
        }
    }
}

/// A certificate that browsers trust here, and one that does.
fn certificate() -> (ServerTls, TlsConnector) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    let made = parameters.self_signed(&key).expect("signed");
    let tls =
        ServerTls::for_http(made.pem().as_bytes(), key.serialize_pem().as_bytes()).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.der().to_vec())).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (tls, TlsConnector::from(Arc::new(config)))
}

async fn by_tls(running: &Running, trusts: &TlsConnector, line: &str, headers: &str) -> Option<String> {
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = trusts.connect(name, comes(running, "127.0.0.1").await).await.ok()?;
    Some(asked(stream, line, headers).await)
}

#[tokio::test]
async fn browsers_come_by_its_own_certificate_and_this_machine_in_clear() {
    let ((first, trusts), (second, trusts_second)) = (certificate(), certificate());
    let shown = Arc::new(Certificate::new(Some(Arc::new(first))));
    let running = start_as(public(&[]), Some(Arc::clone(&shown))).await;
    let own = format!("Host: {NAME}\r\n");
    for (line, headers, status) in [
        ("GET /signin", own.clone(), 200),
        ("POST /signin/question", format!("{own}Origin: {ORIGIN}\r\n"), 200),
        ("POST /signin/question", format!("{own}Origin: https://evil.example.com\r\n"), 403),
        ("GET /signin", "Host: evil.example.com\r\n".to_owned(), 421),
        ("GET /api/v1/health", own.clone(), 401),
        ("GET /signin", format!("{own}X-Forwarded-Proto: http\r\n"), 200),
    ] {
        let head = by_tls(&running, &trusts, line, &headers).await.expect("the certificate is right");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{line} {headers}: {head}");
        if line == "GET /signin" && status == 200 {
            assert!(head.contains("strict-transport-security: max-age="), "{head}");
        }
    }
    // The command line on this machine, and a browser here that types the wrong scheme.
    assert_eq!(running.ask("GET", "/api/v1/health", Some(&running.secret), None).await.0, 200);
    let head = asked(comes(&running, "127.0.0.1").await, "GET /signin", "Host: localhost\r\n").await;
    assert!(head.contains("location: https://gate.example.com/signin"), "{head}");

    assert!(by_tls(&running, &trusts_second, "GET /signin", &own).await.is_none());
    shown.store(Some(Arc::new(second)));
    assert!(by_tls(&running, &trusts_second, "GET /signin", &own).await.is_some());
    assert!(by_tls(&running, &trusts, "GET /signin", &own).await.is_none(), "it is shown no more");
}
