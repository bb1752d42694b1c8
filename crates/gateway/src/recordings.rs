//! Recordings of sessions: read, searched, forgotten. That one is read is on record first.

mod forget;
mod search;
mod steps;
mod survey;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use recording::read::ReadError;
use recording::{Key, Recorder};

pub(crate) use self::search::touches;
pub use self::search::{Found, Hit, Search};
pub use self::steps::{Moment, Page, Step, Verdict, Wanted};
pub(crate) use self::survey::Surveys;
use crate::gateway::Gateway;
pub use crate::protocols::postgres::replay::{Column, Rest, Shown, Told};
use crate::requests::AdminError;

/// Whoever reads a recording on and on is on record again after this long.
const AGAIN: Duration = Duration::from_secs(300);
/// So many readers are remembered.
const MOST_READERS: usize = 1000;
/// What a session that has ended left is written down within this.
const WRITTEN: Duration = Duration::from_secs(2);
/// A recording that grows is looked at so often for whoever waits for more.
const LOOK: Duration = Duration::from_millis(250);

/// Who reads which recording, and since when that is on record.
#[derive(Default)]
pub(crate) struct Readers(Mutex<HashMap<(String, String), Instant>>);

impl Readers {
    /// Whether it must be put on record that somebody reads.
    fn is_new(&self, by: &str, session: &str) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = readers.get(&(by.to_owned(), session.to_owned()));
        known.is_none_or(|since| since.elapsed() > AGAIN)
    }

    fn put_down(&self, by: &str, session: &str) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= MOST_READERS {
            readers.clear();
        }
        readers.insert((by.to_owned(), session.to_owned()), Instant::now());
    }
}

impl From<ReadError> for AdminError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing(session) => Self::Missing(format!("recording of session {session}")),
            ReadError::Io(_) | ReadError::Sealed(_) => Self::Refused(error.to_string()),
        }
    }
}

impl Gateway {
    /// A page of a session's recording. That somebody reads it is on record before they do. Where there is nothing yet and
    /// `patience` is given, it waits for more.
    ///
    /// # Errors
    /// There is none, or it cannot be read or recorded.
    pub async fn recording(
        &self,
        session: &str,
        wanted: Wanted,
        patience: Duration,
        by: &str,
    ) -> Result<Page, AdminError> {
        let path = self.read_by(session, by)?;
        let until = tokio::time::Instant::now() + patience;
        let length = || std::fs::metadata(&path).map_or(0, |of| of.len());
        loop {
            // In this order: where it is over before it is read, all of it is read.
            let (live, seen) = (self.recorder().is_open(session), length());
            let (recorder, name, these) = (self.recorder().clone(), session.to_owned(), wanted.clone());
            let surveys = Arc::clone(self.surveys());
            let read = move |key: &Key, recorder: &Recorder| {
                steps::page(recorder.directory(), key, &name, &these, &surveys)
            };
            let mut page = blocking(recorder, read).await??;
            page.live = live && page.ended.is_none();
            let has_news = page.steps.iter().any(|step| step.done) || !page.live;
            if has_news || tokio::time::Instant::now() >= until {
                return Ok(page);
            }
            while length() == seen && self.recorder().is_open(session) && tokio::time::Instant::now() < until
            {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// A page of a session's recording, with every step's moment. That somebody reads it is on record before they do.
    ///
    /// # Errors
    /// There is none, or it cannot be read or recorded.
    pub async fn whole_recording(
        &self,
        session: &str,
        wanted: Wanted,
        by: &str,
    ) -> Result<(Page, Vec<Moment>), AdminError> {
        self.read_by(session, by)?;
        // The last of what has ended is written down soon, and nobody is shown less than there is.
        let (until, is_over) = (
            tokio::time::Instant::now() + WRITTEN,
            !self.sessions().list().iter().any(|live| live.id == session),
        );
        while is_over && self.recorder().is_open(session) && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
        let live = self.recorder().is_open(session);
        let (name, surveys) = (session.to_owned(), Arc::clone(self.surveys()));
        let read = move |key: &Key, recorder: &Recorder| {
            steps::surveyed(recorder.directory(), key, &name, &wanted, &surveys)
        };
        let (mut page, moments) = blocking(self.recorder().clone(), read).await??;
        page.live = live && page.ended.is_none();
        Ok((page, moments))
    }

    /// How far a session's recording is, in a number that grows with it; `None` where there is none.
    pub fn recorded_so_far(&self, session: &str) -> Option<u64> {
        let path = recording::path(self.recorder().directory(), session)?;
        Some(std::fs::metadata(path).ok()?.len())
    }

    /// Puts it on record that somebody reads a recording, and says where it is.
    fn read_by(&self, session: &str, by: &str) -> Result<PathBuf, AdminError> {
        let path = recording::path(self.recorder().directory(), session).filter(|path| path.exists());
        let Some(path) = path else { return Err(ReadError::Missing(session.to_owned()).into()) };
        if self.readers().is_new(by, session) {
            self.administered(by, "recording read", session)?;
            self.readers().put_down(by, session);
        }
        Ok(path)
    }

    /// Operations of sessions, live and past, by what is asked for. What recordings show is searched as well where a text is
    /// looked for, and that is on record first.
    ///
    /// # Errors
    /// The journal or a recording cannot be read or written.
    pub async fn search(&self, wanted: Search, by: &str) -> Result<Found, AdminError> {
        if wanted.reads_recordings() {
            let words = serde_json::to_string(&wanted).unwrap_or_default();
            self.administered(by, "recordings searched", &words)?;
        }
        let journal = self.journal().clone();
        let recorder = self.recorder().clone();
        blocking(recorder, move |key, recorder| {
            // What the last moments brought waits to be written.
            let _ = journal.write_all();
            search::search(journal.directory(), recorder.directory(), key, &wanted)
        })
        .await?
    }
}

/// Files are read beside what serves sessions.
pub(crate) async fn blocking<T: Send + 'static>(
    recorder: Recorder,
    work: impl FnOnce(&Key, &Recorder) -> T + Send + 'static,
) -> Result<T, AdminError> {
    let recorder = Arc::new(recorder);
    let done = tokio::task::spawn_blocking(move || work(recorder.key(), &recorder)).await;
    done.map_err(|_| AdminError::Refused("a recording could not be read to its end".to_owned()))
}
