use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use model::{Counted, Filed, Given, HoldRule, NewRequest, Part, Room, Status, TargetName, Vote};
use tempfile::TempDir;
use testkit::postgres::Postgres;

use self::carriers::{
    each_state_of_a_request_is_told_once_in_its_order, one_gateway_tells_a_carrier_at_a_time,
};
use self::full::whether_it_can_be_written_is_known_by_writing;
use self::kept::{
    a_token_that_is_asked_about_is_kept_sealed_for_its_time,
    what_a_lost_gateway_carried_out_is_unknown_to_the_others,
    what_an_older_version_kept_slowly_is_kept_anew_by_whoever_has_the_secret,
    what_became_of_a_request_is_kept_with_it_step_by_step,
    what_is_kept_of_requests_is_bounded_and_what_nobody_answered_gives_way,
    what_was_made_of_another_token_is_forgotten_soon_after_its_end,
    where_columns_were_found_is_kept_by_target_and_server,
};
use self::people::{
    what_is_good_once_is_used_once_and_in_time, whoever_comes_again_leaves_nothing_of_before,
    whoever_is_removed_has_no_key_visit_or_vote, whoever_is_removed_or_has_come_has_no_invitation,
};
use self::standing::{
    a_grant_is_used_as_often_as_it_may_be_and_not_once_it_is_over,
    access_is_given_once_from_an_approved_request_and_ends_with_any_of_its_givers,
    grants_of_whoever_answers_no_more_and_for_whom_is_let_in_no_more_are_ended,
    of_many_that_use_a_grant_at_once_no_more_are_let_through_than_may_be,
    what_waits_alike_is_found_by_its_key,
};
use self::tasks::{
    a_task_is_run_by_one_gateway_and_every_one_tells_what_came_of_it,
    tasks_are_few_and_those_that_are_over_make_room,
};
use self::turns::in_whatever_order_an_approval_is_used_once_and_only_while_it_stands;
use self::vouchers::{
    a_voucher_is_spent_once_and_remembered_and_the_next_is_kept_with_it,
    clients_that_register_are_few_and_forgotten_where_nobody_said_yes,
    whoever_is_removed_leaves_nothing_to_clients,
};
use self::waiting::{
    of_many_who_leave_at_once_the_last_takes_it_back_and_who_comes_finds_no_ghost,
    whoever_leaves_takes_back_what_no_other_gateways_session_waits_for,
};
use super::*;

/// Nothing is sealed under a passphrase here.
struct Open;

impl Opener for Open {
    fn wrap(&self, file: &Sealed) -> Result<Arc<Wrap>, MasterError> {
        Err(MasterError::NoPassphrase(file.source().to_owned()))
    }

    fn new_wrap(&self) -> Result<Option<Arc<Wrap>>, MasterError> {
        Ok(None)
    }
}
use crate::query::{either, query};

mod carriers;
mod full;
mod kept;
mod people;
mod standing;
mod tasks;
mod turns;
mod vouchers;
mod waiting;

const PASSWORD: &[u8] = b"correct horse battery staple";
const VALUE: &str = "4111 1111 1111 1111";

/// A store of one test, in a file or on a server.
struct Place {
    folder: TempDir,
    server: Option<(Arc<Postgres>, String)>,
}

impl Place {
    fn file() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory"), server: None }
    }

    fn server() -> Self {
        let server = Postgres::shared().expect("a server");
        let database = server.fresh_database().expect("a database");
        Self { server: Some((server, database)), ..Self::file() }
    }

    fn key(&self) -> MasterKey {
        MasterKey::from_file(&self.folder.path().join("master.key"), false, &Open).expect("a key").remove(0)
    }

    async fn open(&self) -> Store {
        self.open_with(&self.key()).await.expect("a store")
    }

    async fn open_with(&self, key: &MasterKey) -> Result<Store, OpenError> {
        Locked::reach(&self.location()).await?.unlock(key).await
    }

    fn location(&self) -> Location {
        match &self.server {
            None => Location::File(self.database()),
            Some((server, database)) => {
                Location::Server(Box::new(Address::parse(&server.url(database)).expect("an address")))
            }
        }
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("state.db")
    }
}

/// Each test on both databases.
macro_rules! both {
    ($($test:ident),+ $(,)?) => {
        mod in_a_file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Place::file()).await;
            })+
        }

        mod on_a_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Place::server()).await;
            })+
        }
    };
}

