//! What ways to a server by TLS and signed tokens take, for house commands, which use the standard library alone:
//! certificates, an issuer's keys, a token of it.
//!
//! `credentials DIR ISSUER AUDIENCE` writes `authority.pem`, `server.pem` and `server.key` for 127.0.0.1, `jwks.json`, and
//! `token.jwt` of the subject `bench`, signed by RS256 as most issuers do.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use testkit::Failure;
use testkit::certificates::Certificates;
use testkit::jwt::{Signer, jwks};

/// Longer than any measurement takes, in seconds.
const LIFETIME: u64 = 24 * 3600;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, issuer, audience] = arguments.as_slice() else {
        return Err("credentials DIR ISSUER AUDIENCE".into());
    };
    let directory = Path::new(directory);
    Certificates::make(directory, &["127.0.0.1"])?;
    let signer = Signer::rsa("bench")?;
    fs::write(directory.join("jwks.json"), jwks(&[&signer]))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = format!(
        "{{\"iss\":\"{issuer}\",\"aud\":\"{audience}\",\"sub\":\"bench\",\"iat\":{now},\"exp\":{}}}",
        now + LIFETIME
    );
    fs::write(directory.join("token.jwt"), signer.sign(&claims)?)?;
    Ok(())
}
