//! What a connection begins with, before messages have types.

use crate::Malformed;
use crate::reader::Reader;

/// PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`, in bytes.
pub const LONGEST: usize = 10_000;

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

/// A packet before login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    Gss,
    /// The client asks to cancel what another connection of its does.
    Cancel {
        /// The process id that the other connection was given.
        process: u32,
        /// The secret that the other connection was given: 4 bytes, up to 256 in protocol 3.2.
        secret: Vec<u8>,
    },
    /// The client wants in.
    Login(Login),
}

/// StartupMessage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Major version of the protocol.
    pub major: u16,
    /// Minor version of the protocol.
    pub minor: u16,
    /// Names and values in their order; a name may come twice. Values are in whatever encoding the client and the server
    /// agree on: names of databases are compared by their bytes.
    pub parameters: Vec<(String, Vec<u8>)>,
}

impl Login {
    /// The last value given for a name, which is the one that PostgreSQL takes.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }
}

/// The packet at the front and its length in bytes, if it is there whole.
pub fn split_startup(bytes: &[u8]) -> Result<Option<(Startup, usize)>, Malformed> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    let length = usize::try_from(Reader::new(bytes).i32()?).map_err(|_| Malformed("negative length"))?;
    if !(8..=LONGEST).contains(&length) {
        return Err(Malformed("invalid length of startup packet"));
    }
    let Some(packet) = bytes.get(4..length) else { return Ok(None) };
    let mut reader = Reader::new(packet);
    let startup = match reader.u32()? {
        SSL => {
            reader.finish()?;
            Startup::Ssl
        }
        GSS => {
            reader.finish()?;
            Startup::Gss
        }
        CANCEL => {
            let process = reader.u32()?;
            let secret = reader.rest().to_vec();
            if !(4..=256).contains(&secret.len()) {
                return Err(Malformed("invalid length of cancel key"));
            }
            Startup::Cancel { process, secret }
        }
        version => Startup::Login(login(version, reader)?),
    };
    Ok(Some((startup, length)))
}

fn login(version: u32, mut reader: Reader<'_>) -> Result<Login, Malformed> {
    let [a, b, c, d] = version.to_be_bytes();
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut parameters = Vec::new();
    // The layout of other major versions is not known; it is enough to know that they are others.
    if major != 3 {
        return Ok(Login { major, minor, parameters });
    }
    loop {
        let name = text(reader.cstr()?)?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, reader.cstr()?.to_vec()));
    }
    reader.finish()?;
    Ok(Login { major, minor, parameters })
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Malformed("name of a startup parameter is not valid UTF-8"))
}

/// Appends an SSLRequest.
pub fn ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&8u32.to_be_bytes());
    out.extend_from_slice(&SSL.to_be_bytes());
}

/// Appends a CancelRequest.
pub fn cancel_request(out: &mut Vec<u8>, process: u32, secret: &[u8]) {
    let length = u32::try_from(12 + secret.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&CANCEL.to_be_bytes());
    out.extend_from_slice(&process.to_be_bytes());
    out.extend_from_slice(secret);
}

/// Appends a StartupMessage of protocol `3.minor`.
///
/// # Errors
/// A zero byte in a name or a value; then nothing is appended.
pub fn login_request(
    out: &mut Vec<u8>,
    minor: u16,
    parameters: &[(String, impl AsRef<[u8]>)],
) -> Result<(), Malformed> {
    let mut packet = vec![0; 4];
    packet.extend_from_slice(&3u16.to_be_bytes());
    packet.extend_from_slice(&minor.to_be_bytes());
    for (name, value) in parameters {
        super::build::cstr(&mut packet, name.as_bytes())?;
        super::build::cstr(&mut packet, value.as_ref())?;
    }
    packet.push(0);
    super::build::set_length(&mut packet, 0);
    out.append(&mut packet);
    Ok(())
}
