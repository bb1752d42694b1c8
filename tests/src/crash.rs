//! The gateway is killed in the middle of its work, again and again. Whatever reached the server is in the journal.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::process::text;

use crate::rig::{ALLOW_ALL, Rig, Way};

const ROUNDS: u32 = 8;
/// So many statements of a round show something,
const ENOUGH: usize = 15;
/// and are waited for so long: a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENTS: u32 = 6;
/// Names of markers begin so; they stand where no literal is, since the journal keeps statements without their literals.
const MARKER: &str = "marker_";

/// Runs statements, each with a marker of its own, until the gateway is gone. Half of them are prepared.
async fn load(way: Way, round: u32, client: u32) {
    let Ok((session, connection)) = way.config().connect(tokio_postgres::NoTls).await else { return };
    tokio::spawn(connection);
    for number in 0.. {
        let marker = format!("{MARKER}{round}_{client}_{number}");
        let sql = match number % 3 {
            0 => format!("SELECT 1 AS {marker}"),
            1 => format!("INSERT INTO notes AS {marker} VALUES (3, {}, 'x') RETURNING 1", 1000 + number),
            _ => format!("SELECT name AS {marker} FROM people WHERE id = $1"),
        };
        let done = match number % 3 {
            2 => session.query(&sql, &[&7_i32]).await.map(drop),
            _ => session.simple_query(&sql).await.map(drop),
        };
        if done.is_err_and(|error| error.is_closed()) {
            return;
        }
    }
}

/// The markers in a text.
fn markers(text: &str) -> BTreeSet<&str> {
    text.match_indices(MARKER)
        .filter_map(|(at, _)| text.get(at..))
        .map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap())
        .collect()
}

/// All that the files of a folder hold.
fn everything(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reached_the_server_before_a_crash_is_in_the_journal() {
    let mut rig = Rig::start(&["log_statement=all"], ALLOW_ALL);
    for round in 0..ROUNDS {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| tokio::spawn(load(rig.through(), round, client))).collect();
        let begun = Instant::now();
        let its_own = format!("{MARKER}{round}_");
        while markers(&rig.server.log()).iter().filter(|marker| marker.starts_with(&its_own)).count() < ENOUGH
            && begun.elapsed() < PATIENCE
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Each crash comes at another moment of the work.
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 67)).await;
        rig.gateway.crash().unwrap();
        for client in clients {
            client.await.unwrap();
        }
    }
    let (log, journal) = (rig.server.log(), everything(&rig.gateway.journal()));
    let (reached, recorded) = (markers(&log), markers(&journal));
    let missing: Vec<_> = reached.difference(&recorded).collect();
    assert!(
        reached.len() > ENOUGH,
        "only {} statements reached the server: this shows nothing",
        reached.len()
    );
    assert!(missing.is_empty(), "not in the journal, of {}: {missing:?}", reached.len());

    rig.gateway.end();
    text(rig.gateway.command(&["audit", "verify", "--data"]).arg(rig.gateway.data())).unwrap();
}

#[test]
fn markers_are_found_in_any_text() {
    let found = markers("SELECT 1 AS marker_1_2_3\nmarker_4_5_6,marker_1_2_3\"");
    assert_eq!(found, BTreeSet::from(["marker_1_2_3", "marker_4_5_6"]));
}
