//! What the server still owes, in order, and where in that order each name was last spoken of. A client may have many
//! thousands of messages in flight, so nothing that is asked for each of them walks through the others.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::expected::{Bound, Expected};
use super::prepared::Prepared;

/// The client is not read while the server owes so many answers.
const MOST: usize = 100_000;
/// A queue that is not longer is walked through: that takes less than keeping an index of it.
const SHORT: usize = 16;

/// A message's place in the order of all that were ever sent.
type Place = u64;

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Expected>,
    /// The place of the first entry.
    first: Place,
    /// Of a queue that has been long since it was empty.
    index: Option<Box<Index>>,
    /// Parts of statements of ours.
    own: usize,
    /// Ends of a COPY's data.
    copy_ends: usize,
    /// The last entry beyond which an error does not reach, if it has not been answered.
    last_end: Option<Place>,
}

/// Where what is asked for stands last.
#[derive(Default)]
struct Index {
    /// Where statements' names are given or taken.
    statements: HashMap<String, Place>,
    /// Where portals' names are, likewise.
    portals: HashMap<String, Place>,
    /// Where each statement is described, by its address.
    described: HashMap<usize, Place>,
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
        self.count(&expected, place);
        if self.index.is_none() && self.entries.len() >= SHORT {
            let mut index = Index::default();
            for (entry, place) in self.entries.iter().zip(self.first..) {
                index.note(entry, place);
            }
            self.index = Some(Box::new(index));
        }
        if let Some(index) = &mut self.index {
            index.note(&expected, place);
        }
        self.entries.push_back(expected);
    }

    pub(super) fn pop_front(&mut self) -> Option<Expected> {
        let expected = self.entries.pop_front()?;
        self.own -= usize::from(matches!(expected, Expected::Own(_)));
        self.copy_ends -= usize::from(matches!(expected, Expected::CopyEnd));
        self.last_end = self.last_end.filter(|end| *end > self.first);
        if let Some(index) = &mut self.index {
            index.forget(&expected, self.first);
        }
        if self.entries.is_empty() {
            self.index = None;
        }
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

    pub(super) fn back(&self) -> Option<&Expected> {
        self.entries.back()
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
        match &self.index {
            Some(index) => !(index.statements.is_empty() && index.portals.is_empty()),
            None => self.entries.iter().any(|e| statement_of(e).or(portal_of(e)).is_some()),
        }
    }

    pub(super) fn is_being_described(&self, prepared: &Arc<Prepared>) -> bool {
        match &self.index {
            Some(index) => index.described.contains_key(&address(prepared)),
            None => self.entries.iter().any(|e| described_by(e).is_some_and(|d| Arc::ptr_eq(d, prepared))),
        }
    }

    /// What becomes of a statement's name, if something in flight speaks of it.
    pub(super) fn statement(&self, name: &str) -> Option<Spoken<Prepared>> {
        let place = match &self.index {
            Some(index) => *index.statements.get(name)?,
            None => self.last(|e| statement_of(e) == Some(name))?,
        };
        let means = if let Expected::Parse { prepared, .. } = self.at(place)? {
            Some(Arc::clone(prepared))
        } else {
            None
        };
        Some(Spoken { means, certain: !self.ends_behind(place) })
    }

    /// What becomes of a portal's name, if something in flight speaks of it.
    pub(super) fn portal(&self, name: &str) -> Option<Spoken<Bound>> {
        let place = match &self.index {
            Some(index) => *index.portals.get(name)?,
            None => self.last(|e| portal_of(e) == Some(name))?,
        };
        let means =
            if let Expected::Bind { bound, .. } = self.at(place)? { Some(Arc::clone(bound)) } else { None };
        Some(Spoken { means, certain: !self.ends_behind(place) })
    }

    /// Whether code of a portal other than this one, whose Bind is in flight, is still to find its names.
    pub(super) fn is_late(&self, but: Option<&str>) -> bool {
        let is_late = |name: &str, place: Place| {
            but != Some(name)
                && matches!(self.at(place), Some(Expected::Bind { bound, .. }) if bound.is_late())
        };
        match &self.index {
            Some(index) => index.portals.iter().any(|(name, place)| is_late(name, *place)),
            None => self.entries.iter().filter_map(portal_of).any(|name| {
                self.last(|e| portal_of(e) == Some(name)).is_some_and(|place| is_late(name, place))
            }),
        }
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

    fn last(&self, speaks: impl Fn(&Expected) -> bool) -> Option<Place> {
        Some(self.first + self.entries.iter().rposition(speaks)? as Place)
    }

    fn count(&mut self, expected: &Expected, place: Place) {
        self.own += usize::from(matches!(expected, Expected::Own(_)));
        self.copy_ends += usize::from(matches!(expected, Expected::CopyEnd));
        if expected.ends_segment() {
            self.last_end = Some(place);
        }
    }
}

impl Index {
    fn note(&mut self, expected: &Expected, place: Place) {
        if let Some(name) = statement_of(expected) {
            *self.statements.entry_ref(name).or_default() = place;
        } else if let Some(name) = portal_of(expected) {
            *self.portals.entry_ref(name).or_default() = place;
        } else if let Some(prepared) = described_by(expected) {
            self.described.insert(address(prepared), place);
        }
    }

    /// An entry is gone, which stood at this place.
    fn forget(&mut self, expected: &Expected, place: Place) {
        if let Some(name) = statement_of(expected) {
            if self.statements.get(name) == Some(&place) {
                self.statements.remove(name);
            }
        } else if let Some(name) = portal_of(expected) {
            if self.portals.get(name) == Some(&place) {
                self.portals.remove(name);
            }
        } else if let Some(prepared) = described_by(expected) {
            let address = address(prepared);
            if self.described.get(&address) == Some(&place) {
                self.described.remove(&address);
            }
        }
    }
}

/// The statement's name that a message gives or takes.
fn statement_of(expected: &Expected) -> Option<&str> {
    if let Expected::Parse { name, .. } | Expected::CloseStatement(name) = expected {
        Some(name)
    } else {
        None
    }
}

/// The portal's name, likewise.
fn portal_of(expected: &Expected) -> Option<&str> {
    if let Expected::Bind { portal: name, .. } | Expected::ClosePortal(name) = expected {
        Some(name)
    } else {
        None
    }
}

/// The statement that a message describes.
fn described_by(expected: &Expected) -> Option<&Arc<Prepared>> {
    if let Expected::DescribeStatement { prepared, .. } = expected { prepared.as_ref() } else { None }
}

/// As long as the statement is in the queue nothing else has its address.
fn address(prepared: &Arc<Prepared>) -> usize {
    Arc::as_ptr(prepared).addr()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::expected::{Bound, Expected, OwnPart, Run};
    use super::super::operation::Operation;
    use super::super::prepared::Prepared;
    use super::{Queue, SHORT, Spoken};

    /// One of a few entries, of which several speak of each name.
    fn entry(number: u64) -> Expected {
        let name = ["", "a", "b"][(number / 16 % 3) as usize].to_owned();
        let bound = || Arc::new(Bound::of(Arc::new(Operation::nothing())));
        let prepared = || Arc::new(Prepared::missing("", super::super::prepared::Epoch::default()));
        match number % 16 {
            0..=2 => Expected::Parse { name, prepared: prepared(), operation: 1 },
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
        // What is walked through for each message is never longer.
        assert!(queue.entries.len() <= SHORT || queue.index.is_some());
        if let Some(index) = &queue.index {
            let described = any(|e| matches!(e, Expected::DescribeStatement { .. }));
            assert_eq!(index.described.is_empty(), !described);
        }
    }

    #[test]
    fn what_is_known_of_names_is_what_a_walk_would_find() {
        let (mut queue, mut random, mut long) = (Queue::default(), 7_u64, 0);
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
            long += usize::from(queue.index.is_some());
        }
        assert!((5_000..15_000).contains(&long), "both ways are walked: {long}");
    }
}