both! {
    whether_it_can_be_written_is_known_by_writing,
    a_task_is_run_by_one_gateway_and_every_one_tells_what_came_of_it,
    tasks_are_few_and_those_that_are_over_make_room,
    in_whatever_order_an_approval_is_used_once_and_only_while_it_stands,
    a_voucher_is_spent_once_and_remembered_and_the_next_is_kept_with_it,
    whoever_is_removed_leaves_nothing_to_clients,
    clients_that_register_are_few_and_forgotten_where_nobody_said_yes,
    a_grant_is_used_as_often_as_it_may_be_and_not_once_it_is_over,
    grants_of_whoever_answers_no_more_and_for_whom_is_let_in_no_more_are_ended,
    of_many_that_use_a_grant_at_once_no_more_are_let_through_than_may_be,
    what_waits_alike_is_found_by_its_key,
    whoever_leaves_takes_back_what_no_other_gateways_session_waits_for,
    of_many_who_leave_at_once_the_last_takes_it_back_and_who_comes_finds_no_ghost,
    access_is_given_once_from_an_approved_request_and_ends_with_any_of_its_givers,
    whoever_comes_again_leaves_nothing_of_before,
    each_state_of_a_request_is_told_once_in_its_order,
    one_gateway_tells_a_carrier_at_a_time,
    whoever_is_removed_has_no_key_visit_or_vote,
    whoever_is_removed_or_has_come_has_no_invitation,
    what_is_good_once_is_used_once_and_in_time,
    another_master_key_wraps_everything_and_the_old_one_opens_nothing,
    a_rotation_that_is_cut_off_leaves_what_was,
    what_a_command_did_is_told_in_its_order,
    of_those_who_do_the_same_at_once_one_is_first,
    of_two_who_replace_the_same_configuration_one_is_told,
    a_password_stays_until_its_target_goes,
    a_sealed_value_opens_in_its_own_row_alone,
    a_sealed_value_that_was_changed_does_not_open,
    an_approval_is_claimed_once_however_many_try,
    the_same_operation_is_asked_once_at_a_time,
    a_hold_asks_for_its_quorum_of_different_people,
    the_administrators_secret_is_made_once_and_only_it_is_right,
    a_newer_schema_is_refused,
    another_master_key_does_not_open_the_store,
    an_approver_is_known_by_their_own_secret_until_they_are_removed,
    what_a_lost_gateway_carried_out_is_unknown_to_the_others,
    a_token_that_is_asked_about_is_kept_sealed_for_its_time,
    where_columns_were_found_is_kept_by_target_and_server,
    what_became_of_a_request_is_kept_with_it_step_by_step,
    what_is_kept_of_requests_is_bounded_and_what_nobody_answered_gives_way,
    what_was_made_of_another_token_is_forgotten_soon_after_its_end,
    what_an_older_version_kept_slowly_is_kept_anew_by_whoever_has_the_secret,
}

async fn with_password(store: &Store, targets: &[&str], passwords: &[(&str, &[u8])]) {
    let targets: BTreeSet<&str> = targets.iter().copied().collect();
    let passwords: BTreeMap<&str, &[u8]> = passwords.iter().copied().collect();
    let was = store.version().await.expect("read");
    let now = store.replace(was, "{}", &targets, &passwords, ("user:ada", 5)).await.expect("replaced");
    assert_eq!(now, Some(was + 1));
}

fn request(digest: &str, holds: &[(u32, u64)]) -> NewRequest {
    let hold = |(n, (quorum, expires)): (usize, &(u32, u64))| HoldRule {
        id: format!("hold-{n}"),
        approvers: vec!["dba".to_owned()],
        reason: None,
        carry: false,
        slack: model::SlackYes::Never,
        by_self: false,
        quorum: *quorum,
        expires: *expires,
        valid_for: 60,
        ceiling: None,
        tolerance: 0,
        preview: None,
        grant: None,
    };
    NewRequest {
        digest: digest.to_owned(),
        subject: format!("of {digest}"),
        touched: Vec::new(),
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: TargetName::new("orders"),
        session: "s1".to_owned(),
        waits: 0,
        summary: "UPDATE".to_owned(),
        kind: "update".to_owned(),
        text: "UPDATE cards SET number = $1".to_owned(),
        circumstances: model::Circumstances::default(),
        values: vec![Some(VALUE.to_owned()), None],
        effects: vec!["update on shop.cards".to_owned()],
        holds: holds.iter().enumerate().map(hold).collect(),
        ceiling: model::Ceiling::Rows {
            most: 10,
            from: "default".to_owned(),
            of: Vec::new(),
            expected: None,
        },
        preview: model::Preview::default(),
        weighed: Default::default(),
        version: "v1".to_owned(),
        alike: None,
    }
}

const ROOM: Room = Room { waiting: 50, one: u64::MAX, all: u64::MAX };

