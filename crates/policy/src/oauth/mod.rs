//! What clients of the gateway's own authorization server may ask for. Pure: texts come in, an answer or a refusal goes out.
//! The sources: OAuth 2.1, RFC 6749, 7591 (registration), 7636 (PKCE), 8252 (loopback), 8707 (resources), and client id
//! metadata documents (draft-ietf-oauth-client-id-metadata-document).

mod asked;
mod client;
mod document;
mod pkce;
mod redirect;

pub use asked::{Asked, Failure, Parameters, SCOPE, scope_of};
pub use client::{Client, Known};
pub use document::{DocumentAddress, LONGEST_DOCUMENT, registration};
pub use pkce::Challenge;
pub use redirect::Redirect;
