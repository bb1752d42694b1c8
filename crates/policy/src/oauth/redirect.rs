//! Where a browser may be sent back to with a code: an address that a client named beforehand, exactly; of this machine's own
//! loopback any port (RFC 8252 §7.3).

/// The longest address, in bytes.
const LONGEST: usize = 2000;

/// An address that a client may be answered at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    text: String,
    parts: Parts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    encrypted: bool,
    host: String,
    /// Path and query, from the first slash on.
    rest: String,
}

impl Redirect {
    /// Over https, or http on the loopback.
    ///
    /// # Errors
    /// Why it is none, to be read behind the address.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let parts = Parts::read(text)?;
        if !parts.encrypted && !parts.is_loopback() {
            return Err("is not encrypted: only http:// of the loopback is taken");
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether an answer may go to another address by this one's being known.
    pub fn fits(&self, asked: &Self) -> bool {
        self.text == asked.text || (self.is_loopback() && !self.parts.encrypted && self.parts == asked.parts)
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        &self.parts.host
    }

    /// Whether it is on the very machine of the browser.
    pub fn is_loopback(&self) -> bool {
        self.parts.is_loopback()
    }

    /// Itself, with more parameters behind those that it has.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut address = self.text.clone();
        for (index, (name, value)) in parameters.iter().enumerate() {
            let first = index == 0 && !self.parts.rest.contains('?');
            address.push(if first { '?' } else { '&' });
            address.push_str(name);
            address.push('=');
            encode(&mut address, value);
        }
        address
    }
}

impl Parts {
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("is too long");
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || b"\\\"<>^`{|}".contains(&b)) {
            return Err("has signs in it that no address has");
        }
        if text.contains('#') {
            return Err("has a fragment");
        }
        let (encrypted, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("begins with neither https:// nor http://"),
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user in it");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let named = match v6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(fine),
        };
        if !named {
            return Err("names no host");
        }
        let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        if port.is_some_and(|port| !digits(port) || port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err("has a port that is none");
        }
        Ok(Self { encrypted, host: host.to_ascii_lowercase(), rest: rest.to_owned() })
    }

    fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }
}

/// As a value in an address (RFC 3986 §2.3).
fn encode(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Redirect;

    #[test]
    fn an_address_is_encrypted_or_of_the_loopback_and_plain() {
        for (text, fine) in [
            ("https://app.example.com/callback", true),
            ("https://app.example.com:8443/callback?a=b", true),
            ("http://127.0.0.1:3000/callback", true),
            ("http://[::1]/", true),
            ("http://localhost/callback", true),
            ("http://app.example.com/callback", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://127.0.0.1@evil.example.com/", false),
            ("https://user@app.example.com/", false),
            ("https://app.example.com/#fragment", false),
            ("https://app.example.com\\@evil.example.com/", false),
            ("https://app.example.com/\r\nSet-Cookie: a=b", false),
            ("https://app.example.com:0/", false),
            ("https://app.example.com:99999/", false),
            ("https:///callback", false),
            ("javascript:alert(1)", false),
            ("cursor://callback", false),
            ("", false),
        ] {
            assert_eq!(Redirect::read(text).is_ok(), fine, "{text}");
        }
        assert!(Redirect::read(&format!("https://a.test/{}", "x".repeat(2000))).is_err());
    }

    #[test]
    fn an_answer_goes_where_it_was_said_beforehand_and_of_a_loopback_to_any_port() {
        for (known, asked, fits) in [
            ("https://app.test/cb", "https://app.test/cb", true),
            ("https://app.test/cb", "https://app.test/cb/", false),
            ("https://app.test/cb", "https://app.test/cb?x=1", false),
            ("https://app.test/cb", "https://app.test:8443/cb", false),
            ("https://app.test/cb", "https://APP.test/cb", false),
            ("https://app.test/cb", "https://app.test/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true),
            ("http://127.0.0.1:3000/cb", "http://127.0.0.1:51004/cb", true),
            ("http://localhost:3000/cb", "http://localhost/cb", true),
            ("http://[::1]/cb", "http://[::1]:51004/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb?x=1", false),
            ("http://127.0.0.1/cb", "http://localhost:51004/cb", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false),
        ] {
            let read = |text| Redirect::read(text).expect("an address");
            assert_eq!(read(known).fits(&read(asked)), fits, "{known} {asked}");
        }
    }

    #[test]
    fn what_is_added_stands_behind_what_there_is() {
        let with =
            |text| Redirect::read(text).expect("an address").with(&[("code", "a b"), ("state", "&=\u{e9}")]);
        assert_eq!(with("https://a.test/cb"), "https://a.test/cb?code=a%20b&state=%26%3D%C3%A9");
        assert_eq!(with("https://a.test/cb?x=1"), "https://a.test/cb?x=1&code=a%20b&state=%26%3D%C3%A9");
    }
}
