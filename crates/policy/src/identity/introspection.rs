//! What an issuer answers who asks about a token (RFC 7662): whether it is still good, and, of one that says nothing by
//! itself, whose it is.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::claims::Claims;
use super::issuer::within;
use super::names;
use super::refusal::Refusal;
use super::token::LONGEST;

/// The longest answer that is read, in bytes.
pub const LONGEST_ANSWER: usize = 64 * 1024;
/// The shortest token that an issuer is asked about where nothing else tells that it is one, in bytes.
const SHORTEST: usize = 16;
/// How often it is asked about the token of a live session, in seconds, where nothing is said, and at most.
const EVERY: (u32, u32) = (60, 3600);
/// It is asked no more often than that, in seconds.
const RAREST: u32 = 1;
/// How long live sessions go on while it cannot be asked, in seconds, where nothing is said, and at most.
const GRACE: (u32, u32) = (300, 3600);

/// What is typed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// What the gateway is called at the issuer.
    pub client_id: String,
    /// The source of its secret there, by its name in the gateway's `durward.toml` (`[credentials.NAME]`).
    pub credential: String,
    /// How it proves there who it is.
    #[serde(default, skip_serializing_if = "AuthenticationConfig::is_usual")]
    pub auth: AuthenticationConfig,
    /// The name that its key has there, where it proves itself with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Where it is asked, if discovery is not to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How often it is asked about the tokens of live sessions, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// How long live sessions go on while it cannot be asked, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// Whether tokens that say nothing by themselves are taken, too: its answer says whose they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
}

/// How the gateway proves at an issuer who it is, as it is typed: the names of OpenID Connect Core §9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationConfig {
    /// With a secret that both know.
    #[default]
    ClientSecretBasic,
    /// With a private key, which the gateway alone has.
    PrivateKeyJwt,
}

impl AuthenticationConfig {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How the gateway proves at an issuer who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// With a secret that both know.
    ClientSecretBasic,
    /// With a private key.
    PrivateKeyJwt {
        /// The name that the key has there.
        key_id: Option<String>,
    },
}

/// How an issuer is asked.
#[derive(Debug, Clone)]
pub struct Introspection {
    client_id: String,
    authentication: Authentication,
    credential: String,
    endpoint: Option<String>,
    every: i64,
    grace: i64,
    opaque: bool,
}

impl Introspection {
    pub(super) fn new(typed: &IntrospectionConfig) -> Result<Self, String> {
        let IntrospectionConfig { client_id, credential, auth, key_id, endpoint, every, grace, opaque } =
            typed;
        let authentication = match (auth, key_id) {
            (AuthenticationConfig::PrivateKeyJwt, key_id) => {
                Authentication::PrivateKeyJwt { key_id: key_id.clone() }
            }
            (AuthenticationConfig::ClientSecretBasic, None) => Authentication::ClientSecretBasic,
            (AuthenticationConfig::ClientSecretBasic, Some(_)) => {
                return Err("introspection: `key_id` names a key, which auth = \"private_key_jwt\" asks for"
                    .to_owned());
            }
        };
        if client_id.is_empty() || client_id.chars().any(char::is_control) {
            return Err("introspection: `client_id` is empty or has control characters".to_owned());
        }
        let every = within(*every, EVERY, "introspection: every")?;
        if every < i64::from(RAREST) {
            return Err(format!("introspection: every is at least {RAREST} second"));
        }
        Ok(Self {
            client_id: client_id.clone(),
            authentication,
            credential: credential.clone(),
            endpoint: endpoint.as_deref().map(names::check_address).transpose()?,
            every,
            grace: within(*grace, GRACE, "introspection: grace")?,
            opaque: *opaque,
        })
    }

    /// What the gateway is called at the issuer.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// How it proves there who it is.
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// The name of the source of its secret.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// Where it is asked; discovery says it where nothing is given.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// How often it is asked about the token of a live session, in seconds.
    pub fn every(&self) -> i64 {
        self.every
    }

    /// How long live sessions go on while it cannot be asked, in seconds.
    pub fn grace(&self) -> i64 {
        self.grace
    }

    /// Whether tokens that say nothing by themselves are taken.
    pub fn opaque(&self) -> bool {
        self.opaque
    }
}

/// A token that says nothing by itself, as it may be sent (RFC 6750 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opaque<'a>(&'a str);

impl<'a> Opaque<'a> {
    /// Reads one. What has the form of a signed token is none.
    ///
    /// # Errors
    /// It cannot be one: no issuer is asked.
    pub fn read(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
        let body = token.trim_end_matches('=');
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        // No issuer is shown a secret of our own: `dwt_…`, `dwa_…` and their like.
        let ours = matches!(body.as_bytes(), [b'd', b'w', b'a'..=b'z', b'_', ..]);
        if ours || body.len() < SHORTEST || !body.bytes().all(fine) || body.matches('.').count() >= 2 {
            return Err(Refusal::Malformed);
        }
        Ok(Self(token))
    }

    /// What is asked about.
    pub fn text(&self) -> &'a str {
        self.0
    }
}