async fn filed(store: &Store, digest: &str, holds: &[(u32, u64)]) -> String {
    match store.file(&request(digest, holds), &ROOM, 0).await.expect("filed") {
        Filed::Now(id) => id,
        other @ (Filed::Anew(..) | Filed::Before(_) | Filed::TooMany | Filed::NoRoom { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn by(gateway: &str, until: i64) -> Claimant {
    Claimant { gateway: gateway.to_owned(), until }
}

fn yes(voter: &str) -> Vote {
    Vote {
        voter: voter.to_owned(),
        groups: vec!["dba".to_owned()],
        approve: true,
        words: None,
        proof: None,
        most: None,
        access: None,
        names: Vec::new(),
        at: None,
    }
}

/// The rule is the policy's; here as many as the largest quorum are enough.
fn enough(holds: &[HoldRule], votes: &[Vote]) -> bool {
    let yes = u32::try_from(votes.iter().filter(|v| v.approve).count()).expect("few");
    holds.iter().all(|h| h.quorum <= yes)
}

async fn a_password_stays_until_its_target_goes(place: &Place) {
    let store = place.open().await;
    for (targets, passwords, expected) in [
        (&["a", "b"][..], &[("a", PASSWORD), ("b", b"other")][..], &["a", "b"][..]),
        (&["a", "b"], &[], &["a", "b"]),
        (&["a"], &[("a", b"new")], &["a"]),
        (&["a", "b"], &[], &["a"]),
        (&[], &[], &[]),
    ] {
        with_password(&store, targets, passwords).await;
        let kept = store.configured().await.expect("read").credentials;
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}

async fn a_sealed_value_opens_in_its_own_row_alone(place: &Place) {
    let store = place.open().await;
    with_password(&store, &["a", "b"], &[("a", PASSWORD), ("b", b"other")]).await;
    query("UPDATE credential SET sealed = (SELECT sealed FROM credential WHERE target = 'a') WHERE target = 'b'")
        .execute(&store.database)
        .await
        .expect("moved");
    assert!(matches!(store.configured().await, Err(StoreError::Sealed)));

    let (one, two) = (filed(&store, "1", &[(1, 60)]).await, filed(&store, "2", &[(1, 60)]).await);
    query(
        "UPDATE request SET sealed_values = (SELECT sealed_values FROM request WHERE id = $1) WHERE id = $2",
    )
    .bind(&one)
    .bind(&two)
    .execute(&store.database)
    .await
    .expect("moved");
    assert_eq!(store.request(&one, 0).await.expect("read").expect("one").values[0].as_deref(), Some(VALUE));
    assert!(matches!(store.request(&two, 0).await, Err(StoreError::Sealed)));
}

async fn a_sealed_value_that_was_changed_does_not_open(place: &Place) {
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    let row = vault::Row { table: "credential", id: "a" };
    let whole = vault::seal(&store.vault.all()[0], row, PASSWORD).expect("sealed");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(store.vault.open(row, &changed).await.is_err(), "byte {at}");
        assert!(store.vault.open(row, &whole[..at]).await.is_err(), "cut at {at}");
    }
    assert_eq!(store.vault.open(row, &whole).await.expect("opened").as_slice(), PASSWORD);
    // As it was written before master keys had names.
    let old = [&[1], &whole[9..]].concat();
    assert_eq!(store.vault.open(row, &old).await.expect("opened").as_slice(), PASSWORD);
}

#[tokio::test]
async fn no_secret_stands_in_the_files_in_clear() {
    let place = Place::file();
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    filed(&store, "1", &[(1, 60)]).await;
    let secret = store.make_administrator().await.expect("made").expect("the first");
    let key = store.made_key("masks").await.expect("a key");
    let mut looked = 0;
    for entry in std::fs::read_dir(place.folder.path()).expect("a directory") {
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

async fn an_approval_is_claimed_once_however_many_try(place: &Place) {
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60)]).await;
    assert_eq!(store.claim(&id, &by("one", 60), 0).await.expect("asked"), None, "before it is approved");
    store.vote(&id, (&yes("user:a"), &[]), 0, enough).await.expect("voted");
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move { store.claim(&id, &by("one", 60), 0).await.expect("asked") })
        })
        .collect();
    let mut won = Vec::new();
    for one in tries {
        won.extend(one.await.expect("no panic"));
    }
    let ceiling =
        model::Ceiling::Rows { most: 10, from: "default".to_owned(), of: Vec::new(), expected: None };
    assert_eq!(won.iter().map(|claim| claim.ceiling.clone()).collect::<Vec<_>>(), [ceiling]);
    let rules = won.iter().flat_map(|claim| &claim.rules);
    assert_eq!(rules.map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["hold-0"]);
}

async fn the_same_operation_is_asked_once_at_a_time(place: &Place) {
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60)]).await;
    let one = Room { waiting: 1, ..ROOM };
    let again = |now| {
        let store = store.clone();
        async move { store.file(&request("1", &[(1, 60)]), &one, now).await.expect("asked") }
    };
    assert_eq!(again(0).await, Filed::Before(id.clone()));
    assert_eq!(store.file(&request("2", &[(1, 60)]), &one, 0).await.expect("asked"), Filed::TooMany);
    store.vote(&id, (&yes("user:a"), &[]), 0, enough).await.expect("voted");
    assert_eq!(again(1).await, Filed::Before(id.clone()), "approved and not used");
    store.claim(&id, &by("one", 60), 1).await.expect("asked").expect("claimed");
    assert!(matches!(again(2).await, Filed::Now(_)), "used");
    assert!(matches!(again(1000).await, Filed::Now(_)), "expired");
}

