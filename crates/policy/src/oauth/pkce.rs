//! Proof that whoever trades a code is who asked for it (RFC 7636), by SHA-256 alone: `plain` proves nothing to whoever reads along.

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// What a verifier must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// 32 bytes in Base64 without padding, as a digest is written (§4.2).
    pub fn read(text: &str) -> Option<Self> {
        let digest = BASE64.decode(text).ok()?;
        (digest.len() == digest::SHA256_OUTPUT_LEN).then(|| Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a verifier is the one that it was made of. It has 43 to 128 letters, digits and `-._~` (§4.1).
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(fine) {
            return false;
        }
        let made = BASE64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        constant_time::verify_slices_are_equal(made.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn a_challenge_is_met_by_its_verifier_alone() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let text = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let challenge = Challenge::read(text).expect("a challenge");
        assert!(challenge.is_met_by(verifier));
        for wrong in
            ["", text, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK", &verifier[..42], &"a".repeat(129)]
        {
            assert!(!challenge.is_met_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_digest_is_no_challenge() {
        for wrong in [
            "",
            "short",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=",
            &"a".repeat(64),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
        ] {
            assert!(Challenge::read(wrong).is_none(), "{wrong}");
        }
    }
}
