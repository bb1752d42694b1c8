//! TLS on both sides: what we trust, what we show, and how a login is bound to it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{ASN1Time, FromDer, X509Version};

/// The protocol's name in ALPN; a connection that begins with TLS at once must offer it.
pub const ALPN: &[u8] = b"postgresql";

/// libpq's `sslmode`: <https://www.postgresql.org/docs/18/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it.
    #[default]
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// TLS with a certificate that a known authority signed.
    VerifyCa,
    /// The same, and it must name the host.
    VerifyFull,
}

impl std::str::FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            // `allow` asks for clear text first, which no server here needs.
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(format!(
                "sslmode \"{other}\" is none of disable, prefer, require, verify-ca and verify-full"
            )),
        }
    }
}

impl std::fmt::Display for SslMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// How a target's TLS is judged. Clones share what was worked out for the first connection, and the authorities' texts.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTls(Arc<Judged>);

#[derive(Debug, Default)]
struct Judged {
    mode: SslMode,
    roots: Option<Vec<u8>>,
    direct: bool,
    bound: bool,
    config: OnceLock<Arc<ClientConfig>>,
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        let of = |Self(judged): &Self| (judged.mode, judged.direct, judged.bound);
        of(self) == of(other) && self.0.roots == other.0.roots
    }
}

impl Eq for UpstreamTls {}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of use in it.
    #[error("cannot read {what}: {why}")]
    Pem {
        /// Which file.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Refused by the TLS library.
    #[error("TLS configuration: {0}")]
    Config(#[from] Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl UpstreamTls {
    /// How strictly it is judged; authorities in PEM, the system's where none are given; and whether it begins with the
    /// first byte (`sslnegotiation=direct`, PostgreSQL 17 and newer).
    ///
    /// As for libpq, authorities that are given are asked where encryption is required, and what begins with TLS does not go
    /// on without it.
    pub fn new(mode: SslMode, roots: Option<Vec<u8>>, direct: bool) -> Self {
        Self::judged(mode, roots, direct, false)
    }

    /// The same where the login has to be bound to the server's certificate (`channel_binding=require`): whoever stands between
    /// and shows another one does not get through, whatever that is signed by.
    pub fn bound(mode: SslMode, roots: Option<Vec<u8>>, direct: bool) -> Self {
        Self::judged(mode, roots, direct, true)
    }

    fn judged(mode: SslMode, roots: Option<Vec<u8>>, direct: bool, bound: bool) -> Self {
        let mode = match mode {
            SslMode::Prefer if direct || bound => SslMode::Require,
            SslMode::Disable
            | SslMode::Prefer
            | SslMode::Require
            | SslMode::VerifyCa
            | SslMode::VerifyFull => mode,
        };
        let mode = if mode == SslMode::Require && roots.is_some() { SslMode::VerifyCa } else { mode };
        Self(Arc::new(Judged { mode, roots, direct, bound, config: OnceLock::new() }))
    }

    /// How strictly it is judged.
    pub fn mode(&self) -> SslMode {
        self.0.mode
    }

    /// Whether the login has to be bound to it.
    pub(super) fn is_bound(&self) -> bool {
        self.0.bound
    }

    /// Whether it begins with the first byte.
    pub(super) fn is_direct(&self) -> bool {
        self.0.direct
    }

    /// The client's configuration. Reading authorities takes longer than a handshake, so it is made once.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(known) = self.0.config.get() {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.0.make()?);
        Ok(Arc::clone(self.0.config.get_or_init(|| made)))
    }
}

