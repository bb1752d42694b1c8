//! What waits for somebody's answer, and what they were asked, as pages need it: not all of a thousand requests is read to show
//! some of them, and what depends on few things is decided once for all that are alike in those.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{Part, Request};

use crate::alike::is_alike;
use crate::gateway::Gateway;
use crate::people::Guest;
use crate::requests::{AdminError, MOST_LISTED};

/// What waits, as somebody sees it.
#[derive(Debug)]
pub struct Inbox {
    /// How many there are.
    pub count: usize,
    /// How many cards that makes, one for each that no other is alike to.
    pub cards: usize,
    /// Those of one page of it, in the order in which they came.
    pub shown: Vec<Card>,
}

/// One request that waits, and those that are alike to it.
#[derive(Debug)]
pub struct Card {
    /// The one that has waited longest.
    pub request: Request,
    /// Whether it is theirs to answer.
    pub mine: bool,
    /// How many there are, with it.
    pub count: usize,
}

/// What of a request says who may see and answer it.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    askers: Vec<String>,
    approvers: Vec<String>,
}

impl Kind {
    fn of(request: &Request) -> Self {
        let askers = std::iter::once(&request.principal).chain(&request.on_behalf_of).cloned().collect();
        let approvers = request.holds.iter().flat_map(|rule| rule.approvers.clone()).collect();
        Self { askers, approvers }
    }
}

/// Decides once for all requests of a kind.
struct Eyes<'a> {
    gateway: &'a Gateway,
    guest: &'a Guest,
    sees: HashMap<Kind, bool>,
    answers: HashMap<Kind, bool>,
}

impl<'a> Eyes<'a> {
    fn new(gateway: &'a Gateway, guest: &'a Guest) -> Self {
        Self { gateway, guest, sees: HashMap::new(), answers: HashMap::new() }
    }

    fn may_see(&mut self, request: &Request) -> bool {
        let (gateway, guest) = (self.gateway, self.guest);
        let may = || gateway.rights().may_see(guest.person(), request);
        *self.sees.entry(Kind::of(request)).or_insert_with(may)
    }

    fn may_answer(&mut self, request: &Request) -> bool {
        let (gateway, guest) = (self.gateway, self.guest);
        // What it does something to is not read here: what policy says of that, the request's own page tells.
        let may = || gateway.rights().may_answer(guest.person(), request);
        *self.answers.entry(Kind::of(request)).or_insert_with(may)
    }
}

/// What is alike, counted once.
struct Bursts {
    /// The places of the oldest of each, the oldest first, and how many there are of it.
    oldest: Vec<(usize, usize)>,
}

impl Bursts {
    /// Of requests, of which the newest is the first.
    fn of(all: &[Request]) -> Self {
        let mut oldest: Vec<(usize, usize)> = Vec::new();
        // Those of one key are few; each is asked by one principal.
        let mut by_key: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, request) in all.iter().enumerate().rev() {
            let known = request.alike.as_deref().map(|key| by_key.entry(key).or_default());
            let same = known.as_ref().and_then(|known| {
                known.iter().copied().find(|n| {
                    oldest
                        .get(*n)
                        .and_then(|(at, _)| all.get(*at))
                        .is_some_and(|first| is_alike(first, request))
                })
            });
            match same.and_then(|n| oldest.get_mut(n)) {
                Some((_, count)) => *count += 1,
                None => {
                    if let Some(known) = known {
                        known.push(oldest.len());
                    }
                    oldest.push((at, 1));
                }
            }
        }
        Self { oldest }
    }
}

/// The places of cards by whose they are, in the order in which pages have them: the oldest of each asker, then the second of each,
/// so that nobody who asks much keeps others off the first page.
fn in_turn<'a>(askers: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize)> = askers
        .enumerate()
        .map(|(place, asker)| {
            let turn = counts.entry(asker).or_default();
            *turn += 1;
            (*turn, place)
        })
        .collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