/// An issuer's word that a token is good at this moment. Only its answer makes one.
///
/// ```compile_fail,E0451
/// fn forge(claims: policy::identity::Claims) -> policy::identity::Introspected {
///     policy::identity::Introspected { claims, id: String::new() }
/// }
/// ```
#[derive(Debug)]
pub struct Introspected {
    claims: Claims,
    id: String,
}

impl Introspected {
    /// Reads the answer about a token that says nothing by itself.
    ///
    /// # Errors
    /// The token is not good, or its answer is not one that can be read in one way alone.
    pub fn read(token: Opaque<'_>, answer: &[u8]) -> Result<Self, Refusal> {
        let claims = good(answer)?;
        // A refresh token is good at its issuer, too, and is for nobody else.
        let kind = claims.text("token_type").map(str::to_ascii_lowercase);
        if kind.as_deref() != Some("bearer") {
            return Err(Refusal::Type);
        }
        // One that is bound to a key opens nothing without its proof, which is not asked for here.
        if claims.mentions("cnf") {
            return Err(Refusal::Type);
        }
        let whole = digest::digest(&digest::SHA256, token.0.as_bytes());
        let digits: String = whole.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { claims, id: format!("opq_{digits}") })
    }

    /// Reads the answer about a token that said itself whose it is: nothing of it is contradicted.
    ///
    /// # Errors
    /// The token is not good, or its issuer says otherwise.
    pub fn confirms(answer: &[u8], said: &Claims) -> Result<(), Refusal> {
        let claims = good(answer)?;
        for name in ["iss", "sub", "jti", "client_id"] {
            if claims.mentions(name) && said.mentions(name) && claims.text(name) != said.text(name) {
                return Err(Refusal::Claims);
            }
        }
        Ok(())
    }

    /// Whether an answer says that a token is still good, of one that was taken before.
    ///
    /// # Errors
    /// It does not.
    pub fn is_active(answer: &[u8]) -> Result<(), Refusal> {
        good(answer).map(drop)
    }

    /// What its issuer says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Names the token, and tells nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Only the word `true` is yes (RFC 7662 §2.2).
