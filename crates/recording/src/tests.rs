use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use journal::Journal;
use journal::record::Fields;
use proptest::prelude::*;

use crate::event::{Event, Events, What};
use crate::output::{Disk, Files};
use crate::read::{Cursor, ReadError, Reader};
use crate::tape::MOST;
use crate::verify::{Failure, verify};
use crate::{Began, Key, Mode, Options, Piece, Recorder, Tape};

const KEEPS: usize = 1000;

struct Place {
    folder: tempfile::TempDir,
    recorder: Option<Recorder>,
}

impl Place {
    fn new(disk: impl Disk + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let journal =
            Journal::open(&folder.path().join("journal"), journal::Options::default()).expect("opens");
        let options =
            Options { directory: folder.path().join("recordings"), key: Key::new([7; 32]), keeps: KEEPS };
        let recorder = Recorder::over(Box::new(disk), options, journal).expect("starts");
        Self { folder, recorder: Some(recorder) }
    }

    fn begin(&self, session: &str, mode: Mode) -> Tape {
        let began = Began { session, mode, words: b"{\"principal\":\"agent:a\"}" };
        self.recorder.as_ref().expect("it runs").begin(&began).expect("begins")
    }

    /// Ends the recorder, so that all is written.
    fn end(&mut self) {
        self.recorder.take().expect("it runs").finish();
    }

    fn recordings(&self) -> std::path::PathBuf {
        self.folder.path().join("recordings")
    }

    fn verify(&self) -> Result<crate::verify::Report, Failure> {
        verify(&self.folder.path().join("journal"), &self.recordings())
    }

    fn read(&self, session: &str) -> Result<Vec<String>, ReadError> {
        let mut reader = Reader::open(&self.recordings(), &Key::new([7; 32]), session, Cursor::default())?;
        let mut all = Vec::new();
        while let Some(block) = reader.block()? {
            all.extend(Events::new(&block).map(|event| shown(&event.expect("an event"))));
        }
        Ok(all)
    }
}

fn shown(event: &Event<'_>) -> String {
    let text = String::from_utf8_lossy;
    let what = match event.what {
        What::Began(words) => format!("began {}", text(words)),
        What::Allowed(words) => format!("allowed {}", text(words)),
        What::Refused(words) => format!("refused {}", text(words)),
        What::Unreadable(words) => format!("unreadable {}", text(words)),
        What::Held(words) => format!("held {}", text(words)),
        What::Answered(words) => format!("answered {}", text(words)),
        What::Shape(shape) => format!("shape {}", text(shape)),
        What::Answer(bytes) if bytes.len() > 20 => format!("answer of {}", bytes.len()),
        What::Answer(bytes) => format!("answer {}", text(bytes)),
        What::Rest { bytes, digest } => format!("rest {bytes} {}", hex::encode(&digest[..4])),
        What::Outcome { rows, duration, sqlstate } => format!("outcome {rows} {duration} {}", text(sqlstate)),
        What::Lost { events, .. } => format!("lost {events}"),
        What::Ended(words) => format!("ended {}", text(words)),
    };
    format!("{}: {what}", event.n)
}

/// One session of each kind of event.
fn play(tape: &mut Tape) {
    let (operation, permit) = (
        Fields::operation("select", "SELECT $1", &["select public.t".to_owned()]),
        Fields::permit(&["reads".to_owned()], "v", &[], &[]),
    );
    tape.allowed(1, "query", &operation, &permit);
    tape.answer(&Piece::Shape(1, b"id"));
    tape.answer(&Piece::Bytes(1, b"row"));
    tape.answer(&Piece::Bytes(0, b"ready"));
    tape.outcome(1, 1, 20, "");
    tape.put(2, What::Refused(b"{}"));
    tape.end(b"{\"why\":\"done\"}");
}

