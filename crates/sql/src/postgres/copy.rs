//! How a `COPY … TO STDOUT` lays out its data, as its options say.

/// The layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// `text`
    Text {
        /// One byte.
        delimiter: u8,
        /// How NULL is written.
        null: Vec<u8>,
        /// Whether the first line names the columns.
        header: bool,
    },
    /// `csv`
    Csv {
        /// One byte.
        delimiter: u8,
        /// One byte.
        quote: u8,
        /// One byte.
        escape: u8,
        /// How NULL is written.
        null: Vec<u8>,
        /// Whether the first line names the columns.
        header: bool,
    },
    /// `binary`
    Binary,
}
