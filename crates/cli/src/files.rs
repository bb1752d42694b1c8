//! Finding and reading files: policies, tests, passwords.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use zeroize::Zeroizing;

use crate::exit::Fault;

/// How deep a directory is searched.
const DEPTH: usize = 8;
/// The longest file that people write, in bytes.
const LONGEST: u64 = 16 << 20;

/// The password in a file, without its line's end. Others who can read it are a warning and no refusal: what orchestrators mount
/// is often like that.
pub(crate) fn password_file(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    if std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.mode() & 0o077 != 0) {
        eprintln!("durward: {} has a password in it and can be read by others: chmod 600 it", file.display());
    }
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the password's file {} cannot be read", file.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The text of a file that people write: editors may put a mark of its encoding before it, which is none of it.
pub(crate) fn text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(LONGEST + 1).read_to_end(&mut bytes));
    if read.with_context(|| file.display().to_string())? as u64 > LONGEST {
        let why = format!("{}: it is longer than {} MiB", file.display(), LONGEST >> 20);
        return Err(Fault::Invalid(why).into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let whole = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + whole.iter().filter(|byte| **byte == b'\n').count();
        Fault::Invalid(format!("{}:{line}: what stands here is no text in UTF-8", file.display()))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Policies in files and directories, in order.
pub(crate) fn policies(paths: &[PathBuf]) -> anyhow::Result<Vec<policy::Source>> {
    let mut sources = Vec::new();
    for path in paths {
        for file in all(path, &["cedar"])? {
            let text = text(&file)?;
            sources.push(policy::Source { name: file.display().to_string(), text });
        }
    }
    if sources.is_empty() {
        let places: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(
            Fault::Missing(format!("there are no policies (*.cedar) in {}", places.join(", "))).into()
        );
    }
    Ok(sources)
}

pub(crate) fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| gateway::cases::is_one(&name.to_string_lossy()))
}

/// The files of a directory with one of these extensions, sorted; a path that is a file is itself.
pub(crate) fn all(path: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    search(path, extensions, DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn search(
    directory: &Path,
    extensions: &[&str],
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let is_named = path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted));
        if path.is_dir() {
            if is_named {
                let why = format!("{}: it is a folder, and is named as a file is", path.display());
                return Err(Fault::Invalid(why).into());
            }
            if depth > 0 {
                search(&path, extensions, depth - 1, found)?;
            }
        } else if is_named {
            // A pipe would be waited for, and a device has no end.
            if !path.is_file() {
                let why =
                    format!("{}: it is named as a file is, and is none or leads to none", path.display());
                return Err(Fault::Invalid(why).into());
            }
            found.push(path);
        }
    }
    Ok(())
}
