use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::{Counted, Filed, HoldRule, NewRequest, Status, TargetName, Vote};
use tempfile::TempDir;

use super::*;

const PASSWORD: &[u8] = b"correct horse battery staple";
const VALUE: &str = "4111 1111 1111 1111";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn key(&self) -> MasterKey {
        MasterKey::from_file(&self.0.path().join("master.key"), false).expect("a key")
    }

    async fn open(&self) -> Store {
        Store::open(&self.database(), &self.key()).await.expect("a store")
    }

    fn database(&self) -> std::path::PathBuf {
        self.0.path().join("state.db")
    }
}

async fn with_password(store: &Store, targets: &[&str], passwords: &[(&str, &[u8])]) {
    let targets: BTreeSet<&str> = targets.iter().copied().collect();
    let passwords: BTreeMap<&str, &[u8]> = passwords.iter().copied().collect();
    store.replace("{}", &targets, &passwords).await.expect("replaced");
}

fn request(digest: &str, holds: &[(u32, u64)]) -> NewRequest {
    let hold = |(n, (quorum, expires)): (usize, &(u32, u64))| HoldRule {
        id: format!("hold-{n}"),
        approvers: vec!["dba".to_owned()],
        reason: None,
        quorum: *quorum,
        expires: *expires,
        valid_for: 60,
    };
    NewRequest {
        digest: digest.to_owned(),
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: TargetName::new("orders"),
        session: "s1".to_owned(),
        summary: "UPDATE".to_owned(),
        kind: "update".to_owned(),
        text: "UPDATE cards SET number = $1".to_owned(),
        values: vec![Some(VALUE.to_owned()), None],
        effects: vec!["update on shop.cards".to_owned()],
        holds: holds.iter().enumerate().map(hold).collect(),
        version: "v1".to_owned(),
    }
}

async fn filed(store: &Store, digest: &str, holds: &[(u32, u64)]) -> String {
    match store.file(&request(digest, holds), 50, 0).await.expect("filed") {
        Filed::Now(id) => id,
        other @ (Filed::Before(_) | Filed::TooMany) => panic!("{other:?}"),
    }
}

fn yes(voter: &str) -> Vote {
    Vote { voter: voter.to_owned(), groups: vec!["dba".to_owned()], approve: true, words: None }
}

/// The rule is the policy's; here as many as the largest quorum are enough.
fn enough(holds: &[HoldRule], votes: &[Vote]) -> bool {
    let yes = u32::try_from(votes.iter().filter(|v| v.approve).count()).expect("few");
    holds.iter().all(|h| h.quorum <= yes)
}

#[tokio::test]
async fn a_password_stays_until_its_target_goes() {
    let place = Place::new();
    let store = place.open().await;
    for (targets, passwords, expected) in [
        (&["a", "b"][..], &[("a", PASSWORD), ("b", b"other")][..], &["a", "b"][..]),
        (&["a", "b"], &[], &["a", "b"]),
        (&["a"], &[("a", b"new")], &["a"]),
        (&["a", "b"], &[], &["a"]),
        (&[], &[], &[]),
    ] {
        with_password(&store, targets, passwords).await;
        let kept = store.credentials().await.expect("read");
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_sealed_value_opens_in_its_own_row_alone() {
    let place = Place::new();
    let store = place.open().await;
    with_password(&store, &["a", "b"], &[("a", PASSWORD), ("b", b"other")]).await;
    sqlx::query("UPDATE credential SET sealed = (SELECT sealed FROM credential WHERE target = 'a') WHERE target = 'b'")
        .execute(&store.pool)
        .await
        .expect("moved");
    assert!(matches!(store.credentials().await, Err(StoreError::Sealed)));

    let (one, two) = (filed(&store, "1", &[(1, 60)]).await, filed(&store, "2", &[(1, 60)]).await);
    sqlx::query(
        "UPDATE request SET sealed_values = (SELECT sealed_values FROM request WHERE id = ?) WHERE id = ?",
    )
    .bind(&one)
    .bind(&two)
    .execute(&store.pool)
    .await
    .expect("moved");
    assert_eq!(store.request(&one, 0).await.expect("read").expect("one").values[0].as_deref(), Some(VALUE));
    assert!(matches!(store.request(&two, 0).await, Err(StoreError::Sealed)));
}

#[tokio::test]
async fn a_sealed_value_that_was_changed_does_not_open() {
    let place = Place::new();
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    let row = vault::Row { table: "credential", id: "a" };
    let whole = store.vault.seal(row, PASSWORD).expect("sealed");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(store.vault.open(row, &changed).is_err(), "byte {at}");
        assert!(store.vault.open(row, &whole[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(store.vault.open(row, &whole).expect("opened").as_slice(), PASSWORD);
}

#[tokio::test]
async fn no_secret_stands_in_the_files_in_clear() {
    let place = Place::new();
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    filed(&store, "1", &[(1, 60)]).await;
    let secret = store.make_administrator().await.expect("made").expect("the first");
    let key = store.made_key("masks").await.expect("a key");
    let mut looked = 0;
    for entry in std::fs::read_dir(place.0.path()).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.ends_with("master.key") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        for hidden in [PASSWORD, VALUE.as_bytes(), secret.as_bytes(), key.as_slice()] {
            assert!(!bytes.windows(hidden.len()).any(|w| w == hidden), "{}", path.display());
        }
        assert!(is_private(&path), "{}", path.display());
        // The scan can find something: what is not secret is there.
        looked += usize::from(bytes.windows(9).any(|w| w == b"agent:bot"));
    }
    assert!(looked > 0);
}

fn is_private(path: &Path) -> bool {
    std::fs::metadata(path).expect("metadata").permissions().mode() & 0o077 == 0
}

#[tokio::test]
async fn an_approval_is_claimed_once_however_many_try() {
    let place = Place::new();
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60)]).await;
    assert_eq!(store.claim(&id, 0).await.expect("asked"), None, "before it is approved");
    store.vote(&id, &yes("user:a"), 0, enough).await.expect("voted");
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move { store.claim(&id, 0).await.expect("asked") })
        })
        .collect();
    let mut won = Vec::new();
    for one in tries {
        won.extend(one.await.expect("no panic"));
    }
    assert_eq!(won, [["hold-0"]]);
}

