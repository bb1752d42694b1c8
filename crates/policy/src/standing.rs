//! Whether a standing grant may be given, and whether it covers an operation: by the rules in force at that moment, never by
//! those of when it was given.

use model::{GrantState, HoldRule, NewRequest, StandingGrant, Vote};

use crate::quorum;

/// For how long at most a standing grant may be given that answers these rules, in seconds.
///
/// # Errors
/// Why none may be given.
pub fn longest(rules: &[HoldRule]) -> Result<u64, String> {
    // Two who look at each statement are more than two who looked at one of them.
    if let Some(rule) = rules.iter().find(|rule| rule.quorum > 1) {
        return Err(format!("the policy \"{}\" asks more than one person about each statement", rule.id));
    }
    let mut least = None;
    for rule in rules {
        let Some(seconds) = rule.grant else {
            return Err(format!("the policy \"{}\" lets nobody give standing grants (@grant)", rule.id));
        };
        least = Some(least.map_or(seconds, |least: u64| least.min(seconds)));
    }
    least.ok_or_else(|| "no policy asks for it".to_owned())
}

/// Why a standing grant does not cover an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncovered {
    /// It is about something else, or its time is over.
    Other,
    /// It would, but policy asks otherwise than when it was given: why, as a clause.
    Not(String),
    /// It would, but for something that has changed: it covers nothing any more, and this is why, as a clause.
    Ended(String),
}

/// Whether a standing grant covers an operation that these rules hold now. `groups` are those that its giver answers for now;
/// `None` where they answer for none any more.
///
/// # Errors
/// Why not.
pub fn covers(
    grant: &StandingGrant,
    asked: &NewRequest,
    groups: Option<&[String]>,
    now: i64,
) -> Result<(), Uncovered> {
    let Some(likeness) = &asked.alike else { return Err(Uncovered::Other) };
    let same = grant.key == likeness.key
        && grant.principal == asked.principal
        && grant.on_behalf_of == asked.on_behalf_of
        && grant.target == asked.target
        && grant.has_values(likeness);
    if !same || grant.state(now) != GrantState::InForce {
        return Err(Uncovered::Other);
    }
    if let Some(altered) = grant.altered(asked) {
        return Err(Uncovered::Ended(altered));
    }
    if let Some(changed) = HoldRule::differing(&grant.holds, &asked.holds) {
        return Err(Uncovered::Not(changed));
    }
    let longest = longest(&asked.holds).map_err(Uncovered::Not)?;
    if grant.given.saturating_add(i64::try_from(longest).unwrap_or(i64::MAX)) <= now {
        return Err(Uncovered::Ended("policy lets standing grants last less long by now".to_owned()));
    }
    let giver = &grant.giver;
    let votes = groups.map(|groups| Vote { groups: groups.to_vec(), ..giver.clone() });
    if !quorum::is_met(&asked.holds, votes.as_slice()) {
        return Err(Uncovered::Ended(format!("{}, who gave it, may not approve this any more", giver.voter)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
