//! What a client says of itself: in a document at the address that is its id, or when it registers.

use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Known};
use super::redirect::Redirect;

/// A document is not longer, in bytes (the draft's own advice).
pub const LONGEST_DOCUMENT: usize = 5 * 1024;
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The longest id, in bytes.
const LONGEST_ID: usize = 500;
/// So many addresses a client may be answered at.
const MOST_REDIRECTS: usize = 20;

/// An id that is the address of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentAddress(String);

impl DocumentAddress {
    /// Over https, with a path; plain, so that one client has one id.
    ///
    /// # Errors
    /// Why it is none, to be read behind the address.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("https://").ok_or("does not begin with https://")?;
        if text.len() > LONGEST_ID {
            return Err("is too long");
        }
        let odd = |b: u8| !b.is_ascii_graphic() || b"\\\"<>^`{|}%?#@".contains(&b);
        if text.bytes().any(odd) {
            return Err("is no plain address: it has a query, a fragment, a user or an odd sign in it");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err("names no host in small letters");
        }
        // Agents are called by it: two of one name in other signs would be one agent.
        if !authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b)) {
            return Err("names a host that is none: letters, digits, `-` and `.`");
        }
        if path.len() < 2 || path.split('/').any(|part| part == "." || part == "..") {
            return Err("has no path of its own");
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client that a document is about, if it is about this one.
    ///
    /// # Errors
    /// What is wrong with it, in words for a person.
    pub fn client(&self, document: &[u8]) -> Result<Client, String> {
        if document.len() > LONGEST_DOCUMENT {
            return Err(format!("it is longer than {LONGEST_DOCUMENT} bytes"));
        }
        let said = Said::read(document)?;
        if said.client_id.as_deref() != Some(self.as_str()) {
            return Err("its client_id is not the address that it lies at".to_owned());
        }
        let (name, redirects) = said.check()?;
        Ok(Client { id: self.0.clone(), name, redirects, known: Known::Document })
    }
}

/// What a client registers with (RFC 7591 §2): its name, and where it may be answered.
///
/// # Errors
/// What is wrong with it.
pub fn registration(body: &[u8]) -> Result<(String, Vec<Redirect>), String> {
    if body.len() > LONGEST_DOCUMENT {
        return Err(format!("it is longer than {LONGEST_DOCUMENT} bytes"));
    }
    Said::read(body)?.check()
}

/// Other members are of no concern here, and may be there.
#[derive(Deserialize)]
struct Said {
    client_id: Option<String>,
    client_name: Option<String>,
    redirect_uris: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    client_secret: Option<Value>,
    client_secret_expires_at: Option<Value>,
}

