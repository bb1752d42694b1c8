//! Keys that an issuer publishes (RFC 7517), and the algorithms that they may verify with (RFC 7518, RFC 8037).
//!
//! A key says what it is for by its type, and by `alg`, `use` and `key_ops` where it has them. The token chooses among what
//! its issuer's configuration *and* the key allow; a secret key is no public key, so that nothing here ever verifies a MAC.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::claims::Claims;

/// So many keys an issuer may have; those behind are not looked at.
const MOST: usize = 64;
/// The longest document of keys, in bytes.
pub const LONGEST_JWKS: usize = 256 * 1024;

/// How a token is signed. There is no `none`, and no MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// By its name, exactly: `RS256`, `EdDSA`. `Ed25519` (RFC 9864) is EdDSA over the only curve that is taken here.
    pub fn named(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    /// The one it says it is for.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Debug, Clone)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a document has no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// It is too long.
    #[error("the key document is longer than {} KiB", LONGEST_JWKS / 1024)]
    TooLong,
    /// It is no JSON Web Key Set.
    #[error("it is no JSON Web Key Set: {{\"keys\": [...]}}")]
    Malformed,
    /// A key has its private part with it: whoever can read this can sign.
    #[error("a key comes with its private part: its issuer must make new keys")]
    Private,
    /// None of its keys can verify a signature here.
    #[error(
        "it has no public key that can be used here: RSA from 2048 bits, P-256, P-384 or Ed25519, for signatures"
    )]
    None,
}

impl Keys {
    /// Reads a JSON Web Key Set. Keys that are not for signatures, or of other kinds, are left out.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(json: &[u8]) -> Result<Self, NoKeys> {
        if json.len() > LONGEST_JWKS {
            return Err(NoKeys::TooLong);
        }
        let document = Claims::parse(json).ok_or(NoKeys::Malformed)?;
        let listed = document.at("keys").and_then(|keys| keys.as_array()).ok_or(NoKeys::Malformed)?;
        let listed: Vec<Claims> = listed.iter().filter_map(Claims::of).collect();
        // A secret key has its one part in `k`; that is no mistake of the issuer's, but of no use here.
        if listed.iter().any(|key| ["d", "p", "q", "dp", "dq", "qi"].iter().any(|part| key.has(part))) {
            return Err(NoKeys::Private);
        }
        let keys: Vec<Key> = listed.iter().filter_map(Key::read).take(MOST).collect();
        if keys.is_empty() { Err(NoKeys::None) } else { Ok(Self(keys)) }
    }

    /// Whether there is a key of this name; of no name, whether there is one alone.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.named(id).next().is_some()
    }

    /// Whether one of the keys of this name made the signature, by an algorithm that it may be used with.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Unverified> {
        let mut why = Unverified::Key;
        for key in self.named(id) {
            why = match key.verifies(algorithm, signed, signature) {
                Some(true) => return Ok(()),
                Some(false) => Unverified::Signature,
                None if why == Unverified::Key => Unverified::Algorithm,
                None => why,
            };
        }
        Err(why)
    }

    /// A token that names no key is the only key's, if there is one alone.
    fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let alone = self.0.len() == 1;
        self.0.iter().filter(move |key| match id {
            Some(_) => key.id.as_deref() == id,
            None => alone,
        })
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unverified {
    Key,
    Algorithm,
    Signature,
}

impl Key {
    fn read(jwk: &Claims) -> Option<Self> {
        let is_for_signatures = jwk.text("use").is_none_or(|word| word == "sig")
            && jwk.texts("key_ops").is_none_or(|all| all.contains(&"verify"));
        if !is_for_signatures {
            return None;
        }
        let part = |name: &str| BASE64.decode(jwk.text(name)?).ok();
        let point = |size: usize| {
            let (x, y) = (part("x")?, part("y")?);
            (x.len() == size && y.len() == size).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let public = match (jwk.text("kty")?, jwk.text("crv")) {
            ("RSA", None) => {
                let (n, e) = (part("n")?, part("e")?);
                // Weaker or longer ones are refused by the library as well: but then with each token.
                let bits = n.iter().position(|byte| *byte != 0).map_or(0, |zeros| (n.len() - zeros) * 8);
                if !(2048..=8192).contains(&bits) {
                    return None;
                }
                let significant = |bytes: &[u8]| bytes.iter().copied().skip_while(|b| *b == 0).collect();
                Public::Rsa { n: significant(&n), e: significant(&e) }
            }
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(part("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let algorithm = match jwk.text("alg") {
            // A key for an algorithm that is not known is not for another.
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        Some(Self { id: jwk.text("kid").map(str::to_owned), algorithm, public })
    }

    /// `None` where it may not be used with this algorithm.
    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Option<bool> {
        if self.algorithm.is_some_and(|own| own != algorithm) {
            return None;
        }
        let rsa = |parameters: &'static RsaParameters, n: &[u8], e: &[u8]| {
            RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
        };
        Some(match (&self.public, algorithm) {
            (Public::Rsa { n, e }, Algorithm::Rs256) => rsa(&RSA_PKCS1_2048_8192_SHA256, n, e),
            (Public::Rsa { n, e }, Algorithm::Rs384) => rsa(&RSA_PKCS1_2048_8192_SHA384, n, e),
            (Public::Rsa { n, e }, Algorithm::Rs512) => rsa(&RSA_PKCS1_2048_8192_SHA512, n, e),
            (Public::Rsa { n, e }, Algorithm::Ps256) => rsa(&RSA_PSS_2048_8192_SHA256, n, e),
            (Public::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            (Public::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(signed, signature).is_ok()
            }
            (Public::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature).is_ok()
            }
            (Public::Rsa { .. } | Public::P256(_) | Public::P384(_) | Public::Ed25519(_), _) => return None,
        })
    }
}
