//! Who may answer a held operation, and when enough have.

use model::{HoldRule, KnownAs, SlackYes, Vote};

use crate::persons;

/// Whoever is in this group answers for every group, as one person: they could change the policies as well.
pub const ADMINS: &str = "admins";

/// Whether somebody of these groups may answer for a rule.
pub fn may_answer(rule: &HoldRule, groups: &[String]) -> bool {
    groups.iter().any(|group| group == ADMINS || rule.approvers.contains(group))
}

/// Those among the ones who ask who may not approve it: whoever asks never, and whom an agent asks for only where each of the rules
/// lets them.
pub fn barred<'r>(
    principal: &'r String,
    on_behalf_of: &'r [String],
    rules: &[HoldRule],
) -> impl Iterator<Item = &'r String> + Clone {
    let lets = principal.starts_with("agent:") && !rules.is_empty() && rules.iter().all(|rule| rule.by_self);
    std::iter::once(principal).chain(if lets { &[] } else { on_behalf_of })
}

/// Whether enough of those who may have approved, for every rule. A rule without a quorum is never met.
pub fn is_met(rules: &[HoldRule], votes: &[Vote]) -> bool {
    !rules.is_empty() && rules.iter().all(|rule| rule.quorum > 0 && missing(rule, votes) == 0)
}

/// In words, for whom a request waits still: `one of dba`, `2 more of dba or owners`.
pub fn waits_for(rules: &[HoldRule], votes: &[Vote]) -> Vec<String> {
    let mut waits = Vec::new();
    for rule in rules {
        let words = match missing(rule, votes) {
            0 => continue,
            1 => "one".to_owned(),
            more => more.to_string(),
        };
        let more = if missing(rule, votes) < rule.quorum { " more" } else { "" };
        let words = format!("{words}{more} of {}", rule.approvers.join(" or "));
        if !waits.contains(&words) {
            waits.push(words);
        }
    }
    waits
}

fn missing(rule: &HoldRule, votes: &[Vote]) -> u32 {
    let counts = |vote: &&Vote| {
        vote.approve && may_answer(rule, &vote.groups) && !(vote.is_by_slack() && rule.slack.is_never())
    };
    let counts: Vec<&Vote> = votes.iter().filter(counts).collect();
    let names: Vec<Vec<KnownAs>> = counts.iter().map(|vote| names(vote)).collect();
    let people = persons::count(names.iter().map(Vec::as_slice));
    let missing = rule.quorum.saturating_sub(u32::try_from(people).unwrap_or(u32::MAX));
    // Somebody has shown that they are there.
    let present = rule.slack == SlackYes::Alone || counts.iter().any(|vote| !vote.is_by_slack());
    if missing == 0 && !present { 1 } else { missing }
}