impl Gateway {
    /// What waits that somebody may see: how much, and so many cards of it behind the first ones, without values. `kept` are requests whose
    /// cards they look at already: those are among them for as long as they wait, on whatever page they would be by now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn inbox(
        &self,
        guest: &Guest,
        skip: usize,
        most: usize,
        kept: &BTreeSet<String>,
    ) -> Result<Inbox, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut brief = self.state().briefs(&Part::newest(MOST_LISTED)).await?;
        brief.retain(|request| eyes.may_see(request));
        let count = brief.len();
        let bursts = Bursts::of(&brief);
        let asker =
            |(at, _): &(usize, usize)| brief.get(*at).map_or("", |request| request.principal.as_str());
        let is_kept =
            |(at, _): &(usize, usize)| brief.get(*at).is_some_and(|request| kept.contains(&request.id));
        let page: Vec<(usize, usize)> = in_turn(bursts.oldest.iter().map(asker))
            .into_iter()
            .enumerate()
            .filter_map(|(turn, place)| Some((turn, bursts.oldest.get(place).copied()?)))
            .filter(|(turn, card)| (skip..skip.saturating_add(most)).contains(turn) || is_kept(card))
            .map(|(_, card)| card)
            .collect();
        // What came behind the last of those that are shown is not read.
        let last = page.iter().map(|(at, _)| *at).min();
        let behind = last.and_then(|at| at.checked_sub(1)).and_then(|at| brief.get(at));
        let part = Part { most: MOST_LISTED, before: behind.map(|request| request.id.clone()) };
        let mut first = if last.is_some() { self.state().requests(false, &part).await? } else { Vec::new() };
        first.reverse();
        let counts: HashMap<&str, usize> =
            page.iter().filter_map(|(at, count)| Some((brief.get(*at)?.id.as_str(), *count))).collect();
        let card = |request: Request| {
            let count = *counts.get(request.id.as_str())?;
            Some(Card { mine: eyes.may_answer(&request), count, request })
        };
        Ok(Inbox { count, cards: bursts.oldest.len(), shown: first.into_iter().filter_map(card).collect() })
    }

    /// Changes whenever what waits does that somebody may see.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn inbox_mark(&self, guest: &Guest) -> Result<u64, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut mark = DefaultHasher::new();
        for request in self.state().briefs(&Part::newest(MOST_LISTED)).await? {
            if eyes.may_see(&request) {
                (request.id, request.status.as_str(), request.votes.len()).hash(&mut mark);
            }
        }
        Ok(mark.finish())
    }

    /// The newest of what was asked and does not wait any more, that somebody may see; so much at most.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn answered_seen_by(&self, guest: &Guest, most: usize) -> Result<Vec<Request>, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let (mut found, mut part) = (Vec::new(), Part::newest(most));
        loop {
            let read = self.state().answered(&part).await?;
            let is_last = read.len() < most;
            part.before = read.last().map(|request| request.id.clone());
            found.extend(read.into_iter().filter(|request| eyes.may_see(request)));
            if is_last || found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// What the principal of a request asked beside it, the newest first, as far as somebody may see it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn asked_beside(
        &self,
        guest: &Guest,
        request: &Request,
        most: usize,
    ) -> Result<Vec<Request>, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut asked = self.state().requests_of(&request.principal, most + 1).await?;
        asked.retain(|other| other.id != request.id && eyes.may_see(other));
        asked.truncate(most);
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn who_asks_much_keeps_nobody_off_the_first_page() {
        let of = |askers: &[&str]| in_turn(askers.iter().copied());
        assert!(of(&[]).is_empty());
        // Where it is one who asks, it is as they came.
        assert_eq!(of(&["a", "a", "a"]), [0, 1, 2]);
        assert_eq!(of(&["m", "m", "m", "h", "m", "h"]), [0, 3, 1, 5, 2, 4]);
        let mut flood = vec!["m"; 50];
        flood.push("h");
        assert!(of(&flood).get(..50).expect("fifty").contains(&50));
    }
}
