use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    let hold = |(n, (quorum, expires)): (usize, &(u32, u64))| Hold {
        id: format!("hold-{n}"),
        quorum: *quorum,
        expires: *expires,
        valid_for: 60,
    };
    NewRequest {
        digest: digest.to_owned(),
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: "orders".to_owned(),
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
    Vote { voter: voter.to_owned(), approve: true, words: None }
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
    store.vote(&id, &yes("user:a"), 0).await.expect("voted");
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
    store.vote(&id, &yes("user:a"), 0).await.expect("voted");
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
        (yes("user:a"), 0, Voted::Counted(Status::Waiting)),
        (yes("user:a"), 0, Voted::Counted(Status::Waiting)),
        (yes("user:b"), 0, Voted::Counted(Status::Approved)),
        (no.clone(), 0, Voted::TooLate(Status::Approved)),
        (no.clone(), 60, Voted::TooLate(Status::Expired)),
    ] {
        assert_eq!(store.vote(&id, &vote, now).await.expect("asked"), Some(expected), "{vote:?} at {now}");
    }
    let other = filed(&store, "2", &[(1, 60)]).await;
    assert_eq!(store.vote(&other, &no, 0).await.expect("asked"), Some(Voted::Counted(Status::Denied)));
    assert_eq!(store.vote("nothing", &no, 0).await.expect("asked"), None);
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
