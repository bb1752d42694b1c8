//! The map is right, and what is pure stays pure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What stands between backticks and looks like a path.
fn paths(text: &str) -> BTreeSet<&str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    // Pairs of backticks: every second piece is within one.
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('/') && !word.starts_with('/') && word.chars().all(fine))
        .collect()
}

#[test]
fn every_path_that_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for path in paths(&text) {
            assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}

/// All that people read, beside the code.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<_> = [root().to_owned(), root().join("docs")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(documents.len() > 5);
    documents
}

#[test]
fn no_document_keeps_both_sides_of_a_merge() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let is_mark =
            |line: &str| ["<<<<<<<", "|||||||", ">>>>>>>"].iter().any(|mark| line.starts_with(mark));
        assert!(!text.lines().any(is_mark), "{}", path.display());
    }
}

/// The places that a document's headings are, as links name them.
fn headings(text: &str) -> Vec<String> {
    let place = |heading: &str| {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(|l| place(l.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|behind| behind.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains(':')) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(f, h)| (f, Some(h)));
            let there = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(there.exists(), "{} links to {link}, which is not there", path.display());
            let text = fs::read_to_string(&there).unwrap();
            let is_there = heading.is_none_or(|heading| headings(&text).iter().any(|h| h == heading));
            assert!(is_there, "{} links to {link}, and there is no such heading", path.display());
        }
    }
}

#[test]
fn the_map_names_every_crate_and_fits_a_sitting() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 150);
    for folder in fs::read_dir(root().join("crates")).unwrap() {
        let name = format!("`crates/{}`", folder.unwrap().file_name().to_string_lossy());
        assert!(text.contains(&name), "ARCHITECTURE.md does not say what {name} is");
    }
}

#[test]
fn a_path_is_told_from_other_words() {
    let found = paths("see `crates/x/y.rs` and `dwt_…`, `/healthz`, `a b/c`, `COPY`, `xtask`, `tests/src/`");
    assert_eq!(found, BTreeSet::from(["crates/x/y.rs", "tests/src/"]));
}

/// What a pure crate may depend on. Whatever is added is looked at by a person: does it do IO, ask a clock, or wait?
const PURE: [(&str, &[&str]); 5] = [
    ("model", &["serde"]),
    ("sql", &["aws-lc-rs", "model", "pg_query", "prost", "thiserror", "hashbrown", "serde", "serde_json"]),
    (
        "policy",
        &[
            "aws-lc-rs",
            "base64",
            "model",
            "cedar-policy",
            "miette",
            "thiserror",
            "hashbrown",
            "serde",
            "serde_json",
            // Whatever reads policies calls itself: it gives that room, and does nothing else.
            "stacker",
        ],
    ),
    ("masking", &["model", "aws-lc-rs", "thiserror", "zeroize"]),
    ("wire", &["aws-lc-rs", "base64", "bytes", "md-5", "stringprep", "thiserror", "zeroize"]),
];

/// The names in a section of a `Cargo.toml`.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split_once("\n[dependencies]\n").map_or("", |(_, rest)| rest);
    let section = section.split("\n[").next().unwrap();
    section
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split(['.', ' ', '=']).next().unwrap())
        .collect()
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for (name, allowed) in PURE {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        for dependency in dependencies(&manifest) {
            assert!(allowed.contains(&dependency), "{name} is pure and depends on {dependency}");
        }
        assert!(!manifest.contains("\n[target."), "{name} depends on more on some platforms");
    }
}

/// Clippy reads these; a crate without its own file would be held to the workspace's, which forbids nothing.
#[test]
fn pure_crates_forbid_sockets_files_clocks_and_threads() {
    for (name, _) in PURE {
        let file = root().join("crates").join(name).join("clippy.toml");
        let rules = fs::read_to_string(&file).unwrap_or_default();
        for forbidden in [
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::fs::File",
            "std::fs::read",
            "std::process::Command",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::thread::spawn",
            "std::thread::sleep",
            "std::env::var",
        ] {
            assert!(rules.contains(&format!("\"{forbidden}\"")), "{name} does not forbid {forbidden}");
        }
        let lints = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(
            lints.contains("disallowed_methods = \"deny\"") && lints.contains("disallowed_types = \"deny\"")
        );
    }
}

/// Lints see paths that are called; a text search sees what a macro or an alias would hide.
#[test]
fn no_source_of_a_pure_crate_speaks_of_sockets_files_or_clocks() {
    let forbidden =
        ["std::net::Tcp", "std::net::Udp", "std::fs", "std::process", "Instant::now", "SystemTime", "tokio"];
    for (name, _) in PURE {
        for file in sources(&root().join("crates").join(name).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            // Tests may read their samples.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let in_tests = file.file_name().is_some_and(|name| name == "tests.rs")
                || file.components().any(|part| part.as_os_str() == "tests");
            for word in forbidden {
                assert!(in_tests || !code.contains(word), "{} speaks of {word}", file.display());
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn dependencies_are_read_from_their_own_section_alone() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\na.workspace = true\nb = { version = \"1\" }\n\n[dev-dependencies]\nc = \"1\"\n";
    assert_eq!(dependencies(manifest), ["a", "b"]);
}

#[test]
fn nothing_of_the_product_depends_on_the_testkit() {
    for folder in fs::read_dir(root().join("crates")).unwrap() {
        let manifest = fs::read_to_string(folder.unwrap().path().join("Cargo.toml")).unwrap();
        assert!(!dependencies(&manifest).contains(&"testkit"), "{manifest}");
    }
}
