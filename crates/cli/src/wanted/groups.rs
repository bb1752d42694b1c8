//! `[[groups]]`: groups of the gateway's own, and who is in them.

use std::collections::BTreeMap;

use policy::identity::{GroupConfig, GroupProblem, Groups, Member, check_group};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Page, Wanted};

/// A group of the gateway's own. Policies name it `Group::"local/NAME"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedGroup {
    /// What it is called here.
    #[schemars(with = "GroupWord")]
    name: Spanned<GroupWord>,
    /// Who is in it: `user:NAME`, `agent:NAME`, or everybody of another group: `group:local/NAME`, `group:ISSUER/NAME`.
    #[schemars(with = "Vec<MemberWord>")]
    members: Vec<Spanned<MemberWord>>,
}

/// 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]{1,63}$"))]
struct GroupWord(String);

impl TryFrom<String> for GroupWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        check_group(&word).map(|()| Self(word))
    }
}

/// `user:NAME`, `agent:NAME` or `group:NAME`; only the name of a group may have spaces in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r"^((user|agent):\S+|group:.*\S.*)$"))]
struct MemberWord(String);

impl TryFrom<String> for MemberWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Member::parse(&word).map(|_| Self(word))
    }
}

/// Where groups and their members are written.
#[derive(Default)]
pub(super) struct Places {
    groups: BTreeMap<String, String>,
    members: BTreeMap<(String, String), String>,
}

impl TypedGroup {
    /// Adds what it means to what is wanted.
    pub(super) fn read(self, page: &Page<'_>, wanted: &mut Wanted) {
        let Self { name: spanned, members } = self;
        let place = page.at(&spanned);
        let GroupWord(name) = spanned.into_inner();
        if let Some(first) = wanted.groups_at.groups.get(&name) {
            let why = format!("{place}: the group \"{name}\" is described at {first} already");
            return wanted.problems.push(why);
        }
        wanted.groups_at.groups.insert(name.clone(), place);
        let mut all = std::collections::BTreeSet::new();
        for member in members {
            let place = page.at(&member);
            let MemberWord(member) = member.into_inner();
            wanted.groups_at.members.entry((name.clone(), member.clone())).or_insert(place);
            all.insert(member);
        }
        wanted.configuration.groups.push(GroupConfig { name, members: all });
    }
}

/// That they can be: members that are groups are there, and none is in itself.
pub(super) fn judge(wanted: &mut Wanted) {
    let Err(problems) = Groups::new(&wanted.configuration.groups) else { return };
    for problem in problems {
        let GroupProblem { group, member, what } = &problem;
        let of_member =
            member.as_ref().and_then(|m| wanted.groups_at.members.get(&(group.clone(), m.clone())));
        let place = of_member.or_else(|| wanted.groups_at.groups.get(group));
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        wanted.problems.push(format!("{place}\"{group}\": {what}"));
    }
}