async fn a_hold_asks_for_its_quorum_of_different_people(place: &Place) {
    let store = place.open().await;
    let id = filed(&store, "1", &[(1, 60), (2, 60)]).await;
    let no = Vote { approve: false, ..yes("user:a") };
    for (vote, now, expected) in [
        (yes("user:a"), 0, Counted::Now(Status::Pending)),
        (yes("user:a"), 0, Counted::Now(Status::Pending)),
        (yes("user:b"), 0, Counted::Now(Status::Approved)),
        (no.clone(), 0, Counted::TooLate(Status::Approved)),
        (no.clone(), 60, Counted::TooLate(Status::Lapsed)),
    ] {
        assert_eq!(
            store.vote(&id, (&vote, &[]), now, enough).await.expect("asked"),
            Some(expected),
            "{vote:?} at {now}"
        );
    }
    let other = filed(&store, "2", &[(1, 60)]).await;
    assert_eq!(
        store.vote(&other, (&no, &[]), 0, enough).await.expect("asked"),
        Some(Counted::Now(Status::Denied))
    );
    assert_eq!(store.vote("nothing", (&no, &[]), 0, enough).await.expect("asked"), None);
}

async fn the_administrators_secret_is_made_once_and_only_it_is_right(place: &Place) {
    let store = place.open().await;
    assert!(!store.is_administrator(b"").await.expect("asked"), "before there is one");
    assert!(store.replace_administrator(0).await.expect("asked").is_none(), "there is none to replace");
    let secret = store.make_administrator().await.expect("made").expect("the first");
    assert!(store.make_administrator().await.expect("asked").is_none());
    for (tried, right) in [(secret.as_str(), true), ("dwa_", false), ("", false)] {
        assert_eq!(store.is_administrator(tried.as_bytes()).await.expect("asked"), right);
    }
    let other = store.replace_administrator(7).await.expect("made").expect("another");
    for (tried, right) in [(&other, true), (&secret, false)] {
        assert_eq!(store.is_administrator(tried.as_bytes()).await.expect("asked"), right);
    }
    assert!(store.make_administrator().await.expect("asked").is_none(), "there is one");
    let happened = store.happened(0).await.expect("asked");
    let last = happened.last().expect("it is noted");
    assert!(
        last.at == 7 && last.what == crate::REPLACED && !last.detail.contains(other.as_str()),
        "{last:?}"
    );
}

async fn a_newer_schema_is_refused(place: &Place) {
    let store = place.open().await;
    query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, $1, 0)",
    )
    .bind(Vec::new())
    .execute(&store.database)
    .await
    .expect("written");
    store.close().await;
    let refused = place.open_with(&place.key()).await.err().expect("refused");
    assert!(matches!(refused, OpenError::Newer(_, 9999)), "{refused}");
    assert!(refused.to_string().contains("newer version of durward"), "{refused}");
}

async fn another_master_key_does_not_open_the_store(place: &Place) {
    let kept = place.open().await.made_key("masks").await.expect("a key");
    let other = MasterKey::from_hex(&"07".repeat(32), "a test").expect("a key");
    let refused = place.open_with(&other).await.err().expect("refused");
    assert!(matches!(refused, OpenError::Store(_, StoreError::Sealed)), "{refused}");
    assert_eq!(place.open().await.made_key("masks").await.expect("a key"), kept, "made once");
}

