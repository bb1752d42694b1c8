use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::clock::Clock;
use super::log::{Disk, Tip};
use super::record::{Body, Commitment, DecisionId, Fields};
use super::verify::{Failure, verify};
use super::*;

fn note(what: &str) -> Body<'static> {
    Body::Administered { who: "admin".to_owned(), what: what.to_owned(), detail: "a\n\"b\" ü".to_owned() }
}

fn closed() -> Body<'static> {
    Body::Closed { why: "the client left".to_owned(), operations: 1, refusals: 0, rows: 2 }
}

fn open(directory: &Path, segment: u64) -> Journal {
    Journal::open(directory, Options { segment }).expect("opened")
}

/// Ten records in several segments, two sessions, one of them open.
fn written(directory: &Path) {
    let journal = open(directory, 700);
    let (mut one, mut other) = (journal.session("s1"), journal.session("s2"));
    for n in 0..4 {
        journal.append(&note(&format!("note {n}"))).expect("written");
        one.append(&note("one"), &[]).expect("written");
    }
    other.append(&note("other"), &[]).expect("written");
    one.append(&closed(), &[]).expect("written");
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait(synced: Synced) -> Result<(), Down> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut synced = pin!(synced);
    loop {
        match synced.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn whoever_opens_a_journal_hears_when_its_last_record_was_written() {
    let place = tempfile::tempdir().expect("a directory");
    let now = || jiff::Timestamp::now().as_second();
    let begun = now();
    assert_eq!(open(place.path(), 700).before(), None, "there is none");
    written(place.path());
    let before = open(place.path(), 700).before().expect("there are some");
    assert!(before >= begun && before <= now());
    // A segment that is empty yet, as a crash leaves it, says nothing.
    let last = crate::read::segments(place.path()).expect("listed").into_iter().max().expect("one");
    fs::write(place.path().join(crate::log::segment_name(last + 1)), "").expect("written");
    assert_eq!(open(place.path(), 700).before(), Some(before));
}

#[test]
fn what_was_written_verifies_over_segments_and_names_open_sessions() {
    let directory = tempfile::tempdir().expect("directory");
    written(directory.path());
    let report = verify(directory.path()).expect("verifies");
    assert_eq!((report.records, report.sessions, report.torn), (10, 2, 0));
    assert_eq!(report.open, ["s2"]);
    assert!(read::segments(directory.path()).expect("listed").len() > 1);
}

#[test]
fn a_journal_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().expect("directory");
    written(directory.path());
    open(directory.path(), 700).append(&note("again")).expect("written");
    assert_eq!(verify(directory.path()).expect("verifies").records, 11);
    let mut seen = 0;
    read::records(directory.path(), |_| seen += 1).expect("read");
    assert_eq!(seen, 11);
}

#[test]
fn there_is_one_writer() {
    let directory = tempfile::tempdir().expect("directory");
    let first = open(directory.path(), 700);
    assert!(matches!(Journal::open(directory.path(), Options::default()), Err(OpenError::Taken(_))));
    drop(first);
    open(directory.path(), 700);
}

#[test]
fn a_record_that_is_synced_is_synced() {
    let directory = tempfile::tempdir().expect("directory");
    let journal = open(directory.path(), 1 << 20);
    let position = journal.append(&note("x")).expect("written");
    assert_eq!(wait(journal.synced(position)), Ok(()));
}

#[test]
fn a_torn_end_is_put_aside_and_noted() {
    for torn in [&b"{\"seq\":11,\"ti"[..], b"\0\0\0\0\n"] {
        let directory = tempfile::tempdir().expect("directory");
        written(directory.path());
        let last = *read::segments(directory.path()).expect("listed").last().expect("one");
        let path = directory.path().join(log::segment_name(last));
        let mut bytes = fs::read(&path).expect("read");
        bytes.extend_from_slice(torn);
        fs::write(&path, bytes).expect("written");
        drop(open(directory.path(), 700));
        let report = verify(directory.path()).expect("verifies");
        assert_eq!((report.records, report.torn), (11, 0));
    }
}

/// Every byte of every record counts, and so do their order and number.
fn check_found(change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let directory = tempfile::tempdir().expect("directory");
    let journal = open(directory.path(), 1 << 20);
    for n in 0..6 {
        journal.append(&note(&format!("note {n}"))).expect("written");
    }
    drop(journal);
    let path = directory.path().join(log::segment_name(1));
    let bytes = fs::read(&path).expect("read");
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    fs::write(&path, lines.concat()).expect("written");
    assert!(matches!(verify(directory.path()), Err(Failure::Tampered { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_found(line in 0usize..5, at in 0usize..200, to in 1u8..255) {
        check_found(|lines| {
            let at = at % (lines[line].len() - 1);
            lines[line][at] = lines[line][at].wrapping_add(to);
        });
    }

    #[test]
    fn a_removed_or_moved_record_is_found(from in 0usize..5, to in 0usize..5, remove: bool) {
        check_found(|lines| {
            let record = lines.remove(from);
            if !remove {
                lines.insert(if to == from { from + 1 } else { to }, record);
            }
        });
    }
}

/// A disk that fails as it is told: 0 not at all, 1 half a write and no more, 2 fsync.
struct Faulty {
    mode: Arc<AtomicU8>,
    syncs: AtomicU8,
    bytes: Mutex<Vec<u8>>,
}

impl Disk for Faulty {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let full = self.mode.load(Ordering::SeqCst) == 1;
        let part = if full { bytes.len() / 2 } else { bytes.len() };
        self.bytes.lock().expect("lock").extend_from_slice(&bytes[..part]);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.bytes.lock().expect("lock").truncate(usize::try_from(length).expect("fits"));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.mode.load(Ordering::SeqCst) == 2 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

/// A journal on such disks, one for each segment.
fn over(directory: &Path, mode: &Arc<AtomicU8>, disks: &Arc<Mutex<Vec<Arc<Faulty>>>>) -> Journal {
    let make = {
        let (mode, disks) = (Arc::clone(mode), Arc::clone(disks));
        move |_| {
            let disk = Arc::new(Faulty {
                mode: Arc::clone(&mode),
                syncs: AtomicU8::new(0),
                bytes: Mutex::default(),
            });
            disks.lock().expect("lock").push(Arc::clone(&disk));
            Ok(disk as Arc<dyn Disk>)
        }
    };
    let tip = Tip {
        disk: make(1).expect("disk"),
        segment: 1,
        length: 0,
        seq: 0,
        hash: line::GENESIS,
        clock: Clock::default(),
        distrusted: false,
        pending: Vec::new(),
        waiting: 0,
    };
    let lock = File::create(directory.join("lock")).expect("lock");
    Journal::over(lock, tip, Options::default(), Box::new(make), directory).expect("opened")
}

/// Whoever has other things to do before it waits finds the disk done.
#[test]
fn a_disk_that_was_told_to_begin_does_not_wait_until_somebody_waits_for_it() {
    let directory = tempfile::tempdir().expect("directory");
    let disks: Arc<Mutex<Vec<Arc<Faulty>>>> = Arc::default();
    let journal = over(directory.path(), &Arc::default(), &disks);
    let start = std::time::Instant::now();
    for n in 1..=20 {
        let position = journal.append(&note("x")).expect("written");
        let _begun = journal.synced(position).begun();
        while disks.lock().expect("lock")[0].syncs.load(Ordering::SeqCst) < n {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    // A fifth of a second each where nobody tells it.
    assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn after_a_full_disk_and_a_failed_fsync_it_goes_on_without_a_gap() {
    let directory = tempfile::tempdir().expect("directory");
    let mode = Arc::new(AtomicU8::new(0));
    let disks: Arc<Mutex<Vec<Arc<Faulty>>>> = Arc::default();
    let journal = over(directory.path(), &mode, &disks);
    let append = || journal.append(&note("x"));

    let first = append().expect("written");
    assert_eq!(wait(journal.synced(first)), Ok(()));
    mode.store(1, Ordering::SeqCst);
    assert!(append().is_err(), "the disk is full");
    assert!(!journal.is_up());
    mode.store(2, Ordering::SeqCst);
    let lost = append().expect("written");
    assert!(wait(journal.synced(lost)).is_err(), "its fsync failed");
    mode.store(0, Ordering::SeqCst);
    let later = append().expect("there is room again");
    assert_eq!(wait(journal.synced(later)), Ok(()));
    assert!(wait(journal.synced(lost)).is_err(), "what was lost stays lost");
    // Nobody has to write anything for the journal to find out that it works again.
    for _ in 0..100 {
        if journal.is_up() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(journal.is_up());

    let whole = tempfile::tempdir().expect("directory");
    for (n, disk) in (1..).zip(disks.lock().expect("lock").iter()) {
        let bytes = disk.bytes.lock().expect("lock").clone();
        fs::write(whole.path().join(log::segment_name(n)), bytes).expect("copied");
    }
    let report = verify(whole.path()).expect("verifies");
    let text: String = (1..=disks.lock().expect("lock").len())
        .map(|n| fs::read_to_string(whole.path().join(log::segment_name(n as u64))).expect("a segment"))
        .collect();
    let resumed = u64::try_from(text.matches("\"kind\":\"resumed\"").count()).expect("few");
    assert_eq!(report.records, 3 + resumed);
    assert!(resumed >= 1, "that it failed is on record: {text}");
}

#[test]
fn a_record_that_may_wait_is_in_the_file_when_it_is_written_and_not_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path(), 1 << 20);
    let mut session = journal.session("s1");
    let text = || fs::read_to_string(directory.path().join("journal-000001.jsonl")).expect("a segment");
    let first = session.append_soon(&note("first"), &[]).expect("appended");
    let second = session.append_soon(&note("second"), &[]).expect("appended");
    // The thread that syncs may have written both by now, never one without those before it.
    assert!(journal.is_written(first) || !journal.is_written(second));
    journal.write(first).expect("written");
    assert!(journal.is_written(first) && journal.is_written(second));
    let written = text();
    assert!(written.contains("first") && written.contains("second"), "{written}");
    let third = session.append(&closed(), &[]).expect("written");
    assert!(journal.is_written(third));
    drop(session);
    drop(journal);
    verify(directory.path()).expect("it verifies");
}

#[test]
fn fields_that_records_share_are_fields_of_each() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(directory.path(), 1 << 20);
    let mut session = journal.session("s1");
    let decision = DecisionId { session: "s1".into(), n: 1_090 };
    let operation = Fields::operation("select", "select \"a\"\n", &["select public.\"t\"".to_owned()]);
    let permit = Fields::permit(&["reads".to_owned()], "v1", &[], &[]);
    let values = [Commitment([0xab; 16])];
    let body = Body::Allowed { decision: &decision, phase: "query", values: &values };
    session.append(&body, &[&operation, &permit]).expect("written");
    drop(session);
    drop(journal);
    verify(directory.path()).expect("it verifies");
    let text = fs::read_to_string(directory.path().join("journal-000001.jsonl")).expect("a segment");
    let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    for (name, expected) in [
        ("kind", serde_json::json!("allowed")),
        ("decision", serde_json::json!(decision.to_string())),
        ("values", serde_json::json!(["ab".repeat(16)])),
        ("text", serde_json::json!("select \"a\"\n")),
        ("effects", serde_json::json!(["select public.\"t\""])),
        ("policies", serde_json::json!(["reads"])),
        ("version", serde_json::json!("v1")),
    ] {
        assert_eq!(line.get(name), Some(&expected), "{name}");
    }
}
