//! Signed tokens of one's own making, honest and forged, and the keys that check them. Claims and headers are JSON texts, so
//! that what no library would write can be written.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::{Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::Failure;

/// A key that signs.
pub struct Signer {
    key: Key,
    id: String,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

fn failed<E: std::fmt::Debug>(error: E) -> Failure {
    format!("cryptography: {error:?}").into()
}

impl Signer {
    /// RSA with 2048 bits.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn rsa(id: &str) -> Result<Self, Failure> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        Ok(Self { key: Key::Rsa(Box::new(key)), id: id.to_owned() })
    }

    /// ECDSA over P-256.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn p256(id: &str) -> Result<Self, Failure> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        Ok(Self { key: Key::P256(Box::new(key)), id: id.to_owned() })
    }

    /// Ed25519.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn ed25519(id: &str) -> Result<Self, Failure> {
        let key = Ed25519KeyPair::generate().map_err(failed)?;
        Ok(Self { key: Key::Ed25519(Box::new(key)), id: id.to_owned() })
    }

    /// The key's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// Its public part as a JSON Web Key.
    pub fn jwk(&self) -> String {
        format!("{{\"kid\":\"{}\",\"use\":\"sig\",{}}}", self.id, self.members())
    }

    /// The members that are the key itself.
    pub fn members(&self) -> String {
        match &self.key {
            Key::Rsa(pair) => {
                // RSAPublicKey (RFC 8017, A.1.1) of 2048 bits and the usual exponent: the modulus lies at the same place each time.
                let modulus = pair.public_key().as_ref().get(9..265).unwrap_or_default();
                format!("\"kty\":\"RSA\",\"n\":\"{}\",\"e\":\"AQAB\"", BASE64.encode(modulus))
            }
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                format!(
                    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"{}\",\"y\":\"{}\"",
                    BASE64.encode(x),
                    BASE64.encode(y)
                )
            }
            Key::Ed25519(pair) => {
                let point = BASE64.encode(pair.public_key().as_ref());
                format!("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{point}\"")
            }
        }
    }

    /// The private key itself, in PEM (PKCS #8), as who signs with it keeps it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn pem(&self) -> Result<String, Failure> {
        let der = match &self.key {
            Key::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair.as_ref()).map(|d| d.as_ref().to_vec()),
            Key::P256(pair) => pair.to_pkcs8v1().map(|d| d.as_ref().to_vec()),
            Key::Ed25519(pair) => pair.to_pkcs8v1().map(|d| d.as_ref().to_vec()),
        };
        let text = base64::engine::general_purpose::STANDARD.encode(der.map_err(failed)?);
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
    }

    /// Its public part in DER, for those who take a public key for a secret.
    pub fn public_der(&self) -> Vec<u8> {
        let der = match &self.key {
            Key::Rsa(pair) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map(|d| d.as_ref().to_vec())
            }
            Key::P256(pair) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map(|d| d.as_ref().to_vec())
            }
            Key::Ed25519(pair) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map(|d| d.as_ref().to_vec())
            }
        };
        der.unwrap_or_default()
    }

    /// The header of an honest token.
    pub fn header(&self) -> String {
        format!("{{\"alg\":\"{}\",\"typ\":\"JWT\",\"kid\":\"{}\"}}", self.algorithm(), self.id)
    }

    /// An honest token.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign(&self, claims: &str) -> Result<String, Failure> {
        self.sign_with(&self.header(), claims)
    }

    /// A token with a header of one's own choice, signed as this key signs.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign_with(&self, header: &str, claims: &str) -> Result<String, Failure> {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut out).map_err(failed)?;
                out
            }
            Key::P256(pair) => pair.sign(&random, signed.as_bytes()).map_err(failed)?.as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

/// A key set of several keys.
pub fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<String> = signers.iter().map(|signer| signer.jwk()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// A token with a MAC instead of a signature.
pub fn with_mac(header: &str, claims: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac))
}

/// A token with whatever stands for its signature.
pub fn with_signature(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", BASE64.encode(header), BASE64.encode(claims))
}

/// The other signature of an ES256 token that is as good: (r, n − s) for (r, s). Nothing that is signed is another.
///
/// # Errors
/// It is no such token.
pub fn twin(token: &str) -> Result<String, Failure> {
    // The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = BASE64.decode(signature).map_err(|_| "no such signature")?;
    let (r, s) = signature.split_at_checked(32).filter(|(_, s)| s.len() == 32).ok_or("no such signature")?;
    let mut other = [0; 32];
    let mut borrowed = false;
    for ((to, from), less) in other.iter_mut().zip(ORDER).zip(s).rev() {
        let (digit, once) = from.overflowing_sub(*less);
        let (digit, twice) = digit.overflowing_sub(u8::from(borrowed));
        (*to, borrowed) = (digit, once || twice);
    }
    Ok(format!("{signed}.{}", BASE64.encode([r, &other].concat())))
}