#[test]
fn a_key_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("master.key");
    assert!(matches!(MasterKey::from_file(&path, true, &Open), Err(MasterError::Missing(_))));
    let made = MasterKey::from_file(&path, false, &Open).expect("made");
    assert!(is_private(&path));
    assert_eq!(MasterKey::from_file(&path, true, &Open).expect("read")[0].reveal(), made[0].reveal());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(matches!(MasterKey::from_file(&path, true, &Open), Err(MasterError::Exposed(_, 0o640))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    std::fs::write(&path, "short").expect("written");
    assert!(matches!(MasterKey::from_file(&path, true, &Open), Err(MasterError::Malformed(_))));
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

async fn an_approver_is_known_by_their_own_secret_until_they_are_removed(place: &Place) {
    let store = place.open().await;
    let groups = vec!["dba".to_owned(), "owners".to_owned()];
    let secret = store.add_approver("Alice", &groups, &[], 7).await.expect("added").expect("the first");
    assert!(store.add_approver("alice", &[], &[], 8).await.expect("asked").is_none(), "one person, one name");
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
        store.vote(id, (&yes("user:Alice"), &[]), 0, enough).await.expect("voted");
    }
    assert!(store.remove_approver("ALICE").await.expect("removed"));
    assert!(!store.remove_approver("Alice").await.expect("asked"));
    assert!(store.approver_by_secret(secret.as_bytes()).await.expect("asked").is_none());
    let votes = |id: String| {
        let store = store.clone();
        async move { store.request(&id, 0).await.expect("read").expect("there").votes.len() }
    };
    assert_eq!((votes(waits).await, votes(over).await), (0, 1), "what was decided stays decided");
    let again = store.add_approver("alice", &groups, &[], 9).await.expect("added").expect("free again");
    assert!(store.approver_by_secret(again.as_bytes()).await.expect("asked").is_some());
    assert!(
        store.approver_by_secret(secret.as_bytes()).await.expect("asked").is_none(),
        "the old one stays dead"
    );
}

/// Two gateways: each has connections of its own.
async fn of_those_who_do_the_same_at_once_one_is_first(place: &Place) {
    const EACH: usize = 12;
    let gateways = [place.open().await, place.open().await];
    let id = filed(&gateways[0], "approved", &[(1, 60)]).await;
    let voted = gateways[1].vote(&id, (&yes("user:a"), &[]), 0, enough).await.expect("voted");
    assert_eq!(voted, Some(Counted::Now(Status::Approved)), "what one has filed another knows");
    let mut tasks = Vec::new();
    for number in 0..EACH {
        for store in &gateways {
            let (store, id) = (store.clone(), id.clone());
            tasks.push(tokio::spawn(async move {
                let new = request("same", &[(1, 60)]);
                let filed = match store.file(&new, &ROOM, 0).await.expect("filed") {
                    Filed::Now(_) | Filed::Anew(..) => 1,
                    Filed::Before(_) => 0,
                    Filed::TooMany | Filed::NoRoom { .. } => panic!("there are few"),
                };
                let claimed = store.claim(&id, &by("one", 60), 0).await.expect("asked").map_or(0, |_| 1);
                let made = store.make_administrator().await.expect("asked").map_or(0, |_| 1);
                let added = store.add_approver("Dora", &[], &[], 0).await.expect("asked").map_or(0, |_| 1);
                // Each is one of many different things, too: none of them is lost.
                filed_other(&store, number).await;
                [filed, claimed, made, added]
            }));
        }
    }
    let mut won = [0; 4];
    for task in tasks {
        let one = task.await.expect("no panic");
        won.iter_mut().zip(one).for_each(|(sum, won)| *sum += won);
    }
    assert_eq!(won, [1; 4], "filed, claimed, made administrator, added");
    assert_eq!(gateways[0].requests(true, &Part::newest(1000), 0).await.expect("read").len(), EACH + 2);
}

/// The same operation by both gateways: filed once.
async fn filed_other(store: &Store, number: usize) {
    let new = request(&format!("other{number}"), &[(1, 60)]);
    let filed = store.file(&new, &ROOM, 0).await.expect("filed");
    assert_ne!(filed, Filed::TooMany);
}

async fn of_two_who_replace_the_same_configuration_one_is_told(place: &Place) {
    let gateways = [place.open().await, place.open().await];
    for round in 0..10 {
        let replace = |store: &Store, body: &'static str| {
            let store = store.clone();
            async move {
                store
                    .replace(round, body, &BTreeSet::new(), &BTreeMap::new(), ("user:ada", 5))
                    .await
                    .expect("asked")
            }
        };
        let (a, b) = tokio::join!(replace(&gateways[0], "a"), replace(&gateways[1], "b"));
        let stands = gateways[0].configured().await.expect("read");
        let winner = if a.is_some() { "a" } else { "b" };
        assert_eq!(a.or(b), Some(round + 1));
        assert!(a.is_none() || b.is_none(), "both were told that they had won");
        assert_eq!((stands.version, stands.body.as_deref()), (round + 1, Some(winner)));
    }
}

