//! Room for what is asked, over all who ask: so many bytes of bodies and of what was read of them are in memory at a time.
//!
//! As much stays free as whoever asks for more holds then. So one who holds much is refused long before nothing is
//! free, and one who holds little gets in whatever others do: of n who take all that they can each has one part of n + 1, and one
//! part stays free (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, HttpBody};
use futures_util::StreamExt;

/// So much is kept of all, in bytes: of one person at most half of it.
const MOST: usize = 256 << 20;

/// All that is kept, by whose it is. Clones share it.
#[derive(Clone)]
pub struct Room {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<String, usize>,
}

/// There is no room for more of one's.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// There is no room for it now.
    Full,
    /// It is longer than it may be.
    TooLong,
    /// It ended early.
    Broken,
}

/// A body, and its place.
pub struct Kept {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Given back when it is dropped.
    pub place: Place,
}

/// What one request takes; given back when it is dropped.
pub struct Place {
    room: Room,
    whose: String,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Room {
    pub(crate) fn of(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Reads a body of somebody's: as much room as has come of it is taken.
    ///
    /// # Errors
    /// There is no room for it, or it is longer than so many bytes, or breaks off.
    pub async fn read(&self, whose: &str, body: Body, longest: usize) -> Result<Kept, Unread> {
        let announced = usize::try_from(HttpBody::size_hint(&body).lower()).unwrap_or(usize::MAX);
        // What says that it is so of itself is not waited for.
        if announced > longest {
            return Err(Unread::TooLong);
        }
        let mut place = Place { room: self.clone(), whose: whose.to_owned(), bytes: 0 };
        if !self.taken().has_room(whose, announced, self.most) {
            return Err(Unread::Full);
        }
        let mut bytes = Vec::new();
        let mut frames = body.into_data_stream();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|_| Unread::Broken)?;
            let length = bytes.len().saturating_add(frame.len());
            if length > longest {
                return Err(Unread::TooLong);
            }
            place.holds(length).map_err(|Full| Unread::Full)?;
            bytes.extend_from_slice(&frame);
        }
        Ok(Kept { bytes, place })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// From now on it takes so much.
    ///
    /// # Errors
    /// There is no room for that; then it takes what it took.
    pub fn holds(&mut self, bytes: usize) -> Result<(), Full> {
        let mut taken = self.room.taken();
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !taken.has_room(&self.whose, more, self.room.most) {
            return Err(Full);
        }
        taken.change(&self.whose, self.bytes, bytes);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken().change(&self.whose, self.bytes, 0);
    }
}

impl Taken {
    fn has_room(&self, whose: &str, more: usize, most: usize) -> bool {
        let own = self.by.get(whose).copied().unwrap_or_default();
        own.saturating_add(more) <= most.saturating_sub(self.all.saturating_add(more))
    }

    fn change(&mut self, whose: &str, from: usize, to: usize) {
        self.all = self.all.saturating_sub(from).saturating_add(to);
        let own = self.by.get(whose).copied().unwrap_or_default().saturating_sub(from).saturating_add(to);
        if own == 0 {
            self.by.remove(whose);
        } else {
            self.by.insert(whose.to_owned(), own);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::stream;

    use super::*;

    fn text(length: usize) -> Body {
        Body::from("x".repeat(length))
    }

    /// The same, of which nobody knows beforehand how long it is.
    fn pieces(of: usize, many: usize) -> Body {
        let piece = move |_| Ok::<_, Infallible>(Bytes::from("x".repeat(of)));
        Body::from_stream(stream::iter((0..many).map(piece)))
    }

    #[tokio::test]
    async fn those_who_take_all_they_can_leave_room_for_who_holds_little() {
        let room = Room::of(1000);
        let mut kept = Vec::new();
        // Each takes until nothing more of theirs is taken, again and again.
        for _ in 0..100 {
            for whose in ["a", "b", "c"] {
                kept.extend(room.read(whose, text(10), 100).await.ok());
            }
        }
        for whose in ["a", "b", "c"] {
            assert_eq!(room.read(whose, text(10), 100).await.err(), Some(Unread::Full), "{whose}");
            assert_eq!(room.read(whose, pieces(10, 1), 100).await.err(), Some(Unread::Full), "{whose}");
        }
        let all = |room: &Room| room.taken().all;
        assert!((700..=760).contains(&all(&room)), "{}", all(&room));
        let honest = room.read("d", text(100), 100).await.expect("who holds nothing gets in");
        assert_eq!(honest.bytes.len(), 100);
        drop(kept);
        assert_eq!(all(&room), 100);
        drop(honest);
        assert!(room.taken().by.is_empty() && all(&room) == 0);
    }

    #[tokio::test]
    async fn a_body_takes_what_has_come_of_it_and_gives_back_what_is_not_kept() {
        let room = Room::of(100);
        for (what, body, expected) in [
            ("a body", text(50), Ok(50)),
            ("in pieces", pieces(10, 5), Ok(50)),
            ("more than stays free", text(51), Err(Unread::Full)),
            ("the same in pieces", pieces(17, 3), Err(Unread::Full)),
            ("too long", text(61), Err(Unread::TooLong)),
            ("too long in pieces", pieces(31, 2), Err(Unread::TooLong)),
        ] {
            let read = room.read("a", body, 60).await;
            assert_eq!(read.map(|kept| kept.bytes.len()), expected, "{what}");
            assert_eq!(room.taken().all, 0, "{what}");
        }
        let mut kept = room.read("a", text(10), 60).await.expect("there is room");
        assert_eq!(kept.place.holds(60), Err(Full));
        assert_eq!(room.taken().all, 10, "it takes what it took");
        assert_eq!(kept.place.holds(50), Ok(()));
        assert_eq!(kept.place.holds(5), Ok(()));
        assert_eq!(room.taken().all, 5);
    }
}
