//! What one request has alone, for policies that ask: the values beside columns, bound ones and those in its text.

use model::Particulars;
use sql::postgres::catalog::Oid;
use sql::postgres::values::{Bound, Parameter, Values, values};
use sql::postgres::{NoNames, Session, Statement};
use wire::postgres::frontend::{Frontend, frontend};

use super::prepared::Prepared;
use super::request::{Request, RequestKind};
use super::shown::decoded;

/// What a request has alone. What was bound is not kept for an Execute, so nothing is told of its values.
pub(super) fn of(request: &Request) -> Particulars {
    let literals = u64::try_from(request.operation.literals().count()).unwrap_or(u64::MAX);
    let prepared = match &request.kind {
        RequestKind::Query => None,
        RequestKind::Bind { prepared, .. } => Some(&**prepared),
        RequestKind::Parse { .. } | RequestKind::FunctionCall | RequestKind::Execute { .. } => {
            return Particulars { literals, ..Particulars::default() };
        }
    };
    let (values, values_certain) = told(request, prepared).unwrap_or_default();
    Particulars { values, values_certain, literals, ..Particulars::default() }
}

fn told(
    request: &Request,
    prepared: Option<&Prepared>,
) -> Option<(std::collections::BTreeSet<model::Told>, bool)> {
    let catalog = &request.seen.catalogue;
    let found = read(request)?;
    let frame = wire::postgres::split(&request.frame, usize::MAX).ok().flatten()?;
    let message = frontend(&frame).ok()?;
    let bind = if let Frontend::Bind(bind) = message { Some(bind) } else { None };
    let bound = |parameter: Parameter| {
        let Some((bind, prepared)) = bind.as_ref().zip(prepared) else { return Bound::Unread };
        let Some(n) = usize::try_from(parameter.number).ok().and_then(|n| n.checked_sub(1)) else {
            return Bound::Unread;
        };
        let text = match bind.values.iter().nth(n) {
            None => return Bound::Unread,
            Some(None) => return Bound::Null,
            Some(Some(bytes)) if bind.formats.of(n) == 0 => {
                std::str::from_utf8(bytes).ok().map(str::to_owned)
            }
            Some(Some(bytes)) => taken_for(prepared, parameter, n).and_then(|oid| decoded(oid, bytes)),
        };
        text.map_or(Bound::Unread, Bound::Value)
    };
    Some(found.told(catalog, &bound))
}

fn read(request: &Request) -> Option<Values> {
    let text = request.text()?;
    let (search_path, role) = (request.under.path(), request.under.role());
    let session = Session { catalog: &request.seen.catalogue, search_path, role, prepared: &NoNames };
    let statements: Vec<&Statement> = request.operation.statements.iter().map(|s| &**s).collect();
    Some(values(&text, &session, &statements))
}

/// The type that the server reads a binary value as: what its Parse says, what the server said, what it stands beside.
fn taken_for(prepared: &Prepared, parameter: Parameter, n: usize) -> Option<u32> {
    let of = |types: &[u32]| types.get(n).copied().filter(|oid| *oid != 0);
    of(&prepared.declared)
        .or_else(|| prepared.described.get().and_then(|types| of(types)))
        .or(parameter.taken_for.map(|Oid(oid)| oid))
}