async fn another_master_key_wraps_everything_and_the_old_one_opens_nothing(place: &Place) {
    let old = place.key();
    let (keys, new) = (place.folder.path().join("keys"), MasterKey::fresh().expect("a key"));
    MasterKey::write_file(&keys, &[&old], None).expect("written");
    let source: Keys = {
        let keys = keys.clone();
        Arc::new(move || MasterKey::from_file(&keys, true, &Open))
    };
    let reached = || async { Locked::reach(&place.location()).await.expect("reached") };
    // One gateway does it, another serves meanwhile.
    let store =
        reached().await.unlock_from(&source().expect("keys"), Arc::clone(&source)).await.expect("a store");
    let other =
        reached().await.unlock_from(&source().expect("keys"), Arc::clone(&source)).await.expect("a store");
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    let id = filed(&store, "1", &[(1, 60)]).await;
    let masks = store.made_key("masks").await.expect("a key");
    store.keep_asked("t", PASSWORD, 100).await.expect("kept");
    assert!(store.note_plan(&id, model::Stage::Waiting, &model::Progress::default()).await.expect("noted"));
    let draft = model::Draft {
        id: String::new(),
        author: "user:ada".to_owned(),
        body: "{}".to_owned(),
        digest: "d".to_owned(),
        status: model::DraftStatus::Open,
        filed: 0,
        expires: 60,
        decided_by: None,
    };
    let draft = store.add_draft(&draft, PASSWORD, 10).await.expect("kept").expect("there is room");
    assert_eq!(store.give(&standing::grant("g", None), &[], 10).await.expect("given"), Given::Now);
    assert!(store.add_task(&tasks::task("t", "agent:a", 0), PASSWORD, (9, 9)).await.expect("kept"));

    MasterKey::write_file(&keys, &[&new, &old], None).expect("written");
    let rotated = store.rotate(&new, 7).await.expect("rotated");
    assert_eq!((rotated.before, rotated.after, rotated.values), (old.name(), new.name(), 9));
    MasterKey::write_file(&keys, &[&new], None).expect("written");

    for store in [&store, &other] {
        assert_eq!(store.made_key("masks").await.expect("a key"), masks);
        let opened = store.configured().await.expect("read").credentials;
        assert_eq!(opened["a"].as_slice(), PASSWORD);
        let values = store.request(&id, 0).await.expect("read").expect("one").values;
        assert_eq!(values[0].as_deref(), Some(VALUE));
        assert!(store.plan(&id).await.expect("read").is_some());
        let kept = store.draft(&draft, 0).await.expect("read").expect("one").1;
        assert_eq!(kept.as_slice(), PASSWORD);
        // What is sealed from now on is under the new one.
        let later = filed(store, &format!("later {}", Arc::as_ptr(&store.vault).addr()), &[(1, 60)]).await;
        assert!(store.request(&later, 0).await.is_ok());
        assert_eq!(store.master().await.expect("read"), new.name());
    }
    let refused = place.open_with(&old).await.err().expect("refused");
    assert!(matches!(refused, OpenError::Store(_, StoreError::Sealed)), "{refused}");
    let with_new = place.open_with(&new).await.expect("opened");
    assert_eq!(with_new.configured().await.expect("read").credentials["a"].as_slice(), PASSWORD);
    // No row was forgotten: the old key wraps nothing any more.
    let known = vault::Vault::new(&[old], None).expect("a vault");
    for (table, id, sealed) in rotate::SEALED {
        let rows = crate::query::made(&format!("SELECT {id} AS id, {sealed} AS sealed FROM {table}"));
        let rows = rows.fetch_all(&with_new.database).await.expect("read");
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            let name: String = row.try_get("id").expect("a name");
            let sealed: Vec<u8> = row.try_get("sealed").expect("bytes");
            assert!(known.open(vault::Row { table, id: &name }, &sealed).await.is_err(), "{table} {name}");
        }
    }
}

/// The new key stands in the file before anything is wrapped under it, so that whatever was done last can be read.
async fn a_rotation_that_is_cut_off_leaves_what_was(place: &Place) {
    let (old, new) = (place.key(), MasterKey::fresh().expect("a key"));
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    // A value that opens with no key makes it fail in its middle.
    query("INSERT INTO credential (target, sealed) VALUES ('b', $1)")
        .bind(vec![2; 120])
        .execute(&store.database)
        .await
        .expect("written");
    assert!(store.rotate(&new, 7).await.is_err());
    assert_eq!(store.master().await.expect("read"), old.name());
    query("DELETE FROM credential WHERE target = 'b'").execute(&store.database).await.expect("removed");
    let keys = place.folder.path().join("keys");
    MasterKey::write_file(&keys, &[&new, &old], None).expect("written");
    for rotated in [false, true] {
        let keys = MasterKey::from_file(&keys, true, &Open).expect("both");
        let locked = Locked::reach(&place.location()).await.expect("reached");
        let store =
            locked.unlock_from(&keys, Arc::new(|| Ok(Vec::new()))).await.expect("readable at each moment");
        assert_eq!(
            store.configured().await.expect("read").credentials["a"].as_slice(),
            PASSWORD,
            "{rotated}"
        );
        if !rotated {
            store.rotate(&new, 8).await.expect("rotated at last");
        }
    }
}

async fn what_a_command_did_is_told_in_its_order(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.last_happened().await.expect("read"), 0);
    for (number, what) in (1..).zip(["one", "two", "three"]) {
        store.note(what, "more", number * 10).await.expect("noted");
    }
    let told = store.happened(1).await.expect("read");
    let told: Vec<_> = told.iter().map(|h| (h.number, h.at, h.what.as_str())).collect();
    assert_eq!(told, [(2, 20, "two"), (3, 30, "three")]);
    assert_eq!(store.last_happened().await.expect("read"), 3);
}