#[tokio::test]
async fn the_same_operation_is_asked_once_at_a_time() {
    let place = Place::new();
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60)]).await;
    let again = |now| {
        let store = store.clone();
        async move { store.file(&request("1", &[(1, 60)]), 1, now).await.expect("asked") }
    };
    assert_eq!(again(0).await, Filed::Before(id.clone()));
    assert_eq!(store.file(&request("2", &[(1, 60)]), 1, 0).await.expect("asked"), Filed::TooMany);
    store.vote(&id, &yes("user:a"), 0, enough).await.expect("voted");
    assert_eq!(again(1).await, Filed::Before(id.clone()), "approved and not used");
    store.claim(&id, 1).await.expect("asked").expect("claimed");
    assert!(matches!(again(2).await, Filed::Now(_)), "used");
    assert!(matches!(again(1000).await, Filed::Now(_)), "expired");
}

#[tokio::test]
async fn a_hold_asks_for_its_quorum_of_different_people() {
    let place = Place::new();
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60), (2, 60)]).await;
    let no = Vote { approve: false, ..yes("user:a") };
    for (vote, now, expected) in [
        (yes("user:a"), 0, Counted::Now(Status::Waiting)),
        (yes("user:a"), 0, Counted::Now(Status::Waiting)),
        (yes("user:b"), 0, Counted::Now(Status::Approved)),
        (no.clone(), 0, Counted::TooLate(Status::Approved)),
        (no.clone(), 60, Counted::TooLate(Status::Expired)),
    ] {
        assert_eq!(
            store.vote(&id, &vote, now, enough).await.expect("asked"),
            Some(expected),
            "{vote:?} at {now}"
        );
    }
    let other = filed(&store, "2", &[(1, 60)]).await;
    assert_eq!(store.vote(&other, &no, 0, enough).await.expect("asked"), Some(Counted::Now(Status::Denied)));
    assert_eq!(store.vote("nothing", &no, 0, enough).await.expect("asked"), None);
}

#[tokio::test]
async fn the_administrators_secret_is_made_once_and_only_it_is_right() {
    let place = Place::new();
    let store = place.open().await;
    assert!(!store.is_administrator(b"").await.expect("asked"), "before there is one");
    let secret = store.make_administrator().await.expect("made").expect("the first");
    assert!(store.make_administrator().await.expect("asked").is_none());
    for (tried, right) in [(secret.as_str(), true), ("dwa_", false), ("", false)] {
        assert_eq!(store.is_administrator(tried.as_bytes()).await.expect("asked"), right);
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'', 0)",
    )
    .execute(&store.pool)
    .await
    .expect("written");
    store.pool.close().await;
    let refused = Store::open(&place.database(), &place.key()).await.err().expect("refused");
    assert!(matches!(refused, OpenError::Newer(_, 9999)), "{refused}");
    assert!(refused.to_string().contains("newer version of durward"), "{refused}");
}

#[tokio::test]
async fn another_master_key_does_not_open_the_store() {
    let place = Place::new();
    let kept = place.open().await.made_key("masks").await.expect("a key");
    let other = MasterKey::from_hex(&"07".repeat(32), "a test").expect("a key");
    let refused = Store::open(&place.database(), &other).await.err().expect("refused");
    assert!(matches!(refused, OpenError::Store(_, StoreError::Sealed)), "{refused}");
    assert_eq!(place.open().await.made_key("masks").await.expect("a key"), kept, "made once");
}