impl Said {
    fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|_| "it is no JSON object of a client's".to_owned())
    }

    fn check(self) -> Result<(String, Vec<Redirect>), String> {
        let Self {
            client_id: _,
            client_name,
            redirect_uris,
            token_endpoint_auth_method,
            grant_types,
            response_types,
            client_secret,
            client_secret_expires_at,
        } = self;
        let name = client_name.map(|name| name.trim().to_owned()).unwrap_or_default();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(format!("its client_name is not one line of 1 to {LONGEST_NAME} characters"));
        }
        if client_secret.is_some() || client_secret_expires_at.is_some() {
            return Err("it has a secret in it: clients here are public and have none".to_owned());
        }
        if token_endpoint_auth_method.is_some_and(|method| method != "none") {
            return Err("its token_endpoint_auth_method is not none: clients here are public".to_owned());
        }
        let has = |all: Option<Vec<String>>, one: &str| all.is_none_or(|all| all.iter().any(|x| x == one));
        if !has(grant_types, "authorization_code") || !has(response_types, "code") {
            return Err("it does not ask for codes (grant_types, response_types)".to_owned());
        }
        let uris = redirect_uris.unwrap_or_default();
        if uris.is_empty() || uris.len() > MOST_REDIRECTS {
            return Err(format!("it has not 1 to {MOST_REDIRECTS} redirect_uris"));
        }
        // One of a scheme of its own beside ours takes nothing from ours.
        let read =
            |uri: &String| Redirect::read(uri).map_err(|why| format!("its redirect URI \"{uri}\" {why}"));
        let all: Vec<_> = uris.iter().map(read).collect();
        let wrong = all.iter().find_map(|one| one.as_ref().err().cloned());
        let redirects: Vec<_> = all.into_iter().flatten().collect();
        match wrong {
            Some(why) if redirects.is_empty() => Err(why),
            Some(_) | None => Ok((name, redirects)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DocumentAddress, registration};

    #[test]
    fn an_id_is_the_plain_address_of_a_document() {
        for (text, fine) in [
            ("https://app.example.com/oauth/client.json", true),
            ("https://app.example.com:8443/client", true),
            ("https://127.0.0.1/client", true),
            ("https://app.example.com", false),
            ("https://app.example.com/", false),
            ("http://app.example.com/client", false),
            ("https://App.example.com/client", false),
            ("https://app.example.com/a/../client", false),
            ("https://app.example.com/client?x=1", false),
            ("https://app.example.com/client#x", false),
            ("https://user@app.example.com/client", false),
            ("https://app.example.com/%2e%2e/client", false),
            ("https:///client", false),
            ("client", false),
        ] {
            assert_eq!(DocumentAddress::read(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn a_document_is_about_the_address_that_it_lies_at() {
        let address = DocumentAddress::read("https://app.test/client").expect("an address");
        let of = |more: &str| {
            let text = format!(
                r#"{{"client_id":"https://app.test/client","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]{more}}}"#
            );
            address.client(text.as_bytes())
        };
        let client = of("").expect("a client");
        assert_eq!((client.name.as_str(), client.redirects.len()), ("App", 1));
        assert!(of(r#","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"logo_uri":"x""#).is_ok());
        assert!(of(r#","token_endpoint_auth_method":"none""#).is_ok());
        for more in [
            r#","token_endpoint_auth_method":"client_secret_basic""#,
            r#","token_endpoint_auth_method":"private_key_jwt""#,
            r#","client_secret":"x""#,
            r#","client_secret_expires_at":0"#,
            r#","grant_types":["implicit"]"#,
            r#","response_types":["token"]"#,
            r#","client_name":"twice""#,
        ] {
            assert!(of(more).is_err(), "{more}");
        }
        for wrong in [
            "",
            "[]",
            "null",
            r#"{"client_id":"https://app.test/other","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]}"#,
            r#"{"client_name":"App","redirect_uris":["http://127.0.0.1/cb"]}"#,
            r#"{"client_id":"https://app.test/client","redirect_uris":["http://127.0.0.1/cb"]}"#,
            r#"{"client_id":"https://app.test/client","client_name":"App"}"#,
            r#"{"client_id":"https://app.test/client","client_name":"App","redirect_uris":[]}"#,
            r#"{"client_id":"https://app.test/client","client_name":"App","redirect_uris":["http://evil.test/cb"]}"#,
            r#"{"client_id":"https://app.test/client","client_name":" ","redirect_uris":["http://127.0.0.1/cb"]}"#,
        ] {
            assert!(address.client(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let long = format!(
            r#"{{"client_id":"https://app.test/client","client_name":"App","redirect_uris":["http://127.0.0.1/cb"],"x":"{}"}}"#,
            "x".repeat(6000)
        );
        assert!(address.client(long.as_bytes()).is_err(), "long");
    }

    #[test]
    fn who_registers_is_public_and_answered_where_it_says() {
        let (name, redirects) =
            registration(br#"{"client_name":"App","redirect_uris":["cursor://x","https://app.test/cb"]}"#)
                .expect("a client");
        assert_eq!((name.as_str(), redirects.len()), ("App", 1));
        assert!(registration(br#"{"client_name":"App","redirect_uris":["cursor://x"]}"#).is_err());
        assert!(registration(br#"{"redirect_uris":["https://app.test/cb"]}"#).is_err());
    }
}
