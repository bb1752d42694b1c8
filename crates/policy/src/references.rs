//! The names of things outside that policies speak of, so that one that is not there is found before it is in force.

use std::collections::BTreeSet;

use crate::Policies;
use crate::identity::is_local;
use crate::load::{Problem, Source, problem};
use crate::nearest::nearest;

/// What policies name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Targets: `Target::"orders"`.
    pub targets: BTreeSet<String>,
    /// Schemas, as `orders/shop`.
    pub schemas: BTreeSet<String>,
    /// Tables, as `orders/shop.customers`.
    pub tables: BTreeSet<String>,
    /// Columns, as `orders/shop.customers.email`.
    pub columns: BTreeSet<String>,
    /// Tags of columns and of targets: `Tag::"pii.email"`.
    pub tags: BTreeSet<String>,
    /// Groups of those who ask: `Group::"readers"`.
    pub groups: BTreeSet<String>,
    /// Groups of those who answer: `@approvers("dba")`.
    pub approvers: BTreeSet<String>,
}

impl Policies {
    /// What they name.
    pub fn references(&self) -> References {
        let mut found = References::default();
        for uid in self.all().iter().flat_map(cedar_policy::Policy::entity_literals) {
            let name = uid.id().unescaped().to_owned();
            match uid.type_name().basename() {
                "Target" => found.targets.insert(name),
                // These are written with the target that they are in: `Schema::"orders/shop"`.
                kind @ ("Schema" | "Table" | "Column" | "Function" | "Setting") => {
                    found.targets.insert(name.split('/').next().unwrap_or(&name).to_owned());
                    match kind {
                        "Schema" => found.schemas.insert(name),
                        "Table" => found.tables.insert(name),
                        "Column" => found.columns.insert(name),
                        _ => false,
                    }
                }
                "Tag" => found.tags.insert(name),
                "Group" => found.groups.insert(name),
                _ => false,
            };
        }
        found.approvers.extend(self.rules().flat_map(|rule| rule.approvers.iter().cloned()));
        found
    }

    /// Where they name a target that is none of these, or a group of the gateway's own that is none of these.
    pub fn dangling(
        &self,
        sources: &[Source],
        targets: &BTreeSet<&str>,
        groups: &BTreeSet<&str>,
    ) -> Vec<Problem> {
        let named = self.references();
        let targets_missing = named.targets.iter().filter(|name| !targets.contains(name.as_str()));
        let of_target = |name: &String| {
            let written = [format!("Target::{name:?}"), format!("::\"{name}/")];
            unknown(sources, "target", name, &written, targets)
        };
        // Who is in other groups, issuers say, and which there are is not known here.
        let groups_missing = named.groups.iter().filter(|n| is_local(n) && !groups.contains(n.as_str()));
        let of_group = |name: &String| unknown(sources, "group", name, &[format!("Group::{name:?}")], groups);
        targets_missing.map(of_target).chain(groups_missing.map(of_group)).collect()
    }
}

fn unknown(
    sources: &[Source],
    kind: &str,
    name: &str,
    written: &[String],
    known: &BTreeSet<&str>,
) -> Problem {
    let meant = nearest(name, known.iter().copied())
        .map(|word| format!("; did you mean \"{word}\"?"))
        .unwrap_or_default();
    let message = format!("there is no {kind} \"{name}\"{meant}");
    let found = sources.iter().find_map(|source| {
        let at = written.iter().filter_map(|w| source.text.find(w)).min()?;
        Some((source, at))
    });
    match found.or_else(|| sources.first().map(|source| (source, 0))) {
        Some((source, at)) => problem(source, at, message),
        None => Problem { file: "policies".to_owned(), line: 1, column: 1, message },
    }
}
