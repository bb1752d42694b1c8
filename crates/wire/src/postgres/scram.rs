//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides: RFC 5802, RFC 7677, and RFC 5929 for the binding to TLS.
//!
//! Nonces and salts are passed in: this crate has no source of chance.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::Malformed;

/// The mechanism without a binding to TLS.
pub const SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism that is bound to the TLS connection.
pub const SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// A server that asks for more iterations than this wants to keep us busy.
const MOST_ITERATIONS: u32 = 10_000_000;

type Key = [u8; 32];

/// What a server keeps instead of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// At least 16 bytes of chance.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2; at least 4096.
    pub iterations: u32,
    /// H(ClientKey).
    pub stored_key: Key,
    /// Proves the server to the client.
    pub server_key: Key,
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramVerifier")
    }
}

impl ScramVerifier {
    /// For a password, already prepared.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted(password, salt, iterations);
        let client_key = mac(salted.as_slice(), b"Client Key");
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: hash(&client_key),
            server_key: mac(salted.as_slice(), b"Server Key"),
        }
    }

    /// Whether this is the password, in time that does not depend on where it differs.
    pub fn matches(&self, password: &[u8]) -> bool {
        let salted = salted(password, &self.salt, self.iterations);
        let stored = hash(&mac(salted.as_slice(), b"Client Key"));
        constant_time::verify_slices_are_equal(&stored, &self.stored_key).is_ok()
    }

    /// Reads PostgreSQL's text form: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bad = Malformed("not a SCRAM verifier");
        let rest = text.strip_prefix("SCRAM-SHA-256$").ok_or(bad)?;
        let (head, keys) = rest.split_once('$').ok_or(bad)?;
        let (iterations, salt) = head.split_once(':').ok_or(bad)?;
        let (stored, server) = keys.split_once(':').ok_or(bad)?;
        let key = |text: &str| BASE64.decode(text).ok().and_then(|k| Key::try_from(k).ok()).ok_or(bad);
        Ok(Self {
            salt: BASE64.decode(salt).map_err(|_| bad)?,
            iterations: iterations.parse().map_err(|_| bad)?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }
}

impl std::fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (salt, stored, server) =
            (BASE64.encode(&self.salt), BASE64.encode(self.stored_key), BASE64.encode(self.server_key));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// How an exchange is bound to TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// There is no TLS, or the other side offers no binding and ours is off (`n`).
    None,
    /// We could, but the other side did not offer it (`y`): it will notice if somebody took its offer away.
    Unoffered,
    /// `tls-server-end-point`: the hash of the server's certificate.
    ServerEndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::Unoffered => "y,,",
            Self::ServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn input(&self) -> Vec<u8> {
        let mut input = self.header().as_bytes().to_vec();
        if let Self::ServerEndPoint(data) = self {
            input.extend_from_slice(data);
        }
        input
    }
}

/// What a server's rounds make of a password. The rounds cost milliseconds and are the same for each login, so whoever
/// keeps the password keeps this with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    key: Zeroizing<Key>,
}

/// A client's side of one exchange.
pub struct Client {
    salted: Option<Salted>,
    binding: Binding,
    nonce: String,
    password: Zeroizing<Vec<u8>>,
    expects: Option<Key>,
}

impl Client {
    /// `nonce` is printable ASCII without commas, from a source of chance. The password is prepared as RFC 4013 says,
    /// or taken as it is where that fails, as PostgreSQL does.
    /// `known` is what an earlier login with the same password has worked out.
    pub fn new(password: &[u8], nonce: &str, binding: Binding, known: Option<Salted>) -> Self {
        let prepared = std::str::from_utf8(password)
            .ok()
            .and_then(|p| stringprep::saslprep(p).ok().map(|p| p.as_bytes().to_vec()))
            .unwrap_or_else(|| password.to_vec());
        Self {
            binding,
            nonce: nonce.to_owned(),
            password: Zeroizing::new(prepared),
            expects: None,
            salted: known,
        }
    }

    /// The first message. PostgreSQL knows the user already and ignores the name.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.binding.header(), self.first_bare()).into_bytes()
    }

    fn first_bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The second message, in answer to the server's first.
    pub fn answer(&mut self, server_first: &[u8]) -> Result<Vec<u8>, Malformed> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| Malformed("SCRAM: not UTF-8"))?;
        let mut parts = server_first.split(',');
        let nonce = attribute(parts.next(), "r=")?;
        let salt =
            BASE64.decode(attribute(parts.next(), "s=")?).map_err(|_| Malformed("SCRAM: invalid salt"))?;
        let iterations: u32 = attribute(parts.next(), "i=")?
            .parse()
            .map_err(|_| Malformed("SCRAM: invalid iteration count"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() <= self.nonce.len() {
            return Err(Malformed("SCRAM: the server's nonce is not ours and more"));
        }
        if iterations == 0 || iterations > MOST_ITERATIONS {
            return Err(Malformed("SCRAM: iteration count out of range"));
        }
        let known = self.salted.take().filter(|known| known.salt == salt && known.iterations == iterations);
        let worked_out = known.unwrap_or_else(|| {
            let key = salted(&self.password, &salt, iterations);
            Salted { salt, iterations, key }
        });
        let salted = worked_out.key.clone();
        self.salted = Some(worked_out);
        let without_proof = format!("c={},r={nonce}", BASE64.encode(self.binding.input()));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare());
        let client_key = mac(salted.as_slice(), b"Client Key");
        let proof = xor(&client_key, &mac(&hash(&client_key), signed.as_bytes()));
        self.expects = Some(mac(&mac(salted.as_slice(), b"Server Key"), signed.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }

    /// What this login has worked out, for the next one.
    pub fn into_salted(self) -> Option<Salted> {
        self.salted
    }

    /// Checks that the server knows the password, too.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), Malformed> {
        let text = std::str::from_utf8(server_final).map_err(|_| Malformed("SCRAM: not UTF-8"))?;
        let signature = BASE64
            .decode(attribute(text.split(',').next(), "v=")?)
            .map_err(|_| Malformed("SCRAM: invalid server signature"))?;
        let expected = self.expects.ok_or(Malformed("SCRAM: the server's last message came first"))?;
        constant_time::verify_slices_are_equal(&signature, &expected)
            .map_err(|_| Malformed("SCRAM: the server does not know the password"))
    }
}

