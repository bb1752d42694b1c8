//! Raw sockets against the listener: what a connection may begin with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::postgres::startup::{cancel_request, login_request, ssl_request};

use super::listen::{Bounds, Front, Negotiated, negotiate};
use super::tls::{ServerTls, SslMode, UpstreamTls};

fn tls() -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    ServerTls::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).expect("TLS")
}

async fn front(bounds: Bounds) -> (Front, SocketAddr) {
    let front = Front::bind("127.0.0.1:0".parse().expect("address"), bounds).await.expect("bound");
    let address = front.address().expect("address");
    (front, address)
}

/// What a connection that sends these bytes turns out to be, and what it gets for an answer.
async fn begins_with(bytes: &[u8], tls: Option<&ServerTls>) -> (Option<Negotiated>, Vec<u8>) {
    let (front, address) = front(Bounds::default()).await;
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(bytes).await.expect("sent");
    client.shutdown().await.expect("half closed");
    let (tcp, peer, _share) = front.accept().await;
    let negotiated =
        tokio::time::timeout(Duration::from_secs(5), negotiate(tcp, peer, tls)).await.expect("in time").ok();
    let mut answer = Vec::new();
    if !matches!(negotiated, Some(Negotiated::Login(_) | Negotiated::Cancel { .. })) {
        let _ = client.read_to_end(&mut answer).await;
    }
    (negotiated, answer)
}

fn login(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let parameters: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut out = Vec::new();
    login_request(&mut out, minor, &parameters).unwrap();
    out
}

#[tokio::test]
async fn a_login_is_read_with_its_parameters() {
    let (negotiated, _) = begins_with(&login(0, &[("user", "a"), ("database", "orders")]), None).await;
    let Some(Negotiated::Login(accepted)) = negotiated else { panic!("a login") };
    assert_eq!((accepted.parameter("user"), accepted.target().as_str()), (Some("a".into()), "orders"));
    assert!(accepted.is_private(), "loopback");
}

#[tokio::test]
async fn the_database_of_a_targets_own_listener_is_the_clients_or_the_targets() {
    for (user, database, expected) in [
        ("a", Some("shop"), Some("shop")),
        ("a", Some("a"), Some("a")),
        ("a", None, None),
        ("dwt_1", Some("shop"), Some("shop")),
        ("dwt_1", Some("dwt_1"), None),
        ("dwt_1", Some("dwt_2"), Some("dwt_2")),
    ] {
        let parameters: Vec<_> =
            [("user", user)].into_iter().chain(database.map(|d| ("database", d))).collect();
        let (negotiated, _) = begins_with(&login(0, &parameters), None).await;
        let Some(Negotiated::Login(mut accepted)) = negotiated else { panic!("a login") };
        accepted.set_target(model::TargetName::new("orders".to_owned()));
        assert_eq!(accepted.split().0.database(), expected.map(str::as_bytes), "{user} {database:?}");
    }
}

