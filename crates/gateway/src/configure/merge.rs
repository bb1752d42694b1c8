//! What is applied, put onto what is there: what stays, what differs, and the digest that names the result.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use policy::identity::GroupConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Configuration, PolicyFile, TargetConfig};

/// What becomes of what is there and a new configuration does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// It stays.
    Keep,
    /// It goes, but for tags that the gateway proposed and nobody has looked at.
    Prune,
}

/// Adds to a new configuration what stays of the old; returns, in words, what would have gone with [`Rest::Prune`].
pub(super) fn fold(stored: &Configuration, wanted: &mut Configuration, rest: Rest) -> Vec<String> {
    let mut stays = Vec::new();
    for target in &mut wanted.targets {
        let Some(old) = stored.targets.iter().find(|t| t.name == target.name) else { continue };
        for (name, column) in &old.columns {
            if target.columns.contains_key(name) || (rest == Rest::Prune && !column.proposed) {
                continue;
            }
            if !column.proposed {
                stays.push(format!("target {}: column {name}", target.name));
            }
            target.columns.insert(name.clone(), column.clone());
        }
    }
    if rest == Rest::Keep {
        let named: BTreeSet<String> = wanted.targets.iter().map(|t| t.name.clone()).collect();
        for old in stored.targets.iter().filter(|t| !named.contains(&t.name)) {
            stays.push(format!("target {}", old.name));
            wanted.targets.push(old.clone());
        }
        let named: BTreeSet<String> = wanted.policies.iter().map(|p| p.name.clone()).collect();
        for old in stored.policies.iter().filter(|p| !named.contains(&p.name)) {
            stays.push(format!("policy file {}", old.name));
            wanted.policies.push(old.clone());
        }
        let named: BTreeSet<String> = wanted.tests.iter().map(|t| t.name.clone()).collect();
        for old in stored.tests.iter().filter(|t| !named.contains(&t.name)) {
            stays.push(format!("tests {}", old.name));
            wanted.tests.push(old.clone());
        }
    }
    if rest == Rest::Keep {
        let named: BTreeSet<String> = wanted.issuers.iter().map(|i| i.name.clone()).collect();
        for old in stored.issuers.iter().filter(|i| !named.contains(&i.name)) {
            stays.push(format!("issuer {}", old.name));
            wanted.issuers.push(old.clone());
        }
        let named: BTreeSet<String> = wanted.clients.iter().map(|c| c.name.clone()).collect();
        for old in stored.clients.iter().filter(|c| !named.contains(&c.name)) {
            stays.push(format!("client {}", old.name));
            wanted.clients.push(old.clone());
        }
        let named: BTreeSet<String> = wanted.groups.iter().map(|g| g.name.clone()).collect();
        for old in stored.groups.iter().filter(|g| !named.contains(&g.name)) {
            stays.push(format!("group {}", old.name));
            wanted.groups.push(old.clone());
        }
    }
    // The same things have the same digest, in whatever order they were read.
    wanted.targets.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.policies.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.tests.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.issuers.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.clients.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.groups.sort_by(|a, b| a.name.cmp(&b.name));
    stays
}

/// A password that is the one that is kept already is no change.
pub(super) fn forget_known_passwords(
    wanted: &mut Configuration,
    credentials: &BTreeMap<String, Zeroizing<Vec<u8>>>,
) {
    for target in &mut wanted.targets {
        let known = credentials.get(&target.name).map(|bytes| bytes.as_slice());
        if target.password.as_ref().is_some_and(|p| known == Some(p.reveal().as_bytes())) {
            target.password = None;
        }
    }
}

/// Names a configuration: passwords are no part of it.
pub(crate) fn digest(configuration: &Configuration) -> String {
    let text = serde_json::to_string(configuration).unwrap_or_default();
    let all = crate::audit::hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    all.get(..32).unwrap_or(&all).to_owned()
}

/// What differs, in words, without any secret.
pub(super) fn differences(old: &Configuration, new: &Configuration) -> Vec<String> {
    let mut lines = Vec::new();
    let old_targets: BTreeMap<&str, &TargetConfig> =
        old.targets.iter().map(|t| (t.name.as_str(), t)).collect();
    let new_targets: BTreeMap<&str, &TargetConfig> =
        new.targets.iter().map(|t| (t.name.as_str(), t)).collect();
    for name in old_targets.keys().filter(|name| !new_targets.contains_key(*name)) {
        lines.push(format!("target {name} removed"));
    }
    for (name, target) in &new_targets {
        match old_targets.get(name) {
            None => lines.push(format!("target {name} added")),
            Some(before) => target_differences(before, target, &mut lines),
        }
    }
    file_differences("policy file", &old.policies, &new.policies, &mut lines);
    file_differences("tests", &old.tests, &new.tests, &mut lines);
    let issuers = |c: &Configuration| c.issuers.iter().map(|i| (i.name.clone(), i.clone())).collect();
    named_differences("issuer", &issuers(old), &issuers(new), &mut lines);
    let clients = |c: &Configuration| c.clients.iter().map(|i| (i.name.clone(), i.clone())).collect();
    named_differences("client", &clients(old), &clients(new), &mut lines);
    group_differences(&old.groups, &new.groups, &mut lines);
    lines
}

