//! Masks that come back as input. Who reads a row, changes it and writes it back would put what stood there masked in the place
//! of what is stored.

use std::collections::BTreeSet;

use model::{ColumnName, Tag};
use sql::postgres::stored::{Plain, Stored, stored};
use sql::postgres::{NoNames, Session};

use super::request::Request;
use crate::audit::ValueNote;

/// The tagged columns, with their tags, in which a request would store what masks look like.
pub(super) fn of(request: &Request) -> Vec<(ColumnName, BTreeSet<Tag>)> {
    let bound = request.bound_values();
    let is_mask = |value: &ValueNote<'_>| {
        value.bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).is_some_and(masking::is_mask)
    };
    // Hardly any request has one, and most need not be read for it.
    if !request.operation.literals().any(|l| masking::is_mask(&l.value)) && !bound.iter().any(is_mask) {
        return Vec::new();
    }
    let Some(text) = request.text() else { return Vec::new() };
    let (search_path, role) = (request.under.path(), request.under.role());
    let session = Session { catalog: &request.seen.catalogue, search_path, role, prepared: &NoNames };
    let returns = |stored: &Stored| match &stored.value {
        Plain::Text(text) => masking::is_mask(text),
        Plain::Parameter(number) => number.checked_sub(1).and_then(|n| bound.get(n)).is_some_and(is_mask),
    };
    let found = stored(&text, &session).into_iter().filter(returns);
    found.map(|Stored { column, tags, value: _ }| (column, tags)).collect()
}