/// By what names whoever answered is known. An answer from before these were noted has one.
pub fn names(vote: &Vote) -> Vec<KnownAs> {
    if vote.names.is_empty() { vec![persons::known_as(&vote.voter, [])] } else { vote.names.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(approvers: &[&str], quorum: u32) -> HoldRule {
        let approvers = approvers.iter().map(|g| (*g).to_owned()).collect();
        HoldRule {
            id: "h".to_owned(),
            approvers,
            quorum,
            expires: 1,
            valid_for: 1,
            reason: None,
            carry: false,
            slack: SlackYes::Never,
            by_self: false,
            ceiling: None,
            tolerance: 0,
            preview: None,
            grant: None,
        }
    }

    fn vote(voter: &str, groups: &[&str], approve: bool) -> Vote {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        Vote {
            voter: format!("user:{voter}"),
            groups,
            approve,
            words: None,
            proof: None,
            most: None,
            access: None,
            names: Vec::new(),
            at: None,
        }
    }

    #[test]
    fn who_asks_never_answers_and_whom_an_agent_asks_for_where_all_rules_let_them() {
        let (lets, silent) = (HoldRule { by_self: true, ..rule(&["dba"], 1) }, rule(&["dba"], 1));
        let for_alice = ["user:alice".to_owned()];
        for (principal, rules, barred_too) in [
            ("agent:bot", vec![&lets], false),
            ("agent:bot", vec![&silent], true),
            ("agent:bot", vec![&lets, &silent], true),
            ("agent:bot", vec![&lets, &lets], false),
            ("agent:bot", vec![], true),
            ("user:alice", vec![&lets], true),
        ] {
            let rules: Vec<HoldRule> = rules.into_iter().cloned().collect();
            let principal = principal.to_owned();
            let all: Vec<&String> = barred(&principal, &for_alice, &rules).collect();
            assert_eq!(all.first(), Some(&&principal), "{rules:?}");
            assert_eq!(all.len() > 1, barred_too, "{principal} {rules:?}");
        }
    }

    #[test]
    fn enough_people_of_the_right_groups_meet_every_rule() {
        let (a, b) = (vote("a", &["dba"], true), vote("b", &["owners", "dba"], true));
        let (out, no) = (vote("c", &["sales"], true), vote("d", &["dba"], false));
        let elsewhere = vote("corp/a", &["dba"], true);
        let root = vote("administrator", &[ADMINS], true);
        let dba = |n| rule(&["dba"], n);
        for (rules, votes, met, waits) in [
            (vec![dba(1)], vec![], false, "one of dba"),
            (vec![dba(1)], vec![&a], true, ""),
            (vec![dba(1)], vec![&out], false, "one of dba"),
            (vec![dba(1)], vec![&no], false, "one of dba"),
            (vec![dba(2)], vec![&a], false, "one more of dba"),
            (vec![dba(2)], vec![&a, &a], false, "one more of dba"),
            (vec![dba(2)], vec![&a, &b], true, ""),
            (vec![dba(2)], vec![&a, &elsewhere], false, "one more of dba"),
            (vec![dba(2)], vec![&a, &elsewhere, &b], true, ""),
            (vec![dba(2)], vec![&root, &b], true, ""),
            (vec![dba(2)], vec![&root, &root], false, "one more of dba"),
            (vec![dba(1), rule(&["owners", "leads"], 2)], vec![&a, &b], false, "one more of owners or leads"),
            (vec![dba(1), rule(&["owners"], 1)], vec![&b], true, ""),
            (vec![], vec![&a], false, ""),
            (vec![dba(0)], vec![&a], false, ""),
        ] {
            let votes: Vec<Vote> = votes.into_iter().cloned().collect();
            assert_eq!(is_met(&rules, &votes), met, "{rules:?} {votes:?}");
            assert_eq!(waits_for(&rules, &votes).join("; "), waits, "{rules:?} {votes:?}");
        }
    }

    #[test]
    fn a_yes_in_slack_counts_where_the_rule_says_so_and_alone_only_where_it_says_that() {
        let slack =
            |voter: &str| Vote { proof: Some("slack T1/U1".to_owned()), ..vote(voter, &["dba"], true) };
        let (a, b, c) = (slack("a"), slack("b"), vote("c", &["dba"], true));
        for (says, quorum, votes, met) in [
            (SlackYes::Never, 1, vec![&a], false),
            (SlackYes::Never, 2, vec![&a, &c], false),
            (SlackYes::Never, 1, vec![&a, &c], true),
            (SlackYes::WithOthers, 1, vec![&a], false),
            (SlackYes::WithOthers, 2, vec![&a, &b], false),
            (SlackYes::WithOthers, 2, vec![&a, &c], true),
            (SlackYes::WithOthers, 2, vec![&c], false),
            (SlackYes::Alone, 1, vec![&a], true),
            (SlackYes::Alone, 2, vec![&a], false),
            (SlackYes::Alone, 2, vec![&a, &b], true),
        ] {
            let rules = [HoldRule { slack: says, ..rule(&["dba"], quorum) }];
            let votes: Vec<Vote> = votes.into_iter().cloned().collect();
            assert_eq!(is_met(&rules, &votes), met, "{says:?} {quorum} {votes:?}");
            assert_eq!(waits_for(&rules, &votes).is_empty(), met, "{says:?} {quorum}");
        }
        // Of two rules each says for itself.
        let both = [HoldRule { slack: SlackYes::Alone, ..rule(&["dba"], 1) }, rule(&["dba"], 1)];
        assert!(!is_met(&both, &[a]));
    }
}
