//! What was learnt of recordings when they were gone through: every step's moment, and places to begin at, so that a page does
//! not read again what stands before it. A recording only grows, so what was learnt of it stays true.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recording::Key;
use recording::event::Events;
use recording::read::{Cursor, ReadError, Reader};

use super::steps::{Moment, Place, Reading, Wanted};

/// The steps of so many recordings are remembered, in all of them together.
const MOST_STEPS: usize = 1_000_000;
/// So many recordings are remembered.
const MOST: usize = 32;
/// A place to begin at is kept for every so many steps.
const APART: u64 = 32;

/// The recordings that somebody reads.
#[derive(Default)]
pub(crate) struct Surveys(Mutex<VecDeque<(String, Arc<Mutex<Survey>>)>>);

/// What is known of one recording.
#[derive(Default)]
pub(super) struct Survey {
    /// How far it was gone through.
    cursor: Cursor,
    /// And what was there.
    place: Place,
    moments: Vec<Moment>,
    marks: Vec<(Cursor, Place)>,
}

impl Surveys {
    /// Calls a function with what is known of a session's recording, which it may add to.
    pub(super) fn with<T>(
        &self,
        session: &str,
        work: impl FnOnce(&mut Survey) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let known = {
            let mut all = self.all();
            let at = all.iter().position(|(name, _)| name == session);
            let (name, known) =
                at.and_then(|at| all.remove(at)).unwrap_or_else(|| (session.to_owned(), Arc::default()));
            all.push_front((name, Arc::clone(&known)));
            all.truncate(MOST);
            known
        };
        let mut survey = known.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut survey);
        if done.is_err() {
            // It may be another recording by now.
            *survey = Survey::default();
        }
        drop(survey);
        self.make_room();
        done
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Mutex<Survey>>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those that were read longest ago, until what is remembered is little enough.
    fn make_room(&self) {
        let mut left = MOST_STEPS;
        self.all().retain(|(_, known)| {
            // Who holds it will come here, too.
            let steps = known.try_lock().map_or(0, |survey| survey.moments.len());
            let fits = steps <= left;
            left = left.saturating_sub(steps);
            fits
        });
    }
}

impl Survey {
    /// Goes on through the recording, until a step has begun or to its end.
    pub(super) fn go_on(
        &mut self,
        directory: &Path,
        key: &Key,
        session: &str,
        until: u64,
    ) -> Result<(), ReadError> {
        if self.place.index() > until {
            return Ok(());
        }
        let none = Wanted { from: u64::MAX, ..Wanted::default() };
        let mut reader = Reader::open(directory, key, session, self.cursor)?;
        let mut reading =
            Reading::at(&none, std::mem::take(&mut self.place), Some(std::mem::take(&mut self.moments)));
        loop {
            let before = reader.cursor();
            let Some(block) = reader.block()? else { break };
            let is_apart =
                self.marks.last().is_none_or(|(_, last)| reading.place().index() >= last.index() + APART);
            if is_apart {
                self.marks.push((before, reading.place().clone()));
            }
            for event in Events::new(&block) {
                reading.take(&event.map_err(|_| ReadError::Sealed(reader.cursor().block))?);
            }
            if reading.place().index() > until {
                break;
            }
        }
        self.cursor = reader.cursor();
        (self.place, self.moments) = reading.into_survey();
        Ok(())
    }

    /// Where reading begins so that it comes to a step.
    pub(super) fn before(&self, step: u64) -> (Cursor, Place) {
        let behind = self.marks.partition_point(|(_, place)| place.index() <= step);
        let mark = behind.checked_sub(1).and_then(|at| self.marks.get(at));
        mark.cloned().unwrap_or_default()
    }

    /// What was there at the place that it was gone through to.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Every step.
    pub(super) fn moments(&self) -> &[Moment] {
        &self.moments
    }
}

#[cfg(test)]
mod tests {
    use journal::Journal;
    use journal::record::Fields;
    use recording::{Began, Mode, Options, Piece, Recorder};
    use wire::postgres::backend::TransactionStatus;
    use wire::postgres::build;

    use super::super::steps;
    use super::*;

    /// A session of many blocks, in which statements of one message end one by one and answers come in pieces.
    fn recorded(place: &Path, key: [u8; 32]) {
        let journal = Journal::open(&place.join("journal"), journal::Options::default()).expect("a journal");
        let directory = place.join("recordings");
        let file = directory.join("s1.rec");
        let options = Options { directory, key: Key::new(key), keeps: 1 << 30 };
        let recorder = Recorder::start(options, journal).expect("a recorder");
        let began = Began { session: "s1", mode: Mode::Required, words: b"{\"principal\":\"agent:a\"}" };
        let mut tape = recorder.begin(&began).expect("a tape");
        let permit = Fields::permit(&[], "v", &[], &[]);
        let (mut row, mut ready) = (Vec::new(), Vec::new());
        build::data_row(&mut row, &[Some(&[b'x'; 2_000])]);
        build::ready(&mut ready, TransactionStatus::Idle);
        for n in 1..=200 {
            let operation = Fields::operation("select", &format!("SELECT {n}"), &[]);
            tape.allowed(n, if n % 3 == 0 { "bind" } else { "query" }, &operation, &permit);
            for _ in 0..n % 4 {
                tape.answer(&Piece::Bytes(n, &row));
                // Each of several statements.
                tape.outcome(n, 1, 5, "");
            }
            let length = || std::fs::metadata(&file).map_or(0, |file| file.len());
            let before = length();
            tape.answer(&Piece::Bytes(n, &ready));
            // A block ends here.
            while n % 50 == 0 && length() == before {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        tape.end(b"{\"why\":\"the client left\"}");
        drop(tape);
        recorder.finish();
    }

    #[test]
    fn a_page_is_the_same_from_wherever_reading_begins() {
        let place = tempfile::tempdir().expect("a place");
        recorded(place.path(), [7; 32]);
        let (directory, key) = (place.path().join("recordings"), Key::new([7; 32]));
        let json = |page: &steps::Page| {
            serde_json::to_string(&(&page.session, &page.steps, page.next)).expect("json")
        };
        let wanted = |from| Wanted { from, limit: Some(7), rows: 1, ..Wanted::default() };
        let kept = Surveys::default();
        for from in (0..260).rev().step_by(29) {
            let plain = steps::from(&directory, &key, "s1", &wanted(from), Default::default()).expect("read");
            for surveys in [&kept, &Surveys::default()] {
                let page = steps::page(&directory, &key, "s1", &wanted(from), surveys).expect("read");
                assert_eq!(json(&page), json(&plain), "from {from}");
                let (page, moments) =
                    steps::surveyed(&directory, &key, "s1", &wanted(from), surveys).expect("read");
                assert_eq!(json(&page), json(&plain), "from {from}");
                assert_eq!((page.known, page.ended.is_some()), (moments.len() as u64, true));
            }
        }
        let marks = kept.with("s1", |survey| Ok(survey.marks.len())).expect("kept");
        assert!(marks > 1, "there is more than one place to begin at");
        std::fs::remove_file(directory.join("s1.rec")).expect("removed");
        assert!(
            steps::page(&directory, &key, "s1", &wanted(3), &kept).is_err(),
            "what is gone is not remembered"
        );
    }
}
