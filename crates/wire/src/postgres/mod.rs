//! PostgreSQL's protocol 3.0 and 3.2: <https://www.postgresql.org/docs/18/protocol-message-formats.html>.

pub mod backend;
pub mod build;
pub mod copy;
pub mod error;
pub mod frontend;
pub mod md5;
pub mod oauth;
pub mod row;
pub mod scram;
pub mod startup;

#[cfg(test)]
mod tests;

use crate::Malformed;
use crate::reader::Reader;

/// One message after login, borrowed from the bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's type byte.
    pub kind: u8,
    /// All of it, as it came.
    pub whole: &'a [u8],
    /// What follows the length.
    pub body: &'a [u8],
}

/// The message at the front, if it is there whole. `limit` bounds its length in bytes, the type byte not counted.
pub fn split(bytes: &[u8], limit: usize) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((kind, length)) = header(bytes)? else { return Ok(None) };
    if length - 1 > limit {
        return Err(Malformed("message is too long"));
    }
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    Ok(whole.get(5..).map(|body| Frame { kind, whole, body }))
}

/// Type and total length (type byte included) of the message at the front, which need not be there whole.
pub fn header(bytes: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    if bytes.len() < 5 {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    let length = usize::try_from(reader.i32()?).map_err(|_| Malformed("negative length"))?;
    if length < 4 {
        return Err(Malformed("length shorter than itself"));
    }
    Ok(Some((kind, length + 1)))
}
