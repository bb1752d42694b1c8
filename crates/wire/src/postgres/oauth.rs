//! OAUTHBEARER (RFC 7628), the server's side: what a client says first, and what a server says to one that brings no token.

use crate::Malformed;

/// The mechanism's name.
pub const OAUTHBEARER: &str = "OAUTHBEARER";
/// What a client says when it has been told why it is not let in.
pub const DUMMY: &[u8] = b"\x01";

/// What a client brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// A token.
    Token(&'a [u8]),
    /// None: it asks where it gets one.
    Asks,
}

/// Reads the client's first message: `n,,^Aauth=Bearer TOKEN^A^A`.
///
/// # Errors
/// It is written otherwise, or asks to be somebody else.
pub fn bearer(message: &[u8]) -> Result<Bearer<'_>, Malformed> {
    let bad = Malformed("OAUTHBEARER: the first message is not written as RFC 7628 says");
    let rest = message.strip_prefix(b"n,,\x01").or_else(|| message.strip_prefix(b"y,,\x01")).ok_or(bad)?;
    let pairs = rest.strip_suffix(b"\x01\x01").ok_or(bad)?;
    let mut found = None;
    for pair in pairs.split(|byte| *byte == 1) {
        let at = pair.iter().position(|byte| *byte == b'=').ok_or(bad)?;
        let (name, value) = (pair.get(..at).ok_or(bad)?, pair.get(at + 1..).ok_or(bad)?);
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphabetic) {
            return Err(bad);
        }
        // `host` and `port` are for those who are behind a name that they do not know.
        if name == b"auth" && found.replace(value).is_some() {
            return Err(bad);
        }
    }
    let value = found.ok_or(bad)?;
    if value.is_empty() {
        return Ok(Bearer::Asks);
    }
    let (scheme, token) = value.split_at_checked(7).ok_or(bad)?;
    let token = token.trim_ascii_start();
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.is_empty() || !token.iter().all(fine) {
        return Err(bad);
    }
    Ok(Bearer::Token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_sends_is_read_and_nothing_else() {
        for (message, expected) in [
            (&b"n,,\x01auth=Bearer abc.d-e_f\x01\x01"[..], Some(Bearer::Token(b"abc.d-e_f"))),
            (b"y,,\x01auth=bearer  abc=\x01\x01", Some(Bearer::Token(b"abc="))),
            (b"n,,\x01host=x\x01port=1\x01auth=Bearer abc\x01\x01", Some(Bearer::Token(b"abc"))),
            (b"n,,\x01auth=\x01\x01", Some(Bearer::Asks)),
            (b"n,a=root,\x01auth=Bearer abc\x01\x01", None),
            (b"p=tls-exporter,,\x01auth=Bearer abc\x01\x01", None),
            (b"n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01", None),
            (b"n,,\x01auth=Bearer a b\x01\x01", None),
            (b"n,,\x01auth=Bearer \x01\x01", None),
            (b"n,,\x01auth=Basic abc\x01\x01", None),
            (b"n,,\x01auth=Bearer abc\x01", None),
            (b"n,,\x01auth=Bearer abc", None),
            (b"n,,\x01\x01", None),
            (b"n,,\x01=x\x01auth=Bearer abc\x01\x01", None),
            (b"n,,\x01host=x\x01\x01", None),
            (b"", None),
        ] {
            assert_eq!(bearer(message).ok(), expected, "{}", String::from_utf8_lossy(message));
        }
    }
}
