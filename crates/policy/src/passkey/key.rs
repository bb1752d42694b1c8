//! The public keys of authenticators, as COSE writes them (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::Unproved;
use super::cbor::Cbor;

/// What a browser is asked for, best first: EdDSA, ES256, RS256.
pub const ALGORITHMS: [i64; 3] = [-8, -7, -257];

pub(super) enum PublicKey<'a> {
    /// The point, uncompressed.
    P256([u8; 65]),
    Ed25519(&'a [u8]),
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
    },
}

impl<'a> PublicKey<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unproved> {
        let map = Cbor::whole(bytes).ok_or(Unproved::Malformed)?;
        let is = |label: i64, value: i64| map.of_number(label) == Some(&Cbor::number(value));
        let field = |label: i64| map.of_number(label).and_then(Cbor::bytes).ok_or(Unproved::Malformed);
        // Key type, algorithm and curve must fit each other.
        if is(1, 2) && is(3, -7) && is(-1, 1) {
            let (x, y) = (field(-2)?, field(-3)?);
            let mut point = [4; 65];
            let (_, place) = point.split_at_mut(1);
            let both: Vec<u8> = x.iter().chain(y).copied().collect();
            if x.len() != 32 || both.len() != place.len() {
                return Err(Unproved::Malformed);
            }
            place.copy_from_slice(&both);
            return Ok(Self::P256(point));
        }
        if is(1, 1) && is(3, -8) && is(-1, 6) {
            let x = field(-2)?;
            return if x.len() == 32 { Ok(Self::Ed25519(x)) } else { Err(Unproved::Malformed) };
        }
        if is(1, 3) && is(3, -257) {
            return Ok(Self::Rsa { n: field(-1)?, e: field(-2)? });
        }
        Err(Unproved::Algorithm)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Unproved> {
        let verified = match self {
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature),
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| Unproved::Signature)
    }
}
