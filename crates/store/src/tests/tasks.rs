//! Held statements whose clients ask about them later.

use model::{Task, TaskState};

use super::*;

pub(super) fn task(id: &str, owner: &str, made: i64) -> Task {
    Task {
        id: id.to_owned(),
        owner: owner.to_owned(),
        target: TargetName::new("shop"),
        request: "dwr_1".to_owned(),
        asks: true,
        state: TaskState::Waits,
        made,
        changed: made,
        until: made + 100,
    }
}

pub(super) async fn a_task_is_run_by_one_gateway_and_every_one_tells_what_came_of_it(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    let new = task("t", "agent:a", 0);
    assert!(one.add_task(&new, PASSWORD, (2, 9)).await.expect("kept"));
    let (found, says) = other.task("t", 1).await.expect("read").expect("there");
    assert_eq!((&found, says.as_slice()), (&new, PASSWORD));
    other.hush_task("t").await.expect("written");
    // Of two that want to run it one does.
    let both = tokio::join!(
        one.turn_task("t", TaskState::Runs, None, 5),
        other.turn_task("t", TaskState::Runs, None, 5)
    );
    let runs = [both.0.expect("asked"), both.1.expect("asked")];
    assert_eq!(runs.iter().filter(|runs| **runs).count(), 1);
    assert!(one.turn_task("t", TaskState::Done, Some(b"came"), 7).await.expect("asked"));
    assert!(!other.turn_task("t", TaskState::Cancelled, None, 8).await.expect("asked"), "it is over");
    let (found, came) = other.task("t", 9).await.expect("read").expect("there");
    assert_eq!(
        (found.state, found.changed, found.asks, came.as_slice()),
        (TaskState::Done, 7, false, &b"came"[..])
    );
    // What is sealed opens in its own row alone, no copy has it, and it is gone when its time is over.
    let mut copy = Vec::new();
    one.dump(&mut copy).await.expect("copied");
    assert!(!String::from_utf8_lossy(&copy).contains("\"task\""));
    query("UPDATE task SET id = 'u'").execute(&one.database).await.expect("moved");
    assert!(one.task("u", 9).await.is_err());
    query("UPDATE task SET id = 't'").execute(&one.database).await.expect("moved back");
    assert!(one.task("t", 100).await.expect("read").is_none());
    one.purge(0, 0, 101).await.expect("purged");
    assert!(one.task("t", 0).await.expect("read").is_none());
}

pub(super) async fn tasks_are_few_and_those_that_are_over_make_room(place: &Place) {
    let store = place.open().await;
    let add =
        async |id: &str, owner: &str| store.add_task(&task(id, owner, 0), b"", (2, 3)).await.expect("asked");
    assert!(add("a1", "agent:a").await && add("a2", "agent:a").await);
    assert!(!add("a3", "agent:a").await, "of one owner");
    assert!(add("b1", "agent:b").await);
    assert!(!add("c1", "agent:c").await, "of all");
    assert!(store.turn_task("a1", TaskState::Cancelled, None, 1).await.expect("asked"));
    assert!(add("c1", "agent:c").await, "what is over made room");
    assert!(store.task("a1", 1).await.expect("read").is_none());
    assert!(store.task("a2", 1).await.expect("read").is_some());
}
