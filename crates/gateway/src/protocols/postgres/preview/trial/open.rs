//! What was tried and stays open, so that whoever approves it has that very effect committed. It ends with nothing left as soon as
//! somebody waits for what it has locked, nobody waits for its answer any more, or its time is over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::run::{GIVES_WAY, waited_for};
use crate::protocols::postgres::control::{Control, ControlError};
use crate::protocols::postgres::own::{COMMIT, ROLLBACK};

/// It stays open so long at the longest.
pub(in crate::protocols::postgres::preview) const OPEN: Duration = Duration::from_secs(30);
/// A commit may take so long: of what takes longer it is not known whether it stays.
const COMMITS: Duration = Duration::from_secs(30);
/// So many stay open at a time: each takes two connections.
const MOST: usize = 8;
/// And so many of one who answers for them, so that others find a place.
const MOST_OF_ONE: usize = 4;
/// Who has a place, once for each.
static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A place among those that stay open.
pub(super) struct Room(String);

/// A place for somebody, where one is free.
pub(super) fn room(whose: &str) -> Option<Room> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let own = places.iter().filter(|other| *other == whose).count();
    if places.len() >= MOST || own >= MOST_OF_ONE {
        return None;
    }
    places.push(whose.to_owned());
    Some(Room(whose.to_owned()))
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = places.iter().position(|other| *other == self.0) {
            places.swap_remove(own);
        }
    }
}

/// A transaction that was tried and is open. It is rolled back when nobody has one of these any more.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// How many rows it says that it changed.
    pub rows: u64,
    /// What the server has answered, a command's tag.
    pub tag: String,
    order: Arc<Notify>,
    came: watch::Receiver<Option<Came>>,
}

/// What comes of committing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// It stays.
    Committed,
    /// It had been rolled back before.
    Gone,
    /// The server would not commit it: nothing of it is left. With its SQLSTATE.
    Refused(String),
    /// Nobody knows whether it stays.
    Lost,
}

/// What was tried, and how it can stay open.
pub(super) struct Done {
    pub rows: u64,
    pub tag: String,
}

impl Kept {
    /// Keeps what was tried open in its place; who waits for it is looked for by `watch`.
    pub(super) fn keep(control: Control, watch: Control, room: Room, done: Done) -> Self {
        let (tell, came) = watch::channel(None);
        let order = Arc::new(Notify::new());
        let open = Open { control, watch, order: Arc::clone(&order), tell, _room: room };
        tokio::spawn(open.until_it_ends());
        let Done { rows, tag } = done;
        Self { rows, tag, order, came }
    }

    /// Commits it. What was begun goes on where this is dropped, and is told of when it is asked for again. Cancel-safe.
    pub(crate) async fn commit(&mut self) -> Came {
        self.order.notify_one();
        match self.came.wait_for(Option::is_some).await {
            Ok(came) => came.clone().unwrap_or(Came::Lost),
            Err(_) => Came::Gone,
        }
    }
}

/// The transaction's own side.
struct Open {
    control: Control,
    watch: Control,
    order: Arc<Notify>,
    tell: watch::Sender<Option<Came>>,
    _room: Room,
}

impl Open {
    async fn until_it_ends(mut self) {
        let over = sleep(OPEN);
        tokio::pin!(over);
        let waited_for = waited_for(self.control.process());
        let commits = tokio::select! {
            biased;
            () = self.tell.closed() => false,
            // The server has ended it, or is gone: it was told of no commit.
            _ = self.control.notified() => false,
            () = self.order.notified() => true,
            () = somebody_waits(&mut self.watch, &waited_for) => false,
            () = &mut over => false,
        };
        if !commits {
            return end(&mut self.control).await;
        }
        let came = match timeout(COMMITS, self.control.query(COMMIT)).await {
            Ok(Ok(_)) => Came::Committed,
            Ok(Err(ControlError::Refused { code, .. })) => Came::Refused(code),
            Ok(Err(_)) | Err(_) => Came::Lost,
        };
        self.tell.send_replace(Some(came));
    }
}

/// Resolves when another waits for what it has locked, or that cannot be told.
async fn somebody_waits(watch: &mut Control, waited_for: &str) {
    let mut next = Instant::now();
    while let Ok(rows) = watch.query(waited_for).await {
        if !rows.is_empty() {
            return;
        }
        next += GIVES_WAY;
        tokio::time::sleep_until(next).await;
    }
}

/// Takes it back. Where that fails the connection is lost, and with it what is open.
async fn end(control: &mut Control) {
    if let Err(error) = control.query(ROLLBACK).await {
        tracing::debug!(%error, "what was kept open ends with its connection");
    }
}
