//! Rows of what gateways keep for each other: tokens that issuers are asked about, and where tagged columns were found.

use std::collections::BTreeSet;

use model::{ColumnName, TableName};
use serde::{Deserialize, Serialize};
use sql::postgres::catalog::{Oid, Placed};
use zeroize::Zeroizing;

use crate::requests::parse_principal;
use crate::state::{Asked, StateError};

#[derive(Serialize)]
struct Written<'a> {
    token: &'a str,
    issuer: &'a str,
    principal: String,
    groups: &'a BTreeSet<String>,
    good: i64,
}

#[derive(Deserialize)]
struct Read {
    token: String,
    issuer: String,
    principal: String,
    groups: BTreeSet<String>,
    /// Long ago, where it was written before that was.
    #[serde(default)]
    good: i64,
}

fn unreadable(what: &str) -> StateError {
    StateError(format!("{what} cannot be read"))
}

pub(super) fn asked_row(asked: &Asked) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let Asked { token, issuer, principal, groups, good } = asked;
    let written = Written { token, issuer, principal: principal.to_string(), groups, good: *good };
    let row = serde_json::to_vec(&written).map_err(|_| unreadable("a token that is asked about"))?;
    Ok(Zeroizing::new(row))
}

pub(super) fn asked(row: &[u8]) -> Result<Asked, StateError> {
    let Read { token, issuer, principal, groups, good } =
        serde_json::from_slice(row).map_err(|_| unreadable("a token that is asked about"))?;
    let principal = parse_principal(&principal).map_err(|error| StateError(error.to_string()))?;
    Ok(Asked { token: Zeroizing::new(token), issuer, principal, groups, good })
}

/// Columns in one text each, so that no sign in a name is taken for another's.
pub(super) fn place_rows(placed: &Placed) -> Result<(BTreeSet<String>, BTreeSet<store::Place>), StateError> {
    let text = |column: &ColumnName| {
        let ColumnName { table: TableName { schema, name: table }, name } = column;
        serde_json::to_string(&[schema, table, name]).map_err(|_| unreadable("a column's name"))
    };
    let columns = placed.columns().map(text).collect::<Result<_, _>>()?;
    let found = placed.places().map(|(column, Oid(relation), number)| {
        Ok(store::Place { column: text(column)?, relation: relation.into(), number: number.into() })
    });
    Ok((columns, found.collect::<Result<_, StateError>>()?))
}

pub(super) fn placed(rows: &BTreeSet<store::Place>) -> Result<Placed, StateError> {
    let mut placed = Placed::default();
    for store::Place { column, relation, number } in rows {
        let wrong = || unreadable("where a column was found");
        let [schema, table, name]: [String; 3] = serde_json::from_str(column).map_err(|_| wrong())?;
        let relation = u32::try_from(*relation).map_err(|_| wrong())?;
        let number = i16::try_from(*number).map_err(|_| wrong())?;
        let column = ColumnName { table: TableName { schema, name: table }, name };
        placed.add(column, Oid(relation), number);
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use model::{PrincipalKind, PrincipalRef};

    use super::*;

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let mut before = Placed::default();
        for (schema, table, name, relation, number) in
            [("shop", "a.b", "\"c\"", 7, -2), ("shop", "a", "b.c", u32::MAX, 3), ("shop", "a", "b.c", 1, 3)]
        {
            let table = TableName { schema: schema.to_owned(), name: table.to_owned() };
            before.add(ColumnName { table, name: name.to_owned() }, Oid(relation), number);
        }
        let (columns, rows) = place_rows(&before).expect("rows");
        assert_eq!((columns.len(), rows.len()), (2, 3));
        assert_eq!(placed(&rows).expect("read"), before);
        let kept = Asked {
            token: Zeroizing::new("a\"b".to_owned()),
            issuer: "company".to_owned(),
            principal: PrincipalRef { kind: PrincipalKind::Agent, name: "company/x:y".to_owned() },
            groups: ["company/dba".to_owned()].into(),
            good: 1_800_000_000,
        };
        let back = asked(&asked_row(&kept).expect("a row")).expect("read");
        assert_eq!((&back.token, &back.issuer), (&kept.token, &kept.issuer));
        assert_eq!((back.principal, back.groups, back.good), (kept.principal, kept.groups, kept.good));
        let before = br#"{"token":"t","issuer":"i","principal":"agent:x","groups":[]}"#;
        assert_eq!(asked(before).expect("read").good, 0, "one that was written before that was");
    }
}
