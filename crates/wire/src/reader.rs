//! The only place that reads at offsets: every step is checked against what is there.

use std::ffi::CStr;

use crate::Malformed;

/// Reads big-endian values from the front of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed("message is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("message is too short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes, signed.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Up to the next zero byte, which is consumed and not part of it.
    pub fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        // The library looks at many bytes at a time.
        let text = CStr::from_bytes_until_nul(self.rest).map_err(|_| Malformed("string without an end"))?;
        self.take(text.count_bytes() + 1)?;
        Ok(text.to_bytes())
    }

    /// A length (-1 for NULL) and as many bytes.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| Malformed("negative length"))?).map(Some),
        }
    }

    /// A count of things that are at least `size` bytes each, so that a lying count allocates nothing.
    pub fn count(&mut self, size: usize) -> Result<usize, Malformed> {
        let n = usize::from(self.u16()?);
        if n.saturating_mul(size) > self.rest.len() {
            Err(Malformed("count exceeds the message"))
        } else {
            Ok(n)
        }
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Demands that nothing is left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("message is too long")) }
    }
}
