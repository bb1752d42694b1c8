//! Reading a journal, also one that is being written: from its beginning, or from its end.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;

use memchr::{memchr, memrchr};

use crate::log::segment_name;

/// The numbers of a directory's segments, ascending.
pub(crate) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|n| n.strip_prefix("journal-")?.strip_suffix(".jsonl")?.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// Hands every record to `each`, in order, as JSON. What is not whole at the very end is left out.
///
/// # Errors
/// A file cannot be read, or a line is no JSON.
pub fn records(directory: &Path, mut each: impl FnMut(serde_json::Value)) -> io::Result<()> {
    for segment in segments(directory)? {
        let mut lines = BufReader::new(std::fs::File::open(directory.join(segment_name(segment)))?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if let Some(whole) = line.strip_suffix(b"\n") {
                each(serde_json::from_slice(whole)?);
            }
            line.clear();
        }
    }
    Ok(())
}

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The segment's number.
    pub segment: u64,
    /// So many of its bytes are before the place.
    pub bytes: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment, self.bytes)
    }
}

impl FromStr for Mark {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (segment, bytes) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { segment: segment.parse()?, bytes: bytes.parse()? })
    }
}

/// How a record begins: enough to pass most of them over without reading the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// When.
    pub time: &'a str,
    /// Of which session; empty where it is of none.
    pub session: &'a str,
    /// What kind of record it is.
    pub kind: &'a str,
}

/// How a line begins, where it is written as this journal writes them; `None` of any other, which must be read whole.
pub fn head(line: &[u8]) -> Option<Head<'_>> {
    let behind =
        |line: &'_ [u8], word: &[u8]| -> Option<usize> { line.starts_with(word).then_some(word.len()) };
    let text = |from: usize, word: &[u8]| -> Option<(&str, usize)> {
        let from = from + behind(line.get(from..)?, word)?;
        let rest = line.get(from..)?;
        let length = memchr(b'"', rest)?;
        let text = rest.get(..length).filter(|text| !text.contains(&b'\\'))?;
        Some((std::str::from_utf8(text).ok()?, from + length + 1))
    };
    let number = |from: usize, word: &[u8]| -> Option<usize> {
        let from = from + behind(line.get(from..)?, word)?;
        let digits = line.get(from..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        (digits > 0).then_some(from + digits)
    };
    let at = number(0, b"{\"seq\":")?;
    let (time, at) = text(at, b",\"time\":\"")?;
    let (session, at) = match text(at, b",\"session\":\"") {
        Some((session, at)) => (session, number(at, b",\"n\":")?),
        None => ("", at),
    };
    let (kind, _) = text(at, b",\"kind\":\"")?;
    Some(Head { time, session, kind })
}

/// So much is read at a time, in bytes.
const BLOCK: u64 = 128 * 1024;

/// Hands the lines before a place to `each`, the newest first, each with the place before it, until it breaks or about `most`
/// bytes were read; all of them where no place is given. Returns the place that was reached; `None` at the beginning.
///
/// # Errors
/// A file cannot be read.
pub fn back(
    directory: &Path,
    from: Option<Mark>,
    most: u64,
    mut each: impl FnMut(&[u8], Mark) -> ControlFlow<()>,
) -> io::Result<Option<Mark>> {
    let mut left = most;
    let mut all = segments(directory)?;
    all.retain(|segment| from.is_none_or(|mark| *segment <= mark.segment));
    while let Some(segment) = all.pop() {
        let mut file = File::open(directory.join(segment_name(segment)))?;
        let end = match from {
            Some(mark) if mark.segment == segment => mark.bytes.min(file.metadata()?.len()),
            Some(_) | None => file.metadata()?.len(),
        };
        let stopped =
            lines_back(&mut file, end, &mut left, |line, bytes| each(line, Mark { segment, bytes }))?;
        if let Some(bytes) = stopped {
            let is_first = bytes == 0 && all.is_empty();
            return Ok((!is_first).then_some(Mark { segment, bytes }));
        }
    }
    Ok(None)
}

