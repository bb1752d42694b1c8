//! Names: of issuers, of principals and groups, and the templates that make them of claims.

use super::claims::Claims;
use super::refusal::Refusal;

/// So many groups a token may name.
pub(super) const MOST_GROUPS: usize = 500;
/// The longest name of a principal or group, in bytes.
const LONGEST: usize = 200;

/// Whether a principal or a group may be called so.
pub(super) fn is_fine(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether a group may be called so: people call them with spaces.
pub(super) fn is_group(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control)
}

/// An issuer's name stands in policies and in files.
pub(super) fn check_word(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(fine) {
        return Err("an issuer's name has 1 to 63 letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(())
}

pub(super) fn check_prefix(prefix: String) -> Result<String, String> {
    if prefix.is_empty() || is_fine(&prefix) && prefix.len() <= 100 {
        return Ok(prefix);
    }
    Err("`prefix` has at most 100 bytes and no spaces".to_owned())
}

/// An address that things are fetched from: over TLS, or on this machine.
pub(super) fn check_address(address: &str) -> Result<String, String> {
    is_address(address).map_err(|why| format!("\"{address}\" {why}"))?;
    Ok(address.to_owned())
}

/// Whether something may be fetched from an address: it is plain, and over TLS or on this machine.
///
/// # Errors
/// Why not, to be read behind the address.
pub fn is_address(address: &str) -> Result<(), &'static str> {
    if address.contains(['#', '?', '{', '}', '@', '\\'])
        || address.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err("is no plain address: it has a query, a fragment, a user, a space or a brace in it");
    }
    let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    if let Some(rest) = address.strip_prefix("https://") {
        return if host(rest).is_empty() { Err("names no host") } else { Ok(()) };
    }
    let Some(rest) = address.strip_prefix("http://") else { return Err("does not begin with https://") };
    let host = host(rest);
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    if matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        return Ok(());
    }
    Err("is not encrypted: only http:// of this very machine is taken")
}

/// How a principal is named: a claim, or claims in braces with text between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// Text and the claim behind it.
    parts: Vec<(String, String)>,
    end: String,
    /// Whether an address may be taken that nobody has checked.
    unverified_email: bool,
}

impl Template {
    pub(super) fn parse(text: &str, unverified_email: bool) -> Result<Self, String> {
        let wrong =
            || format!("name = \"{text}\": write a claim, or claims in braces: {{namespace}}/{{name}}");
        if text.is_empty() {
            return Err(wrong());
        }
        if !text.contains(['{', '}']) {
            return Ok(Self {
                parts: vec![(String::new(), text.to_owned())],
                end: String::new(),
                unverified_email,
            });
        }
        let mut pieces = text.split('{');
        let mut before = pieces.next().unwrap_or_default().to_owned();
        let mut parts: Vec<(String, String)> = Vec::new();
        for piece in pieces {
            let (claim, behind) = piece.split_once('}').ok_or_else(wrong)?;
            // Two claims side by side: nobody could tell where one ends.
            if claim.is_empty() || behind.contains('}') || !parts.is_empty() && before.is_empty() {
                return Err(wrong());
            }
            parts.push((std::mem::replace(&mut before, behind.to_owned()), claim.to_owned()));
        }
        if parts.is_empty() || before.contains('}') {
            Err(wrong())
        } else {
            Ok(Self { parts, end: before, unverified_email })
        }
    }

    /// The name that claims make. No two different sets of values make the same: none but the first has the text in it that
    /// stands before it, so that a name can be taken apart from behind.
    pub(super) fn fill(&self, claims: &Claims) -> Result<String, Refusal> {
        let mut name = String::new();
        for (n, (before, path)) in self.parts.iter().enumerate() {
            let value = claims.text(path).ok_or(Refusal::Principal)?;
            if path == "email" && !self.unverified_email && !is_verified(claims) {
                return Err(Refusal::Principal);
            }
            if value.is_empty() || n > 0 && value.contains(before.as_str()) {
                return Err(Refusal::Principal);
            }
            name.push_str(before);
            name.push_str(value);
        }
        name.push_str(&self.end);
        Ok(name)
    }
}

fn is_verified(claims: &Claims) -> bool {
    claims
        .at("email_verified")
        .is_some_and(|flag| flag.as_bool() == Some(true) || flag.as_str() == Some("true"))
}