#[tokio::test]
async fn what_is_not_supported_is_said_so() {
    for (bytes, code) in [
        (login(0, &[("database", "x")]), "28000"),
        (login(0, &[("user", "a"), ("replication", "database")]), "0A000"),
        (vec![0, 0, 0, 12, 0, 2, 0, 0, 1, 2, 3, 4], "0A000"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01"),
        (vec![0, 0, 0, 7, 1, 2, 3], "08P01"),
    ] {
        let (negotiated, answer) = begins_with(&bytes, None).await;
        assert!(matches!(negotiated, Some(Negotiated::Gone)), "{bytes:?}");
        assert!(String::from_utf8_lossy(&answer).contains(code), "{bytes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn gss_and_tls_are_declined_where_there_are_none_and_the_login_goes_on() {
    let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, 48];
    ssl_request(&mut bytes);
    bytes.extend_from_slice(&login(0, &[("user", "a")]));
    let (negotiated, _) = begins_with(&bytes, None).await;
    assert!(matches!(negotiated, Some(Negotiated::Login(_))));
}

#[tokio::test]
async fn clear_text_behind_a_request_for_tls_is_never_a_login() {
    let mut bytes = Vec::new();
    ssl_request(&mut bytes);
    bytes.extend_from_slice(&login(0, &[("user", "injected")]));
    let (negotiated, answer) = begins_with(&bytes, Some(&tls())).await;
    assert!(!matches!(negotiated, Some(Negotiated::Login(_))));
    assert_eq!(answer.first(), Some(&b'S'));
}

#[tokio::test]
async fn newer_minors_and_unknown_options_are_negotiated() {
    let (front, address) = front(Bounds::default()).await;
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(&login(9, &[("user", "a"), ("_pq_.odd", "1")])).await.expect("sent");
    let (tcp, peer, _share) = front.accept().await;
    let Ok(Negotiated::Login(accepted)) = negotiate(tcp, peer, None).await else { panic!("a login") };
    assert_eq!(accepted.minor(), 2);
    let mut answer = vec![0; 22];
    client.read_exact(&mut answer).await.expect("answered");
    assert_eq!(answer, b"v\0\0\0\x15\0\x03\0\x02\0\0\0\x01_pq_.odd\0");
}

#[tokio::test]
async fn a_cancel_request_is_told_apart() {
    let mut bytes = Vec::new();
    cancel_request(&mut bytes, 7, &[1; 32]);
    let (negotiated, _) = begins_with(&bytes, None).await;
    assert!(matches!(negotiated, Some(Negotiated::Cancel { process: 7, .. })));
}

#[tokio::test]
async fn tls_from_the_first_byte_needs_the_protocols_name() {
    use tokio_rustls::TlsConnector;
    let tls = tls();
    for (alpn, taken) in
        [(vec![b"postgresql".to_vec()], true), (vec![b"http/1.1".to_vec()], false), (vec![], false)]
    {
        let (front, address) = front(Bounds::default()).await;
        let mode = super::tls::SslMode::Require;
        let config = super::tls::UpstreamTls::new(mode, None, true).config().expect("client");
        let mut config = rustls::ClientConfig::clone(&config);
        config.alpn_protocols = alpn;
        let client = tokio::spawn(async move {
            let tcp = TcpStream::connect(address).await.expect("connected");
            let name = "localhost".try_into().expect("name");
            let mut stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, tcp).await.ok()?;
            stream.write_all(&login(0, &[("user", "a")])).await.ok()?;
            stream.flush().await.ok()?;
            let _ = stream.read(&mut [0; 1]).await;
            Some(())
        });
        let (tcp, peer, _share) = front.accept().await;
        let negotiated = negotiate(tcp, peer, Some(&tls)).await;
        assert_eq!(matches!(negotiated, Ok(Negotiated::Login(_))), taken);
        drop(negotiated);
        let _ = client.await;
    }
}

/// PostgreSQL up to 17 takes one group of the key exchange alone, which is not the first that is offered.
#[tokio::test]
async fn a_handshake_knows_the_servers_group_from_the_last_one_and_never_skips_the_certificate() {
    use rustls::HandshakeKind::{Full, FullWithHelloRetryRequest};
    use rustls::crypto::aws_lc_rs::{default_provider, kx_group::SECP256R1};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    let provider = rustls::crypto::CryptoProvider { kx_groups: vec![SECP256R1], ..default_provider() };
    // One that gives tickets, as poolers do.
    let server = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
        .expect("server");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server));
    let roots = made.cert.pem().into_bytes();
    let tls = super::tls::UpstreamTls::new(super::tls::SslMode::VerifyFull, Some(roots), false);
    for expected in [FullWithHelloRetryRequest, Full, Full] {
        let (client, far) = tokio::io::duplex(64 * 1024);
        let serving = acceptor.accept(far);
        let connector = tokio_rustls::TlsConnector::from(tls.clone().config().expect("client"));
        let connecting = connector.connect("localhost".try_into().expect("name"), client);
        let (served, connected) = tokio::join!(serving, connecting);
        let (mut served, mut connected) = (served.expect("served"), connected.expect("connected"));
        served.write_all(b"x").await.expect("written");
        served.flush().await.expect("written");
        // Behind the tickets.
        connected.read_exact(&mut [0; 1]).await.expect("read");
        assert_eq!(connected.get_ref().1.handshake_kind(), Some(expected));
    }
}

