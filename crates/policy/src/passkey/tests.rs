//! An authenticator of our own, which lies in every way. A real one is asked by the tests of the console.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use proptest::prelude::*;

use super::*;

const ORIGIN: &str = "https://gate.example.com";
const PLACE: &str = "gate.example.com";
const CHALLENGE: &[u8] = b"thirty-two bytes of pure chance!";

fn expected() -> Expected<'static> {
    Expected { challenge: CHALLENGE, origin: ORIGIN, rp_id: PLACE }
}

fn head(major: u8, n: usize) -> Vec<u8> {
    match n {
        0..=23 => vec![major << 5 | n as u8],
        24..=255 => vec![major << 5 | 24, n as u8],
        _ => [vec![major << 5 | 25], (n as u16).to_be_bytes().to_vec()].concat(),
    }
}

fn bytes(b: &[u8]) -> Vec<u8> {
    [head(2, b.len()), b.to_vec()].concat()
}

fn text(t: &str) -> Vec<u8> {
    [head(3, t.len()), t.as_bytes().to_vec()].concat()
}

fn int(n: i64) -> Vec<u8> {
    if n < 0 { head(1, (-1 - n) as usize) } else { head(0, n as usize) }
}

fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let inside = pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()].concat());
    [head(5, pairs.len()), inside.collect()].concat()
}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn all() -> [Self; 3] {
        [
            Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()),
        ]
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                map(&[
                    (int(1), int(2)),
                    (int(3), int(-7)),
                    (int(-1), int(1)),
                    (int(-2), bytes(&point[1..33])),
                    (int(-3), bytes(&point[33..])),
                ])
            }
            Self::Ed25519(key) => map(&[
                (int(1), int(1)),
                (int(3), int(-8)),
                (int(-1), int(6)),
                (int(-2), bytes(key.public_key().as_ref())),
            ]),
            Self::Rsa(key) => {
                let public = key.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                map(&[(int(1), int(3)), (int(3), int(-257)), (int(-1), bytes(n)), (int(-2), bytes(e))])
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let chance = SystemRandom::new();
        match self {
            Self::P256(key) => key.sign(&chance, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn client_data(kind: &str, challenge: &[u8], origin: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","challenge":"{}","origin":"{origin}"{more}}}"#, BASE64.encode(challenge))
        .into_bytes()
}

fn data(place: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    let place = digest::digest(&digest::SHA256, place.as_bytes());
    [place.as_ref(), &[flags], &counter.to_be_bytes(), rest].concat()
}

fn attested(id: &[u8], key: &[u8]) -> Vec<u8> {
    [&[0; 16][..], &(id.len() as u16).to_be_bytes(), id, key].concat()
}

fn attestation(data: &[u8]) -> Vec<u8> {
    map(&[(text("fmt"), text("none")), (text("attStmt"), map(&[])), (text("authData"), bytes(data))])
}

#[track_caller]
fn signs(key: &Key, client: &[u8], data: &[u8], counter: u32) -> Result<u32, Unproved> {
    let message = [data, digest::digest(&digest::SHA256, client).as_ref()].concat();
    let signature = key.sign(&message);
    signed(expected(), Assertion { client_data: client, data, signature: &signature }, &key.cose(), counter)
}

#[test]
fn keys_of_three_kinds_are_made_and_sign() {
    for key in Key::all() {
        let client = client_data("webauthn.create", CHALLENGE, ORIGIN, r#","crossOrigin":false,"other":1"#);
        let made = made(
            expected(),
            &client,
            &attestation(&data(PLACE, UP | UV | AT, 0, &attested(b"an id", &key.cose()))),
        );
        assert_eq!(made, Ok(NewKey { id: b"an id".to_vec(), key: key.cose(), counter: 0 }));
        let client = client_data("webauthn.get", CHALLENGE, ORIGIN, "");
        assert_eq!(signs(&key, &client, &data(PLACE, UP | UV, 7, &[]), 6), Ok(7));
    }
}

#[test]
fn an_assertion_is_for_this_question_place_and_person_or_none() {
    let [key, ..] = Key::all();
    let good = client_data("webauthn.get", CHALLENGE, ORIGIN, "");
    let here = data(PLACE, UP | UV, 7, &[]);
    let extended = data(PLACE, UP | UV | ED, 7, &map(&[(text("credProps"), vec![0xf5])]));
    for (client, data, counter, says) in [
        (good.clone(), here.clone(), 6, Ok(7)),
        (good.clone(), extended, 6, Ok(7)),
        (good.clone(), data(PLACE, UP | UV, 0, &[]), 0, Ok(0)),
        (good.clone(), here.clone(), 7, Err(Unproved::Copied)),
        (good.clone(), data(PLACE, UP | UV, 0, &[]), 1, Err(Unproved::Copied)),
        (client_data("webauthn.create", CHALLENGE, ORIGIN, ""), here.clone(), 6, Err(Unproved::Kind)),
        (client_data("webauthn.get", b"another", ORIGIN, ""), here.clone(), 6, Err(Unproved::Challenge)),
        (client_data("webauthn.get", b"", ORIGIN, ""), here.clone(), 6, Err(Unproved::Challenge)),
        (
            client_data("webauthn.get", CHALLENGE, "https://gate.example.com.evil.com", ""),
            here.clone(),
            6,
            Err(Unproved::Origin),
        ),
        (
            client_data("webauthn.get", CHALLENGE, "http://gate.example.com", ""),
            here.clone(),
            6,
            Err(Unproved::Origin),
        ),
        (
            client_data("webauthn.get", CHALLENGE, ORIGIN, r#","crossOrigin":true"#),
            here.clone(),
            6,
            Err(Unproved::Origin),
        ),
        (
            client_data("webauthn.get", CHALLENGE, ORIGIN, r#","type":"webauthn.get""#),
            here.clone(),
            6,
            Err(Unproved::Malformed),
        ),
        (b"{".to_vec(), here, 6, Err(Unproved::Malformed)),
        (good.clone(), data("evil.example.com", UP | UV, 7, &[]), 6, Err(Unproved::Place)),
        (good.clone(), data(PLACE, UV, 7, &[]), 6, Err(Unproved::Absent)),
        (good.clone(), data(PLACE, UP, 7, &[]), 6, Err(Unproved::Unverified)),
        (good.clone(), data(PLACE, UP | UV | BS, 7, &[]), 6, Err(Unproved::Malformed)),
        (good.clone(), data(PLACE, UP | UV, 7, b"more"), 6, Err(Unproved::Malformed)),
        (good.clone(), data(PLACE, UP | UV | AT, 7, &[]), 6, Err(Unproved::Malformed)),
        (good.clone(), vec![0; 36], 6, Err(Unproved::Malformed)),
    ] {
        let shown = String::from_utf8_lossy(&client).into_owned();
        assert_eq!(signs(&key, &client, &data, counter), says, "{shown} {data:?}");
    }
    // Another's signature, and one over something else.
    let [other, _, _] = Key::all();
    let here = data(PLACE, UP | UV, 7, &[]);
    let message = [&here[..], digest::digest(&digest::SHA256, &good).as_ref()].concat();
    for signature in [other.sign(&message), key.sign(&here), Vec::new()] {
        let assertion = Assertion { client_data: &good, data: &here, signature: &signature };
        assert_eq!(signed(expected(), assertion, &key.cose(), 6), Err(Unproved::Signature));
    }
}

#[test]
fn a_key_that_is_none_is_not_kept() {
    let [key, ..] = Key::all();
    let client = client_data("webauthn.create", CHALLENGE, ORIGIN, "");
    let with = |key: &[u8]| data(PLACE, UP | UV | AT, 0, &attested(b"id", key));
    let weak = map(&[(int(1), int(2)), (int(3), int(-47)), (int(-1), int(8)), (int(-2), bytes(&[1; 32]))]);
    let short = map(&[
        (int(1), int(2)),
        (int(3), int(-7)),
        (int(-1), int(1)),
        (int(-2), bytes(&[1; 31])),
        (int(-3), bytes(&[1; 33])),
    ]);
    for (data, says) in [
        (data(PLACE, UP | UV, 0, &[]), Unproved::Malformed),
        (data(PLACE, UP | AT, 0, &attested(b"id", &key.cose())), Unproved::Unverified),
        (data("evil.example.com", UP | UV | AT, 0, &attested(b"id", &key.cose())), Unproved::Place),
        (data(PLACE, UP | UV | AT, 0, &attested(b"", &key.cose())), Unproved::Malformed),
        (with(&weak), Unproved::Algorithm),
        (with(&short), Unproved::Malformed),
        (with(&map(&[])), Unproved::Algorithm),
        (with(b"\xa1\x01"), Unproved::Malformed),
    ] {
        assert_eq!(made(expected(), &client, &attestation(&data)), Err(says), "{data:?}");
    }
    let fine = attestation(&with(&key.cose()));
    assert!(made(expected(), &client, &fine).is_ok());
    let asserted = client_data("webauthn.get", CHALLENGE, ORIGIN, "");
    assert_eq!(made(expected(), &asserted, &fine), Err(Unproved::Kind));
    assert_eq!(made(expected(), &client, &[fine, vec![0]].concat()), Err(Unproved::Malformed));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let client = client_data("webauthn.create", CHALLENGE, ORIGIN, "");
        let _ = made(expected(), &client, &bytes);
        let _ = made(expected(), &client, &attestation(&bytes));
        let _ = made(expected(), &client, &attestation(&data(PLACE, UP | UV | AT | ED, 0, &bytes)));
    }
}