/// Remembers of sessions only the group that the server chose for the key exchange. PostgreSQL takes one group alone unless
/// it is told otherwise (`ssl_ecdh_curve`), which costs a round trip where another was offered first; and it resumes no
/// sessions. What stands before it and would is asked for its certificate each time.
#[derive(Debug, Default)]
struct Groups(Mutex<Option<(ServerName<'static>, NamedGroup)>>);

impl Groups {
    fn known(&self) -> MutexGuard<'_, Option<(ServerName<'static>, NamedGroup)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Groups {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        *self.known() = Some((server, group));
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.known().as_ref().filter(|(known, _)| known == server).map(|(_, group)| *group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

impl Judged {
    fn make(&self) -> Result<ClientConfig, TlsError> {
        let verifier = Arc::new(Judge { strictness: self.mode, ..self.judge()? });
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        if self.direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        config.resumption = Resumption::store(Arc::new(Groups::default()));
        Ok(config)
    }

    fn judge(&self) -> Result<Judge, TlsError> {
        let strict = matches!(self.mode, SslMode::VerifyCa | SslMode::VerifyFull);
        let mut judge =
            Judge { strictness: self.mode, provider: provider(), authorities: None, pinned: Vec::new() };
        if !strict {
            return Ok(judge);
        }
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|e| bad_pem("the root certificates", &e))?;
                    let _ = roots.add(certificate.clone());
                    judge.pinned.push(certificate);
                }
                if judge.pinned.is_empty() {
                    return Err(bad_pem("the root certificates", &"no certificate in it"));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        judge.authorities = Some(built.map_err(|e| bad_pem("the root certificates", &e))?);
        Ok(judge)
    }
}

fn bad_pem(what: &'static str, why: &impl ToString) -> TlsError {
    TlsError::Pem { what, why: why.to_string() }
}

/// Judges a server's certificate as libpq does. Signatures of the handshake are always checked.
#[derive(Debug)]
struct Judge {
    strictness: SslMode,
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Given certificates: a server may show one of them itself, as self-signed ones do.
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        if self.pinned.iter().any(|p| p.as_ref() == end_entity.as_ref()) {
            is_in_time(end_entity, now)?;
            if self.strictness == SslMode::VerifyFull {
                self.names_host(end_entity, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The chain has been verified before the name is looked at.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {
                if self.strictness == SslMode::VerifyFull {
                    self.names_host(end_entity, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            Err(Error::InvalidCertificate(_)) if is_of_version_1(end_entity) => Err(Error::General(
                "its certificate is of X.509's version 1, which no authority is asked about".to_owned(),
            )),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        if is_of_version_1(certificate)
            && let Ok((_, parsed)) = X509Certificate::from_der(certificate)
        {
            let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
            return verify_tls13_signature_with_raw_key(message, &key, signature, algorithms);
        }
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Judge {
    /// Whether a certificate names a host: among its alternative names or, where it has none at all and its authority was
    /// given, by its common name, as for libpq. That is how PostgreSQL's manual makes them.
    fn names_host(&self, certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), Error> {
        if !self.pinned.is_empty()
            && common_name(certificate).is_some_and(|name| name.eq_ignore_ascii_case(&host.to_str()))
        {
            return Ok(());
        }
        rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, host)
    }
}

/// The common name of a certificate without alternative names.
fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    if parsed.subject_alternative_name().ok()?.is_some() {
        return None;
    }
    let mut names = parsed.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}

/// Such certificates have no extensions. OpenSSL before 3.4 makes them where it is asked as in PostgreSQL's manual.
fn is_of_version_1(certificate: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.version() == X509Version::V1)
}

/// Whether a certificate is valid at this moment.
fn is_in_time(certificate: &[u8], now: UnixTime) -> Result<(), Error> {
    let bad = |why| Err(Error::InvalidCertificate(why));
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return bad(CertificateError::BadEncoding);
    };
    let validity = parsed.validity();
    let now = i64::try_from(now.as_secs()).ok().and_then(|secs| ASN1Time::from_timestamp(secs).ok());
    match now {
        Some(now) if now < validity.not_before => bad(CertificateError::NotValidYet),
        Some(now) if now <= validity.not_after => Ok(()),
        _ => bad(CertificateError::Expired),
    }
}

/// The gateway's own certificate and what a login is bound to.
#[derive(Clone)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) end_point: Option<Arc<[u8]>>,
}

impl ServerTls {
    /// From a certificate chain and its key, in PEM.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::speaking(ALPN, chain, key)
    }

    /// The same for HTTP.
    pub fn for_http(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::speaking(b"http/1.1", chain, key)
    }

    /// What a handshake needs.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    fn speaking(protocol: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|e| bad_pem("the certificate", &e))?;
        if chain.is_empty() {
            return Err(TlsError::Pem {
                what: "the certificate",
                why: "there is none in the file: it begins with -----BEGIN CERTIFICATE-----".to_owned(),
            });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| bad_pem("the certificate's key", &e))?;
        let end_point = chain.first().and_then(|c| end_point(c)).map(Arc::from);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        // As PostgreSQL itself: libpq never resumes a session, and tickets would be made and sent in vain.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), end_point })
    }
}

/// `tls-server-end-point` (RFC 5929, 4.1): the certificate's hash by its signature's algorithm, SHA-256 for weaker ones.
/// `None` for algorithms that have no such hash (Ed25519).
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use ::aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // RSA with MD5, SHA-1 and SHA-256; ECDSA with SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}
