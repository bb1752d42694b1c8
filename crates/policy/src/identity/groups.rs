//! Groups of the gateway's own: who is in them is configuration, and no token's to say. Policies name them with `local/` in
//! front, which is in front of no group that an issuer, a client's entry or an issued token can give.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use model::{Principal, PrincipalKind, PrincipalRef};
use serde::{Deserialize, Serialize};

use super::names::{self, LOCAL};
use crate::nearest;

/// What is typed of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Its name; policies say `Group::"local/NAME"`.
    pub name: String,
    /// Who is in it: `user:NAME`, `agent:NAME`, and everybody of another group, `group:NAME`.
    pub members: BTreeSet<String>,
}

/// What is wrong with a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the group \"{group}\": {what}")]
pub struct GroupProblem {
    /// Which.
    pub group: String,
    /// Its member that is wrong, where one is.
    pub member: Option<String>,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Who is in one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Member {
    /// A principal.
    Principal(PrincipalRef),
    /// Everybody of a group, by the name that policies give it.
    Group(String),
}

impl Member {
    /// `user:NAME`, `agent:NAME` or `group:NAME`.
    ///
    /// # Errors
    /// What it should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no member: it is written user:NAME, agent:NAME or group:NAME");
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "user" => PrincipalKind::User,
            "agent" => PrincipalKind::Agent,
            "group" if names::is_group(name) => return Ok(Self::Group(name.to_owned())),
            other => {
                let meant = nearest(other, ["user", "agent", "group"]);
                let meant = meant.map(|word| format!("; did you mean \"{word}:\"?")).unwrap_or_default();
                return Err(wrong() + &meant);
            }
        };
        if !names::is_fine(name) {
            return Err(wrong());
        }
        Ok(Self::Principal(PrincipalRef { kind, name: name.to_owned() }))
    }
}

/// Whether a group's name is one that only configuration gives.
pub fn is_local(group: &str) -> bool {
    group.starts_with(LOCAL)
}

/// What a group may be called, without `local/`.
///
/// # Errors
/// What it may be made of.
pub fn check_group(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(fine) {
        return Err("a group's name has 1 to 63 letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(())
}

/// All of them, by who is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// As policies name them.
    names: BTreeSet<String>,
    /// With those that they are members of, however far away.
    of: HashMap<Member, BTreeSet<String>>,
}

impl Groups {
    /// From what was typed.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn new(typed: &[GroupConfig]) -> Result<Self, Vec<GroupProblem>> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for GroupConfig { name, members: _ } in typed {
            let mut wrong =
                |what: String| problems.push(GroupProblem { group: name.clone(), member: None, what });
            if let Err(what) = check_group(name) {
                wrong(what);
            }
            if !names.insert(format!("{LOCAL}{name}")) {
                wrong("there are two of this name".to_owned());
            }
        }
        let mut direct: HashMap<Member, BTreeSet<String>> = HashMap::new();
        for GroupConfig { name, members } in typed {
            for text in members {
                match Member::parse(text).and_then(|member| known(member, &names)) {
                    Ok(member) => drop(direct.entry(member).or_default().insert(format!("{LOCAL}{name}"))),
                    Err(what) => {
                        problems.push(GroupProblem { group: name.clone(), member: Some(text.clone()), what });
                    }
                }
            }
        }
        if problems.is_empty() {
            problems.extend(circles(typed, &direct));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let of = direct.keys().map(|member| (member.clone(), above(member, &direct))).collect();
        Ok(Self { names, of })
    }

    /// All of them, as policies name them.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Those that somebody is in who has these groups from elsewhere.
    pub fn of<'a>(
        &'a self,
        who: &PrincipalRef,
        groups: impl IntoIterator<Item = &'a String>,
    ) -> BTreeSet<&'a str> {
        if self.of.is_empty() {
            return BTreeSet::new();
        }
        let from_elsewhere = groups.into_iter().filter(|group| !is_local(group)).cloned();
        let members =
            std::iter::once(Member::Principal(who.clone())).chain(from_elsewhere.map(Member::Group));
        members.filter_map(|member| self.of.get(&member)).flatten().map(String::as_str).collect()
    }

    /// Gives a principal the groups of the gateway's own that it is in now, and no others, whatever was said before.
    pub fn settle(&self, principal: &mut Principal) {
        let own: Vec<String> =
            self.of(&principal.id, &principal.groups).into_iter().map(str::to_owned).collect();
        principal.groups.retain(|group| !is_local(group));
        principal.groups.extend(own);
    }

    /// Whether a principal has just these.
    pub fn agree_with(&self, principal: &Principal) -> bool {
        let has: BTreeSet<&str> =
            principal.groups.iter().map(String::as_str).filter(|group| is_local(group)).collect();
        has == self.of(&principal.id, &principal.groups)
    }
}

/// A member that can be one.
fn known(member: Member, groups: &BTreeSet<String>) -> Result<Member, String> {
    match &member {
        Member::Principal(PrincipalRef { kind: PrincipalKind::Agent, name }) if is_local(name) => {
            Err(format!(
                "anybody who signs in can call an agent of theirs {name}: policies ask for `context.on_behalf_of` as well"
            ))
        }
        Member::Group(name) if is_local(name) && !groups.contains(name) => {
            let meant = nearest(name, groups.iter().map(String::as_str));
            let meant = meant.map(|word| format!("; did you mean \"group:{word}\"?")).unwrap_or_default();
            Err(format!("there is no group \"{name}\"{meant}"))
        }
        Member::Principal(_) | Member::Group(_) => Ok(member),
    }
}

