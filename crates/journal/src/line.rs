//! One line: `{"seq":…,"time":…,"session":…,"n":…,"kind":…,…,"prev":…,"hash":…}`.
//!
//! The hash covers every byte of the line before `,"hash"`, so a verifier needs no canonical form of JSON: it hashes
//! what stands there.

use aws_lc_rs::digest;

use crate::json;
use crate::record::{Body, Fields};

/// The hash that the first record of a journal names as the one before it.
pub(crate) const GENESIS: Hash = [b'0'; 64];

/// What a line of a statement takes beside the fields that it shares, in bytes.
const ROOM: usize = 640;

const HASH_FIELD: &str = ",\"hash\":\"";

/// A hash as it stands in a line: 64 lower-case hexadecimal digits.
pub(crate) type Hash = [u8; 64];

/// Where a record stands.
pub(crate) struct Place<'a> {
    pub seq: u64,
    pub time: &'a [u8],
    /// A session's id as [`session`] writes it, and the number of the record in it.
    pub session: Option<(&'a [u8], u64)>,
    pub prev: &'a Hash,
}

/// Appends a line to `out` and returns its hash.
pub(crate) fn write(
    out: &mut Vec<u8>,
    place: &Place<'_>,
    body: &Body<'_>,
    shared: &[&Fields],
) -> Result<Hash, serde_json::Error> {
    let start = out.len();
    // Room for all of it but a long body, so that it is not moved while it grows.
    out.reserve(ROOM + shared.iter().map(|fields| fields.as_bytes().len()).sum::<usize>());
    out.extend_from_slice(b"{\"seq\":");
    json::number(out, place.seq);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(place.time);
    out.push(b'"');
    if let Some((session, n)) = place.session {
        out.extend_from_slice(session);
        json::number(out, n);
    }
    body.write(out)?;
    for fields in shared {
        out.push(b',');
        out.extend_from_slice(fields.as_bytes());
    }
    out.extend_from_slice(b",\"prev\":\"");
    out.extend_from_slice(place.prev);
    out.push(b'"');
    let hash = hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(HASH_FIELD.as_bytes());
    out.extend_from_slice(&hash);
    out.extend_from_slice(b"\"}\n");
    Ok(hash)
}

/// A session's id as it stands in its lines, up to the number of the record. It is written once for all of them.
pub(crate) fn session(id: &str) -> Box<[u8]> {
    // A text can always be written.
    let id = serde_json::to_string(id).unwrap_or_else(|_| "null".to_owned());
    format!(",\"session\":{id},\"n\":").into_bytes().into()
}

/// What a line says of itself.
pub(crate) struct Said {
    pub seq: u64,
    pub prev: Hash,
    pub hash: Hash,
    pub value: serde_json::Value,
}

/// Reads a line (without its newline) and checks that its hash is its own.
pub(crate) fn read(line: &[u8]) -> Result<Said, &'static str> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|_| "not a JSON object")?;
    let text = |name: &str| value.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let seq = value.get("seq").and_then(serde_json::Value::as_u64).ok_or("no sequence number")?;
    let digits = |text: String| Hash::try_from(text.as_bytes()).ok();
    let prev = text("prev").and_then(digits).ok_or("no hash of the record before")?;
    let said = text("hash").ok_or("no hash")?;
    let tail = format!("{HASH_FIELD}{said}\"}}");
    let covered = line.strip_suffix(tail.as_bytes()).ok_or("the hash is not the last field")?;
    let hash = hash(covered);
    if hash != *said.as_bytes() {
        return Err("the hash does not match the record");
    }
    Ok(Said { seq, prev, hash, value })
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hex = [0; 64];
    json::hex(digest::digest(&digest::SHA256, bytes).as_ref(), &mut hex);
    hex
}
