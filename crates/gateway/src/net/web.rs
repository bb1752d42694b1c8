//! Small questions to servers of other kinds: an issuer's configuration and keys. Over TLS, or on this machine; no redirects,
//! bounded in time and length.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::Agent;
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;
use zeroize::Zeroizing;

use super::public::Checked;

/// A question and its answer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, of those that somebody elsewhere has the gateway ask.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
const NAME: &str = concat!("durward/", env!("CARGO_PKG_VERSION"));

/// Asks. Clones share their connections. Proxies of the environment (`HTTPS_PROXY`, `ALL_PROXY`, but for what `NO_PROXY` names) are
/// asked for a way to other machines, over TLS: so they see whom is asked and nothing else. What is asked in clear, and on this
/// machine, goes by none.
#[derive(Debug, Clone)]
pub struct Client {
    direct: Agent,
    by_proxy: Agent,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The authorities are no certificates.
    #[error("the authorities for its TLS cannot be read: {0}")]
    Authorities(String),
    /// It was not reached, or hung up, or took too long, or showed a certificate that is not trusted.
    #[error("{0}")]
    Unreachable(String),
    /// It answered something else than 200.
    #[error("it answered {0}")]
    Status(u16),
    /// Its answer is longer than it may be.
    #[error("its answer cannot be read, or is too long")]
    Body,
    /// A fault of the gateway itself.
    #[error("the question was not asked")]
    Broken,
}

impl Client {
    /// Trusts these authorities in PEM, or the system's.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(authorities: Option<&str>) -> Result<Self, WebError> {
        let trusted = match authorities {
            None => system(),
            Some(pem) => read_authorities(pem)?,
        };
        let config = || {
            let config = Agent::config_builder().tls_config(trusting(&trusted)).user_agent(NAME);
            config.timeout_global(Some(PATIENCE)).max_redirects(0).max_idle_connections(4)
        };
        let (direct, by_proxy) = (config().proxy(None).build(), config().build());
        Ok(Self { direct: direct.new_agent(), by_proxy: by_proxy.new_agent() })
    }

    /// For what somebody elsewhere names: it asks hosts of the public internet alone, and `anywhere` beside, over TLS, by no
    /// proxy, and connects to the very addresses that were looked at. Trusts the system's authorities and these in PEM.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn cautious(authorities: Option<&str>, anywhere: BTreeSet<String>) -> Result<Self, WebError> {
        let mut trusted = system();
        trusted.extend(authorities.map(read_authorities).transpose()?.unwrap_or_default());
        let config = Agent::config_builder().tls_config(trusting(&trusted)).https_only(true).proxy(None);
        let config = config.timeout_global(Some(SHORT_PATIENCE)).max_redirects(0).max_idle_connections(0);
        let config = config.user_agent(NAME).build();
        let direct = Agent::with_parts(config, DefaultConnector::default(), Checked { anywhere });
        Ok(Self { by_proxy: direct.clone(), direct })
    }

    /// Who asks there.
    fn agent(&self, address: &str) -> &Agent {
        if goes_by_proxy(address) { &self.by_proxy } else { &self.direct }
    }

    /// The body of an answer with status 200, at most so many bytes of it.
    ///
    /// # Errors
    /// There is none.
    pub async fn get(&self, address: &str, most: usize) -> Result<Vec<u8>, WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let answer = agent.get(&address).header("accept", "application/json").call();
            read(answer, most)
        });
        asked.await.map_err(|_| WebError::Broken)?
    }

    /// The same with headers, whose values are kept out of logs.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get_with(
        &self,
        address: &str,
        headers: Vec<(&'static str, Zeroizing<String>)>,
        most: usize,
    ) -> Result<Vec<u8>, WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut question = agent.get(&address).header("accept", "application/json");
            for (name, value) in &headers {
                question = question.header(*name, sensitive(value)?);
            }
            read(question.call(), most)
        });
        asked.await.map_err(|_| WebError::Broken)?
    }

    /// The same for JSON that is posted.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_json(
        &self,
        address: &str,
        headers: Vec<(Cow<'static, str>, Zeroizing<String>)>,
        body: Zeroizing<String>,
        most: usize,
    ) -> Result<Vec<u8>, WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut question = agent.post(&address).header("content-type", "application/json");
            for (name, value) in &headers {
                question = question.header(&**name, sensitive(value)?);
            }
            read(question.send(body.as_str()), most)
        });
        asked.await.map_err(|_| WebError::Broken)?
    }

    /// The status of the answer to JSON that is posted, whatever it is; what else it says is not read.
    ///
    /// # Errors
    /// There is none.
    pub async fn deliver(
        &self,
        address: &str,
        headers: Vec<(&'static str, String)>,
        body: String,
    ) -> Result<u16, WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut question = agent.post(&address).header("content-type", "application/json");
            for (name, value) in &headers {
                question = question.header(*name, value);
            }
            let question = question.config().http_status_as_error(false).build();
            match question.send(body.as_str()) {
                Ok(answer) => Ok(answer.status().as_u16()),
                Err(error) => Err(WebError::Unreachable(error.to_string())),
            }
        });
        asked.await.map_err(|_| WebError::Broken)?
    }

    /// An answer whatever its status, to a form that is posted where there is one, and to a plain question else.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(
        &self,
        address: &str,
        form: Option<Vec<(String, String)>>,
        authorization: Option<String>,
        most: usize,
    ) -> Result<(u16, Vec<u8>), WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let header =
                authorization.map_or(("accept", "application/json".to_owned()), |a| ("authorization", a));
            let answer = match form {
                Some(form) => {
                    let question = agent.post(&address).header(header.0, header.1);
                    question.config().http_status_as_error(false).build().send_form(form)
                }
                None => {
                    let question = agent.get(&address).header(header.0, header.1);
                    question.config().http_status_as_error(false).build().call()
                }
            };
            let mut answer = answer.map_err(|error| WebError::Unreachable(error.to_string()))?;
            let limit = u64::try_from(most).unwrap_or(u64::MAX);
            let body =
                answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|_| WebError::Body)?;
            Ok((answer.status().as_u16(), body))
        });
        asked.await.map_err(|_| WebError::Broken)?
    }

    /// The same for a form that is posted, as OAuth's endpoints take it. `authorization` is the header of that name,
    /// where there is one.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_form(
        &self,
        address: &str,
        form: Vec<(String, String)>,
        authorization: Option<Zeroizing<String>>,
        most: usize,
    ) -> Result<Vec<u8>, WebError> {
        let (agent, address) = (self.agent(address).clone(), address.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut question = agent.post(&address).header("accept", "application/json");
            if let Some(authorization) = authorization {
                question = question.header("authorization", sensitive(&authorization)?);
            }
            read(question.send_form(form), most)
        });
        asked.await.map_err(|_| WebError::Broken)?
    }
}

