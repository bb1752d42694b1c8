//! Reading a journal, also one that is being written.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

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
