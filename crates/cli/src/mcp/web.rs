//! One request of HTTP's at a time, on a connection of its own that ends when nobody waits for its answer any more: that is how
//! a call is taken back.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::exit::Fault;

/// Where the gateway is.
#[derive(Clone)]
pub(crate) struct Web {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// An answer, whose body is read as it comes.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// Drives the connection for as long as the answer is wanted.
    _connection: Driven,
}

struct Driven(tokio::task::JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Web {
    /// At an address: over TLS, or in clear on this machine.
    pub(super) fn new(address: &str, authorities: Option<&Path>) -> anyhow::Result<Self> {
        crate::login::must_be_private(address)?;
        let uri: Uri = address.parse().map_err(|_| Fault::Invalid(format!("\"{address}\" is no address")))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls =
            if is_tls { Some((connector(authorities)?, ServerName::try_from(host.clone())?)) } else { None };
        Ok(Self { uri, host, port, tls })
    }

    /// Sends a message, or ends a session where there is none to send.
    pub(super) async fn send(
        &self,
        token: &str,
        headers: &[(&'static str, String)],
        message: Option<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| Fault::Unreachable(format!("{} is not reached: {error}", self.uri)))?;
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => self.over(tcp, token, headers, message).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await;
                let tls = tls.map_err(|error| Fault::Unreachable(format!("{}: {error}", self.uri)))?;
                self.over(tls, token, headers, message).await
            }
        }
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        token: &str,
        headers: &[(&'static str, String)],
        message: Option<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driven = Driven(tokio::spawn(async move {
            // What is wrong with it is seen by who waits for the answer.
            let _ = connection.await;
        }));
        let method = if message.is_some() { Method::POST } else { Method::DELETE };
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(self.uri.path())
            .header(HOST, authority)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(message.unwrap_or_default())))?;
        let response = sender.send_request(request).await?;
        Ok(Answer { response, _connection: driven })
    }
}

impl Answer {
    /// More of the body; nothing at its end.
    pub(super) async fn more(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.response.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

fn connector(authorities: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            use rustls_pki_types::pem::PemObject;
            let read = rustls_pki_types::CertificateDer::pem_file_iter(file);
            let read = read.with_context(|| format!("--ca {}", file.display()))?;
            for certificate in read {
                roots.add(certificate.with_context(|| format!("--ca {}", file.display()))?)?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
