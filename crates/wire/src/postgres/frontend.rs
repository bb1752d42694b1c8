//! What a client says after login.

use super::Frame;
use crate::Malformed;
use crate::reader::Reader;

/// A message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend<'a> {
    /// A simple query: one text, any number of statements.
    Query(&'a [u8]),
    /// A statement to keep under a name.
    Parse(Parse<'a>),
    /// A statement with its values.
    Bind(Bind<'a>),
    /// Asks what a statement or portal returns.
    Describe(Kind, &'a [u8]),
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: &'a [u8],
        /// Zero or less for all rows.
        max_rows: i32,
    },
    /// Forgets a statement or portal.
    Close(Kind, &'a [u8]),
    /// Asks for the answers so far.
    Flush,
    /// Ends an extended-query sequence.
    Sync,
    /// Calls a function by its OID.
    FunctionCall(FunctionCall<'a>),
    /// Data of a `COPY … FROM STDIN`.
    CopyData(&'a [u8]),
    /// The end of it.
    CopyDone,
    /// Its failure, and why.
    CopyFail(&'a [u8]),
    /// Goodbye.
    Terminate,
    /// A password or a step of SASL; which of them depends on what was asked.
    Password(&'a [u8]),
}

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A prepared statement's.
    Statement,
    /// A portal's.
    Portal,
}

/// Parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Empty for the unnamed statement.
    pub name: &'a [u8],
    /// One statement.
    pub sql: &'a [u8],
    /// Type OIDs of the first parameters; 0 leaves one to the server.
    pub types: Vec<u32>,
}

/// Bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Empty for the unnamed portal.
    pub portal: &'a [u8],
    /// Empty for the unnamed statement.
    pub statement: &'a [u8],
    /// Of the parameters.
    pub formats: Formats<'a>,
    /// The parameters' values.
    pub values: Values<'a>,
    /// The result's formats, by the same rule.
    pub results: Formats<'a>,
}

/// FunctionCall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// The function's OID.
    pub function: u32,
    /// The arguments' formats.
    pub formats: Formats<'a>,
    /// The arguments.
    pub arguments: Values<'a>,
    /// The result's format.
    pub result: i16,
}

/// Values one behind the other, `None` for NULL. They were looked at once and are read again when they are asked for, so that
/// a message that is only passed on needs no list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    count: usize,
    reader: Reader<'a>,
}

impl<'a> Values<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = r.count(4)?;
        let values = Self { count, reader: *r };
        for _ in 0..count {
            r.value()?;
        }
        Ok(values)
    }

    /// Each value.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = self.reader;
        // None of them can be wrong now.
        (0..self.count).map_while(move |_| reader.value().ok())
    }
}

/// Formats of values. None: text for all; one: for all; otherwise one each. They are read again when they are asked for, as values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats<'a>(&'a [[u8; 2]]);

impl Formats<'_> {
    /// Each that was sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i16> {
        self.0.iter().copied().map(i16::from_be_bytes)
    }

    /// That of a value, by its number.
    pub fn of(&self, n: usize) -> i16 {
        match self.0 {
            [] => 0,
            [one] => i16::from_be_bytes(*one),
            each => each.get(n).copied().map_or(0, i16::from_be_bytes),
        }
    }
}

/// Reads one message.
pub fn frontend<'a>(frame: &Frame<'a>) -> Result<Frontend<'a>, Malformed> {
    let mut r = Reader::new(frame.body);
    let message = match frame.kind {
        b'Q' => Frontend::Query(r.cstr()?),
        b'P' => {
            let (name, sql) = (r.cstr()?, r.cstr()?);
            let count = r.count(4)?;
            let types = (0..count).map(|_| r.u32()).collect::<Result<_, _>>()?;
            Frontend::Parse(Parse { name, sql, types })
        }
        b'B' => {
            let (portal, statement) = (r.cstr()?, r.cstr()?);
            let formats = formats(&mut r)?;
            let values = Values::read(&mut r)?;
            let results = self::formats(&mut r)?;
            Frontend::Bind(Bind { portal, statement, formats, values, results })
        }
        b'D' => Frontend::Describe(kind(&mut r)?, r.cstr()?),
        b'E' => Frontend::Execute { portal: r.cstr()?, max_rows: r.i32()? },
        b'C' => Frontend::Close(kind(&mut r)?, r.cstr()?),
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'F' => {
            let function = r.u32()?;
            let formats = formats(&mut r)?;
            let arguments = Values::read(&mut r)?;
            let result = r.i16()?;
            Frontend::FunctionCall(FunctionCall { function, formats, arguments, result })
        }
        b'd' => Frontend::CopyData(r.rest()),
        // PostgreSQL does not look into these two.
        b'c' => {
            r.rest();
            Frontend::CopyDone
        }
        b'f' => Frontend::CopyFail(r.cstr()?),
        b'X' => {
            r.rest();
            Frontend::Terminate
        }
        b'p' => Frontend::Password(r.rest()),
        _ => return Err(Malformed("invalid frontend message type")),
    };
    r.finish()?;
    Ok(message)
}

fn kind(r: &mut Reader<'_>) -> Result<Kind, Malformed> {
    match r.u8()? {
        b'S' => Ok(Kind::Statement),
        b'P' => Ok(Kind::Portal),
        _ => Err(Malformed("neither a statement nor a portal")),
    }
}

fn formats<'a>(r: &mut Reader<'a>) -> Result<Formats<'a>, Malformed> {
    let count = r.count(2)?;
    // Of twice as many bytes nothing is left over.
    Ok(Formats(r.take(2 * count)?.as_chunks().0))
}
