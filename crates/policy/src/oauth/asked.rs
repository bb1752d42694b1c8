//! A question for a code (OAuth 2.1 §4.1.1), in two parts: who asks and where the answer goes, without which there is nobody to
//! answer; and the rest, whose faults that answer tells.

use std::collections::BTreeSet;

use super::pkce::Challenge;

/// In front of a target's name in a scope. There are no other scopes.
pub const SCOPE: &str = "target:";
/// The longest `state`, in bytes.
const LONGEST_STATE: usize = 4000;
/// So many targets a scope names.
const MOST_TARGETS: usize = 64;

/// The scope of one target.
pub fn scope_of(target: &str) -> String {
    format!("{SCOPE}{target}")
}

/// Parameters as they came, in their order. One without a value counts as none (RFC 6749 §3.1).
pub struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// Of names and values.
    pub fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The one value of a name.
    ///
    /// # Errors
    /// There are two.
    fn one(&self, name: &'static str) -> Result<Option<&'a str>, Failure> {
        let mut all = self.0.iter().filter(|(n, _)| *n == name).map(|(_, value)| *value);
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(Failure::request(format!("{name} comes twice"))),
        }
    }

    fn needed(&self, name: &'static str) -> Result<&'a str, Failure> {
        self.one(name)?.ok_or_else(|| Failure::request(format!("{name} is missing")))
    }

    /// Who asks, and where the answer is to go.
    ///
    /// # Errors
    /// It is not said; nobody is to be answered then.
    pub fn whom(&self) -> Result<(&'a str, &'a str), Failure> {
        Ok((self.needed("client_id")?, self.needed("redirect_uri")?))
    }

    /// What the client wants back as it is; nothing where it came twice.
    pub fn state(&self) -> Option<&'a str> {
        self.one("state").ok().flatten().filter(|state| state.len() <= LONGEST_STATE)
    }

    /// The rest of the question, for the one resource that there is.
    ///
    /// # Errors
    /// What the client is to be told.
    pub fn asked(&self, resource: &str) -> Result<Asked, Failure> {
        if self.one("state")?.is_some_and(|state| state.len() > LONGEST_STATE) {
            return Err(Failure::request("state is too long"));
        }
        if self.needed("response_type")? != "code" {
            return Err(Failure::new("unsupported_response_type", "response_type is code"));
        }
        if self.one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(Failure::request("response_mode is query"));
        }
        for (name, error) in
            [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
        {
            if self.one(name)?.is_some() {
                return Err(Failure::new(error, "parameters stand in the question itself"));
            }
        }
        // Without a method it would be plain (RFC 7636 §4.3).
        let method = self.one("code_challenge_method")?;
        let challenge = self.needed("code_challenge")?;
        if method != Some("S256") {
            return Err(Failure::request("code_challenge_method must be S256"));
        }
        let challenge = Challenge::read(challenge)
            .ok_or_else(|| Failure::request("code_challenge is no SHA-256 in Base64 without padding"))?;
        if self.needed("resource")? != resource {
            return Err(Failure::new("invalid_target", format!("resource must be {resource}")));
        }
        let targets = self.one("scope")?.map(targets).transpose()?.unwrap_or_default();
        Ok(Asked { challenge, targets })
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What whoever trades the code must meet.
    pub challenge: Challenge,
    /// The targets that it names; none where it leaves that to the person.
    pub targets: BTreeSet<String>,
}

fn targets(scope: &str) -> Result<BTreeSet<String>, Failure> {
    let wrong = || {
        Failure::new("invalid_scope", format!("a scope is {SCOPE}NAME, of a target, and there are no others"))
    };
    let words: Vec<&str> = scope.split(' ').filter(|word| !word.is_empty()).collect();
    if words.len() > MOST_TARGETS {
        return Err(Failure::new("invalid_scope", format!("a scope names {MOST_TARGETS} targets at most")));
    }
    let named = words.into_iter().map(|word| word.strip_prefix(SCOPE).filter(|name| !name.is_empty()));
    named.map(|name| name.map(str::to_owned).ok_or_else(wrong)).collect()
}

/// Why there is no code, as RFC 6749 §4.1.2.1 words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `invalid_request`, …
    pub error: &'static str,
    /// The same for a person.
    pub description: String,
}

impl Failure {
    /// In one of the RFC's words.
    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }

    fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    const RESOURCE: &str = "https://gate.test/mcp";
    const FINE: [(&str, &str); 7] = [
        ("response_type", "code"),
        ("client_id", "https://app.test/client"),
        ("redirect_uri", "http://127.0.0.1/cb"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("state", "xyz"),
    ];

    #[test]
    fn a_question_says_all_of_what_it_must_and_nothing_twice() {
        let error = |pairs: Vec<(&str, &str)>| {
            let asked = Parameters::new(pairs).asked(RESOURCE);
            asked.map_or_else(|failure| failure.error, |_| "")
        };
        let with = |name: &'static str, value: &'static str| {
            let mut pairs: Vec<_> = FINE.iter().copied().filter(|(n, _)| *n != name).collect();
            pairs.push((name, value));
            pairs
        };
        assert_eq!(error(FINE.to_vec()), "");
        for (name, value, expected) in [
            ("response_type", "token", "unsupported_response_type"),
            ("response_type", "", "invalid_request"),
            ("response_mode", "query", ""),
            ("response_mode", "form_post", "invalid_request"),
            ("code_challenge", "", "invalid_request"),
            ("code_challenge", "short", "invalid_request"),
            ("code_challenge_method", "", "invalid_request"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("resource", "", "invalid_request"),
            ("resource", "https://gate.test/mcp/", "invalid_target"),
            ("resource", "https://gate.test", "invalid_target"),
            ("resource", "https://other.test/mcp", "invalid_target"),
            ("request", "x.y.z", "request_not_supported"),
            ("request_uri", "https://app.test/r", "request_uri_not_supported"),
            ("scope", "target:orders-db target:shop", ""),
            ("scope", "admin", "invalid_scope"),
            ("scope", "target:", "invalid_scope"),
            ("unknown", "is ignored", ""),
        ] {
            assert_eq!(error(with(name, value)), expected, "{name}={value}");
        }
        for (name, value) in FINE.iter().filter(|(name, _)| !["client_id", "redirect_uri"].contains(name)) {
            let twice = [FINE.to_vec(), vec![(*name, *value)]].concat();
            assert_eq!(error(twice), "invalid_request", "{name} twice");
        }
    }

    #[test]
    fn who_is_not_named_is_not_answered() {
        assert!(Parameters::new(FINE).whom().is_ok());
        for name in ["client_id", "redirect_uri"] {
            let without = FINE.iter().copied().filter(|(n, _)| *n != name);
            assert!(Parameters::new(without).whom().is_err(), "{name}");
            let twice = FINE.iter().copied().chain([(name, "x")]);
            assert!(Parameters::new(twice).whom().is_err(), "{name} twice");
        }
        assert_eq!(Parameters::new(FINE).state(), Some("xyz"));
        assert_eq!(Parameters::new(FINE.iter().copied().chain([("state", "b")])).state(), None);
    }
}