/// Every group that a member is in, by itself or by another.
fn above(member: &Member, direct: &HashMap<Member, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![member.clone()];
    while let Some(member) = next.pop() {
        for group in direct.get(&member).into_iter().flatten() {
            if found.insert(group.clone()) {
                next.push(Member::Group(group.clone()));
            }
        }
    }
    found
}

/// Groups that are in themselves, each with the member by which it is.
fn circles(typed: &[GroupConfig], direct: &HashMap<Member, BTreeSet<String>>) -> Vec<GroupProblem> {
    let mut problems = Vec::new();
    for GroupConfig { name, members } in typed {
        let own = format!("{LOCAL}{name}");
        let over = above(&Member::Group(own.clone()), direct);
        for text in members {
            let Some(inner) = text.strip_prefix("group:") else { continue };
            if inner == own || over.contains(inner) {
                let what = if inner == own {
                    "it is a member of itself".to_owned()
                } else {
                    format!("\"{inner}\" has it for a member already: they would be in each other")
                };
                problems.push(GroupProblem { group: name.clone(), member: Some(text.clone()), what });
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, members: &[&str]) -> GroupConfig {
        GroupConfig { name: name.to_owned(), members: members.iter().map(|m| (*m).to_owned()).collect() }
    }

    fn principal(text: &str, groups: &[&str]) -> Principal {
        let Ok(Member::Principal(id)) = Member::parse(text) else { panic!("{text} is no principal") };
        Principal {
            id,
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: Vec::new(),
        }
    }

    #[test]
    fn who_is_in_a_group_is_who_configuration_says_and_nobody_else() {
        let groups = Groups::new(&[
            group("dba", &["user:company/alice", "agent:github/acme/api"]),
            group("oncall", &["group:local/dba", "group:company/on call", "user:bob"]),
            group("all", &["group:local/oncall"]),
        ])
        .expect("groups");
        for (who, had, own) in [
            ("user:company/alice", &[][..], &["all", "dba", "oncall"][..]),
            ("agent:github/acme/api", &[], &["all", "dba", "oncall"]),
            ("user:bob", &[], &["all", "oncall"]),
            ("user:company/carol", &["company/on call"], &["all", "oncall"]),
            // The neighbours: another kind, another issuer, another case, and a group of nearly this name.
            ("agent:company/alice", &[], &[]),
            ("user:other/alice", &[], &[]),
            ("user:Bob", &[], &[]),
            ("user:company/carol", &["company/on-call", "dba", "Local/dba", "company/local/dba"], &[]),
            // What a token says of such a group counts for nothing, and leads to none either.
            ("user:company/carol", &["local/dba", "local/oncall", "local/none"], &[]),
        ] {
            let mut settled = principal(who, had);
            groups.settle(&mut settled);
            let own: Vec<String> = own.iter().map(|name| format!("local/{name}")).collect();
            let has: Vec<&String> = settled.groups.iter().filter(|g| is_local(g)).collect();
            assert_eq!(has, own.iter().collect::<Vec<_>>(), "{who} {had:?}");
            let others = had.iter().filter(|g| !is_local(g)).count();
            assert_eq!(settled.groups.len(), others + own.len(), "{who} {had:?}: what others say stays");
            assert!(groups.agree_with(&settled), "{who} {had:?}");
            assert_eq!(Groups::default().agree_with(&settled), own.is_empty(), "{who} {had:?}");
            let again = settled.groups.clone();
            groups.settle(&mut settled);
            assert_eq!(settled.groups, again);
        }
    }

    #[test]
    fn a_group_that_cannot_be_is_told_with_its_member() {
        for (typed, expected) in [
            (vec![group("a b", &[])], &[(None, "a group's name has")][..]),
            (vec![group("a", &[]), group("a", &[])], &[(None, "there are two")]),
            (vec![group("a", &["bob"])], &[(Some("bob"), "is no member")]),
            (vec![group("a", &["usr:bob"])], &[(Some("usr:bob"), "did you mean \"user:\"?")]),
            (
                vec![group("a", &["user:b b", "user:"])],
                &[(Some("user:"), "no member"), (Some("user:b b"), "no member")],
            ),
            (
                vec![group("dba", &[]), group("a", &["group:local/dbas"])],
                &[(Some("group:local/dbas"), "did you mean \"group:local/dba\"?")],
            ),
            (
                vec![group("a", &["agent:local/coder"])],
                &[(Some("agent:local/coder"), "context.on_behalf_of")],
            ),
            (vec![group("a", &["group:local/a"])], &[(Some("group:local/a"), "of itself")]),
            (
                vec![
                    group("a", &["group:local/b"]),
                    group("b", &["group:local/c"]),
                    group("c", &["group:local/a"]),
                ],
                &[
                    (Some("group:local/b"), "in each other"),
                    (Some("group:local/c"), "in each other"),
                    (Some("group:local/a"), "in each other"),
                ],
            ),
        ] {
            let problems = Groups::new(&typed).expect_err("it cannot be");
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, (member, what)) in problems.iter().zip(expected) {
                assert_eq!(problem.member.as_deref(), *member, "{problem}");
                assert!(problem.what.contains(what), "{problem}");
            }
        }
        // One that is reached by two ways is no circle.
        let diamond = [
            group("a", &["group:local/b", "group:local/c"]),
            group("b", &["group:local/d"]),
            group("c", &["group:local/d"]),
            group("d", &["user:x"]),
        ];
        let groups = Groups::new(&diamond).expect("no circle");
        assert_eq!(groups.of(&principal("user:x", &[]).id, []).len(), 4);
    }
}