/// The lines of one file before its byte `end`, the last first. Where it was stopped, the bytes before that place.
fn lines_back(
    file: &mut File,
    end: u64,
    left: &mut u64,
    mut each: impl FnMut(&[u8], u64) -> ControlFlow<()>,
) -> io::Result<Option<u64>> {
    // What was read of a line whose beginning is in the block before.
    let mut rest: Vec<u8> = Vec::new();
    let mut place = end;
    while place > 0 {
        let length = place.min(BLOCK);
        place -= length;
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(place))?;
        Read::by_ref(file).take(length).read_to_end(&mut block)?;
        block.append(&mut rest);
        let mut behind = block.len();
        while behind > 0 {
            let newline = memrchr(b'\n', block.get(..behind - 1).unwrap_or_default());
            let start = match newline {
                Some(at) => at + 1,
                None if place == 0 => 0,
                None => break,
            };
            let line = block.get(start..behind).unwrap_or_default();
            let at = place + u64::try_from(start).unwrap_or(u64::MAX);
            // What is not whole at the very end is left out.
            if let Some(whole) = line.strip_suffix(b"\n")
                && each(whole, at).is_break()
            {
                return Ok(Some(at));
            }
            behind = start;
        }
        block.truncate(behind);
        rest = block;
        *left = left.saturating_sub(length);
        let reached = place + u64::try_from(rest.len()).unwrap_or(u64::MAX);
        // A line is read whole, however long it is.
        if *left == 0 && place > 0 && reached < end {
            return Ok(Some(reached));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of numbered lines, some longer than a block.
    fn written() -> (tempfile::TempDir, Vec<String>) {
        let place = tempfile::tempdir().expect("a place");
        let mut all = Vec::new();
        for segment in 1..=3 {
            let mut text = String::new();
            for n in 0..40 {
                let long = if n % 13 == 5 { 200_000 } else { n * 7 };
                let line = format!("{segment}.{n}.{}", "x".repeat(long));
                text.push_str(&line);
                text.push('\n');
                all.push(line);
            }
            if segment == 3 {
                text.push_str("torn");
            }
            std::fs::write(place.path().join(segment_name(segment)), text).expect("written");
        }
        all.reverse();
        (place, all)
    }

    #[test]
    fn the_newest_comes_first_and_every_place_is_one_to_go_on_from() {
        let (place, all) = written();
        for (at_once, most) in [(1, u64::MAX), (7, u64::MAX), (1000, 1), (1000, 300_000), (1000, u64::MAX)] {
            let (mut seen, mut from) = (Vec::new(), None);
            loop {
                let mut count = 0;
                let reached = back(place.path(), from, most, |line, _| {
                    seen.push(String::from_utf8_lossy(line).into_owned());
                    count += 1;
                    if count == at_once { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                match reached.expect("read") {
                    Some(mark) => from = Some(mark.to_string().parse().expect("a mark")),
                    None => break,
                }
            }
            assert!(seen == all, "{at_once} at once, {most} bytes: {} of {}", seen.len(), all.len());
        }
    }

    #[test]
    fn a_line_begins_as_the_journal_writes_it_or_is_read_whole() {
        let of = |time, session, kind| Some(Head { time, session, kind });
        for (line, head_of) in [
            (
                r#"{"seq":7,"time":"2026Z","session":"s1","n":3,"kind":"allowed","text":"x"}"#,
                of("2026Z", "s1", "allowed"),
            ),
            (r#"{"seq":7,"time":"2026Z","kind":"started"}"#, of("2026Z", "", "started")),
            (r#"{"seq":7,"time":"2026Z","session":"s\"1","n":3,"kind":"allowed"}"#, None),
            (r#"{"seq":7,"time":"2026Z","session":"s1","kind":"allowed"}"#, None),
            (r#"{"kind":"allowed","seq":7,"time":"2026Z"}"#, None),
            (r#"{"seq":,"time":"2026Z","kind":"started"}"#, None),
            (r#"{"seq":7,"time":"2026Z","kind":"star"#, None),
            ("", None),
        ] {
            assert_eq!(head(line.as_bytes()), head_of, "{line}");
        }
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in ["", "1", "1-", "-1", "a-b", "1-2-3"] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
