//! DataRow: read whole, or rewritten column by column in one pass.

use crate::Malformed;
use crate::postgres::build;
use crate::reader::Reader;

/// What becomes of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// It stays as it is.
    Keep,
    /// It becomes NULL.
    Null,
    /// It becomes this.
    Value(&'a [u8]),
}

/// Says what becomes of each value of a row.
pub trait Cells {
    /// The column's index, from 0, and its value; `None` is NULL.
    fn cell(&mut self, index: usize, value: Option<&[u8]>) -> Cell<'_>;
}

/// How many columns a row has.
pub fn columns(body: &[u8]) -> Result<usize, Malformed> {
    Reader::new(body).count(4)
}

/// The values of a row.
pub fn values(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.count(4)?;
    let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(values)
}

/// Appends the row, rewritten, as a whole message. On an error `out` may hold a part of it and must not be sent.
pub fn rewrite(body: &[u8], out: &mut Vec<u8>, cells: &mut impl Cells) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.count(4)?;
    let mut result = Ok(());
    build::message(out, b'D', |out| {
        result = (|| {
            out.extend_from_slice(
                &u16::try_from(count).map_err(|_| Malformed("too many columns"))?.to_be_bytes(),
            );
            for index in 0..count {
                let value = reader.value()?;
                match cells.cell(index, value) {
                    Cell::Keep => append(out, value)?,
                    Cell::Null => append(out, None)?,
                    Cell::Value(new) => append(out, Some(new))?,
                }
            }
            reader.finish()
        })();
    });
    result
}

fn append(out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), Malformed> {
    let length = match value {
        None => -1,
        Some(v) => i32::try_from(v.len()).map_err(|_| Malformed("value is too long"))?,
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
    Ok(())
}