/// A copy goes into either database, and what may have changed since does not work in it.
#[tokio::test]
async fn a_store_comes_back_from_its_copy_on_either_database() {
    for (from, to) in [
        (Place::file(), Place::file()),
        (Place::file(), Place::server()),
        (Place::server(), Place::file()),
        (Place::server(), Place::server()),
    ] {
        let store = from.open().await;
        with_password(&store, &["a"], &[("a", PASSWORD)]).await;
        let secret = store.make_administrator().await.expect("made").expect("the first");
        store
            .add_approver("Dora", &["dba".to_owned()], &["user:corp/dora".to_owned()], 5)
            .await
            .expect("added");
        let code = Code {
            id: "dwb_1".to_owned(),
            verifier: "x".to_owned(),
            principal: "user:alice".to_owned(),
            groups: Vec::new(),
            target: "a".to_owned(),
            lifetime: 60,
            made: 1,
            expires: 1000,
            used: None,
            revoked: false,
        };
        store.add_code(&code).await.expect("added");
        for id in ["t1", "t2"] {
            let token = Token {
                id: id.to_owned(),
                verifier: "x".to_owned(),
                principal: "agent:bot".to_owned(),
                groups: vec!["g".to_owned()],
                on_behalf_of: Vec::new(),
                purpose: None,
                asserted: Vec::new(),
                targets: None,
                parent: None,
                actor: None,
                minted_for: None,
                resource: None,
                may_act: None,
                issued: 0,
                expires: 1000,
                revoked: id == "t1",
            };
            store.add_token(&token, 0, 0).await.expect("added");
        }
        let (waits, denied) = (filed(&store, "w", &[(1, 600)]).await, filed(&store, "d", &[(1, 600)]).await);
        let no = Vote { approve: false, ..yes("user:a") };
        store.vote(&denied, (&no, &[]), 0, enough).await.expect("voted");

        let mut copy = Vec::new();
        store.dump(&mut copy).await.expect("copied");
        for hidden in [PASSWORD, VALUE.as_bytes(), secret.as_bytes()] {
            assert!(!copy.windows(hidden.len()).any(|w| w == hidden));
        }
        let restored = Locked::restore(&to.location(), &mut copy.as_slice(), "from a test", 9).await;
        let (locked, revoked) = restored.expect("restored");
        assert_eq!(revoked, Revoked { tokens: 1, requests: 1, codes: 1, approvers: 1 });
        let back = locked.unlock(&from.key()).await.expect("the same master key");
        let configured = back.configured().await.expect("read");
        assert_eq!((configured.version, configured.credentials["a"].as_slice()), (1, PASSWORD));
        assert!(back.is_administrator(secret.as_bytes()).await.expect("asked"));
        assert!(back.tokens(&Part::newest(9)).await.expect("read").iter().all(|t| t.revoked));
        assert!(back.codes().await.expect("read").iter().all(|c| c.revoked));
        assert!(back.approvers().await.expect("read").is_empty());
        let stands = |id: String| {
            let back = back.clone();
            async move { back.standing(&id, 1).await.expect("read").expect("one").status }
        };
        assert_eq!((stands(waits.clone()).await, stands(denied).await), (Status::Withdrawn, Status::Denied));
        let opened = back.request(&waits, 1).await.expect("read").expect("one");
        assert_eq!(opened.values[0].as_deref(), Some(VALUE), "values open in their rows");
        assert_eq!(back.happened(0).await.expect("read")[0].what, "restored");
        let outs = back.sign_outs(0).await.expect("read");
        assert!(
            matches!(outs[..], [(_, model::SignOut { of: model::SignedOut::All, since: 9, .. })]),
            "who signed out since is not known: {outs:?}"
        );
        assert!(
            matches!(filed(&back, "w", &[(1, 600)]).await.as_str(), id if id != waits),
            "it is asked anew"
        );
        // Into what is there nothing is restored, nor from half of a copy.
        back.close().await;
        let again =
            Locked::restore(&to.location(), &mut copy.as_slice(), "", 9).await.err().expect("refused");
        assert!(again.to_string().contains("there is a store already"), "{again}");
        let half = &mut &copy[..copy.len() - 20];
        let half = Locked::restore(&Place::file().location(), half, "", 9).await.err().expect("refused");
        assert!(half.to_string().contains("not whole"), "{half}");
    }
}