/// A server's side of one exchange, after the client's first message.
pub struct Server {
    verifier: ScramVerifier,
    binding_input: Vec<u8>,
    nonce: String,
    signed: String,
}

impl Server {
    /// Reads the client's first message. `plus` says which mechanism the client chose; `end_point` is the hash of our
    /// certificate, where there is TLS. Returns the server's first message.
    pub fn begin(
        verifier: ScramVerifier,
        plus: bool,
        end_point: Option<&[u8]>,
        client_first: &[u8],
        nonce: &str,
    ) -> Result<(Self, Vec<u8>), Malformed> {
        let text = std::str::from_utf8(client_first).map_err(|_| Malformed("SCRAM: not UTF-8"))?;
        let (flag, rest) = text.split_once(',').ok_or(Malformed("SCRAM: no channel binding flag"))?;
        let (identity, bare) = rest.split_once(',').ok_or(Malformed("SCRAM: no authorization identity"))?;
        let binding = match (flag, plus, end_point) {
            ("n", false, _) => Binding::None,
            // The client thinks that we offer no binding, but we did: somebody changed our offer.
            ("y", false, Some(_)) => {
                return Err(Malformed("SCRAM: the offer of channel binding was removed"));
            }
            ("y", false, None) => Binding::Unoffered,
            ("p=tls-server-end-point", true, Some(hash)) => Binding::ServerEndPoint(hash.to_vec()),
            _ => return Err(Malformed("SCRAM: unsupported channel binding")),
        };
        if !identity.is_empty() {
            return Err(Malformed("SCRAM: authorization identities are not supported"));
        }
        let mut parts = bare.split(',');
        attribute(parts.next(), "n=")?;
        let client_nonce = attribute(parts.next(), "r=")?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(Malformed("SCRAM: invalid nonce"));
        }
        let nonce = format!("{client_nonce}{nonce}");
        let first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let signed = format!("{bare},{first}");
        Ok((Self { verifier, binding_input: binding.input(), nonce, signed }, first.into_bytes()))
    }

    /// Reads the client's second message: the server's last one, or `None` where the password is not the right one.
    pub fn finish(&self, client_final: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let text = std::str::from_utf8(client_final).map_err(|_| Malformed("SCRAM: not UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed("SCRAM: no proof"))?;
        let mut parts = without_proof.split(',');
        let binding = BASE64
            .decode(attribute(parts.next(), "c=")?)
            .map_err(|_| Malformed("SCRAM: invalid channel binding"))?;
        if binding != self.binding_input {
            return Err(Malformed("SCRAM: the channel binding does not match"));
        }
        if attribute(parts.next(), "r=")? != self.nonce {
            return Err(Malformed("SCRAM: the nonce does not match"));
        }
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|p| p.try_into().ok())
            .ok_or(Malformed("SCRAM: invalid proof"))?;
        let signed = format!("{},{without_proof}", self.signed);
        let client_key = xor(&proof, &mac(&self.verifier.stored_key, signed.as_bytes()));
        if constant_time::verify_slices_are_equal(&hash(&client_key), &self.verifier.stored_key).is_err() {
            return Ok(None);
        }
        let signature = mac(&self.verifier.server_key, signed.as_bytes());
        Ok(Some(format!("v={}", BASE64.encode(signature)).into_bytes()))
    }
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, Malformed> {
    part.and_then(|p| p.strip_prefix(name)).ok_or(Malformed("SCRAM: an attribute is missing"))
}

fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Key> {
    let mut out = Zeroizing::new([0; 32]);
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, out.as_mut_slice());
    out
}

fn mac(key: &[u8], data: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    fixed(tag.as_ref())
}

fn hash(data: &[u8]) -> Key {
    fixed(digest::digest(&digest::SHA256, data).as_ref())
}

fn fixed(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
    key
}

fn xor(a: &Key, b: &Key) -> Key {
    let mut out = [0; 32];
    for ((to, x), y) in out.iter_mut().zip(a).zip(b) {
        *to = x ^ y;
    }
    out
}
