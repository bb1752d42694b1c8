//! What makes one operation this one and no other: an approval of it is good for nothing else.

use sql::postgres::{Control, at_cursor, canonical};
use wire::postgres::frontend::{Frontend, frontend};

use super::request::{Request, RequestKind};

/// Hands over the texts and values of a request, in parts. Comments and white space between the words of a text are none. What depends on something that this session could change before
/// it sends the same again (`EXECUTE name`, `FETCH name`, `WHERE CURRENT OF name`, a statement that SQL prepared) is bound to the session and its
/// moment, so that an approval of it can only be waited for.
pub(super) fn exact(request: &Request, session: &str, part: &mut dyn FnMut(&[u8])) {
    match &request.kind {
        RequestKind::Query => match query(&request.frame) {
            Some(sql) => text(&sql, part),
            None => part(&request.frame),
        },
        RequestKind::Parse { .. } | RequestKind::FunctionCall => part(&request.frame),
        // Its values were told when it was bound, and not kept.
        RequestKind::Execute { .. } => once(session, part),
        RequestKind::Bind { prepared, .. } => {
            match &prepared.text {
                Some(sql) if prepared.by_sql.is_none() => text(sql, part),
                Some(_) | None => once(session, part),
            }
            for oid in prepared.declared.iter() {
                part(&oid.to_be_bytes());
            }
            values(&request.frame, part);
        }
    }
    for (name, value) in request.under.lines() {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    if !request.under.is_settled() {
        once(session, part);
    }
    let by_name =
        request.operation.controls().any(|c| matches!(c, Control::Execute { .. } | Control::Fetch { .. }));
    if by_name || request.text().is_some_and(|sql| at_cursor(&sql)) {
        once(session, part);
    }
}

/// The text of a Query.
fn query(frame: &[u8]) -> Option<String> {
    let frame = wire::postgres::split(frame, usize::MAX).ok().flatten()?;
    let Ok(Frontend::Query(text)) = frontend(&frame) else { return None };
    String::from_utf8(text.to_vec()).ok()
}

fn text(sql: &str, part: &mut dyn FnMut(&[u8])) {
    match canonical(sql) {
        Some(canonical) => {
            part(b"text");
            part(canonical.as_bytes());
        }
        None => {
            part(b"bytes");
            part(sql.as_bytes());
        }
    }
}

fn values(frame: &[u8], part: &mut dyn FnMut(&[u8])) {
    let frame = wire::postgres::split(frame, usize::MAX).ok().flatten();
    let Some(Ok(Frontend::Bind(bind))) = frame.as_ref().map(frontend) else { return };
    for format in bind.formats.iter() {
        part(&format.to_be_bytes());
    }
    for value in bind.values.iter() {
        match value {
            None => part(b"null"),
            Some(value) => {
                part(b"value");
                part(value);
            }
        }
    }
}

fn once(session: &str, part: &mut dyn FnMut(&[u8])) {
    let mut chance = [0; 16];
    // Without randomness the moment would not differ, so the session's id has to do.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    part(session.as_bytes());
    part(&chance);
}
