//! Messages for both directions, appended to a buffer.

use super::backend::{Field, TransactionStatus};
use super::error::ErrorFields;
use crate::Malformed;

/// Appends one message: its type, its length and what `body` writes.
pub fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    set_length(out, start);
}

/// Writes the length of what was appended since `start` into the four bytes that were left there for it.
pub(super) fn set_length(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start.saturating_add(4)) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// The same of a message that may be none: then nothing is appended.
fn sendable(
    out: &mut Vec<u8>,
    kind: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let start = out.len();
    let mut built = Ok(());
    message(out, kind, |out| built = body(out));
    if built.is_err() {
        out.truncate(start);
    }
    built
}

/// A text of whoever asks for something. A zero byte would end it early: what is left would be another statement, another name
/// or another password than was meant, so that there is no message for it.
pub(super) fn cstr(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Malformed> {
    if text.contains(&0) {
        return Err(Malformed("a text with a zero byte, which no message can carry"));
    }
    out.extend_from_slice(text);
    out.push(0);
    Ok(())
}

/// A text of whoever answers, which is for people or comes out of a message itself. It is told whatever is in it, and none of it
/// begins a field of its own.
fn words(out: &mut Vec<u8>, text: &[u8]) {
    for (index, part) in text.split(|b| *b == 0).enumerate() {
        if index > 0 {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        out.extend_from_slice(part);
    }
    out.push(0);
}

fn count(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
}

fn value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value.map(|v| (i32::try_from(v.len()), v)) {
        Some((Ok(length), v)) => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(v);
        }
        Some((Err(_), _)) | None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

// ---------------------------------------------------------------------- a client's

/// Query.
///
/// # Errors
/// A zero byte in the text, here as in all that follows that carries one; then nothing is appended.
pub fn query(out: &mut Vec<u8>, sql: &str) -> Result<(), Malformed> {
    sendable(out, b'Q', |out| cstr(out, sql.as_bytes()))
}

/// Parse, with the type OIDs of the first parameters.
pub fn parse(out: &mut Vec<u8>, name: &str, sql: &str, types: &[u32]) -> Result<(), Malformed> {
    sendable(out, b'P', |out| {
        cstr(out, name.as_bytes())?;
        cstr(out, sql.as_bytes())?;
        count(out, types.len());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
        Ok(())
    })
}

/// Bind.
pub fn bind(
    out: &mut Vec<u8>,
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    results: &[i16],
) -> Result<(), Malformed> {
    sendable(out, b'B', |out| {
        cstr(out, portal.as_bytes())?;
        cstr(out, statement.as_bytes())?;
        shorts(out, formats);
        count(out, values.len());
        for v in values {
            value(out, *v);
        }
        shorts(out, results);
        Ok(())
    })
}

fn shorts(out: &mut Vec<u8>, values: &[i16]) {
    count(out, values.len());
    for v in values {
        out.extend_from_slice(&v.to_be_bytes());
    }
}

/// Describe; `kind` is `S` for a statement and `P` for a portal.
pub fn describe(out: &mut Vec<u8>, kind: u8, name: &str) -> Result<(), Malformed> {
    sendable(out, b'D', |out| {
        out.push(kind);
        cstr(out, name.as_bytes())
    })
}

/// Execute; 0 is all rows.
pub fn execute(out: &mut Vec<u8>, portal: &str, max_rows: u32) -> Result<(), Malformed> {
    sendable(out, b'E', |out| {
        cstr(out, portal.as_bytes())?;
        out.extend_from_slice(&max_rows.to_be_bytes());
        Ok(())
    })
}

/// Close of a portal.
pub fn close_portal(out: &mut Vec<u8>, name: &str) -> Result<(), Malformed> {
    sendable(out, b'C', |out| {
        out.push(b'P');
        cstr(out, name.as_bytes())
    })
}

/// Close of a statement.
pub fn close_statement(out: &mut Vec<u8>, name: &str) -> Result<(), Malformed> {
    sendable(out, b'C', |out| {
        out.push(b'S');
        cstr(out, name.as_bytes())
    })
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    message(out, b'S', |_| ());
}

/// Flush.
pub fn flush(out: &mut Vec<u8>) {
    message(out, b'H', |_| ());
}

/// Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    message(out, b'X', |_| ());
}

/// CopyFail.
pub fn copy_fail(out: &mut Vec<u8>, why: &str) -> Result<(), Malformed> {
    sendable(out, b'f', |out| cstr(out, why.as_bytes()))
}

/// PasswordMessage.
pub fn password(out: &mut Vec<u8>, password: &[u8]) -> Result<(), Malformed> {
    sendable(out, b'p', |out| cstr(out, password))
}

/// SASLInitialResponse.
pub fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, response: &[u8]) -> Result<(), Malformed> {
    sendable(out, b'p', |out| {
        cstr(out, mechanism.as_bytes())?;
        value(out, Some(response));
        Ok(())
    })
}

