//! The fields of errors and notices: <https://www.postgresql.org/docs/18/protocol-error-fields.html>.

/// An error or notice to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorFields {
    fields: Vec<(u8, String)>,
}

impl ErrorFields {
    /// An error that the session survives.
    pub fn new(code: &str, message: &str) -> Self {
        Self::of("ERROR", code, message)
    }

    /// An error that ends the session.
    pub fn fatal(code: &str, message: &str) -> Self {
        Self::of("FATAL", code, message)
    }

    /// A notice.
    pub fn notice(code: &str, message: &str) -> Self {
        Self::of("NOTICE", code, message)
    }

    /// A warning.
    pub fn warning(code: &str, message: &str) -> Self {
        Self::of("WARNING", code, message)
    }

    fn of(severity: &str, code: &str, message: &str) -> Self {
        let fields = [(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)];
        Self { fields: fields.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect() }
    }

    /// With more about it.
    pub fn detail(self, text: &str) -> Self {
        self.with(b'D', text)
    }

    /// With a way on.
    pub fn hint(self, text: &str) -> Self {
        self.with(b'H', text)
    }

    /// With the place in the statement, from 1, in characters.
    pub fn position(self, at: u32) -> Self {
        self.with(b'P', &at.to_string())
    }

    /// With any other field, by its byte.
    pub fn with(mut self, kind: u8, text: &str) -> Self {
        self.fields.push((kind, text.to_owned()));
        self
    }

    /// In the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        self.fields.iter().map(|(kind, text)| (*kind, text.as_str()))
    }
}

/// The fields of an ErrorResponse's or NoticeResponse's body. A body that is cut short ends early.
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = crate::reader::Reader::new(body);
    std::iter::from_fn(move || match reader.u8() {
        Ok(0) | Err(_) => None,
        Ok(kind) => reader.cstr().ok().map(|text| (kind, text)),
    })
}

/// One field of a body, as text.
pub fn field(body: &[u8], kind: u8) -> Option<String> {
    fields(body).find(|(k, _)| *k == kind).map(|(_, text)| String::from_utf8_lossy(text).into_owned())
}
