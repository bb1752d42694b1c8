//! Licences, banned crates and sources of the tree, by the lists of `deny.toml`. `cargo deny` knows more (advisories),
//! but takes minutes to build, so it is used where it is installed, and this is the part that always runs.

use std::collections::BTreeSet;

use testkit::Failure;
use testkit::process::text;

use crate::build::{cargo, root};

pub(crate) fn check() -> Result<(), Failure> {
    let lists = std::fs::read_to_string(root().join("deny.toml"))?;
    let arguments = ["tree", "--workspace", "--all-features", "--locked", "--prefix", "none", "--no-dedupe"];
    let tree = text(cargo(&arguments).args(["--format", "{p}|{l}"]).current_dir(root()))?;
    let packages: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    let problems: Vec<String> = packages.iter().filter_map(|package| problem(package, &lists)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

/// A package is written `name v1.2.3|licence`, with a place in parentheses where it does not come from the registry.
fn problem(package: &str, lists: &str) -> Option<String> {
    let (package, licence) = package.split_once('|').unwrap_or((package, ""));
    let name = package.split(' ').next().unwrap_or_default();
    let place = package.split_once('(').map_or("", |(_, place)| place);
    let ours = root().to_string_lossy();
    if !(place.is_empty() || place.starts_with("proc-macro") || place.starts_with(&*ours)) {
        return Some(format!("{package} comes neither from the registry nor from here"));
    }
    if list(lists, "[bans]", "deny").contains(&name) {
        return Some(format!("{name} is banned by deny.toml"));
    }
    (!is_allowed(licence, &list(lists, "[licenses]", "allow")))
        .then(|| format!("{name}: the licence \"{licence}\" is not in deny.toml"))
}

/// The strings of `key = [ … ]` in a section of `deny.toml`.
fn list<'a>(toml: &'a str, section: &str, key: &str) -> Vec<&'a str> {
    let within = toml.split_once(section).map_or("", |(_, rest)| rest);
    let items = within.split_once(&format!("\n{key} = [")).map_or("", |(_, rest)| rest);
    let items = items.split(']').next().unwrap_or_default();
    items.split('"').skip(1).step_by(2).collect()
}

/// An SPDX expression in the shapes that crates use: `OR` of `AND`s, with parentheses around either, and the old `/`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace('/', " OR ");
    split(&plain, " OR ").iter().any(|alternative| {
        split(alternative, " AND ").iter().all(|part| {
            let part = part.trim();
            match part.strip_prefix('(').and_then(|p| p.strip_suffix(')')) {
                Some(inner) => is_allowed(inner, allowed),
                None => allowed.contains(&part),
            }
        })
    })
}

/// Splits outside of parentheses.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 && at >= start && text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + word.len();
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::{is_allowed, list, problem};

    #[test]
    fn a_package_is_judged_by_its_name_its_place_and_its_licence() {
        let lists = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [\"ring\"]\n";
        for (package, good) in [
            ("serde v1.0.0|MIT", true),
            ("serde_derive v1.0.0 (proc-macro)|MIT", true),
            ("serde v1.0.0|GPL-3.0", false),
            ("serde v1.0.0|", false),
            ("ring v0.17.0|MIT", false),
            ("serde v1.0.0 (https://example.org/serde#0123)|MIT", false),
        ] {
            assert_eq!(problem(package, lists).is_none(), good, "{package}");
        }
    }

    #[test]
    fn an_expression_is_allowed_by_one_alternative_all_of_whose_parts_are() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0 OR MIT/Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn lists_are_those_of_their_section() {
        let toml = "[a]\nallow = [\n  \"x\",\n  \"y\",\n]\n[b]\ndeny = [\"z\"]\n";
        assert_eq!(list(toml, "[a]", "allow"), ["x", "y"]);
        assert_eq!(list(toml, "[b]", "deny"), ["z"]);
    }
}
