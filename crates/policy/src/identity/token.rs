//! A signed token in compact form (RFC 7515, RFC 7519, RFC 8725), read strictly and not yet believed.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::claims::Claims;
use super::keys::{Algorithm, Keys, Unverified};
use super::refusal::Refusal;

/// The longest token, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// The longest name of a key, in bytes.
const LONGEST_KEY_ID: usize = 1024;

/// A token that can be read. What it says is only somebody's word until [`Unproven::verify`].
#[derive(Clone)]
pub struct Unproven<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key: Option<String>,
    claims: Claims,
    id: String,
}

/// A token that its issuer signed. Only [`Unproven::verify`] makes one.
///
/// ```compile_fail,E0451
/// fn forge(claims: policy::identity::Claims) -> policy::identity::Proven {
///     policy::identity::Proven { claims, id: String::new() }
/// }
/// ```
#[derive(Debug)]
pub struct Proven {
    claims: Claims,
    id: String,
}

impl<'a> Unproven<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(token: &'a [u8]) -> Result<Self, Refusal> {
        Self::read_as(token, &["jwt", "at+jwt"])
    }

    /// Reads an identity token, which does not say that it is for access (RFC 9068 §2.1).
    ///
    /// # Errors
    /// Why it is none.
    pub fn read_identity(token: &'a [u8]) -> Result<Self, Refusal> {
        Self::read_as(token, &["jwt"])
    }

    /// Reads what a client proves itself by, which may say that it is that (RFC 7523bis).
    ///
    /// # Errors
    /// Why it is none.
    pub fn read_assertion(token: &'a [u8]) -> Result<Self, Refusal> {
        Self::read_as(token, &["jwt", "client-authentication+jwt"])
    }

    /// Reads a logout token, which may say that it is one.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read_logout(token: &'a [u8]) -> Result<Self, Refusal> {
        Self::read_as(token, &["jwt", "logout+jwt"])
    }

    fn read_as(token: &'a [u8], kinds: &[&str]) -> Result<Self, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        // Five parts are an encrypted token, and its parts have no dots either.
        if payload.contains('.') {
            return Err(Refusal::Malformed);
        }
        // This reading of base64url takes no padding, no other signs and no bits left over: one token has one text.
        let decode = |part: &str| BASE64.decode(part).map_err(|_| Refusal::Malformed);
        let header = Claims::parse(&decode(header)?).ok_or(Refusal::Malformed)?;
        let (algorithm, key) = read_header(&header, kinds)?;
        let claims = Claims::parse(&decode(payload)?).ok_or(Refusal::Malformed)?;
        // Not of its signature: whoever has one by a curve can make another of it that is as good, and would have another name.
        let said = digest::digest(&digest::SHA256, signed.as_bytes());
        let digits: String = said.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            key,
            claims,
            id: format!("jwt_{digits}"),
        })
    }

    /// Who is said to have issued it: to find whose keys to ask, and nothing else.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.text("iss")
    }

    /// The name of the key that is said to have signed it.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The algorithm that is said to have signed it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks its signature. `allowed` are the algorithms of its issuer, whatever the token says.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn verify(self, keys: &Keys, allowed: &[Algorithm]) -> Result<Proven, Refusal> {
        if !allowed.contains(&self.algorithm) {
            return Err(Refusal::Algorithm);
        }
        let verified = keys.verify(self.key(), self.algorithm, self.signed.as_bytes(), &self.signature);
        verified.map_err(|why| match why {
            Unverified::Key => Refusal::Key,
            Unverified::Algorithm => Refusal::Algorithm,
            Unverified::Signature => Refusal::Signature,
        })?;
        Ok(Proven { claims: self.claims, id: self.id })
    }
}

impl Proven {
    /// What its issuer says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Names it, and tells nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The algorithm and the key. Keys that come with the token, or addresses of keys (`jwk`, `jku`, `x5u`, `x5c`), are never
/// read: whoever wrote the token chose them. What must be understood (`crit`) is not.
fn read_header(header: &Claims, kinds: &[&str]) -> Result<(Algorithm, Option<String>), Refusal> {
    if ["crit", "b64", "zip", "enc", "cty"].iter().any(|name| header.mentions(name)) {
        return Err(Refusal::Header);
    }
    // Proofs of possession, logout tokens and security events are signed by the same keys and say so.
    let kind = header.at("typ").map(|typ| typ.as_str().unwrap_or("?").to_ascii_lowercase());
    let kind = kind.as_deref().map(|k| k.strip_prefix("application/").unwrap_or(k));
    if !kind.is_none_or(|kind| kinds.contains(&kind)) {
        return Err(Refusal::Type);
    }
    let algorithm = header.text("alg").ok_or(Refusal::Malformed)?;
    let algorithm = Algorithm::named(algorithm).ok_or(Refusal::Algorithm)?;
    let key = match header.at("kid") {
        None => None,
        Some(id) => {
            let id = id.as_str().ok_or(Refusal::Malformed)?;
            // It is compared with names of keys and is nothing else: no path, no statement, no address.
            if id.is_empty() || id.len() > LONGEST_KEY_ID {
                return Err(Refusal::Malformed);
            }
            Some(id.to_owned())
        }
    };
    Ok((algorithm, key))
}
