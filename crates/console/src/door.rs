//! Who may come in: requests to this host by name, and to the API with the administrator's secret; to held operations with
//! an approver's, too.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway::approvers::Caller;
use gateway::gateway::Gateway;

use crate::failure::Failure;

/// That wrong ones come is logged so often at most.
const TOLD: Duration = Duration::from_secs(1);
/// A secret is not longer, in bytes.
const LONGEST: usize = 200;
/// So many secrets are remembered by their marks.
const MOST_KNOWN: usize = 256;

pub(crate) struct Door {
    gateway: Arc<Gateway>,
    hosts: BTreeSet<String>,
    /// Makes marks of secrets; lives as long as the process.
    marks: hmac::Key,
    /// The marks of secrets that were right, and whose they are: those are good also while the store is out of reach.
    known: Mutex<VecDeque<(hmac::Tag, Caller)>>,
    /// When it was last logged that wrong ones come, and how many came since.
    wrong: Mutex<(Option<Instant>, u32)>,
}

impl Door {
    pub(crate) fn new(gateway: Arc<Gateway>, hosts: BTreeSet<String>) -> Self {
        let mut key = [0; 32];
        if rand::fill(&mut key).is_err() {
            tracing::error!("the system gives no randomness");
        }
        Self {
            gateway,
            hosts,
            marks: hmac::Key::new(hmac::HMAC_SHA256, &key),
            known: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Who asks. Whoever was removed meanwhile is nobody.
    async fn admit(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let no = |reason| Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", reason);
        let secret = bearer(headers).ok_or_else(|| no("Authorization: Bearer dwa_… is missing"))?;
        if let Some(caller) = self.known(secret) {
            let gone = || no("this secret was replaced, or its approver removed");
            return self.gateway.still(caller, secret).await.ok_or_else(gone);
        }
        // Nobody can guess 160 bits, and a wrong one costs next to nothing: to count them would only let whoever tries keep others out.
        let Some(caller) = self.gateway.caller(secret).await else {
            self.was_wrong();
            return Err(no("this is neither the administrator's secret (dwa_…) nor an approver's (dwp_…)"));
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.pop_front();
        }
        known.push_back((hmac::sign(&self.marks, secret), caller.clone()));
        Ok(caller)
    }

    fn known(&self, secret: &[u8]) -> Option<Caller> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |tag: &hmac::Tag| hmac::verify(&self.marks, secret, tag.as_ref()).is_ok();
        known.iter().find(|(tag, _)| is_this(tag)).map(|(_, caller)| caller.clone())
    }

    fn was_wrong(&self) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.1 = wrong.1.saturating_add(1);
        if wrong.0.is_none_or(|told| told.elapsed() >= TOLD) {
            tracing::warn!(times = wrong.1, "the admin API was asked with a wrong secret");
            *wrong = (Some(Instant::now()), 0);
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, secret) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && secret.len() <= LONGEST).then_some(secret)
}

/// Lets a request through that has the administrator's secret.
pub(crate) async fn administrator(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match door.admit(request.headers()).await {
        Ok(Caller::Administrator) => next.run(request).await,
        Ok(Caller::Approver(_)) => {
            let reason = "approvers see and answer requests, and nothing else: this asks for the administrator's secret";
            Failure::new(StatusCode::FORBIDDEN, "forbidden", reason).into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

/// Lets a request through that has the administrator's or an approver's secret; it carries on whose.
pub(crate) async fn people(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    match door.admit(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Lets a request through that names this host: a page elsewhere that had its name resolve to the loopback names itself.
pub(crate) async fn for_this_host(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if is_this_host(request.headers(), &door.hosts) {
        return next.run(request).await;
    }
    let reason = "the Host header names neither the loopback nor a host that is configured (console.hosts)";
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", reason).into_response()
}

fn is_this_host(headers: &HeaderMap, hosts: &BTreeSet<String>) -> bool {
    let mut named = headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name) || hosts.contains(name)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_this_host_are_served() {
        let hosts = BTreeSet::from(["gate.example.com".to_owned()]);
        for (host, served) in [
            ("127.0.0.1:7300", true),
            ("localhost", true),
            ("[::1]:7300", true),
            ("[::1]", true),
            ("gate.example.com", true),
            ("gate.example.com:443", true),
            ("evil.example.com", false),
            ("127.0.0.1.evil.com", false),
            ("localhost:x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_this_host(&headers, &hosts), served, "{host}");
            headers.append(HOST, HeaderValue::from_static("localhost"));
            assert!(!is_this_host(&headers, &hosts), "two hosts");
        }
        assert!(!is_this_host(&HeaderMap::new(), &hosts), "none");
    }
}