/// Whether a proxy may be asked for the way to an address: over TLS, on another machine.
fn goes_by_proxy(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host.is_empty()
        || host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.is_unspecified());
    uri.scheme_str() == Some("https") && !is_here
}

fn system() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

fn read_authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, WebError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| WebError::Authorities(error.to_string()))?;
    if read.is_empty() {
        return Err(WebError::Authorities("there is no certificate in it".to_owned()));
    }
    Ok(read)
}

fn trusting(authorities: &[CertificateDer<'static>]) -> TlsConfig {
    let trusted = authorities.iter().map(|der| Certificate::from_der(der).to_owned());
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(trusted.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

/// A header's value that is not printed.
fn sensitive(text: &str) -> Result<HeaderValue, WebError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| WebError::Broken)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    most: usize,
) -> Result<Vec<u8>, WebError> {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(ureq::Error::StatusCode(status)) => return Err(WebError::Status(status)),
        Err(other) => return Err(WebError::Unreachable(other.to_string())),
    };
    if answer.status() != 200 {
        return Err(WebError::Status(answer.status().as_u16()));
    }
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|_| WebError::Body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_reach_no_proxy_in_clear_and_none_for_what_is_here() {
        for (address, expected) in [
            ("https://login.example.com/token", true),
            ("https://203.0.113.7:8200/v1/secret", true),
            ("https://[2001:db8::1]/", true),
            ("http://login.example.com/token", false),
            ("http://127.0.0.1:7380/token", false),
            ("https://127.0.0.1:7380/token", false),
            ("https://127.9.9.9/", false),
            ("https://localhost:7380/", false),
            ("https://LOCALHOST./", false),
            ("https://[::1]:7380/", false),
            ("https://[::ffff:127.0.0.1]/", false),
            ("https://0.0.0.0/", false),
            ("ftp://login.example.com/", false),
            ("no address", false),
        ] {
            assert_eq!(goes_by_proxy(address), expected, "{address}");
        }
        let client = Client::new(None).expect("a client");
        assert!(client.direct.config().proxy().is_none());
    }
}