/// What is sealed is known to the rotation.
#[tokio::test]
async fn every_sealed_column_is_wrapped_anew_by_a_rotation() {
    let place = Place::file();
    let store = place.open().await;
    let columns = query(
        "SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND c.name LIKE '%sealed%' ORDER BY 1",
    );
    let found = columns.fetch_all(&store.database).await.expect("read");
    let mut found: Vec<(String, String)> =
        found.iter().map(|r| (r.try_get("t").expect("t"), r.try_get("c").expect("c"))).collect();
    let mut known: Vec<_> = rotate::SEALED.map(|(t, _, c)| (t.to_owned(), c.to_owned())).to_vec();
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

/// Whoever adds a table adds it to both.
#[test]
fn both_databases_have_the_same_migrations() {
    let of = |migrator: &sqlx::migrate::Migrator| {
        migrator.iter().map(|m| (m.version, m.description.to_string())).collect::<Vec<_>>()
    };
    let (sqlite, postgres) = (of(&open::SQLITE), of(&open::POSTGRES));
    assert_eq!(sqlite, postgres);
    let numbers: BTreeSet<i64> = sqlite.iter().map(|(version, _)| *version).collect();
    assert_eq!(numbers.len(), sqlite.len(), "two have the same number");
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let columns = |store: Store| async move {
        let rows = either(
            "SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' \
             AND m.name NOT LIKE 'sqlite%' AND m.name <> '_sqlx_migrations' ORDER BY 1, 2",
            "SELECT table_name::text AS t, column_name::text AS c FROM information_schema.columns \
             WHERE table_schema = current_schema AND table_name <> '_sqlx_migrations' AND column_name <> 'rowid' \
             ORDER BY table_name COLLATE \"C\", column_name COLLATE \"C\"",
        );
        let rows = rows.fetch_all(&store.database).await.expect("read");
        rows.iter()
            .map(|r| (r.try_get("t").unwrap(), r.try_get("c").unwrap()))
            .collect::<Vec<(String, String)>>()
    };
    let (file, server) = (Place::file(), Place::server());
    let (sqlite, postgres) = (columns(file.open().await).await, columns(server.open().await).await);
    assert!(sqlite.len() > 30, "{sqlite:?}");
    assert_eq!(sqlite, postgres);
}

#[test]
fn an_address_says_who_is_meant_and_has_no_password() {
    for (url, expected) in [
        ("postgres://durward@db.example.com/durward", Ok(true)),
        ("postgres://durward@db.example.com/durward?sslmode=verify-full&sslrootcert=/etc/ca.pem", Ok(true)),
        ("postgres://durward@db.example.com/durward?sslmode=require", Ok(false)),
        ("postgres://durward@127.0.0.1:5433/durward?sslmode=disable", Ok(true)),
        ("postgresql://durward@localhost/durward", Ok(true)),
        ("postgres://durward@%2Frun%2Fpostgresql/durward", Ok(true)),
        ("postgres://durward:hunter2@db.example.com/durward", Err("there is a password")),
        ("postgres://durward@db.example.com/durward?password=hunter2", Err("there is a password")),
        ("postgres://durward@db.example.com/durward?sslmod=require", Err("no parameter \"sslmod\"")),
        ("postgres://durward@db.example.com/durward?sslmode=maybe", Err("ssl_mode")),
        ("postgres://db.example.com/durward", Err("has no user")),
        ("mysql://durward@db.example.com/durward", Err("is written postgres://")),
    ] {
        match (Address::parse(url), expected) {
            (Ok(address), Ok(verified)) => assert_eq!(address.is_verified(), verified, "{url}"),
            (Err(error), Err(part)) => {
                assert!(error.contains(part), "{url}: {error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
            (got, _) => panic!("{url}: {got:?}"),
        }
    }
    let address = Address::parse("postgres://durward@localhost/state").unwrap().with_password("hunter2");
    assert_eq!(format!("{address} {address:?}").matches("hunter2").count(), 0);
    assert_eq!(address.to_string(), "postgres database state at localhost:5432");
}

#[tokio::test]
async fn what_is_over_goes_after_a_while_and_its_space_with_it() {
    let place = Place::file();
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
        parent: None,
        actor: None,
        minted_for: None,
        resource: None,
        may_act: None,
        issued: 0,
        expires,
        revoked: false,
    };
    for n in 0..1200 {
        store.add_token(&token(&format!("old{n}"), 50), 0, 0).await.expect("added");
    }
    store.add_token(&token("late", 150), 0, 0).await.expect("added");
    store.add_token(&token("good", 1000), 0, 0).await.expect("added");
    let old = filed(&store, "old", &[(1, 60)]).await;
    store.vote(&old, (&yes("user:a"), &[]), 0, enough).await.expect("voted");
    let denied = filed(&store, "denied", &[(1, 60)]).await;
    store.vote(&denied, (&Vote { approve: false, ..yes("user:a") }, &[]), 0, enough).await.expect("voted");
    let waits = filed(&store, "waits", &[(1, 10_000)]).await;
    let size = || std::fs::metadata(place.database()).expect("a file").len();
    store.purge(0, 0, 0).await.expect("nothing is over");
    query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&store.database).await.expect("checkpoint");
    let before = size();

    let purged = store.purge(100, 100, 200).await.expect("purged");
    assert_eq!(purged, Purged { tokens: 1200, requests: 2, denials: 0 });
    let left: Vec<String> =
        store.tokens(&Part::newest(9999)).await.expect("read").into_iter().map(|t| t.id).collect();
    assert_eq!(left, ["good", "late"]);
    let left: Vec<String> = store
        .requests(true, &Part::newest(100), 200)
        .await
        .expect("read")
        .into_iter()
        .map(|r| r.id)
        .collect();
    assert_eq!(left, [waits], "what waits is not old");
    assert!(size() * 4 < before, "{} of {before} bytes", size());
    // Far in the future of the clock nothing that is still good goes.
    assert_eq!(store.purge(i64::MAX, i64::MAX, 200).await.expect("purged").tokens, 1, "only `late` is over");
    assert!(store.token("good").await.expect("read").is_some());
}
