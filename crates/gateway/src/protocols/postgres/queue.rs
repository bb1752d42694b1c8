//! What the server still owes, in order, and where in that order each name was last spoken of. A client may have many
//! thousands of messages in flight, so nothing that is asked for each of them walks through the others.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::expected::{Bound, Expected};
use super::operation::Prepared;

/// The client is not read while the server owes so many answers.
const MOST: usize = 100_000;

/// A message's place in the order of all that were ever sent.
type Place = u64;

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Expected>,
    /// The place of the first entry.
    first: Place,
    /// Where statements' names are given or taken last.
    statements: HashMap<String, Place>,
    /// Where portals' names are, likewise.
    portals: HashMap<String, Place>,
    /// Where each statement is described last, by its address.
    described: HashMap<usize, Place>,
    /// Parts of statements of ours.
    own: usize,
    /// Ends of a COPY's data.
    copy_ends: usize,
    /// The last entry beyond which an error does not reach, if it has not been answered.
    last_end: Option<Place>,
}

/// What the last message in flight that speaks of a name does to it.
pub(super) struct Spoken<T> {
    /// What it will stand for; `None` where it is closed.
    pub means: Option<Arc<T>>,
    /// Whether an error of what was sent before cannot reach the end of the queue from there.
    pub certain: bool,
}

impl Queue {
    pub(super) fn push_back(&mut self, expected: Expected) {
        let place = self.first + self.entries.len() as Place;
        self.note(&expected, place);
        self.entries.push_back(expected);
    }

    pub(super) fn pop_front(&mut self) -> Option<Expected> {
        let expected = self.entries.pop_front()?;
        self.forget(&expected);
        self.first += 1;
        Some(expected)
    }

    /// The entry that is answered now, to count what comes. Its kind and its names are not to be changed.
    pub(super) fn front_mut(&mut self) -> Option<&mut Expected> {
        self.entries.front_mut()
    }

    /// A COPY has begun. The server ignores each Sync up to the end of its data, which goes from the queue with the mark of
    /// that end. Returns whether there was such a mark, and whether anything went.
    pub(super) fn copy_begun(&mut self, extended: bool) -> (bool, bool) {
        let ended = self.copy_ends > 0;
        if !ended && !extended {
            return (false, false);
        }
        let before = self.entries.len();
        let mut within = true;
        let kept = std::mem::take(self).entries.into_iter().filter(|e| {
            if within && matches!(e, Expected::CopyEnd) {
                within = false;
                return false;
            }
            !(within && extended && matches!(e, Expected::Sync))
        });
        for expected in kept {
            self.push_back(expected);
        }
        (ended, self.entries.len() < before)
    }