fn file_differences(kind: &str, old: &[PolicyFile], new: &[PolicyFile], lines: &mut Vec<String>) {
    let texts = |all: &[PolicyFile]| -> BTreeMap<String, String> {
        all.iter().map(|p| (p.name.clone(), p.text.clone())).collect()
    };
    let (old, new) = (texts(old), texts(new));
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        lines.push(format!("{kind} {name} removed"));
    }
    for (name, text) in &new {
        match old.get(name) {
            None => lines.push(format!("{kind} {name} added")),
            Some(before) if before != text => lines.push(format!("{kind} {name} changed")),
            Some(_) => (),
        }
    }
}

/// Member by member: who got in and who is out is what somebody who reads them looks for.
fn group_differences(old: &[GroupConfig], new: &[GroupConfig], lines: &mut Vec<String>) {
    let members = |all: &[GroupConfig]| -> BTreeMap<String, BTreeSet<String>> {
        all.iter().map(|g| (g.name.clone(), g.members.clone())).collect()
    };
    let (old, new) = (members(old), members(new));
    let none = BTreeSet::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        match (before, after) {
            (None, Some(_)) => lines.push(format!("group {name} added")),
            (Some(_), None) => lines.push(format!("group {name} removed")),
            (Some(_), Some(_)) | (None, None) => (),
        }
        let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
        lines.extend(after.difference(before).map(|who| format!("group {name}: {who} is in")));
        lines.extend(before.difference(after).map(|who| format!("group {name}: {who} is out")));
    }
}

fn named_differences<T: Serialize>(
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    lines: &mut Vec<String>,
) {
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        lines.push(format!("{kind} {name} removed"));
    }
    for (name, now) in new {
        let Some(before) = old.get(name) else {
            lines.push(format!("{kind} {name} added"));
            continue;
        };
        for (key, before, after) in fields(before, now) {
            // Keys and certificates in full help nobody.
            lines.push(if ["jwks", "ca"].contains(&key.as_str()) {
                format!("{kind} {name}: {key} changed")
            } else {
                format!("{kind} {name}: {key} {} → {}", word(before), word(after))
            });
        }
    }
}

fn target_differences(old: &TargetConfig, new: &TargetConfig, lines: &mut Vec<String>) {
    let name = &new.name;
    if new.password.is_some() {
        lines.push(format!("target {name}: password set"));
    }
    for (key, before, after) in fields(old, new) {
        lines.push(match (before, after) {
            // A certificate in full helps nobody.
            (_, _) if key == "sslrootcert" => format!("target {name}: {key} changed"),
            (before, after) => format!("target {name}: {key} {} → {}", word(before), word(after)),
        });
    }
    for column in old.columns.keys().filter(|c| !new.columns.contains_key(*c)) {
        lines.push(format!("target {name}: column {column} no longer tagged"));
    }
    for (column, config) in &new.columns {
        if old.columns.get(column) != Some(config) {
            let tags: Vec<&str> = config.tags.iter().map(String::as_str).collect();
            let how = if config.proposed { "proposed" } else { "tagged" };
            let strategy = config.strategy.as_ref().map(|s| format!(", masked by {s}")).unwrap_or_default();
            lines.push(format!("target {name}: column {column} {how} [{}]{strategy}", tags.join(", ")));
        }
    }
}

