//! The web console for people, and the admin API: health, metrics, requests, tokens, configuration. It reaches sessions through the gateway's handles alone,
//! and is on another listener than clients, with another secret. And, on a listener of its own from which there is no way to
//! any of that, the agents' port (`agents`).

mod agents;
mod api;
mod arrival;
mod bounded;
mod door;
mod failure;
mod form;
mod openapi;
mod pages;
mod slack;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gateway::gateway::Gateway;
use gateway::serve::Certificate;
use tokio::net::TcpListener;

pub use crate::agents::serve_agents;
use crate::arrival::{Arrivals, Peer};
pub use crate::arrival::{NETWORK, Network};
use crate::bounded::Bounded;
use crate::door::Door;
pub use crate::pages::Public;

/// A configuration is not larger than this, in bytes.
const LONGEST_BODY: usize = 16 * 1024 * 1024;

/// Serves the console and the admin API until the gateway drains and its sessions have ended. `hosts` are names beside the loopback's own that a `Host`
/// header may have: those of a reverse proxy that encrypts. Where there is a certificate, whoever is not on this machine and no
/// proxy that is trusted comes by TLS.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    hosts: BTreeSet<String>,
    public: Public,
    certificate: Option<Arc<Certificate>>,
) -> std::io::Result<()> {
    let port = listener.local_addr()?.port();
    let drained = Arc::clone(&gateway);
    let ended = async move { drained.drained().await };
    let encrypted = certificate.as_ref().map(|_| public.place(port).origin);
    let bounded = match certificate {
        Some(certificate) => Bounded::new(listener).by_tls_or_in_clear(certificate),
        None => Bounded::new(listener),
    };
    let arrivals = Arc::new(Arrivals { trusted: public.trusted.clone(), encrypted });
    let router = router(gateway, hosts, &public, port).layer(from_fn_with_state(arrivals, arrival::come));
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(bounded, service).with_graceful_shutdown(ended).await
}

fn router(gateway: Arc<Gateway>, hosts: BTreeSet<String>, public: &Public, port: u16) -> Router {
    let people = pages::router(&gateway, public, port);
    let hosts = pages::hosts(public, hosts);
    let door = Arc::new(Door::new(Arc::clone(&gateway), hosts));
    let requests = api::requests_router().layer(from_fn_with_state(Arc::clone(&door), door::people));
    let guarded =
        api::router().layer(from_fn_with_state(Arc::clone(&door), door::administrator)).merge(requests);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        // It says what there is, and nothing of what is in it.
        .route("/api/v1/openapi.json", get(|| async { axum::Json(openapi::document()) }))
        .nest("/api/v1", guarded)
        .merge(slack::router())
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(gateway)
        .merge(people)
        .layer(from_fn_with_state(door, door::for_this_host))
}

/// People are told by a page, programs in words that they read.
async fn nothing(headers: axum::http::HeaderMap) -> Response {
    let accept = headers.get(axum::http::header::ACCEPT).and_then(|kinds| kinds.to_str().ok());
    if accept.is_some_and(|kinds| kinds.contains("text/html")) {
        return pages::nothing();
    }
    failure::missing("there is nothing at this path").into_response()
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let health = gateway.health().await;
    let code = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(health)).into_response()
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], gateway.metrics_page().await).into_response()
}

#[cfg(test)]
mod tests;
