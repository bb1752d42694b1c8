//! What is alike to an operation: the same text but for plain values, sent under the same settings with parameters of the same
//! types. A standing grant for it covers those, and an inbox shows them together.

use sql::postgres::{Control, Open, Options, REMOVED, alike, at_cursor};
use wire::postgres::frontend::{Frontend, frontend};

use super::prepared::Prepared;
use super::request::{Request, RequestKind};
use crate::holds::{Alike, Plain};

/// `None` where nothing is taken for alike.
pub(super) fn of(request: &Request) -> Option<Alike> {
    let operation = &request.operation;
    let by_name = |c: &Control| matches!(c, Control::Execute { .. } | Control::Fetch { .. });
    if !request.under.is_settled() || operation.controls().any(by_name) || operation.statements.len() != 1 {
        return None;
    }
    let (sql, prepared) = match &request.kind {
        RequestKind::Query => (request.text()?, None),
        RequestKind::Bind { prepared, .. } => (request.text()?, Some(prepared)),
        RequestKind::Parse { .. } | RequestKind::FunctionCall | RequestKind::Execute { .. } => return None,
    };
    if at_cursor(&sql) {
        return None;
    }
    let major = request.seen.catalogue.server_version / 10_000;
    let found = alike(&sql, major, &Options::default()).ok()?;
    let literals: Vec<&str> = operation.literals().map(|literal| literal.value.as_str()).collect();
    if literals.len() != found.literals || literals.contains(&REMOVED) {
        return None;
    }
    let mut all = Alike { parts: vec![found.text.clone().into_bytes()], open: Vec::new() };
    let parameters = match prepared {
        Some(prepared) => bound(request, prepared, &found.open, &mut all)?,
        None => 0,
    };
    for open in &found.open {
        if let Open::Literal(number, word) = open {
            let number = u32::try_from(parameters + number + 1).ok()?;
            all.open.push(Plain { number, value: word.clone().into_bytes() });
        }
    }
    for (name, value) in request.under.lines() {
        all.parts.extend([name.into_bytes(), value.into_bytes()]);
    }
    Some(all)
}

/// The values that are bound: those that are not plain are the same in all that is alike. How many they are.
fn bound(request: &Request, prepared: &Prepared, open: &[Open], all: &mut Alike) -> Option<usize> {
    for oid in prepared.declared.iter() {
        all.parts.push(oid.to_be_bytes().to_vec());
    }
    let frame = wire::postgres::split(&request.frame, usize::MAX).ok().flatten()?;
    let Ok(Frontend::Bind(bind)) = frontend(&frame) else { return None };
    let mut count = 0;
    for (index, value) in bind.values.iter().enumerate() {
        count += 1;
        let number = u32::try_from(count).ok()?;
        let format = bind.formats.of(index);
        let mut written = format.to_be_bytes().to_vec();
        written.extend_from_slice(value.unwrap_or_default());
        let word: &[u8] = if value.is_some() { b"value" } else { b"null" };
        all.parts.push(word.to_vec());
        if value.is_some() && open.contains(&Open::Parameter(number)) {
            all.open.push(Plain { number, value: written });
        } else {
            all.parts.push(written);
        }
    }
    Some(count)
}