/// The fields that differ, but for columns, as they are written.
fn fields<T: Serialize>(old: &T, new: &T) -> Vec<(String, Option<Value>, Option<Value>)> {
    let written = |whole: &T| match serde_json::to_value(whole) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let (old, new) = (written(old), written(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|k| *k != "columns").collect();
    let pair = |key: &String| (key.clone(), old.get(key).cloned(), new.get(key).cloned());
    keys.into_iter().map(pair).filter(|(_, before, after)| before != after).collect()
}

fn word(value: Option<Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use policy::identity::IssuerConfig;

    use super::*;
    use crate::configure::ColumnConfig;

    fn target(name: &str, columns: &[(&str, bool)]) -> TargetConfig {
        let json = format!(r#"{{"name":"{name}","host":"h","user":"u","database":"d"}}"#);
        let mut target: TargetConfig = serde_json::from_str(&json).expect("a target");
        for (column, proposed) in columns {
            let tags = BTreeSet::from(["pii".to_owned()]);
            let config = ColumnConfig { tags, strategy: None, proposed: *proposed };
            target.columns.insert((*column).to_owned(), config);
        }
        target
    }

    fn issuer(name: &str) -> IssuerConfig {
        serde_json::from_value(serde_json::json!({ "name": name, "audience": ["durward"] }))
            .expect("an issuer")
    }

    fn group(name: &str, members: &[&str]) -> GroupConfig {
        GroupConfig { name: name.to_owned(), members: members.iter().map(|m| (*m).to_owned()).collect() }
    }

    fn file(name: &str, text: &str) -> PolicyFile {
        PolicyFile { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_is_not_named_stays_unless_it_is_pruned_and_proposals_always_stay() {
        let stored = Configuration {
            targets: vec![target("a", &[("s.t.kept", false), ("s.t.guess", true)]), target("b", &[])],
            policies: vec![file("one.cedar", "1"), file("two.cedar", "2")],
            tests: vec![file("one.test.toml", "1")],
            issuers: vec![issuer("company")],
            groups: vec![group("dba", &["user:alice", "user:bob"]), group("old", &["user:x"])],
            ..Configuration::default()
        };
        let fresh = || Configuration {
            targets: vec![target("c", &[]), target("a", &[("s.t.new", false)])],
            policies: vec![file("two.cedar", "3")],
            tests: vec![file("two.test.toml", "1")],
            issuers: vec![IssuerConfig { leeway: Some(5), ..issuer("jobs") }],
            groups: vec![group("ops", &["user:carol"]), group("dba", &["user:alice", "agent:a"])],
            ..Configuration::default()
        };
        let names = |c: &Configuration| c.targets.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        let columns = |c: &Configuration| {
            c.targets.iter().find(|t| t.name == "a").expect("a").columns.keys().cloned().collect::<Vec<_>>()
        };

        let mut kept = fresh();
        let stays = fold(&stored, &mut kept, Rest::Keep);
        assert_eq!(
            stays,
            [
                "target a: column s.t.kept",
                "target b",
                "policy file one.cedar",
                "tests one.test.toml",
                "issuer company",
                "group old"
            ]
        );
        assert_eq!(names(&kept), ["a", "b", "c"]);
        assert_eq!(columns(&kept), ["s.t.guess", "s.t.kept", "s.t.new"]);
        assert_eq!(
            differences(&stored, &kept),
            [
                "target a: column s.t.new tagged [pii]",
                "target c added",
                "policy file two.cedar changed",
                "tests two.test.toml added",
                "issuer jobs added",
                "group dba: agent:a is in",
                "group dba: user:bob is out",
                "group ops added",
                "group ops: user:carol is in"
            ]
        );

        let mut pruned = fresh();
        assert!(fold(&stored, &mut pruned, Rest::Prune).is_empty());
        let gone = differences(&stored, &pruned);
        assert!(
            ["group old removed", "group old: user:x is out"].iter().all(|l| gone.iter().any(|g| g == l))
        );
        assert_eq!(
            (names(&pruned), columns(&pruned)),
            (vec!["a".into(), "c".into()], vec!["s.t.guess".into(), "s.t.new".into()])
        );
        assert_ne!(digest(&kept), digest(&pruned));
    }

    #[test]
    fn the_order_of_files_and_a_password_that_is_known_change_nothing() {
        let stored =
            Configuration { targets: vec![target("a", &[]), target("b", &[])], ..Configuration::default() };
        let mut again =
            Configuration { targets: vec![target("b", &[]), target("a", &[])], ..Configuration::default() };
        again.targets[0].password = Some(crate::configure::Password::new("hunter2".to_owned()));
        let mut other = again.clone();
        let known = BTreeMap::from([("b".to_owned(), Zeroizing::new(b"hunter2".to_vec()))]);
        fold(&stored, &mut again, Rest::Prune);
        forget_known_passwords(&mut again, &known);
        assert_eq!((differences(&stored, &again), digest(&again)), (Vec::new(), digest(&stored)));
        fold(&stored, &mut other, Rest::Prune);
        assert_eq!(differences(&stored, &other), ["target b: password set"]);
    }

    #[test]
    fn a_field_that_differs_is_shown_before_and_after() {
        let one = target("a", &[]);
        let two = TargetConfig { port: 5433, tags: ["production".to_owned()].into(), ..one.clone() };
        let (one, two) = (
            Configuration { targets: vec![one], ..Configuration::default() },
            Configuration { targets: vec![two], ..Configuration::default() },
        );
        assert_eq!(
            differences(&one, &two),
            ["target a: port 5432 → 5433", "target a: tags nothing → [\"production\"]"]
        );
        let (one, two) =
            (issuer("i"), IssuerConfig { max_age: Some(60), jwks: Some("{}".to_owned()), ..issuer("i") });
        let (one, two) = (
            Configuration { issuers: vec![one], ..Configuration::default() },
            Configuration { issuers: vec![two], ..Configuration::default() },
        );
        assert_eq!(differences(&one, &two), ["issuer i: jwks changed", "issuer i: max_age nothing → 60"]);
    }
}
