//! Who puts whose change in force: two people, exactly this change, against exactly what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Member, Passkey, PrincipalRef, Signed};
use tempfile::TempDir;

use super::*;
use crate::configure::PolicyFile;
use crate::credentials::Sources;
use crate::gateway::{Config, Limits};
use crate::memory::Memory;
use crate::people::{Coming, NewMember, Roles};
use crate::presence::Place;
use crate::state::State;
use crate::traces::Traces;

const BEFORE: &str = "@id(\"in\") permit (principal, action == Action::\"connect\", resource);\n";
const AFTER: &str = "@id(\"in\") permit (principal, action, resource);\n";

struct House {
    gateway: Arc<Gateway>,
    directory: TempDir,
}

/// People of the console: two administrators, an auditor; and at an issuer whoever is in the group `ops`.
async fn house() -> House {
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
    let gateway = Gateway::start(config).await.expect("started");
    let policies = ["a.cedar", "b.cedar"].map(|name| PolicyFile {
        name: name.to_owned(),
        text: BEFORE.replace("\"in\"", &format!("\"{name}\"")),
    });
    let wanted = Configuration { policies: policies.into(), ..Configuration::default() };
    gateway.apply(wanted, "user:root").await.expect("applied");
    let place = Place { origin: "https://gate".to_owned(), host: "gate".to_owned() };
    let roles = Roles(BTreeMap::from([(Role::PolicyEditor, ["ops".to_owned()].into())]));
    gateway.set_console(place, roles, [Right::ChangePolicies].into());
    for (name, role) in [("ada", "administrator"), ("dora", "administrator"), ("eve", "auditor")] {
        let member =
            Member { name: name.to_owned(), roles: vec![role.to_owned()], groups: Vec::new(), added: now() };
        let key = Passkey {
            id: name.to_owned(),
            owner: format!("user:{name}"),
            key: Vec::new(),
            counter: 0,
            label: String::new(),
            added: now(),
            used: None,
        };
        gateway.state().admit(&member, &key).await.expect("admitted");
    }
    House { gateway, directory }
}

impl House {
    /// Somebody who is there; with a slash in their name, of an issuer.
    async fn guest(&self, name: &str) -> Guest {
        let word = name.contains('/').then(|| Signed {
            issuer: "https://corp".to_owned(),
            subject: name.to_owned(),
            sid: None,
            at: 0,
        });
        let groups = word.iter().map(|_| "ops".to_owned()).collect();
        let id = PrincipalRef { kind: PrincipalKind::User, name: name.to_owned() };
        let secret =
            self.gateway.begin_visit(&id, word, groups, 600, &Coming::default()).await.expect("a visit");
        self.gateway.guest(&secret).await.expect("somebody")
    }

    async fn edit(&self, name: &str, text: &str) -> PolicyEdit {
        let (seen, _) = self.gateway.configured().await.expect("configured");
        let text = text.replace("\"in\"", &format!("\"{name}\""));
        PolicyEdit { seen, name: name.to_owned(), text: Some(text), tests: None, anyway: false }
    }

    /// Files ada's change; its id, its digest and what it was looked at against.
    async fn filed(&self) -> (String, String, i64) {
        let (ada, edit) = (self.guest("ada").await, self.edit("a.cedar", AFTER).await);
        let proof = shown(Act::policy(&edit), &ada);
        let Changed::Waits(id) =
            self.gateway.change_policy_for(&ada, &edit, Some(proof)).await.expect("filed")
        else {
            panic!("it is in force at once");
        };
        let looked = self.gateway.draft_for(&ada, &id).await.expect("seen");
        (id, looked.waiting.draft.digest, looked.seen)
    }

    async fn text(&self) -> String {
        let (_, configured) = self.gateway.configured().await.expect("configured");
        configured.policies.into_iter().next().expect("a file").text
    }

    fn journal(&self) -> String {
        let files = std::fs::read_dir(self.directory.path().join("journal")).expect("a journal").flatten();
        files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    }
}

fn shown(act: Act, who: &Guest) -> Proof {
    Proof::shown(act, "passkey k".to_owned(), who.id().clone())
}

#[tokio::test]
async fn a_change_comes_into_force_when_somebody_else_confirms_exactly_it() {
    let house = house().await;
    let (id, digest, seen) = house.filed().await;
    assert!(!house.text().await.contains("action, resource"), "nothing is in force yet");
    let dora = house.guest("dora").await;
    let looked = house.gateway.draft_for(&dora, &id).await.expect("seen");
    assert_eq!(looked.not_yours, None);
    assert!(looked.would.is_ok_and(|applied| !applied.changes.is_empty()));
    let proof = shown(Act::confirm(&id, &digest, seen), &dora);
    house.gateway.confirm_draft_for(&dora, &id, seen, Some(proof)).await.expect("confirmed");
    assert!(house.text().await.contains("action, resource"));
    let by = house.gateway.former().await.expect("former").into_iter().next().map(|one| one.by);
    assert_eq!(by.as_deref(), Some("user:dora, with user:ada"));
    let journal = house.journal();
    for words in ["change waits for a second person", "change confirmed", &digest] {
        assert!(journal.contains(words), "{words}");
    }
    // Once.
    let (seen, _) = house.gateway.configured().await.expect("configured");
    let proof = shown(Act::confirm(&id, &digest, seen), &dora);
    assert!(house.gateway.confirm_draft_for(&dora, &id, seen, Some(proof)).await.is_err());
}

