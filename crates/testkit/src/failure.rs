//! What went wrong, in words for the person at the terminal.

use std::fmt;
use std::io;

/// Something that was needed did not work. Nobody handles it: it is read.
pub struct Failure(String);

impl Failure {
    /// With what was attempted in front of what went wrong.
    pub fn of(attempt: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("{attempt}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`fmt::Display`]: it is what `main` prints of an error.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Self(words)
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