/// SASLResponse.
pub fn sasl_response(out: &mut Vec<u8>, response: &[u8]) {
    message(out, b'p', |out| out.extend_from_slice(response));
}

// ---------------------------------------------------------------------- a server's

/// ErrorResponse.
pub fn error(out: &mut Vec<u8>, fields: &ErrorFields) {
    message(out, b'E', |out| report(out, fields));
}

/// NoticeResponse.
pub fn notice(out: &mut Vec<u8>, fields: &ErrorFields) {
    message(out, b'N', |out| report(out, fields));
}

fn report(out: &mut Vec<u8>, fields: &ErrorFields) {
    for (kind, text) in fields.iter() {
        out.push(kind);
        words(out, text.as_bytes());
    }
    out.push(0);
}

/// FunctionCallResponse with NULL.
pub fn no_function_value(out: &mut Vec<u8>) {
    message(out, b'V', |out| out.extend_from_slice(&(-1_i32).to_be_bytes()));
}

/// ReadyForQuery.
pub fn ready(out: &mut Vec<u8>, status: TransactionStatus) {
    message(out, b'Z', |out| out.push(status.byte()));
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| words(out, tag.as_bytes()));
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    authentication(out, 0, &[]);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    authentication(out, 3, &[]);
}

/// AuthenticationMD5Password.
pub fn authentication_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    authentication(out, 5, &salt);
}

/// AuthenticationSASL with these mechanisms, the preferred one first.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let mut list = Vec::new();
    for mechanism in mechanisms {
        words(&mut list, mechanism.as_bytes());
    }
    list.push(0);
    authentication(out, 10, &list);
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 11, data);
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 12, data);
}

fn authentication(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    message(out, b'R', |out| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: impl AsRef<[u8]>) {
    message(out, b'S', |out| {
        words(out, name.as_bytes());
        words(out, value.as_ref());
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, process: u32, secret: &[u8]) {
    message(out, b'K', |out| {
        out.extend_from_slice(&process.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// NegotiateProtocolVersion. Servers send the whole number of the version, 3.0 as `0x30000`, whatever the documentation says
/// of a minor one; libpq takes less for a downgrade before 3.0.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: u32, options: &[&str]) {
    message(out, b'v', |out| {
        out.extend_from_slice(&(0x0003_0000 | minor).to_be_bytes());
        out.extend_from_slice(&u32::try_from(options.len()).unwrap_or(u32::MAX).to_be_bytes());
        for option in options {
            words(out, option.as_bytes());
        }
    });
}

/// RowDescription.
pub fn row_description(out: &mut Vec<u8>, fields: &[Field]) {
    message(out, b'T', |out| {
        count(out, fields.len());
        for field in fields {
            words(out, &field.name);
            out.extend_from_slice(&field.table.to_be_bytes());
            out.extend_from_slice(&field.attribute.to_be_bytes());
            out.extend_from_slice(&field.type_oid.to_be_bytes());
            out.extend_from_slice(&field.type_size.to_be_bytes());
            out.extend_from_slice(&field.type_modifier.to_be_bytes());
            out.extend_from_slice(&field.format.to_be_bytes());
        }
    });
}

/// DataRow.
pub fn data_row(out: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    message(out, b'D', |out| {
        count(out, values.len());
        for v in values {
            value(out, *v);
        }
    });
}
