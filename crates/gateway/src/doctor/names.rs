//! Tags and policies that match nothing protect nothing, and are most often misspelt.

use std::collections::BTreeSet;

use policy::{References, nearest};
use sql::postgres::catalog::Catalog;

use super::{Check, Grade, check};
use crate::gateway::Gateway;
use crate::net::dial::shell;
use crate::targets::Target;

/// Tags of columns that are not there.
pub(super) fn tags(target: &Target, catalogue: &Catalog) -> Check {
    let tagging = target.catalogue.tagging();
    let missing: BTreeSet<String> = tagging
        .columns
        .iter()
        .map(|tagged| &tagged.column)
        .filter(|c| {
            catalogue.relation(&c.table.schema, &c.table.name).is_none_or(|r| r.column(&c.name).is_none())
        })
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return check(
            "tags",
            Grade::Good,
            format!("{} tagged columns, all of them there", tagging.columns.len()),
        );
    }
    let known = columns(catalogue);
    let named = missing.iter().map(|name| format!("{name}{}", meant(name, &known)));
    let says = format!("tags of columns that are not there: {}", named.collect::<Vec<_>>().join(", "));
    check("tags", Grade::Warning, says)
}

/// Schemas, tables and columns of this target that policies name and that are not there.
pub(super) fn resources(target: &Target, catalogue: &Catalog, named: &References) -> Option<Check> {
    let prefix = format!("{}/", target.name);
    let within = |all: &BTreeSet<String>| -> BTreeSet<String> {
        all.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect()
    };
    let tables: BTreeSet<String> =
        catalogue.relations().map(|r| format!("{}.{}", r.schema, r.name)).collect();
    let schemas: BTreeSet<String> = catalogue.relations().map(|r| r.schema.clone()).collect();
    let columns = columns(catalogue);
    let mut missing = Vec::new();
    for (word, named, known) in [
        ("schema", within(&named.schemas), &schemas),
        ("table", within(&named.tables), &tables),
        ("column", within(&named.columns), &columns),
    ] {
        let absent = named.iter().filter(|name| !known.contains(*name));
        missing.extend(absent.map(|name| format!("{word} {name}{}", meant(name, known))));
    }
    let says = format!("policies name what is not there: {}", missing.join(", "));
    (!missing.is_empty()).then(|| check("policies", Grade::Warning, says))
}

fn columns(catalogue: &Catalog) -> BTreeSet<String> {
    catalogue
        .relations()
        .flat_map(|r| r.columns.iter().map(|column| format!("{}.{}.{}", r.schema, r.name, column.name)))
        .collect()
}

fn meant(name: &str, known: &BTreeSet<String>) -> String {
    let near = nearest(name, known.iter().map(String::as_str));
    near.map(|word| format!(" (did you mean {word}?)")).unwrap_or_default()
}

impl Gateway {
    /// Looks at policies beside what they speak of, whatever the target.
    pub async fn doctor_of_policies(&self) -> Vec<Check> {
        let in_force = self.in_force.load_full();
        let named = in_force.policies.references();
        let mut carried: BTreeSet<String> = BTreeSet::new();
        for target in in_force.targets.values() {
            carried.extend(target.facts.tags.iter().map(|tag| tag.0.clone()));
            carried.extend(target.catalogue.tagging().columns.iter().map(|tagged| tagged.tag.0.clone()));
        }
        let mut checks = Vec::new();
        let unmatched: Vec<String> =
            named.tags.difference(&carried).map(|tag| format!("{tag}{}", meant(tag, &carried))).collect();
        checks.push(if unmatched.is_empty() {
            check("policies", Grade::Good, "every tag that they name is carried by a target or a column")
        } else {
            let says = format!("they name tags that nothing carries: {}", unmatched.join(", "));
            check("policies", Grade::Warning, says)
        });
        checks.extend(self.answerable(&named.approvers).await);
        checks.extend(self.clocks().await);
        checks
    }

    /// Groups that policies ask and in which nobody is: only the administrator could answer.
    async fn answerable(&self, asked: &BTreeSet<String>) -> Option<Check> {
        if asked.is_empty() {
            return None;
        }
        let approvers = match self.approvers().await {
            Ok(approvers) => approvers,
            Err(error) => {
                return Some(check("approvers", Grade::Bad, format!("they cannot be read: {error}")));
            }
        };
        let there: BTreeSet<String> = approvers.into_iter().flat_map(|approver| approver.groups).collect();
        let missing: Vec<&str> = asked.difference(&there).map(String::as_str).collect();
        Some(match missing.first() {
            None => check("approvers", Grade::Good, "somebody is in each group that policies ask"),
            Some(first) => super::advised(
                "approvers",
                Grade::Warning,
                format!("policies ask {}, where nobody is but the administrator", missing.join(", ")),
                format!("durward approver add NAME --group {}, with a person's name for NAME", shell(first)),
            ),
        })
    }
}
