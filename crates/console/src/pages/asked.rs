//! What stands behind the `?` of an address. Where it cannot be read, a page says so.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// It, as a page takes it.
pub(super) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let says =
            "What stands behind the ? of this address cannot be read: a number is missing, or is none.";
        let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, "This address says nothing here", says);
        read.map(|axum::extract::Query(read)| Self(read)).map_err(wrong)
    }
}
