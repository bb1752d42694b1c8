//! The rows of `COPY … TO STDOUT`, rewritten column by column: <https://www.postgresql.org/docs/18/sql-copy.html>.
//!
//! The server sends one row in each CopyData message. In the binary format its header comes joined with the first row,
//! and its trailer by itself. Columns that are not touched keep their bytes.

use super::build;
use super::row::{Cell, Cells};
use crate::Malformed;
use crate::reader::Reader;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// What stands for NULL in the text format unless a statement says otherwise. No value is written so.
const NULL: &[u8] = b"\\N";

/// How rows are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// COPY's own text format.
    Text {
        /// Between columns.
        delimiter: u8,
        /// What stands for NULL, and, unless it is `\N`, for a value that looks like it.
        null: Vec<u8>,
        /// Whether the first row holds the columns' names.
        header: bool,
    },
    /// CSV.
    Csv {
        /// Between columns.
        delimiter: u8,
        /// Around values.
        quote: u8,
        /// Before a quote within a value.
        escape: u8,
        /// What stands, unquoted, for NULL.
        null: Vec<u8>,
        /// Whether the first row holds the columns' names.
        header: bool,
    },
    /// COPY's binary format.
    Binary,
}

/// Rewrites the rows of one COPY.
#[derive(Debug)]
pub struct CopyRewriter {
    format: CopyFormat,
    columns: usize,
    begun: bool,
    ended: bool,
    decoded: Vec<u8>,
}

impl CopyRewriter {
    /// For rows of so many columns.
    pub fn new(format: CopyFormat, columns: usize) -> Self {
        Self { format, columns, begun: false, ended: false, decoded: Vec::new() }
    }

