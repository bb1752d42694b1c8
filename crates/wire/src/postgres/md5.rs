//! The MD5 password response: `md5` + hex(md5(hex(md5(password + user)) + salt)).

use md5::{Digest, Md5};

/// What a client answers to AuthenticationMD5Password.
pub fn response(user: &[u8], password: &[u8], salt: [u8; 4]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let outer = hex(&Md5::new().chain_update(inner.as_bytes()).chain_update(salt).finalize());
    format!("md5{outer}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