#[tokio::test]
async fn nobody_else_and_nothing_else_puts_it_in_force() {
    let house = house().await;
    let (id, digest, seen) = house.filed().await;
    let other = "f".repeat(64);
    let right = || Act::confirm(&id, &digest, seen);
    for (who, act, says) in [
        ("ada", Some(right()), "your own change"),
        // The same person by the name that an issuer calls them.
        ("corp/ada", Some(right()), "count as one person"),
        ("eve", Some(right()), "do not let you"),
        ("dora", None, "takes your passkey"),
        ("dora", Some(Act::confirm(&id, &other, seen)), "takes your passkey"),
        ("dora", Some(Act::confirm(&id, &digest, seen - 1)), "takes your passkey"),
        ("dora", Some(Act::confirm("c9", &digest, seen)), "takes your passkey"),
        ("dora", Some(Act::policy(&house.edit("a.cedar", AFTER).await)), "takes your passkey"),
    ] {
        let guest = house.guest(who).await;
        let proof = act.map(|act| shown(act, &guest));
        let said = house.gateway.confirm_draft_for(&guest, &id, seen, proof).await;
        let said = said.map(drop).expect_err(who).to_string();
        assert!(said.contains(says), "{who}: {said}");
    }
    // Ada's proof in dora's hands.
    let (ada, dora) = (house.guest("ada").await, house.guest("dora").await);
    let proof = shown(right(), &ada);
    assert!(house.gateway.confirm_draft_for(&dora, &id, seen, Some(proof)).await.is_err());
    assert!(!house.text().await.contains("action, resource"));
    // Somebody else at the issuer may, who has the right there.
    let bob = house.guest("corp/bob").await;
    let proof = shown(right(), &bob);
    house.gateway.confirm_draft_for(&bob, &id, seen, Some(proof)).await.expect("confirmed");
}

#[tokio::test]
async fn what_moved_since_is_looked_at_again_and_what_is_over_is_over() {
    let house = house().await;
    let dora = house.guest("dora").await;
    let (id, digest, seen) = house.filed().await;
    let confirm = async |seen: i64| {
        let proof = shown(Act::confirm(&id, &digest, seen), &dora);
        house.gateway.confirm_draft_for(&dora, &id, seen, Some(proof)).await
    };
    // Another file is changed by whoever has the administrator's secret.
    let change = async |name: &str, text: &str| {
        let (_, mut wanted) = house.gateway.configured().await.expect("configured");
        let file = wanted.policies.iter_mut().find(|file| file.name == name).expect("a file");
        file.text = text.replace("\"in\"", &format!("\"{name}\""));
        house.gateway.apply(wanted, "user:administrator").await.expect("applied");
    };
    change("b.cedar", AFTER).await;
    let said = confirm(seen).await.map(drop).expect_err("it moved").to_string();
    assert!(said.contains("changed since you looked"), "{said}");
    // The file itself: its author wanted something else.
    change("a.cedar", &BEFORE.replace("permit (", "permit  (")).await;
    let (now_seen, _) = house.gateway.configured().await.expect("configured");
    let said = confirm(now_seen).await.map(drop).expect_err("another text").to_string();
    assert!(said.contains("makes it anew"), "{said}");
    let looked = house.gateway.draft_for(&dora, &id).await.expect("seen");
    assert!(looked.would.is_err_and(|why| why.contains("makes it anew")));
    change("a.cedar", BEFORE).await;
    // Its author takes it back; an auditor cannot turn one down.
    let (ada, eve) = (house.guest("ada").await, house.guest("eve").await);
    assert!(house.gateway.drop_draft_for(&eve, &id).await.is_err());
    house.gateway.drop_draft_for(&ada, &id).await.expect("taken back");
    let (now_seen, _) = house.gateway.configured().await.expect("configured");
    let said = confirm(now_seen).await.map(drop).expect_err("it is over").to_string();
    assert!(said.contains("withdrawn already"), "{said}");
    // Whoever wanted it is nobody any more.
    let (id, digest, seen) = house.filed().await;
    house.gateway.remove_member("ada", "user:root").await.expect("removed");
    let proof = shown(Act::confirm(&id, &digest, seen), &dora);
    let said = house.gateway.confirm_draft_for(&dora, &id, seen, Some(proof)).await;
    assert!(said.map(drop).expect_err("nobody's").to_string().contains("any more"));
}

#[tokio::test]
async fn nobody_invites_their_own_second_person() {
    let house = house().await;
    let ada = house.guest("ada").await;
    // By a name that is new, and as somebody who is there, who would be replaced.
    for (name, roles, groups, invited) in [
        ("adam", &["administrator"][..], &[][..], false),
        ("dora", &["administrator"], &[], false),
        ("DORA", &["policy_editor"], &[], false),
        ("adam", &["auditor", "policy_editor"], &["dba"], false),
        ("adam", &["auditor"], &[], true),
        ("adam", &[], &["dba"], true),
    ] {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let wanted = NewMember { name: name.to_owned(), roles: list(roles), groups: list(groups) };
        let proof = shown(Act::invite(&wanted), &ada);
        match house.gateway.invite_for(&ada, &wanted, Some(proof)).await {
            Ok(_) => assert!(invited, "{wanted:?}"),
            Err(error) => {
                assert!(!invited, "{wanted:?}: {error}");
                let way_on = format!("durward people invite {name} --role {}", roles.join(" --role "));
                assert!(error.to_string().contains(&way_on), "{error}");
            }
        }
    }
    // Whoever keeps the host invites whom they like.
    let wanted = NewMember::administrator("adam");
    house.gateway.invite(&wanted, "user:administrator").await.expect("invited");
}
