//! What went wrong, as `application/problem+json` (RFC 9457): a code for programs, a reason for people.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway::configure::ConfigureError;
use gateway::requests::AdminError;

/// An answer that is no success.
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    reason: String,
    /// What it is about, where that is one thing of a configuration.
    about: Option<serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, reason: impl Into<String>) -> Self {
        Self { status, code, reason: reason.into(), about: None }
    }
}

pub(crate) fn missing(reason: impl Into<String>) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "missing", reason)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "status": self.status.as_u16(), "code": self.code, "reason": self.reason
        });
        if let (Some(about), Some(body)) = (self.about, body.as_object_mut()) {
            body.insert("about".to_owned(), about);
        }
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"durward\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let reason = error.to_string();
        match error {
            AdminError::Missing(_) => missing(reason),
            AdminError::Refused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", reason),
            AdminError::Target(_) => Self::new(StatusCode::BAD_GATEWAY, "target", reason),
            AdminError::State(_) | AdminError::Journal(_) => unavailable(reason),
        }
    }
}

impl From<ConfigureError> for Failure {
    fn from(error: ConfigureError) -> Self {
        let reason = error.to_string();
        let about = error
            .about()
            .map(|(name, member)| serde_json::json!({ "name": name, "member": member.unwrap_or_default() }));
        let failure = match error {
            ConfigureError::Policies(_)
            | ConfigureError::Tests(_)
            | ConfigureError::Target { .. }
            | ConfigureError::Issuer { .. }
            | ConfigureError::Groups(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", reason),
            ConfigureError::Raced => Self::new(StatusCode::CONFLICT, "raced", reason),
            ConfigureError::State(_) | ConfigureError::Journal(_) => unavailable(reason),
        };
        Self { about, ..failure }
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "unreadable", rejection.body_text())
    }
}

fn unavailable(reason: String) -> Failure {
    tracing::error!("the admin API cannot answer: {reason}");
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason)
}