#[test]
fn a_key_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("master.key");
    assert!(matches!(MasterKey::from_file(&path, true), Err(MasterError::Missing(_))));
    let made = MasterKey::from_file(&path, false).expect("made");
    assert!(is_private(&path));
    assert_eq!(MasterKey::from_file(&path, true).expect("read").reveal(), made.reveal());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(matches!(MasterKey::from_file(&path, true), Err(MasterError::Exposed(_, 0o640))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    std::fs::write(&path, "short").expect("written");
    assert!(matches!(MasterKey::from_file(&path, true), Err(MasterError::Malformed(_))));
}

#[test]
fn a_key_comes_from_a_command_without_a_shell() {
    let key = "ab".repeat(32);
    for (words, right) in [
        (vec!["echo", key.as_str()], true),
        (vec!["false"], false),
        (vec!["echo", "short"], false),
        (vec!["no-such-program"], false),
        (vec![], false),
    ] {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        assert_eq!(MasterKey::from_command(&words).is_ok(), right, "{words:?}");
    }
}

#[tokio::test]
async fn an_approver_is_known_by_their_own_secret_until_they_are_removed() {
    let place = Place::new();
    let store = place.open().await;
    let groups = vec!["dba".to_owned(), "owners".to_owned()];
    let secret = store.add_approver("Alice", &groups, 7).await.expect("added").expect("the first");
    assert!(store.add_approver("alice", &[], 8).await.expect("asked").is_none(), "one person, one name");
    let known = store.approver_by_secret(secret.as_bytes()).await.expect("asked").expect("known");
    assert_eq!((known.name.as_str(), &known.groups, known.added), ("Alice", &groups, 7));
    assert_eq!(store.approver(&known.id).await.expect("asked"), Some(known.clone()));
    let wrong = format!("{}_{}", known.id, "0".repeat(40));
    for tried in [wrong.as_str(), known.id.as_str(), "dwp_", "dwp__", "", "dwa_00"] {
        assert!(store.approver_by_secret(tried.as_bytes()).await.expect("asked").is_none(), "{tried}");
    }
    assert!(!store.is_administrator(secret.as_bytes()).await.expect("asked"));

    let (waits, over) = (filed(&store, "1", &[(2, 60)]).await, filed(&store, "2", &[(1, 60)]).await);
    for id in [&waits, &over] {
        store.vote(id, &yes("user:Alice"), 0, enough).await.expect("voted");
    }
    assert!(store.remove_approver("ALICE").await.expect("removed"));
    assert!(!store.remove_approver("Alice").await.expect("asked"));
    assert!(store.approver_by_secret(secret.as_bytes()).await.expect("asked").is_none());
    let votes = |id: String| {
        let store = store.clone();
        async move { store.request(&id, 0).await.expect("read").expect("there").votes.len() }
    };
    assert_eq!((votes(waits).await, votes(over).await), (0, 1), "what was decided stays decided");
    let again = store.add_approver("alice", &groups, 9).await.expect("added").expect("free again");
    assert!(store.approver_by_secret(again.as_bytes()).await.expect("asked").is_some());
    assert!(
        store.approver_by_secret(secret.as_bytes()).await.expect("asked").is_none(),
        "the old one stays dead"
    );
}

#[tokio::test]
async fn what_is_over_goes_after_a_while_and_its_space_with_it() {
    let place = Place::new();
    let store = place.open().await;
    let token = |id: &str, expires| Token {
        id: id.to_owned(),
        verifier: "x".repeat(4000),
        principal: "agent:bot".to_owned(),
        groups: Vec::new(),
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
        targets: None,
        issued: 0,
        expires,
        revoked: false,
    };
    for n in 0..1200 {
        store.add_token(&token(&format!("old{n}"), 50)).await.expect("added");
    }
    store.add_token(&token("late", 150)).await.expect("added");
    store.add_token(&token("good", 1000)).await.expect("added");
    let old = filed(&store, "old", &[(1, 60)]).await;
    store.vote(&old, &yes("user:a"), 0, enough).await.expect("voted");
    let denied = filed(&store, "denied", &[(1, 60)]).await;
    store.vote(&denied, &Vote { approve: false, ..yes("user:a") }, 0, enough).await.expect("voted");
    let waits = filed(&store, "waits", &[(1, 10_000)]).await;
    let size = || std::fs::metadata(place.database()).expect("a file").len();
    store.purge(0, 0, 0).await.expect("nothing is over");
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&store.pool).await.expect("checkpoint");
    let before = size();

    let purged = store.purge(100, 100, 200).await.expect("purged");
    assert_eq!(purged, Purged { tokens: 1200, requests: 2, denials: 0 });
    let left: Vec<String> = store.tokens().await.expect("read").into_iter().map(|t| t.id).collect();
    assert_eq!(left, ["good", "late"]);
    let left: Vec<String> =
        store.requests(true, 200).await.expect("read").into_iter().map(|r| r.id).collect();
    assert_eq!(left, [waits], "what waits is not old");
    assert!(size() * 4 < before, "{} of {before} bytes", size());
    // Far in the future of the clock nothing that is still good goes.
    assert_eq!(store.purge(i64::MAX, i64::MAX, 200).await.expect("purged").tokens, 1, "only `late` is over");
    assert!(store.token("good").await.expect("read").is_some());
}