#[test]
fn what_is_played_is_what_was_put_down_and_all_of_it_verifies() {
    let mut place = Place::new(Files);
    let mut tape = place.begin("s1", Mode::Required);
    play(&mut tape);
    drop(tape);
    place.end();
    let expected = [
        "0: began {\"principal\":\"agent:a\"}",
        "1: allowed {\"phase\":\"query\",\"statement\":\"select\",\"text\":\"SELECT $1\",\"effects\":[\"select public.t\"],\
         \"policies\":[\"reads\"],\"version\":\"v\",\"revealed\":[],\"approved\":[]}",
        "1: shape id",
        "1: answer row",
        "0: answer ready",
        "1: outcome 1 20 ",
        "2: refused {}",
        "0: ended {\"why\":\"done\"}",
    ];
    assert_eq!(place.read("s1").expect("reads"), expected);
    let report = place.verify().expect("verifies");
    assert_eq!((report.whole, report.open.len(), report.lossy.len()), (1, 0, 0));
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(place.recordings().join("s1.rec")).expect("there"),
    );
    assert_eq!(mode & 0o777, 0o600);
    let sealed = std::fs::read(place.recordings().join("s1.rec")).expect("reads");
    for clear in [&b"principal"[..], b"SELECT", b"row"] {
        assert!(!sealed.windows(clear.len()).any(|w| w == clear), "it lies there in clear");
    }
}

#[test]
fn of_a_long_answer_the_beginning_is_kept_and_the_rest_has_a_digest() {
    let mut place = Place::new(Files);
    let mut tape = place.begin("s1", Mode::Required);
    let rows = vec![b'x'; 700];
    for _ in 0..4 {
        tape.answer(&Piece::Bytes(1, &rows));
    }
    // Another operation has a bound of its own; the first one's is used up.
    tape.answer(&Piece::Bytes(2, b"two"));
    tape.answer(&Piece::Bytes(1, b"more"));
    tape.outcome(1, 4, 0, "");
    drop(tape);
    place.end();
    let rest = crate::chain::sha256(&[&vec![b'x'; 1800]]);
    let more = crate::chain::sha256(&[b"more"]);
    let expected = [
        "1: answer of 700".to_owned(),
        "1: answer of 300".to_owned(),
        format!("1: rest 1800 {}", hex::encode(&rest[..4])),
        "2: answer two".to_owned(),
        format!("1: rest 4 {}", hex::encode(&more[..4])),
        "1: outcome 4 0 ".to_owned(),
    ];
    assert_eq!(place.read("s1").expect("reads")[1..], expected);
}

/// Each is done to a file that verifies; it must not any more.
#[test]
fn whatever_is_done_to_a_recording_is_found() {
    type Tamper = fn(&Path);
    fn change(path: &Path, f: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(path).expect("reads");
        f(&mut bytes);
        std::fs::write(path, bytes).expect("writes");
    }
    /// Where each block begins, and the end.
    fn blocks(bytes: &[u8]) -> Vec<usize> {
        let mut at = crate::seal::Head::read(bytes).expect("a head").whole.len();
        let mut all = vec![at];
        while let Some((block, _)) = crate::seal::split(&bytes[at..]) {
            at += block.len();
            all.push(at);
        }
        all
    }
    let tampers: [(&str, Tamper); 9] = [
        ("a bit of a block", |p| change(p, |b| *b.last_mut().expect("not empty") ^= 1)),
        ("a bit of the head", |p| change(p, |b| b[40] ^= 1)),
        ("the last block cut off", |p| {
            change(p, |b| {
                let all = blocks(b);
                b.truncate(all[all.len() - 2]);
            });
        }),
        ("all blocks cut off", |p| change(p, |b| b.truncate(blocks(b)[0]))),
        ("a byte cut off", |p| change(p, |b| b.truncate(b.len() - 1))),
        ("something behind its end", |p| change(p, |b| b.push(0))),
        ("two blocks in another order", |p| {
            change(p, |b| {
                let all = blocks(b);
                let (first, second) = (b[all[0]..all[1]].to_vec(), b[all[1]..all[2]].to_vec());
                b.splice(all[0]..all[2], second.into_iter().chain(first));
            });
        }),
        ("another session's", |p| {
            std::fs::copy(p.with_file_name("s2.rec"), p).expect("copies");
        }),
        ("removed", |p| std::fs::remove_file(p).expect("removes")),
    ];
    let mut place = Place::new(Files);
    for session in ["s1", "s2"] {
        let mut tape = place.begin(session, Mode::Required);
        play(&mut tape);
        // Blocks of their own.
        std::thread::sleep(Duration::from_millis(600));
        play(&mut tape);
    }
    place.end();
    assert_eq!(place.verify().expect("verifies").whole, 2);
    let path = place.recordings().join("s1.rec");
    let good = std::fs::read(&path).expect("reads");
    assert!(blocks(&good).len() >= 3, "two blocks and the end");
    for (what, tamper) in tampers {
        tamper(&path);
        assert!(matches!(place.verify(), Err(Failure::Tampered { .. })), "{what} is not found");
        std::fs::write(&path, &good).expect("writes");
        place.verify().expect("verifies again");
    }
    std::fs::copy(&path, place.recordings().join("s3.rec")).expect("copies");
    assert!(place.verify().is_err(), "one that the journal does not know is not found");
}