/// A certificate and its key in Base64, of X.509's version 1 for `localhost`, as PostgreSQL's manual and OpenSSL 3.0 make one.
const VERSION_1: [&str; 2] = [
    "MIIBJTCBywIUHuyMNxRe8DAasPp5f1QGc0sFh1cwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODAx\
    MTM1N1oYDzIxMjYxMTA0MDExMzU3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ6AaDj\
    QRrLsC7KI9WSf29jWsd+znDJNQWZ3rszjHGDXIqmYMrLFa0i9xw2ZFu+LZCoYOvdOnSiV9+Qr05SfGfcMAoGCCqGSM49BAMCA0kA\
    MEYCIQDbiM8At+CN+UTvlgqPRTPg6jwA5E7AYjrsnxn1QAu06AIhAMpTmA53tUS9It6Fq1n+HjZ4HrhNOgbmjoa/F9JDBeKt",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBAdg7j/ZGq+goxq6Fxwr/eJn3KGrGo5oGuA9oWe8ejmhRANCAAQ6\
    AaDjQRrLsC7KI9WSf29jWsd+znDJNQWZ3rszjHGDXIqmYMrLFa0i9xw2ZFu+LZCoYOvdOnSiV9+Qr05SfGfc",
];

/// What a server shows.
struct Shown {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Shown {
    /// A certificate of its own for some names, or a common name alone, that ended in a year or will.
    fn of(names: &[&str], common: &str, ends: i32) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut made = rcgen::CertificateParams::new(names).expect("names");
        made.distinguished_name.push(rcgen::DnType::CommonName, common);
        made.not_after = rcgen::date_time_ymd(ends, 1, 1);
        let key = rcgen::KeyPair::generate().expect("key");
        let certificate = made.self_signed(&key).expect("certificate").der().clone();
        Self { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    fn of_version_1() -> Self {
        let [certificate, key] = VERSION_1.map(|text| BASE64.decode(text).expect("Base64"));
        Self { certificate: certificate.into(), key: PrivatePkcs8KeyDer::from(key).into() }
    }

    fn pem(&self) -> Vec<u8> {
        let text = BASE64.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    /// Why a client of this host is not content with it.
    async fn judged(&self, tls: UpstreamTls, host: &'static str) -> Result<(), String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(self.key.clone_key()).expect("key");
        let certified = CertifiedKey::new(vec![self.certificate.clone()], key);
        let server = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let (client, far) = tokio::io::duplex(64 * 1024);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let connector = tokio_rustls::TlsConnector::from(tls.config().map_err(|e| e.to_string())?);
        let connecting = connector.connect(host.try_into().expect("name"), client);
        let (_, connected) = tokio::join!(acceptor.accept(far), connecting);
        connected.map(drop).map_err(|e| e.to_string())
    }
}

/// <https://www.postgresql.org/docs/18/libpq-ssl.html>
#[tokio::test]
async fn a_targets_certificate_is_judged_as_libpq_does() {
    use SslMode::{Prefer, Require, VerifyCa, VerifyFull};
    let named = || Shown::of(&["localhost"], "elsewhere", 2100);
    let common = || Shown::of(&[], "localhost", 2100);
    let old = || Shown::of(&["localhost"], "localhost", 2020);
    let both = || Shown::of(&["elsewhere"], "localhost", 2100);
    let other = Shown::of(&["localhost"], "another", 2100);
    let (itself, another, nobody) = (Some(true), Some(false), None);
    for (shown, mode, trusted, expected) in [
        (named(), Require, nobody, ""),
        (named(), VerifyFull, itself, ""),
        (both(), VerifyCa, itself, ""),
        // Encryption alone is asked for, and an authority is given: it is asked.
        (named(), Require, itself, ""),
        (named(), Require, another, "unknownissuer"),
        (named(), VerifyCa, another, "unknownissuer"),
        (named(), VerifyFull, another, "unknownissuer"),
        (common(), VerifyFull, itself, ""),
        (common(), VerifyFull, another, "unknownissuer"),
        // A common name counts where there is no other alone.
        (both(), VerifyFull, itself, "not valid for name"),
        (old(), Require, nobody, ""),
        (old(), VerifyCa, itself, "expired"),
        (old(), VerifyFull, itself, "expired"),
        // Without extensions nobody can be asked about it; it encrypts as well as any.
        (Shown::of_version_1(), Prefer, nobody, ""),
        (Shown::of_version_1(), Require, nobody, ""),
        (Shown::of_version_1(), VerifyCa, another, "version 1"),
    ] {
        let roots = trusted.map(|itself| if itself { shown.pem() } else { other.pem() });
        let judged = shown.judged(UpstreamTls::new(mode, roots, false), "localhost").await;
        match judged {
            Ok(()) => assert_eq!(expected, "", "{mode} {trusted:?}"),
            Err(why) => assert!(
                !expected.is_empty() && why.to_lowercase().contains(expected),
                "{mode} {trusted:?}: {why}"
            ),
        }
    }
}

#[test]
fn what_begins_with_tls_does_not_go_on_in_clear() {
    for (typed, direct, meant) in [
        (SslMode::Prefer, false, SslMode::Prefer),
        (SslMode::Prefer, true, SslMode::Require),
        (SslMode::VerifyFull, true, SslMode::VerifyFull),
    ] {
        assert_eq!(UpstreamTls::new(typed, None, direct).mode(), meant);
    }
}

#[tokio::test]
async fn one_address_does_not_take_every_connection() {
    let (front, address) = front(Bounds { per_address: 2, ..Bounds::default() }).await;
    let clients = [TcpStream::connect(address).await, TcpStream::connect(address).await];
    let (_, _, first) = front.accept().await;
    let (_, _, _second) = front.accept().await;
    let mut third = TcpStream::connect(address).await.expect("connected");
    let refused = tokio::time::timeout(Duration::from_millis(200), front.accept()).await;
    assert!(refused.is_err(), "the third is dropped");
    assert_eq!(third.read(&mut [0; 1]).await.expect("closed"), 0);
    drop(first);
    let _fourth = TcpStream::connect(address).await.expect("connected");
    let taken = tokio::time::timeout(Duration::from_secs(5), front.accept()).await;
    assert!(taken.is_ok(), "a place has become free");
    drop(clients);
}

/// A client that sees the end sends its next statement, which a cancel that is still on its way would hit.
#[tokio::test]
async fn whoever_cancels_is_not_left_before_the_cancel_is_done() {
    let (front, address) = front(Bounds::default()).await;
    let mut client = TcpStream::connect(address).await.expect("connected");
    let mut request = Vec::new();
    cancel_request(&mut request, 7, &[1; 4]);
    client.write_all(&request).await.expect("sent");
    let (tcp, peer, _share) = front.accept().await;
    let Ok(Negotiated::Cancel { waiting, .. }) = negotiate(tcp, peer, None).await else { panic!("a cancel") };
    let mut nothing = [0; 1];
    let soon = tokio::time::timeout(Duration::from_millis(100), client.read(&mut nothing)).await;
    assert!(soon.is_err(), "{soon:?}");
    drop(waiting);
    assert_eq!(client.read(&mut nothing).await.expect("closed"), 0);
}