    pub(super) fn front(&self) -> Option<&Expected> {
        self.entries.front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the client is to wait until the server has answered some of it.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    /// Whether answers to a statement of ours are in flight.
    pub(super) fn has_own(&self) -> bool {
        self.own > 0
    }

    /// Whether anything in flight gives or takes a name.
    pub(super) fn moves_names(&self) -> bool {
        !(self.statements.is_empty() && self.portals.is_empty())
    }

    pub(super) fn is_being_described(&self, prepared: &Arc<Prepared>) -> bool {
        self.described.contains_key(&address(prepared))
    }

    /// What becomes of a statement's name, if something in flight speaks of it.
    pub(super) fn statement(&self, name: &str) -> Option<Spoken<Prepared>> {
        let place = *self.statements.get(name)?;
        let means = if let Expected::Parse { prepared, .. } = self.at(place)? {
            Some(Arc::clone(prepared))
        } else {
            None
        };
        Some(Spoken { means, certain: !self.ends_behind(place) })
    }

    /// What becomes of a portal's name, if something in flight speaks of it.
    pub(super) fn portal(&self, name: &str) -> Option<Spoken<Bound>> {
        let place = *self.portals.get(name)?;
        let means =
            if let Expected::Bind { bound, .. } = self.at(place)? { Some(Arc::clone(bound)) } else { None };
        Some(Spoken { means, certain: !self.ends_behind(place) })
    }

    /// Whether code of a portal other than this one, whose Bind is in flight, is still to find its names.
    pub(super) fn is_late(&self, but: Option<&str>) -> bool {
        self.portals.iter().any(|(name, place)| {
            but != Some(name)
                && matches!(self.at(*place), Some(Expected::Bind { bound, .. }) if bound.is_late())
        })
    }

    /// Whether an error of something in flight may not reach its end.
    pub(super) fn has_ends(&self) -> bool {
        self.last_end.is_some()
    }

    fn ends_behind(&self, place: Place) -> bool {
        self.last_end.is_some_and(|end| end > place)
    }

    fn at(&self, place: Place) -> Option<&Expected> {
        self.entries.get(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }

    fn note(&mut self, expected: &Expected, place: Place) {
        match expected {
            Expected::Parse { name, .. } | Expected::CloseStatement(name) => {
                *self.statements.entry_ref(name.as_str()).or_default() = place;
            }
            Expected::Bind { portal: name, .. } | Expected::ClosePortal(name) => {
                *self.portals.entry_ref(name.as_str()).or_default() = place;
            }
            Expected::DescribeStatement { prepared: Some(prepared), .. } => {
                self.described.insert(address(prepared), place);
            }
            Expected::Own(_) => self.own += 1,
            Expected::CopyEnd => self.copy_ends += 1,
            Expected::DescribeStatement { prepared: None, .. }
            | Expected::Query(_)
            | Expected::DescribePortal { .. }
            | Expected::Execute(_)
            | Expected::Sync
            | Expected::FunctionCall(_)
            | Expected::Refused(_) => (),
        }
        if expected.ends_segment() {
            self.last_end = Some(place);
        }
    }

    /// The first entry is gone.
    fn forget(&mut self, expected: &Expected) {
        match expected {
            Expected::Parse { name, .. } | Expected::CloseStatement(name) => {
                if self.statements.get(name) == Some(&self.first) {
                    self.statements.remove(name);
                }
            }
            Expected::Bind { portal: name, .. } | Expected::ClosePortal(name) => {
                if self.portals.get(name) == Some(&self.first) {
                    self.portals.remove(name);
                }
            }
            Expected::DescribeStatement { prepared: Some(prepared), .. } => {
                let address = address(prepared);
                if self.described.get(&address) == Some(&self.first) {
                    self.described.remove(&address);
                }
            }
            Expected::Own(_) => self.own -= 1,
            Expected::CopyEnd => self.copy_ends -= 1,
            Expected::DescribeStatement { prepared: None, .. }
            | Expected::Query(_)
            | Expected::DescribePortal { .. }
            | Expected::Execute(_)
            | Expected::Sync
            | Expected::FunctionCall(_)
            | Expected::Refused(_) => (),
        }
        self.last_end = self.last_end.filter(|end| *end > self.first);
    }
}

/// As long as the statement is in the queue nothing else has its address.
fn address(prepared: &Arc<Prepared>) -> usize {
    Arc::as_ptr(prepared).addr()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::expected::{Bound, Expected, OwnPart, Run};
    use super::super::operation::{Operation, Prepared};
    use super::{Queue, Spoken};

    /// One of a few entries, of which several speak of each name.
    fn entry(number: u64) -> Expected {
        let name = ["", "a", "b"][(number / 16 % 3) as usize].to_owned();
        let bound = || Arc::new(Bound::of(Arc::new(Operation::nothing())));
        let prepared = || Arc::new(Prepared::missing("", super::super::operation::Epoch::default()));
        match number % 16 {
            0..=2 => Expected::Parse { name, prepared: prepared() },
            3..=5 => Expected::Bind { portal: name, bound: bound() },
            6 => Expected::CloseStatement(name),
            7 => Expected::ClosePortal(name),
            8 => Expected::Sync,
            9 => Expected::Own(OwnPart::Bind),
            10 => Expected::CopyEnd,
            11 => Expected::DescribeStatement { prepared: Some(prepared()), ours: false },
            _ => Expected::Execute(Run::new(bound())),
        }
    }

    /// What a walk through the whole queue from its end finds: the place of the last entry that speaks of something, and
    /// whether nothing behind it ends a segment.
    fn walk(queue: &Queue, speaks: impl Fn(&Expected) -> bool) -> Option<(&Expected, bool)> {
        let at = queue.entries.iter().rposition(speaks)?;
        let certain = !queue.entries.iter().skip(at + 1).any(Expected::ends_segment);
        queue.entries.get(at).map(|found| (found, certain))
    }

    fn found<T>(spoken: Option<Spoken<T>>) -> Option<(Option<*const T>, bool)> {
        spoken.map(|spoken| (spoken.means.map(|means| Arc::as_ptr(&means)), spoken.certain))
    }

    #[track_caller]
    fn check(queue: &Queue) {
        for wanted in ["", "a", "b"] {
            let statement = walk(
                queue,
                |e| matches!(e, Expected::Parse { name, .. } | Expected::CloseStatement(name) if name == wanted),
            );
            let expected = statement.map(|(found, certain)| {
                let here = if let Expected::Parse { prepared, .. } = found {
                    Some(Arc::as_ptr(prepared))
                } else {
                    None
                };
                (here, certain)
            });
            assert_eq!(found(queue.statement(wanted)), expected);
            let portal = walk(
                queue,
                |e| matches!(e, Expected::Bind { portal: name, .. } | Expected::ClosePortal(name) if name == wanted),
            );
            let expected = portal.map(|(found, certain)| {
                let here =
                    if let Expected::Bind { bound, .. } = found { Some(Arc::as_ptr(bound)) } else { None };
                (here, certain)
            });
            assert_eq!(found(queue.portal(wanted)), expected);
        }
        let any = |is: fn(&Expected) -> bool| queue.entries.iter().any(is);
        assert_eq!(queue.has_own(), any(|e| matches!(e, Expected::Own(_))));
        assert_eq!(queue.has_ends(), any(Expected::ends_segment));
        let moves = any(|e| {
            matches!(
                e,
                Expected::Parse { .. }
                    | Expected::Bind { .. }
                    | Expected::CloseStatement(_)
                    | Expected::ClosePortal(_)
            )
        });
        assert_eq!(queue.moves_names(), moves);
        for expected in &queue.entries {
            if let Expected::DescribeStatement { prepared: Some(prepared), .. } = expected {
                assert!(queue.is_being_described(prepared));
            }
        }
        assert_eq!(queue.described.is_empty(), !any(|e| matches!(e, Expected::DescribeStatement { .. })));
    }

    #[test]
    fn what_is_known_of_names_is_what_a_walk_would_find() {
        let (mut queue, mut random) = (Queue::default(), 7_u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = random >> 33;
            // More come than go, until there are many.
            match number % 11 {
                0..=3 => drop(queue.pop_front()),
                4 if number % 7 == 0 => drop(queue.copy_begun(number % 2 == 0)),
                5 if queue.entries.len() > 40 => while queue.pop_front().is_some() {},
                _ => queue.push_back(entry(number / 11)),
            }
            check(&queue);
        }
    }
}