#[test]
fn what_a_backup_has_not_is_told_as_such_and_everything_else_is_told_at_once() {
    let mut place = Place::new(Files);
    for session in ["s1", "s2", "s3", "s4"] {
        let mut tape = place.begin(session, Mode::Required);
        play(&mut tape);
    }
    place.end();
    for gone in ["s1", "s3"] {
        std::fs::remove_file(place.recordings().join(format!("{gone}.rec"))).expect("removes");
    }
    std::fs::write(place.recordings().join("s4.rec"), "no recording").expect("writes");
    let look =
        || crate::verify::look(&place.folder.path().join("journal"), &place.recordings()).expect("reads");
    let report = look();
    assert_eq!((report.whole, report.left_behind.len(), report.faulty.len()), (1, 0, 3), "{report:?}");
    let journal = journal::Journal::open(&place.folder.path().join("journal"), journal::Options::default());
    let body = journal::record::Body::Administered {
        who: "command line".to_owned(),
        what: crate::verify::LEFT_BEHIND.to_owned(),
        detail: "s1 s2".to_owned(),
    };
    journal.expect("opens").append(&body).expect("written");
    let report = look();
    assert_eq!((report.whole, &*report.left_behind), (1, &["s1".to_owned()][..]), "{report:?}");
    let files: Vec<_> = report.faulty.iter().map(|(file, _)| file.file_name().unwrap_or_default()).collect();
    assert_eq!(files, ["s3.rec", "s4.rec"]);
}

#[test]
fn blocks_open_in_their_place_alone() {
    let mut place = Place::new(Files);
    let mut tape = place.begin("s1", Mode::Required);
    play(&mut tape);
    drop(tape);
    place.end();
    let other = Reader::open(&place.recordings(), &Key::new([8; 32]), "s1", Cursor::default());
    assert!(matches!(other, Err(ReadError::Sealed(0))), "another key opens it");
    for name in ["../journal/lock", "", "s1.rec", "s9"] {
        let read = Reader::open(&place.recordings(), &Key::new([7; 32]), name, Cursor::default());
        assert!(matches!(read, Err(ReadError::Missing(_))), "{name}");
    }
}

#[test]
fn a_crash_leaves_a_prefix_that_can_be_read_and_verified() {
    let mut place = Place::new(Files);
    let mut tape = place.begin("s1", Mode::Required);
    for n in 1..=2 {
        tape.answer(&Piece::Bytes(n, b"row"));
        std::thread::sleep(Duration::from_millis(600));
    }
    // The journal knows the first block. What a crash left of the last one is anything.
    let path = place.recordings().join("s1.rec");
    let whole = std::fs::read(&path).expect("reads");
    let torn = whole.len() - 3;
    std::fs::write(&path, &whole[..torn]).expect("writes");
    assert_eq!(place.read("s1").expect("reads").len(), 2);
    let report = place.verify().expect("verifies");
    assert_eq!(report.open, ["s1"]);
    // What the journal knows must be there.
    let head = crate::seal::Head::read(&whole).expect("a head").whole.len();
    std::fs::write(&path, &whole[..head]).expect("writes");
    assert!(place.verify().is_err());
    drop(tape);
    place.end();
}

