//! Whose key a proof adds: the one that it was shown for, in the visit that made it.

use std::sync::Arc;

use model::{PrincipalKind, Signed};
use tempfile::TempDir;

use super::*;
use crate::credentials::Sources;
use crate::gateway::{Config, Limits};
use crate::memory::Memory;
use crate::people::Coming;
use crate::state::State;
use crate::traces::Traces;

pub(in crate::presence) async fn house() -> (Arc<Gateway>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal::Journal::open(&directory.path().join("journal"), journal::Options::default());
    let config = Config {
        journal: journal.expect("a journal"),
        recordings: directory.path().join("recordings"),
        state: State::new(Memory::default()),
        limits: Limits::default(),
        alarm: None,
        sources: Sources::default(),
        traces: Traces::default(),
        carriers: Vec::new(),
        authorization: None,
    };
    (Gateway::start(config).await.expect("started"), directory)
}

/// Somebody of an issuer, who has no passkey yet.
async fn guest(gateway: &Gateway) -> Guest {
    let id = PrincipalRef { kind: PrincipalKind::User, name: "corp/ada".to_owned() };
    let word = Signed { issuer: "corp".to_owned(), subject: "ada".to_owned(), sid: None, at: 0 };
    let coming = Coming::default();
    let secret = gateway.begin_visit(&id, Some(word), Vec::new(), 600, &coming).await.expect("a visit");
    gateway.guest(&secret).await.expect("somebody")
}

fn key(id: &str, public: &[u8], label: &str) -> Passkey {
    Passkey {
        id: id.to_owned(),
        owner: "user:corp/ada".to_owned(),
        key: public.to_vec(),
        counter: 0,
        label: label.to_owned(),
        added: now(),
        used: None,
    }
}

#[tokio::test]
async fn a_proof_adds_the_key_that_it_was_shown_for_and_no_other() {
    let (gateway, _directory) = house().await;
    let ada = guest(&gateway).await;
    let shown = |act| Proof::shown(act, "sign-in at corp".to_owned(), ada.id().clone());
    let own = gateway.lay_by(&ada, key("own", b"one", "My phone")).await.expect("laid by");
    let meant = gateway.proposed_passkey(&ada, &own).await.expect("seen");
    assert_eq!((meant.label.as_str(), meant.fingerprint.len()), ("My phone", 19));
    // What an agent with the same browser lays by meanwhile differs in its id, its key or its name alone.
    for (what, theirs) in [
        ("another key", key("theirs", b"two", "My phone")),
        ("another id", key("theirs", b"one", "My phone")),
        ("another public key", key("own", b"two", "My phone")),
        ("another name", key("own", b"one", "Ada's phone")),
    ] {
        let theirs = gateway.lay_by(&ada, theirs).await.expect("laid by");
        let said = gateway.add_passkey(&ada, &theirs, shown(meant.act)).await.expect_err(what).to_string();
        assert!(said.contains("exactly this one"), "{what}: {said}");
    }
    // Nor do proofs of other acts, nor another visit of the same person.
    let again = guest(&gateway).await;
    assert!(gateway.proposed_passkey(&again, &own).await.is_err(), "another visit sees it");
    let other = gateway.lay_by(&ada, key("k", b"k", "k")).await.expect("laid by");
    assert!(gateway.add_passkey(&ada, &other, shown(Act::sign_in())).await.is_err(), "a sign-in adds it");
    assert!(gateway.passkeys(&ada).await.expect("read").is_empty(), "a key was added");
    // The honest neighbour, once.
    gateway.add_passkey(&ada, &own, shown(meant.act)).await.expect("added");
    let keys = gateway.passkeys(&ada).await.expect("read");
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["own"]);
    assert!(gateway.add_passkey(&ada, &own, shown(meant.act)).await.is_err(), "it is added twice");
}
