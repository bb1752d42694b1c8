//! What went wrong, as a page: what it is, and what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gateway::requests::AdminError;
use maud::{Markup, html};

use super::frame;

/// A page that is no success.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    says: String,
    /// Where to go from here.
    onward: (&'static str, String),
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, says: impl Into<String>) -> Self {
        Self { status, title, says: says.into(), onward: ("Back to the inbox", "/".to_owned()) }
    }

    pub(super) fn elsewhere(origin: &str) -> Self {
        Self {
            onward: ("Go there", origin.to_owned()),
            ..Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "Another address",
                "The console is not known by this name.",
            )
        }
    }

    pub(super) fn cross_site() -> Self {
        let says = "Another site asked your browser to do something here. Nothing was done.";
        Self::new(StatusCode::FORBIDDEN, "This did not come from here", says)
    }

    pub(super) fn stale() -> Self {
        let says =
            "The page that you sent is of another sign-in. Nothing was done: look again, and answer again.";
        Self::new(StatusCode::FORBIDDEN, "That page is too old", says)
    }

    pub(super) fn not_yours() -> Self {
        let says = "Your roles here do not let you see this. Whoever runs the gateway gives roles.";
        Self::new(StatusCode::FORBIDDEN, "Not for you", says)
    }

    pub(super) fn with_onward(self, words: &'static str, path: impl Into<String>) -> Self {
        Self { onward: (words, path.into()), ..self }
    }

    /// The same for a script.
    pub(super) fn says(&self) -> (StatusCode, &str) {
        (self.status, &self.says)
    }

    fn body(&self) -> Markup {
        html! {
            main.narrow #main {
                h1 { (self.title) }
                p.problem role="alert" { (frame::sentence(&self.says)) }
                p { a.button href=(self.onward.1) { (self.onward.0) } }
            }
        }
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        let says = error.to_string();
        match error {
            AdminError::Missing(_) => Self::new(StatusCode::NOT_FOUND, "There is no such thing", says),
            AdminError::Refused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "This was not done", says),
            AdminError::Target(_) => Self::new(StatusCode::BAD_GATEWAY, "Somebody does not answer", says),
            AdminError::State(_) | AdminError::Journal(_) => {
                tracing::error!("the console cannot answer: {says}");
                let says = "The gateway cannot reach its store or its journal. Nothing was done; whoever runs it finds why in its log.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The gateway cannot do this now", says)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let page = frame::bare(self.title, &self.body());
        (self.status, page).into_response()
    }
}