    /// Appends the row, rewritten, as a whole CopyData message. On an error `out` may hold a part of it and must not be
    /// sent.
    pub fn row(&mut self, data: &[u8], out: &mut Vec<u8>, cells: &mut impl Cells) -> Result<(), Malformed> {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut result = Ok(());
        build::message(out, b'd', |out| {
            result = match self.format.clone() {
                CopyFormat::Text { header: true, .. } | CopyFormat::Csv { header: true, .. } if first => {
                    out.extend_from_slice(data);
                    Ok(())
                }
                CopyFormat::Text { delimiter, null, .. } => self.text(data, delimiter, &null, out, cells),
                CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                    self.csv(data, &Csv { delimiter, quote, escape, null: &null }, out, cells)
                }
                CopyFormat::Binary => self.binary(data, first, out, cells),
            };
        });
        result
    }

    fn text(
        &mut self,
        data: &[u8],
        delimiter: u8,
        null: &[u8],
        out: &mut Vec<u8>,
        cells: &mut impl Cells,
    ) -> Result<(), Malformed> {
        let line = data.strip_suffix(b"\n").ok_or(Malformed("COPY row without an end"))?;
        let mut seen = 0;
        if self.columns > 0 {
            for raw in (Fields { rest: Some(line), delimiter }) {
                if seen > 0 {
                    out.push(delimiter);
                }
                let value = if raw != null {
                    unescape(raw, &mut self.decoded)?;
                    Some(self.decoded.as_slice())
                } else if null == NULL {
                    None
                } else {
                    // A value may be written like a NULL that the statement chose: what stands there is taken for one,
                    // so that a guess that is right looks like the others.
                    Some(raw)
                };
                match cells.cell(seen, value) {
                    Cell::Keep => out.extend_from_slice(raw),
                    Cell::Null => out.extend_from_slice(null),
                    Cell::Value(new) => escape_text(new, delimiter, out),
                }
                seen += 1;
            }
        } else if !line.is_empty() {
            seen = 1;
        }
        out.push(b'\n');
        if seen == self.columns { Ok(()) } else { Err(Malformed("COPY row with another number of columns")) }
    }

    fn csv(
        &mut self,
        data: &[u8],
        csv: &Csv<'_>,
        out: &mut Vec<u8>,
        cells: &mut impl Cells,
    ) -> Result<(), Malformed> {
        let mut rest = data.strip_suffix(b"\n").ok_or(Malformed("COPY row without an end"))?;
        for index in 0..self.columns {
            if index > 0 {
                rest =
                    rest.strip_prefix(&[csv.delimiter]).ok_or(Malformed("COPY row with too few columns"))?;
                out.push(csv.delimiter);
            }
            let length = csv.field(rest, &mut self.decoded)?;
            let (raw, behind) =
                rest.split_at_checked(length).ok_or(Malformed("COPY field beyond its row"))?;
            rest = behind;
            let value = if raw == csv.null { None } else { Some(self.decoded.as_slice()) };
            match cells.cell(index, value) {
                Cell::Keep => out.extend_from_slice(raw),
                Cell::Null => out.extend_from_slice(csv.null),
                Cell::Value(new) => csv.write(new, out),
            }
        }
        out.push(b'\n');
        if rest.is_empty() { Ok(()) } else { Err(Malformed("COPY row with too many columns")) }
    }

    fn binary(
        &mut self,
        data: &[u8],
        first: bool,
        out: &mut Vec<u8>,
        cells: &mut impl Cells,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(data);
        if self.ended {
            return Err(Malformed("data behind the end of a binary COPY"));
        }
        if first {
            if reader.take(SIGNATURE.len())? != SIGNATURE || reader.u32()? != 0 {
                return Err(Malformed("unknown header of a binary COPY"));
            }
            let extension = usize::try_from(reader.u32()?).map_err(|_| Malformed("header is too long"))?;
            reader.take(extension)?;
            out.extend_from_slice(data.get(..data.len() - reader.len()).unwrap_or_default());
        }
        while !reader.is_empty() {
            let count = reader.i16()?;
            out.extend_from_slice(&count.to_be_bytes());
            if count == -1 {
                self.ended = true;
                return reader.finish();
            }
            if usize::try_from(count) != Ok(self.columns) {
                return Err(Malformed("COPY row with another number of columns"));
            }
            for index in 0..self.columns {
                let value = reader.value()?;
                let new = match cells.cell(index, value) {
                    Cell::Keep => value,
                    Cell::Null => None,
                    Cell::Value(new) => Some(new),
                };
                let length = match new {
                    None => -1,
                    Some(v) => i32::try_from(v.len()).map_err(|_| Malformed("value is too long"))?,
                };
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(new.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// The raw fields of a line in COPY's text format, split at delimiters that no backslash stands before.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest?;
        let mut escaped = false;
        let end = line.iter().position(|b| {
            let ends = !escaped && *b == self.delimiter;
            escaped = !escaped && *b == b'\\';
            ends
        });
        match end {
            None => self.rest = None,
            Some(at) => self.rest = line.get(at + 1..),
        }
        line.get(..end.unwrap_or(line.len()))
    }
}

fn unescape(raw: &[u8], value: &mut Vec<u8>) -> Result<(), Malformed> {
    value.clear();
    let mut bytes = raw.iter().copied();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            value.push(b);
            continue;
        }
        value.push(match bytes.next().ok_or(Malformed("COPY field ends in an escape"))? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            // The server escapes nothing by number, and a field must not be the end mark.
            b'0'..=b'7' | b'x' | b'.' => {
                return Err(Malformed("COPY field with an escape that no server writes"));
            }
            other => other,
        });
    }
    Ok(())
}

fn escape_text(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for b in value {
        let letter = match *b {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            other if other == delimiter => other,
            other => {
                out.push(other);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

struct Csv<'a> {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: &'a [u8],
}

impl Csv<'_> {
    /// The length of the field at the front, and its value.
    fn field(&self, rest: &[u8], value: &mut Vec<u8>) -> Result<usize, Malformed> {
        value.clear();
        let mut bytes = rest.iter().copied().enumerate().peekable();
        if bytes.next_if(|(_, b)| *b == self.quote).is_none() {
            let end = rest.iter().position(|b| *b == self.delimiter).unwrap_or(rest.len());
            value.extend_from_slice(rest.get(..end).unwrap_or_default());
            return if value.contains(&self.quote) {
                Err(Malformed("quote within a bare CSV field"))
            } else {
                Ok(end)
            };
        }
        while let Some((at, b)) = bytes.next() {
            if b == self.escape
                && let Some((_, next)) =
                    bytes.next_if(|(_, next)| *next == self.quote || *next == self.escape)
            {
                value.push(next);
            } else if b == self.quote {
                return Ok(at + 1);
            } else {
                value.push(b);
            }
        }
        Err(Malformed("CSV field without its closing quote"))
    }

    /// Always within quotes: then no value can be mistaken for NULL or for two fields.
    fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        out.push(self.quote);
        for b in value {
            if *b == self.quote || *b == self.escape {
                out.push(self.escape);
            }
            out.push(*b);
        }
        out.push(self.quote);
    }
}
