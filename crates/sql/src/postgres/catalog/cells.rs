//! The cells of an answer, read in order: what is not as asked is an error, never a default.

use std::str::FromStr;

use super::{Oid, Rows};

/// One row, read from left to right.
pub(super) struct Cells<'a> {
    rest: std::slice::Iter<'a, Option<String>>,
}

/// The rows of an answer.
pub(super) fn rows(answer: &Rows) -> impl Iterator<Item = Cells<'_>> {
    answer.iter().map(|row| Cells { rest: row.iter() })
}

impl<'a> Cells<'a> {
    /// A cell that may be NULL.
    pub(super) fn maybe(&mut self) -> Result<Option<&'a str>, String> {
        self.rest.next().map(|cell| cell.as_deref()).ok_or_else(|| "a row is too short".to_owned())
    }

    /// A cell that is never NULL.
    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        self.maybe()?.ok_or_else(|| "NULL where there must be a value".to_owned())
    }

    /// A copy of a cell that is never NULL.
    pub(super) fn string(&mut self) -> Result<String, String> {
        self.text().map(str::to_owned)
    }

    /// A number.
    pub(super) fn number<N: FromStr>(&mut self) -> Result<N, String> {
        number(self.text()?)
    }

    /// An OID; 0 for NULL.
    pub(super) fn oid(&mut self) -> Result<Oid, String> {
        self.maybe()?.map_or(Ok(Oid(0)), |text| number(text).map(Oid))
    }

    /// OIDs in a row, with spaces between them; none for NULL.
    pub(super) fn oids(&mut self) -> Result<Vec<Oid>, String> {
        let text = self.maybe()?.unwrap_or_default();
        text.split_ascii_whitespace().map(|word| number(word).map(Oid)).collect()
    }

    /// `t` or `f`.
    pub(super) fn flag(&mut self) -> Result<bool, String> {
        match self.text()? {
            "t" => Ok(true),
            "f" => Ok(false),
            other => Err(format!("{other} is neither true nor false")),
        }
    }

    /// A `"char"`; a space for an empty one.
    pub(super) fn letter(&mut self) -> Result<char, String> {
        Ok(self.text()?.chars().next().unwrap_or(' '))
    }

    /// A JSON array of texts; none for NULL.
    pub(super) fn list(&mut self) -> Result<Vec<String>, String> {
        self.maybe()?.map_or(Ok(Vec::new()), |text| {
            serde_json::from_str(text).map_err(|error| format!("not a list of texts: {error}"))
        })
    }
}

/// A number in an answer.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text} is not the number that was asked for"))
}
