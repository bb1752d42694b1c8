//! How the gateway proves to an issuer who it is, with a key of its own: `private_key_jwt` (RFC 7523 §2.2, OpenID Connect
//! Core §9).

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value as Json};

use crate::audit::hex;

/// What the form says of it.
pub(super) const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// It is good for so long, in seconds: as long as a question takes, and clocks differ.
const LIFE: i64 = 60;

/// What an assertion says.
pub(super) struct Said<'a> {
    /// What the gateway is called there.
    pub client: &'a str,
    /// Whom it is for.
    pub audience: &'a str,
    /// The key's name there, if it has one.
    pub key_id: Option<&'a str>,
}

/// Why there is none. Nothing of the key is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is no private key in PEM (PKCS #8: RSA of 2048 bits or more, P-256 or Ed25519)")]
    Unreadable,
    #[error("it cannot sign")]
    Broken,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn read(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Unreadable)?;
        let der = der.secret_der();
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(key));
        }
        RsaKeyPair::from_pkcs8(der)
            .or_else(|_| RsaKeyPair::from_der(der))
            .map(Self::Rsa)
            .map_err(|_| KeyError::Unreadable)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        let chance = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &chance, text, &mut signature);
                signed.map(|()| signature).map_err(|_| KeyError::Broken)
            }
            Self::P256(key) => {
                key.sign(&chance, text).map(|s| s.as_ref().to_vec()).map_err(|_| KeyError::Broken)
            }
            Self::Ed25519(key) => Ok(key.sign(text).as_ref().to_vec()),
        }
    }
}

/// A new assertion, to be used once.
pub(super) fn sign(pem: &[u8], said: &Said<'_>, now: i64) -> Result<String, KeyError> {
    let Said { client, audience, key_id } = *said;
    let key = Key::read(pem)?;
    let mut once = [0; 16];
    rand::fill(&mut once).map_err(|_| KeyError::Broken)?;
    let text = |text: &str| Json::from(text);
    let mut header = Map::from_iter([("alg".to_owned(), text(key.algorithm()))]);
    header.insert("typ".to_owned(), text("JWT"));
    if let Some(id) = key_id {
        header.insert("kid".to_owned(), text(id));
    }
    let claims = Map::from_iter([
        ("iss".to_owned(), text(client)),
        ("sub".to_owned(), text(client)),
        ("aud".to_owned(), text(audience)),
        ("jti".to_owned(), text(&hex(&once))),
        ("iat".to_owned(), now.into()),
        ("exp".to_owned(), now.saturating_add(LIFE).into()),
    ]);
    let part = |part: Map<String, Json>| BASE64.encode(Json::Object(part).to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64.encode(key.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

#[cfg(test)]
mod tests {
    use policy::identity::Unproven;

    use super::*;

    fn pem(der: &[u8], label: &str) -> Vec<u8> {
        use base64::engine::general_purpose::STANDARD;
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
    }

    #[test]
    fn an_assertion_says_who_and_for_whom_and_is_each_time_another() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let ed25519 = Ed25519KeyPair::generate().expect("a key");
        let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().expect("its bytes");
        for (key, algorithm) in [
            (p256.to_pkcs8v1().expect("its bytes").as_ref(), "ES256"),
            (ed25519.to_pkcs8v1().expect("its bytes").as_ref(), "EdDSA"),
            (rsa.as_ref(), "RS256"),
        ] {
            let said =
                Said { client: "gate\"way", audience: "https://login.example.com", key_id: Some("k\n1") };
            let [one, other] = [(); 2].map(|()| sign(&pem(key, "PRIVATE KEY"), &said, 1000).expect("signed"));
            assert_ne!(one, other, "each is used once");
            let part = |n: usize| -> Json {
                let part = one.split('.').nth(n).expect("three parts");
                serde_json::from_slice(&BASE64.decode(part).expect("base64")).expect("JSON")
            };
            assert_eq!(part(0), serde_json::json!({ "alg": algorithm, "typ": "JWT", "kid": "k\n1" }));
            let claims = part(1);
            for (name, value) in [
                ("iss", Json::from("gate\"way")),
                ("sub", Json::from("gate\"way")),
                ("aud", Json::from("https://login.example.com")),
                ("iat", 1000.into()),
                ("exp", 1060.into()),
            ] {
                assert_eq!(claims[name], value, "{name}");
            }
            assert_eq!(Unproven::read(one.as_bytes()).expect("a token").issuer(), Some("gate\"way"));
        }
    }

    #[test]
    fn what_is_no_key_signs_nothing_and_is_not_told() {
        let public = pem(b"correct horse", "PUBLIC KEY");
        let broken = pem(b"correct horse", "PRIVATE KEY");
        for wrong in [b"correct horse".as_slice(), b"", &public, &broken] {
            let said = Said { client: "g", audience: "a", key_id: None };
            let error = sign(wrong, &said, 0).expect_err("no key").to_string();
            assert!(error.contains("no private key") && !error.contains("horse"), "{error}");
        }
    }
}
