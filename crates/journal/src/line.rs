//! One line: `{"seq":…,"time":…,"session":…,"n":…,"kind":…,…,"prev":…,"hash":…}`.
//!
//! The hash covers every byte of the line before `,"hash"`, so a verifier needs no canonical form of JSON: it hashes
//! what stands there.

use aws_lc_rs::digest;

use crate::record::Body;

/// The hash that the first record of a journal names as the one before it.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH_FIELD: &str = ",\"hash\":\"";

/// Where a record stands.
pub(crate) struct Place<'a> {
    pub seq: u64,
    pub time: &'a str,
    pub session: Option<(&'a str, u64)>,
    pub prev: &'a str,
}

/// Appends a line to `out` and returns its hash.
pub(crate) fn write(out: &mut Vec<u8>, place: &Place<'_>, body: &Body) -> Result<String, serde_json::Error> {
    let start = out.len();
    out.extend_from_slice(format!("{{\"seq\":{},\"time\":\"{}\"", place.seq, place.time).as_bytes());
    if let Some((session, n)) = place.session {
        out.extend_from_slice(b",\"session\":");
        serde_json::to_writer(&mut *out, session)?;
        out.extend_from_slice(format!(",\"n\":{n}").as_bytes());
    }
    // The body is an object: its brace becomes the comma that joins it to what stands before.
    let brace = out.len();
    serde_json::to_writer(&mut *out, body)?;
    if let Some(first) = out.get_mut(brace) {
        *first = b',';
    }
    out.pop();
    out.extend_from_slice(format!(",\"prev\":\"{}\"", place.prev).as_bytes());
    let hash = hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(format!("{HASH_FIELD}{hash}\"}}\n").as_bytes());
    Ok(hash)
}

/// What a line says of itself.
pub(crate) struct Said {
    pub seq: u64,
    pub prev: String,
    pub hash: String,
    pub value: serde_json::Value,
}

/// Reads a line (without its newline) and checks that its hash is its own.
pub(crate) fn read(line: &[u8]) -> Result<Said, &'static str> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|_| "not a JSON object")?;
    let text = |name: &str| value.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let seq = value.get("seq").and_then(serde_json::Value::as_u64).ok_or("no sequence number")?;
    let prev = text("prev").ok_or("no hash of the record before")?;
    let said = text("hash").ok_or("no hash")?;
    let tail = format!("{HASH_FIELD}{said}\"}}");
    let covered = line.strip_suffix(tail.as_bytes()).ok_or("the hash is not the last field")?;
    if hash(covered) != said {
        return Err("the hash does not match the record");
    }
    Ok(Said { seq, prev, hash: said, value })
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