/// A disk that can be full.
#[derive(Clone, Default)]
struct Filling {
    full: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
}

impl Disk for Filling {
    fn create(&self, path: &Path, head: &[u8]) -> io::Result<()> {
        Files.create(path, head)
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        while self.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.fetch_add(1, Ordering::SeqCst);
        Files.write_at(path, offset, bytes)
    }
}

#[track_caller]
fn until(mut what: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn on_a_full_disk_what_is_required_fails_and_best_effort_says_what_it_lost() {
    let disk = Filling::default();
    let mut place = Place::new(disk.clone());
    let mut required = place.begin("s1", Mode::Required);
    let mut best = place.begin("s2", Mode::BestEffort);
    until(|| disk.written.load(Ordering::SeqCst) == 2);
    disk.full.store(true, Ordering::SeqCst);
    for tape in [&mut required, &mut best] {
        assert!(tape.has_room());
        tape.answer(&Piece::Bytes(1, b"lost"));
    }
    until(|| !required.has_room());
    let mut cx = Context::from_waker(Waker::noop());
    let mut room = required.room();
    assert!(matches!(std::pin::Pin::new(&mut room).poll(&mut cx), Poll::Ready(Err(_))));
    until(|| best.inner_failed());
    assert!(best.has_room(), "best effort goes on");
    disk.full.store(false, Ordering::SeqCst);
    best.answer(&Piece::Bytes(2, b"kept"));
    drop((required, best));
    place.end();
    assert_eq!(place.read("s2").expect("reads")[1..], ["0: lost 1", "2: answer kept"]);
    assert_eq!(place.read("s1").expect("reads")[1..], ["0: lost 1"]);
    assert_eq!(place.verify().expect("verifies").lossy, ["s1", "s2"]);
}

#[test]
fn a_writer_that_cannot_keep_up_holds_back_what_is_required_and_loses_of_best_effort() {
    let disk = Filling::default();
    let mut place = Place::new(disk.clone());
    let mut required = place.begin("s1", Mode::Required);
    let mut best = place.begin("s2", Mode::BestEffort);
    until(|| disk.written.load(Ordering::SeqCst) == 2);
    disk.slow.store(true, Ordering::SeqCst);
    let piece = vec![b'x'; KEEPS];
    let mut cx = Context::from_waker(Waker::noop());
    let mut n = 0;
    // The writer hangs with what it took first, and this is what comes then.
    let full = |tape: &mut Tape, n: &mut u64, cx: &mut Context<'_>| {
        for _ in 0..3 * MOST / KEEPS {
            *n += 1;
            tape.answer(&Piece::Bytes(*n, &piece));
            let mut room = tape.room();
            if std::pin::Pin::new(&mut room).poll(cx).is_pending() {
                return true;
            }
        }
        false
    };
    assert!(full(&mut required, &mut n, &mut cx), "it is not held back");
    assert!(!full(&mut best, &mut n, &mut cx), "best effort is held back");
    assert!(best.inner_lost() > 0);
    disk.slow.store(false, Ordering::SeqCst);
    let mut room = required.room();
    until(|| std::pin::Pin::new(&mut room).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    drop((required, best));
    place.end();
    let (all, some) = (place.read("s1").expect("reads"), place.read("s2").expect("reads"));
    assert!(!all.iter().any(|e| e.contains("lost")), "what is required lost something");
    assert!(some.iter().any(|e| e.contains("lost")));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_fail_otherwise_than_by_saying_so(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Events::new(&bytes).count();
        let _ = crate::seal::Head::read(&bytes);
        let _ = crate::seal::split(&bytes);
    }
}