fn good(answer: &[u8]) -> Result<Claims, Refusal> {
    let claims = Claims::parse(answer).ok_or(Refusal::Unasked)?;
    match claims.at("active").and_then(serde_json::Value::as_bool) {
        Some(true) => Ok(claims),
        Some(false) => Err(Refusal::Inactive),
        None => Err(Refusal::Unasked),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{IssuerConfig, Issuers, Known};
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const TOKEN: &str = "mF_9.B5f-4.1JqM-abcdef";

    fn issuer(more: serde_json::Value) -> IssuerConfig {
        let mut config = json!({
            "name": "company", "issuer": "https://login.example.com", "audience": ["durward"],
            "introspection": { "client_id": "gate", "credential": "c", "opaque": true },
            "principals": [{ "when": "has(sub)", "kind": "user", "name": "sub", "groups": ["groups"] },
                           { "kind": "agent", "name": "client_id", "groups": ["groups"] }],
        });
        for (name, value) in more.as_object().expect("an object") {
            config[name] = value.clone();
        }
        serde_json::from_value(config).expect("an issuer")
    }

    fn known(answer: &str) -> Result<Known, Refusal> {
        let issuers = Issuers::new(&[issuer(json!({}))]).expect("issuers");
        let token = Opaque::read(b"mF_9.B5f-41JqMabcdef")?;
        issuers
            .of_opaque()
            .expect("one")
            .identify_introspected(&Introspected::read(token, answer.as_bytes())?, NOW)
    }

    /// An honest answer, with some of it changed; `null` takes it away.
    fn answer(changes: serde_json::Value) -> String {
        let mut answer = json!({
            "active": true, "token_type": "Bearer", "client_id": "coder", "sub": "alice", "aud": "durward",
            "iss": "https://login.example.com", "iat": NOW - 10, "exp": NOW + 600, "groups": ["dba"],
        });
        for (name, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                answer.as_object_mut().expect("an object").remove(name);
            } else {
                answer[name] = value.clone();
            }
        }
        answer.to_string()
    }

    #[test]
    fn a_token_is_whose_its_issuer_says_and_only_by_a_plain_yes() {
        for (changes, expected) in [
            (json!({}), Ok("user:company/alice")),
            (json!({ "iss": null }), Ok("user:company/alice")),
            (json!({ "token_type": "bearer", "scope": "x", "nbf": NOW - 5 }), Ok("user:company/alice")),
            // A client's own token has no subject, and is nobody whom a subject could name.
            (json!({ "sub": null }), Ok("agent:company/coder")),
            (json!({ "sub": null, "client_id": "alice" }), Ok("agent:company/alice")),
            (json!({ "active": false }), Err(Refusal::Inactive)),
            (json!({ "active": null }), Err(Refusal::Unasked)),
            (json!({ "active": "true" }), Err(Refusal::Unasked)),
            (json!({ "active": 1 }), Err(Refusal::Unasked)),
            // A refresh token has no type, and one that is bound to a key opens nothing without its proof.
            (json!({ "token_type": null }), Err(Refusal::Type)),
            (json!({ "token_type": "refresh_token" }), Err(Refusal::Type)),
            (json!({ "token_type": "DPoP" }), Err(Refusal::Type)),
            (json!({ "cnf": { "jkt": "x" } }), Err(Refusal::Type)),
            (json!({ "iss": "https://other.example.com" }), Err(Refusal::Issuer)),
            (json!({ "iss": 1 }), Err(Refusal::Issuer)),
            (json!({ "aud": "other" }), Err(Refusal::Audience)),
            (json!({ "aud": null }), Err(Refusal::Claims)),
            (json!({ "exp": null }), Err(Refusal::Claims)),
            (json!({ "iat": null }), Err(Refusal::Claims)),
            (json!({ "exp": NOW - 100 }), Err(Refusal::Expired)),
            (json!({ "nbf": NOW + 100 }), Err(Refusal::NotYet)),
            (json!({ "sub": "", "client_id": "coder" }), Err(Refusal::Claims)),
            (json!({ "sub": 7 }), Err(Refusal::Claims)),
            (json!({ "groups": 7 }), Err(Refusal::Principal)),
        ] {
            let text = answer(changes);
            let who = known(&text).map(|known| {
                assert!(known.id.starts_with("opq_") && known.id.len() == 28, "{}", known.id);
                assert_eq!(known.principal.groups, ["company/dba"]);
                known.principal.id.to_string()
            });
            assert_eq!(who.as_deref().map_err(|e| *e), expected, "{text}");
        }
        for twice in [r#"{"active":false,"active":true}"#, "true", "[]", "", "{\"active\":true"] {
            assert_eq!(known(twice).err(), Some(Refusal::Unasked), "{twice}");
        }
    }

    #[test]
    fn an_issuer_confirms_the_token_that_it_was_asked_about() {
        let said = Claims::parse(br#"{"iss":"i","sub":"alice","jti":"1"}"#).expect("claims");
        for (answer, expected) in [
            (r#"{"active":true}"#, Ok(())),
            (r#"{"active":true,"iss":"i","sub":"alice","jti":"1","client_id":"x"}"#, Ok(())),
            (r#"{"active":true,"sub":"bob"}"#, Err(Refusal::Claims)),
            (r#"{"active":true,"iss":"j"}"#, Err(Refusal::Claims)),
            (r#"{"active":true,"jti":2}"#, Err(Refusal::Claims)),
            (r#"{"active":false,"sub":"alice"}"#, Err(Refusal::Inactive)),
            ("{}", Err(Refusal::Unasked)),
        ] {
            assert_eq!(Introspected::confirms(answer.as_bytes(), &said), expected, "{answer}");
        }
    }

    #[test]
    fn nobody_is_asked_about_what_cannot_be_a_token() {
        for (text, fits) in [
            ("mF_9.B5f-41JqMabcdef", true),
            ("abcdefghijklmnop==", true),
            (TOKEN, false),
            ("hunter2", false),
            ("correct horse battery staple", false),
            ("abcdefghijklmnop\n", false),
            ("abcdefghijklmnop&token=x", false),
            ("====================", false),
            ("abcdefghijklmnopä", false),
            ("", false),
            ("dwa_0123456789abcdef0123456789abcdef", false),
            ("dwb_0123456789ab_0123456789abcdef", false),
            ("dwarf_0123456789abcdef", true),
        ] {
            assert_eq!(Opaque::read(text.as_bytes()).is_ok(), fits, "{text}");
        }
        assert_eq!(Opaque::read(&vec![b'a'; LONGEST + 1]), Err(Refusal::TooLong));
    }

    #[test]
    fn how_an_issuer_is_asked_is_checked_when_it_is_configured() {
        let with = |how: serde_json::Value| {
            let mut all = json!({ "client_id": "gate", "credential": "c" });
            for (name, value) in how.as_object().expect("an object") {
                all[name] = value.clone();
            }
            Issuers::new(&[issuer(json!({ "introspection": all }))]).map(drop).map_err(|(_, what)| what)
        };
        assert_eq!(
            with(json!({ "endpoint": "https://login.example.com/ask", "every": 1, "grace": 0 })),
            Ok(())
        );
        for (how, expected) in [
            (json!({ "endpoint": "http://login.example.com/ask" }), "is not encrypted"),
            (json!({ "client_id": "" }), "`client_id` is empty"),
            (json!({ "every": 0 }), "every is at least"),
            (json!({ "every": 3601 }), "every is at most"),
            (json!({ "grace": 3601 }), "grace is at most"),
        ] {
            let what = with(how.clone()).expect_err("it is refused");
            assert!(what.contains(expected), "{how}: {what}");
        }
        // What says nothing by itself would be shown to whichever of two is asked first.
        let other = issuer(json!({ "name": "other", "issuer": "https://other.example.com" }));
        let (name, what) = Issuers::new(&[issuer(json!({})), other]).expect_err("two of them");
        assert!(name == "other" && what.contains("takes opaque tokens already"), "{what}");
    }
}
