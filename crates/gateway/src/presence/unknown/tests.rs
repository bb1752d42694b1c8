//! Who comes in by a passkey, and what is kept of those who only ask.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use model::{Member, Passkey};

use super::*;
use crate::people::Coming;
use crate::presence::new_key::tests::house;
use crate::presence::{Brought, Question};

fn place(port: u16) -> Place {
    Place { origin: format!("http://localhost:{port}"), host: "localhost".to_owned() }
}

/// An authenticator that counts nothing, as most do.
struct Authenticator(Ed25519KeyPair);

impl Authenticator {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    fn passkey(&self) -> Passkey {
        let mut key = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
        key.extend_from_slice(self.0.public_key().as_ref());
        let (id, owner, label) = ("key".to_owned(), "user:ada".to_owned(), "My phone".to_owned());
        Passkey { id, owner, key, counter: 0, label, added: now(), used: None }
    }

    fn signs(&self, place: &Place, challenge: &str) -> Brought {
        let client_data = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{}","crossOrigin":false}}"#,
            place.origin
        );
        let hash = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
        let data = [hash(place.host.as_bytes()), vec![0x05, 0, 0, 0, 0]].concat();
        let signature = self.0.sign(&[data.clone(), hash(client_data.as_bytes())].concat());
        Brought {
            id: "key".to_owned(),
            client_data: BASE64.encode(client_data),
            attestation: None,
            data: Some(BASE64.encode(data)),
            signature: Some(BASE64.encode(signature)),
        }
    }
}

async fn asked(gateway: &Gateway, place: &Place) -> Question {
    gateway.ask_to_sign(place, Act::sign_in(), None).await.expect("a question")
}

#[tokio::test]
async fn a_question_to_nobody_known_is_good_once_here_and_for_a_while() {
    let (gateway, _directory) = house().await;
    let (here, ada) = (place(7300), Authenticator::new());
    let member = Member { name: "ada".to_owned(), roles: Vec::new(), groups: Vec::new(), added: now() };
    assert!(gateway.state().admit(&member, &ada.passkey()).await.expect("kept"));
    let came = async |brought: &Brought| {
        let came = gateway.come_in(&here, brought, &Coming::default()).await;
        came.map(|_| ()).map_err(|error| error.to_string())
    };
    let good = ada.signs(&here, &asked(&gateway, &here).await.challenge);
    came(&good).await.expect("she comes in");
    assert!(came(&good).await.expect_err("twice").contains("answered already"));

    let question = BASE64.decode(asked(&gateway, &here).await.challenge).expect("bytes");
    let mut late = question.clone();
    late.splice(..END, (now() - 1).to_be_bytes());
    let mut longer = question.clone();
    longer.splice(..END, (now() + 100_000).to_be_bytes());
    let act = gateway.sealed_question(&here, Act::new("other", &[])).expect("a question");
    for (what, challenge) in [
        ("nothing", String::new()),
        ("too short", BASE64.encode(&question[..END + CHANCE])),
        ("one that ended", BASE64.encode(late)),
        ("one that would stand longer", BASE64.encode(longer)),
        ("one for another act", BASE64.encode(act)),
        ("one of another place", asked(&gateway, &place(7301)).await.challenge),
        ("one made up", BASE64.encode([7; END + CHANCE + 32])),
    ] {
        let said = came(&ada.signs(&here, &challenge)).await.expect_err(what);
        assert!(said.contains("is over"), "{what}: {said}");
    }
    // Whoever is not known here uses nothing up.
    let stranger = Authenticator::new().signs(&here, &BASE64.encode(&question));
    assert!(came(&stranger).await.expect_err("a stranger").contains("signature"));
    came(&ada.signs(&here, &BASE64.encode(&question))).await.expect("the honest neighbour");
}

#[tokio::test]
async fn what_a_browser_takes_to_an_issuer_is_ours_or_nothing() {
    let (gateway, _directory) = house().await;
    let pledge = |issuer: &str| Pledge::Made { nonce: issuer.to_owned(), of: String::new() };
    let text = |pledge: Option<Pledge>| pledge.map(|pledge| pledge.text().expect("a text"));
    let kept = gateway.sealed_pledge(&pledge("corp")).expect("sealed");
    assert_eq!(text(gateway.opened_pledge(&kept)), text(Some(pledge("corp"))));
    let other = gateway.sealed_pledge(&pledge("corp")).expect("sealed");
    assert_ne!(*kept, *other, "two can be told apart");
    let mut parts: Vec<&str> = kept.split('.').collect();
    let body = BASE64.encode(pledge("evil").text().expect("a text"));
    if let Some(first) = parts.first_mut() {
        *first = &body;
    }
    for forged in [parts.join("."), body.clone(), String::new(), "a.b.c".to_owned(), format!("{}x", *kept)] {
        assert!(gateway.opened_pledge(&forged).is_none(), "{forged}");
    }
}

#[test]
fn two_gateways_give_one_person_two_handles_and_one_gives_one() {
    let zoe = |name: &str| PrincipalRef { kind: model::PrincipalKind::User, name: name.to_owned() };
    let of = |secret: u8, name: &str| handle(&key(&[secret; 32]), &zoe(name)).as_ref().to_vec();
    assert_eq!(of(1, "zoe"), of(1, "Zoe"));
    assert_ne!(of(1, "zoe"), of(2, "zoe"));
    assert_ne!(of(1, "zoe"), of(1, "zoë"));
}
