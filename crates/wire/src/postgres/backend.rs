//! What a server says.

use super::Frame;
use crate::Malformed;
use crate::reader::Reader;

/// A message from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend<'a> {
    /// A step of the login.
    Authentication(Authentication<'a>),
    /// A setting's value, at the start and when it changes.
    ParameterStatus {
        /// The setting.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// What a CancelRequest must name.
    BackendKeyData {
        /// The server's process id.
        process: u32,
        /// 4 bytes; up to 256 in protocol 3.2.
        secret: &'a [u8],
    },
    /// The server waits for the next command.
    ReadyForQuery(TransactionStatus),
    /// The columns of the rows that follow.
    RowDescription(Fields<'a>),
    /// A row; see [`super::row`].
    DataRow(&'a [u8]),
    /// A command has ended; the tag says which and how many rows.
    CommandComplete(&'a [u8]),
    /// The text held no command.
    EmptyQuery,
    /// Answers Parse.
    ParseComplete,
    /// Answers Bind.
    BindComplete,
    /// Answers Close.
    CloseComplete,
    /// The statement returns no rows.
    NoData,
    /// Type OIDs of a statement's parameters.
    ParameterDescription(Vec<u32>),
    /// Execute has returned as many rows as it was asked for.
    PortalSuspended,
    /// An error's fields; see [`super::error`].
    ErrorResponse(&'a [u8]),
    /// A notice's fields.
    NoticeResponse(&'a [u8]),
    /// A NOTIFY that this session listens to.
    NotificationResponse {
        /// The notifying process.
        process: u32,
        /// The channel.
        channel: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// The server wants the data of a COPY.
    CopyIn(CopyShape),
    /// The data of a COPY follows.
    CopyOut(CopyShape),
    /// Replication.
    CopyBoth(CopyShape),
    /// Data of a COPY.
    CopyData(&'a [u8]),
    /// The end of it.
    CopyDone,
    /// The result of a FunctionCall.
    FunctionCallResponse(Option<&'a [u8]>),
    /// The server speaks an older minor version, or does not know some options.
    NegotiateProtocolVersion {
        /// The newest minor version that it speaks.
        minor: u32,
        /// The options that it does not know.
        options: Vec<&'a [u8]>,
    },
}

/// A step of the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Done.
    Ok,
    /// The password itself is wanted.
    Cleartext,
    /// The password's MD5 with this salt is wanted.
    Md5 {
        /// Four bytes.
        salt: [u8; 4],
    },
    /// One of these SASL mechanisms is wanted.
    Sasl(Vec<&'a [u8]>),
    /// The server's next step.
    SaslContinue(&'a [u8]),
    /// The server's last step.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI and others that are not spoken here.
    Other(u32),
}

/// Whether a transaction block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionStatus {
    /// No block.
    #[default]
    Idle,
    /// In a block.
    InBlock,
    /// In a block that has failed.
    Failed,
}

impl TransactionStatus {
    /// As it stands in ReadyForQuery.
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InBlock => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The columns of a RowDescription. They were looked at once and are read again when they are asked for, so that a message that
/// is only passed on needs no list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    count: usize,
    reader: Reader<'a>,
}

impl<'a> Fields<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = r.count(19)?;
        let fields = Self { count, reader: *r };
        for _ in 0..count {
            r.cstr()?;
            r.take(18)?;
        }
        Ok(fields)
    }

    /// Each column.
    pub fn iter(&self) -> impl Iterator<Item = Field> + use<'a> {
        let mut reader = self.reader;
        // None of them can be wrong now.
        (0..self.count).map_while(move |_| field(&mut reader).ok())
    }
}

/// One column of a RowDescription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column's name in the result.
    pub name: Vec<u8>,
    /// The table's OID, or 0.
    pub table: u32,
    /// The column's number in the table, or 0.
    pub attribute: i16,
    /// The type's OID.
    pub type_oid: u32,
    /// `pg_type.typlen`.
    pub type_size: i16,
    /// `pg_attribute.atttypmod`.
    pub type_modifier: i32,
    /// 0 is text, 1 is binary.
    pub format: i16,
}

/// How the data of a COPY is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyShape {
    /// 0 is text or CSV, 1 is binary.
    pub format: u8,
    /// How many columns there are.
    pub columns: u16,
}

impl CopyShape {
    /// Whether the data is in COPY's binary format.
    pub fn is_binary(&self) -> bool {
        self.format == 1
    }
}

/// How long a message of this kind may be, type byte included, in bytes. Of rows, which come in pieces, that is for whoever wants
/// one whole.
pub fn longest(kind: u8) -> usize {
    match kind {
        b'D' | b'd' | b'V' => 64 << 20,
        // Functions raise texts of any length.
        b'E' | b'N' => 16 << 20,
        // 1664 columns, 65535 parameters; all else has names alone.
        _ => 1 << 20,
    }
}

/// Reads one message.
pub fn backend<'a>(frame: &Frame<'a>) -> Result<Backend<'a>, Malformed> {
    let mut r = Reader::new(frame.body);
    let message = match frame.kind {
        b'R' => Backend::Authentication(authentication(&mut r)?),
        b'S' => Backend::ParameterStatus { name: r.cstr()?, value: r.cstr()? },
        b'K' => {
            let (process, secret) = (r.u32()?, r.rest());
            if !(4..=256).contains(&secret.len()) {
                return Err(Malformed("invalid length of cancel key"));
            }
            Backend::BackendKeyData { process, secret }
        }
        b'Z' => Backend::ReadyForQuery(match r.u8()? {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::InBlock,
            b'E' => TransactionStatus::Failed,
            _ => return Err(Malformed("unknown transaction status")),
        }),
        b'T' => Backend::RowDescription(Fields::read(&mut r)?),
        b'D' => Backend::DataRow(r.rest()),
        b'C' => Backend::CommandComplete(r.cstr()?),
        b'I' => Backend::EmptyQuery,
        b'1' => Backend::ParseComplete,
        b'2' => Backend::BindComplete,
        b'3' => Backend::CloseComplete,
        b'n' => Backend::NoData,
        b't' => {
            // A statement may name more parameters than the server can count here, in 16 bits: how many there are, the length says.
            let (told, count) = (usize::from(r.u16()?), r.len() / 4);
            if count % (usize::from(u16::MAX) + 1) != told {
                return Err(Malformed("a description of other parameters than there are"));
            }
            Backend::ParameterDescription((0..count).map(|_| r.u32()).collect::<Result<_, _>>()?)
        }
        b's' => Backend::PortalSuspended,
        b'E' => Backend::ErrorResponse(r.rest()),
        b'N' => Backend::NoticeResponse(r.rest()),
        b'A' => Backend::NotificationResponse { process: r.u32()?, channel: r.cstr()?, payload: r.cstr()? },
        b'G' => Backend::CopyIn(copy_shape(&mut r)?),
        b'H' => Backend::CopyOut(copy_shape(&mut r)?),
        b'W' => Backend::CopyBoth(copy_shape(&mut r)?),
        b'd' => Backend::CopyData(r.rest()),
        b'c' => Backend::CopyDone,
        b'V' => Backend::FunctionCallResponse(r.value()?),
        b'v' => {
            // The whole number of the version, as servers send it.
            let minor = r.u32()? & 0xffff;
            let count = usize::try_from(r.u32()?).map_err(|_| Malformed("too many options"))?;
            if count > r.len() {
                return Err(Malformed("count exceeds the message"));
            }
            Backend::NegotiateProtocolVersion {
                minor,
                options: (0..count).map(|_| r.cstr()).collect::<Result<_, _>>()?,
            }
        }
        _ => return Err(Malformed("invalid backend message type")),
    };
    r.finish()?;
    Ok(message)
}

fn authentication<'a>(r: &mut Reader<'a>) -> Result<Authentication<'a>, Malformed> {
    Ok(match r.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => {
            let salt = r.u32()?.to_be_bytes();
            Authentication::Md5 { salt }
        }
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                match r.cstr()? {
                    [] => break,
                    name => mechanisms.push(name),
                }
            }
            Authentication::Sasl(mechanisms)
        }
        11 => Authentication::SaslContinue(r.rest()),
        12 => Authentication::SaslFinal(r.rest()),
        other => {
            r.rest();
            Authentication::Other(other)
        }
    })
}

fn field(r: &mut Reader<'_>) -> Result<Field, Malformed> {
    Ok(Field {
        name: r.cstr()?.to_vec(),
        table: r.u32()?,
        attribute: r.i16()?,
        type_oid: r.u32()?,
        type_size: r.i16()?,
        type_modifier: r.i32()?,
        format: r.i16()?,
    })
}

fn copy_shape(r: &mut Reader<'_>) -> Result<CopyShape, Malformed> {
    let format = r.u8()?;
    let columns = r.count(2)?;
    for _ in 0..columns {
        r.i16()?;
    }
    Ok(CopyShape { format, columns: u16::try_from(columns).map_err(|_| Malformed("too many columns"))? })
}
