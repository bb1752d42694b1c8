//! Licences, banned crates and sources of the tree, by the lists of `deny.toml`. `cargo deny` knows more (advisories),
//! but takes minutes to build, so it is used where it is installed, and this is the part that always runs.

use std::collections::BTreeSet;

use testkit::Failure;
use testkit::json::Json;
use testkit::process::text;

use crate::build::{cargo, root};

/// The platform whose tree is looked at.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn check() -> Result<(), Failure> {
    let lists = std::fs::read_to_string(root().join("deny.toml"))?;
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM];
    let metadata = Json::parse(&text(cargo(&arguments).current_dir(root()))?)?;
    let used: BTreeSet<&str> = metadata
        .at("resolve")
        .and_then(|resolve| resolve.at("nodes"))
        .map_or(&[][..], Json::items)
        .iter()
        .filter_map(|node| node.at("id")?.text())
        .collect();
    let packages = metadata.at("packages").map_or(&[][..], Json::items);
    let used =
        packages.iter().filter(|p| p.at("id").and_then(Json::text).is_some_and(|id| used.contains(id)));
    let problems: Vec<String> = used.filter_map(|package| problem(package, &lists)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn problem(package: &Json, lists: &str) -> Option<String> {
    let field = |name: &str| package.at(name).and_then(Json::text);
    let name = field("name").unwrap_or_default();
    let registry = field("source").is_none_or(|source| source.starts_with("registry+"));
    if !registry {
        return Some(format!("{name} does not come from the registry"));
    }
    if list(lists, "[bans]", "deny").contains(&name) {
        return Some(format!("{name} is banned by deny.toml"));
    }
    let licence = field("license").unwrap_or_default();
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
    use super::{is_allowed, list};

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
