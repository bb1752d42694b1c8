//! Tokens over real keys: what an attacker may write, and beside it what an honest issuer writes.

mod presets;
mod signed_in;

use std::sync::OnceLock;

use model::{Principal, PrincipalKind, PrincipalRef};
use proptest::prelude::*;
use testkit::jwt::{self, Signer};

use super::*;

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://login.example.com";

struct Keyring {
    rsa: Signer,
    ec: Signer,
    ed: Signer,
    /// Of another issuer.
    foreign: Signer,
    /// The attacker's own, with the honest key's name.
    forged: Signer,
}

/// Keys are slow to make.
fn ring() -> &'static Keyring {
    static RING: OnceLock<Keyring> = OnceLock::new();
    RING.get_or_init(|| Keyring {
        rsa: Signer::rsa("rsa").expect("a key"),
        ec: Signer::p256("ec").expect("a key"),
        ed: Signer::ed25519("ed").expect("a key"),
        foreign: Signer::rsa("foreign").expect("a key"),
        forged: Signer::rsa("rsa").expect("a key"),
    })
}

fn keys() -> Keys {
    let Keyring { rsa, ec, ed, .. } = ring();
    Keys::parse(jwt::jwks(&[rsa, ec, ed]).as_bytes()).expect("keys")
}

fn config(text: &str) -> IssuerConfig {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn company() -> IssuerConfig {
    config(&format!(
        r#"{{"name":"company","issuer":"{URL}","audience":["durward"],"algorithms":["RS256","ES256","EdDSA"],
            "principals":[{{"when":"client == true","kind":"agent","name":"sub"}},
                          {{"kind":"user","name":"email","groups":["groups","realm_access.roles"],"in_groups":["staff"]}}]}}"#
    ))
}

fn known(config: &IssuerConfig, token: &str) -> Result<Known, Refusal> {
    let issuers = Issuers::new(std::slice::from_ref(config)).unwrap_or_else(|error| panic!("{error:?}"));
    let unproven = Unproven::read(token.as_bytes())?;
    let issuer = unproven.issuer().and_then(|url| issuers.by_url(url)).ok_or(Refusal::Issuer)?;
    let proven = unproven.verify(&keys(), issuer.algorithms())?;
    issuer.identify(&proven, NOW)
}

/// Honest claims, with some changed; `null` takes one away.
fn claims(changes: serde_json::Value) -> String {
    let mut claims = serde_json::json!({
        "iss": URL, "aud": "durward", "sub": "0a1b", "email": "alice@example.com", "email_verified": true,
        "iat": NOW - 10, "exp": NOW + 600, "groups": ["dba", "dev"],
    });
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims.to_string()
}

fn honest() -> String {
    claims(serde_json::json!({}))
}

#[track_caller]
fn check(what: &str, token: &str, expected: Result<(), Refusal>) {
    assert_eq!(known(&company(), token).map(drop), expected, "{what}");
}

#[test]
fn an_honest_token_is_who_its_issuer_says() {
    for signer in [&ring().rsa, &ring().ec, &ring().ed] {
        let known = known(&company(), &signer.sign(&honest()).expect("signed")).expect("known");
        let alice = PrincipalRef { kind: PrincipalKind::User, name: "company/alice@example.com".to_owned() };
        assert_eq!(known.principal.id, alice);
        assert_eq!(known.principal.groups, ["company/dba", "company/dev", "company/staff"]);
        assert_eq!((known.expires, known.session_age), (NOW + 600, 8 * 3600));
        let word = &known.principal.asserted[0];
        assert_eq!((word.issuer.as_str(), word.subject.as_str(), word.at), ("company", "0a1b", NOW - 10));
        assert!(known.id.starts_with("jwt_") && known.id.len() == 28);
    }
    let agent = claims(serde_json::json!({ "client": true, "sub": "bot", "groups": null }));
    let known = known(&company(), &ring().rsa.sign(&agent).expect("signed")).expect("known");
    assert_eq!((known.principal.id.to_string().as_str(), known.session_age), ("agent:company/bot", 3600));
}

/// Whatever an issuer may put in front of names, and whatever its tokens say.
#[test]
fn no_issuer_puts_anybody_into_a_group_of_the_gateways_own() {
    let members = ["user:company/alice".to_owned(), "group:company/on call".to_owned()].into();
    let groups = Groups::new(&[GroupConfig { name: "dba".to_owned(), members }]).expect("groups");
    for prefix in ["", "l", "loc", "local", "local/", "/", "company", "company/"] {
        let mut strange = company();
        (strange.name, strange.prefix) = ("strange".to_owned(), Some(prefix.to_owned()));
        let mut company = company();
        company.issuer = Some("https://company.example.com".to_owned());
        if prefix == "company/" {
            assert!(Issuers::new(&[company, strange]).is_err(), "two of one prefix");
            continue;
        }
        let issuers = Issuers::new(&[company, strange]).expect("issuers");
        let strange = issuers.by_url(URL).expect("the strange one");
        let cut = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
        let mut said = Vec::new();
        for name in ["local/dba", "company/on call", "dba"] {
            for group in [
                name.to_owned(),
                cut(name),
                format!("/{name}"),
                format!("/{}", cut(name)),
                format!("//{name}"),
            ] {
                said.push(serde_json::json!({ "groups": [group] }));
                said.push(serde_json::json!({ "groups": group }));
                said.push(serde_json::json!({ "realm_access": { "roles": ["x", group] } }));
            }
        }
        for name in ["company/alice", "alice", "/alice", "any/alice"] {
            said.push(serde_json::json!({ "email": cut(name) }));
            said.push(serde_json::json!({ "client": true, "sub": cut(name), "act": { "sub": name } }));
        }
        for claims_said in said {
            let token = ring().rsa.sign(&claims(claims_said.clone())).expect("signed");
            let proven =
                Unproven::read(token.as_bytes()).expect("a token").verify(&keys(), strange.algorithms());
            let Ok(mut known) = strange.identify(&proven.expect("signed by its key"), NOW) else { continue };
            assert!(known.principal.groups.iter().all(|group| !is_local(group)), "{prefix} {claims_said}");
            groups.settle(&mut known.principal);
            assert!(
                known.principal.groups.iter().all(|group| !is_local(group)),
                "{prefix} {claims_said}: {:?}",
                known.principal
            );
        }
    }
}

#[test]
fn a_header_cannot_choose_how_it_is_checked() {
    let Keyring { rsa, ec, foreign, forged, .. } = ring();
    let header = |alg: &str| format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"rsa"}}"#);
    let with = |more: &str| format!(r#"{{"alg":"RS256","typ":"JWT","kid":"rsa",{more}}}"#);
    let signed = |header: &str| rsa.sign_with(header, &honest()).expect("signed");
    let by_forger = |header: &str| forged.sign_with(header, &honest()).expect("signed");
    check("honest", &rsa.sign(&honest()).expect("signed"), Ok(()));
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "AA"] {
            let token = jwt::with_signature(&header(alg), &honest(), signature);
            check(alg, &token, Err(Refusal::Algorithm));
        }
    }
    // The public key taken for a secret, in every form that a library might have at hand.
    let jwk = rsa.jwk();
    for secret in [rsa.public_der().as_slice(), jwk.as_bytes(), rsa.members().as_bytes(), b"", b"rsa"] {
        for alg in ["HS256", "HS384", "HS512"] {
            check(alg, &jwt::with_mac(&header(alg), &honest(), secret), Err(Refusal::Algorithm));
        }
        check("a MAC as RS256", &jwt::with_mac(&header("RS256"), &honest(), secret), Err(Refusal::Signature));
    }
    for alg in ["ES256", "EdDSA", "RS512", "PS256", "ES384", "RS256 ", "rs256", "ES256K", "RSA1_5"] {
        check(alg, &signed(&header(alg)), Err(Refusal::Algorithm));
    }
    // Keys that the token brings along, or says where to find: never read, whoever signed.
    let own = format!(r#"{{{}}}"#, forged.members());
    for (more, what) in [
        (format!(r#""jwk":{own}"#), "jwk"),
        (r#""jku":"https://evil.example/keys""#.to_owned(), "jku"),
        (r#""x5u":"https://evil.example/chain""#.to_owned(), "x5u"),
        (r#""x5c":["MIIB"]"#.to_owned(), "x5c"),
        (r#""x5t":"AAAA""#.to_owned(), "x5t"),
    ] {
        check(what, &by_forger(&with(&more)), Err(Refusal::Signature));
        check("honest, and with a hint that nobody needs", &signed(&with(&more)), Ok(()));
    }
    for more in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""cty":"JWT""#,
        r#""enc":"A256GCM""#,
    ] {
        check(more, &signed(&with(more)), Err(Refusal::Header));
    }
    for (kid, expected) in [
        (r#""rsa""#, Ok(())),
        (r#""ec""#, Err(Refusal::Algorithm)),
        (r#""foreign""#, Err(Refusal::Key)),
        (r#""RSA""#, Err(Refusal::Key)),
        (r#""rsa\u0000""#, Err(Refusal::Key)),
        (r#""../../../../dev/null""#, Err(Refusal::Key)),
        (r#""/proc/sys/kernel/randomize_va_space""#, Err(Refusal::Key)),
        (r#""x' UNION SELECT 'AA""#, Err(Refusal::Key)),
        (r#""https://evil.example/rsa""#, Err(Refusal::Key)),
        (r#""""#, Err(Refusal::Malformed)),
        ("7", Err(Refusal::Malformed)),
        (r#"["rsa"]"#, Err(Refusal::Malformed)),
    ] {
        check(kid, &signed(&format!(r#"{{"alg":"RS256","kid":{kid}}}"#)), expected);
    }
    let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(2000));
    check("a long kid", &signed(&long), Err(Refusal::Malformed));
    check("no kid among several keys", &signed(r#"{"alg":"RS256"}"#), Err(Refusal::Key));
    for (typ, expected) in [
        (r#""JWT""#, Ok(())),
        (r#""jwt""#, Ok(())),
        (r#""at+jwt""#, Ok(())),
        (r#""application/at+jwt""#, Ok(())),
        (r#""dpop+jwt""#, Err(Refusal::Type)),
        (r#""logout+jwt""#, Err(Refusal::Type)),
        (r#""secevent+jwt""#, Err(Refusal::Type)),
        (r#""JWE""#, Err(Refusal::Type)),
        ("1", Err(Refusal::Type)),
    ] {
        check(typ, &signed(&format!(r#"{{"alg":"RS256","kid":"rsa","typ":{typ}}}"#)), expected);
    }
    check(
        "another issuer's key under its own name",
        &foreign.sign(&honest()).expect("signed"),
        Err(Refusal::Key),
    );
    check(
        "an own key under the honest name",
        &forged.sign(&honest()).expect("signed"),
        Err(Refusal::Signature),
    );
    check(
        "an elliptic key under the RSA name",
        &ec.sign_with(&header("ES256"), &honest()).expect("signed"),
        Err(Refusal::Algorithm),
    );
    check("twice alg", &signed(r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#), Err(Refusal::Malformed));
    check("no alg", &signed(r#"{"kid":"rsa"}"#), Err(Refusal::Malformed));
}

#[test]
fn a_token_has_one_text() {
    let token = ring().ed.sign(&honest()).expect("signed");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    check("as it is", &token, Ok(()));
    for changed in [
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{token}."),
        format!("{token}.AA"),
        format!(".{token}"),
        signed.to_owned(),
        format!("{signed}."),
        token.replace('.', ".."),
        format!("{signed}.+{}", &signature[1..]),
        format!("{signed}.{}\0", signature),
        "..".to_owned(),
        ".".to_owned(),
        String::new(),
        // Bits that no byte has: another text for the same signature.
        format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'z' }),
    ] {
        let refused = known(&company(), &changed).expect_err("refused");
        assert!(matches!(refused, Refusal::Malformed | Refusal::Signature), "{changed}: {refused}");
    }
    let mut bytes = signed.as_bytes().to_vec();
    bytes[40] ^= 1;
    let other = format!("{}.{signature}", String::from_utf8(bytes).expect("text"));
    assert!(known(&company(), &other).is_err(), "a changed byte");
    let huge = ring().rsa.sign(&claims(serde_json::json!({ "x": "y".repeat(64 * 1024) }))).expect("signed");
    check("huge", &huge, Err(Refusal::TooLong));
    let long = ring().rsa.sign(&claims(serde_json::json!({ "x": "y".repeat(40 * 1024) }))).expect("signed");
    check("long, as tokens with many groups are", &long, Ok(()));
}

#[test]
fn claims_must_be_there_and_fit() {
    use serde_json::json;
    for (what, changes, expected) in [
        ("another issuer", json!({"iss": "https://evil.example"}), Err(Refusal::Issuer)),
        ("an issuer with a slash", json!({"iss": format!("{URL}/")}), Err(Refusal::Issuer)),
        ("no issuer", json!({"iss": null}), Err(Refusal::Issuer)),
        ("a list of issuers", json!({"iss": [URL]}), Err(Refusal::Issuer)),
        ("no audience", json!({"aud": null}), Err(Refusal::Claims)),
        ("another audience", json!({"aud": "other"}), Err(Refusal::Audience)),
        ("nearly the audience", json!({"aud": "durward2"}), Err(Refusal::Audience)),
        ("no audience in the list", json!({"aud": []}), Err(Refusal::Audience)),
        ("among others", json!({"aud": ["other", "durward"]}), Ok(())),
        ("an audience that is no text", json!({"aud": 1}), Err(Refusal::Claims)),
        ("a list with something else", json!({"aud": ["durward", 1]}), Err(Refusal::Claims)),
        ("no expiry", json!({"exp": null}), Err(Refusal::Claims)),
        ("an expiry in words", json!({"exp": "9999999999"}), Err(Refusal::Claims)),
        ("an expiry beyond time", json!({"exp": 1e300}), Err(Refusal::Claims)),
        ("expired", json!({"exp": NOW - 60}), Err(Refusal::Expired)),
        ("expired within the leeway", json!({"exp": NOW - 59, "iat": NOW - 100}), Ok(())),
        ("not yet", json!({"nbf": NOW + 61}), Err(Refusal::NotYet)),
        ("not yet within the leeway", json!({"nbf": NOW + 60}), Ok(())),
        ("issued in the future", json!({"iat": NOW + 61}), Err(Refusal::NotYet)),
        ("never issued", json!({"iat": null}), Err(Refusal::Claims)),
        ("issued behind its end", json!({"iat": NOW, "exp": NOW - 1}), Err(Refusal::Claims)),
        ("issued long ago", json!({"iat": NOW - 86_461}), Err(Refusal::TooOld)),
        ("issued a day ago", json!({"iat": NOW - 86_400}), Ok(())),
        ("no subject", json!({"sub": null}), Err(Refusal::Claims)),
        ("an empty subject", json!({"sub": ""}), Err(Refusal::Claims)),
        (
            "a logout token",
            json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
            Err(Refusal::Type),
        ),
        ("an address that nobody checked", json!({"email_verified": false}), Err(Refusal::Principal)),
        ("an address that nobody speaks of", json!({"email_verified": null}), Err(Refusal::Principal)),
        ("checked, in words", json!({"email_verified": "true"}), Ok(())),
        ("no name", json!({"email": null}), Err(Refusal::Principal)),
        ("a name with a space", json!({"email": "a b@example.com"}), Err(Refusal::Principal)),
        ("a name with a line", json!({"email": "a\n@example.com"}), Err(Refusal::Principal)),
        ("a long name", json!({"email": "a".repeat(300)}), Err(Refusal::Principal)),
        ("no groups", json!({"groups": null}), Ok(())),
        ("one group", json!({"groups": "dba"}), Ok(())),
        ("groups that cannot be read", json!({"groups": [{"name": "dba"}]}), Err(Refusal::Principal)),
        ("groups that are a number", json!({"groups": 7}), Err(Refusal::Principal)),
        ("a group that is nothing", json!({"groups": [""]}), Err(Refusal::Principal)),
        ("groups that were left out", json!({"_claim_names": {"groups": "src1"}}), Err(Refusal::Principal)),
        (
            "many groups",
            json!({"groups": (0..501).map(|n| n.to_string()).collect::<Vec<_>>()}),
            Err(Refusal::Principal),
        ),
    ] {
        check(what, &ring().rsa.sign(&claims(changes)).expect("signed"), expected);
    }
    let twice = honest().replacen('{', r#"{"sub":"root","#, 1);
    check("a claim twice", &ring().rsa.sign(&twice).expect("signed"), Err(Refusal::Malformed));
    let twice = honest().replacen('{', r#"{"\u0061ud":"other","#, 1);
    check("twice in other spelling", &ring().rsa.sign(&twice).expect("signed"), Err(Refusal::Malformed));
    let long = known(
        &company(),
        &ring().rsa.sign(&claims(serde_json::json!({"exp": NOW - 1, "iat": NOW - 9}))).expect("signed"),
    );
    assert_eq!(long.expect("within the leeway").expires, NOW + 59, "whoever is let in late has the leeway");
}

#[test]
fn what_is_configured_must_be_safe() {
    let fine = r#"{"name":"x","issuer":"https://x.example","audience":["d"],"principals":[{"kind":"agent","name":"sub"}]}"#;
    assert!(Issuer::new(&config(fine)).is_ok());
    let changed = |from: &str, to: &str| fine.replacen(from, to, 1);
    for (text, expected) in [
        (changed(r#"["d"]"#, "[]"), "`audience` is empty"),
        (changed("https://x.example", "http://x.example"), "is not encrypted"),
        (changed("https://x.example", "x.example"), "does not begin with https://"),
        (changed("https://x.example", "https://x.example?a=b"), "no plain address"),
        (changed("https://x.example", "https://login.example/{tenantid}/v2.0"), "no plain address"),
        (changed("https://x.example", "https://user@x.example"), "no plain address"),
        (changed(r#""name":"x""#, r#""name":"a b""#), "an issuer's name has"),
        (changed(r#"[{"kind":"agent","name":"sub"}]"#, "[]"), "no [[issuers.principals]]"),
        (changed(r#""audience""#, r#""algorithms":["HS256"],"audience""#), "\"HS256\" is not supported"),
        (changed(r#""audience""#, r#""algorithms":["none"],"audience""#), "\"none\" is not supported"),
        (changed(r#""audience""#, r#""algorithms":[],"audience""#), "`algorithms` is empty"),
        (
            changed(r#""audience""#, r#""when":"sub like \"repo:acme/*\"","audience""#),
            "a pattern over `sub` alone",
        ),
        (
            changed(r#""audience""#, r#""when":"has(x) && sub like \"a*\"","audience""#),
            "a pattern over `sub` alone",
        ),
        (changed(r#""kind""#, r#""when":"sub like \"a*\"","kind""#), "a pattern over `sub` alone"),
        (changed(r#""audience""#, r#""when":"a = b","audience""#), "at sign 3"),
        (changed(r#""name":"sub""#, r#""name":"{a}{b}""#), "write a claim"),
        (changed(r#""audience""#, r#""leeway":301,"audience""#), "leeway is at most 300"),
        (changed(r#""audience""#, r#""max_age":0,"audience""#), "nobody would get in"),
        (changed(r#""audience""#, r#""jwks":"{}","audience""#), "no JSON Web Key Set"),
        (
            changed(r#""audience""#, r#""jwks":"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}","audience""#),
            "no public key",
        ),
        (
            changed(r#""audience""#, r#""jwks":"{\"keys\":[{\"kty\":\"EC\",\"d\":\"AAAA\"}]}","audience""#),
            "private part",
        ),
        (
            changed(r#""issuer":"https://x.example""#, r#""preset":"github-actions""#),
            "`when` must say which are yours",
        ),
        (
            changed(
                r#""issuer":"https://x.example""#,
                r#""preset":"github-actions","when":"repository like \"acme/*\"""#,
            ),
            "`when` must say which are yours",
        ),
    ] {
        let error = Issuer::new(&config(&text)).expect_err(&text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    for (text, fine) in [
        (
            changed(
                r#""audience""#,
                r#""when":"sub like \"repo:acme/*\" && environment == \"production\"","audience""#,
            ),
            true,
        ),
        (changed("https://x.example", "http://127.0.0.1:99"), true),
        (
            changed(
                r#""issuer":"https://x.example""#,
                r#""preset":"github-actions","when":"repository == \"a/b\"""#,
            ),
            true,
        ),
    ] {
        assert_eq!(Issuer::new(&config(&text)).is_ok(), fine, "{text}");
    }
    let unknown = fine.replacen(r#""audience""#, r#""audiense":1,"audience""#, 1);
    assert!(serde_json::from_str::<IssuerConfig>(&unknown).is_err());
}

#[test]
fn no_issuer_speaks_for_another() {
    let issuer = |name: &str, prefix: &str| {
        config(&format!(
            r#"{{"name":"{name}","issuer":"https://{name}.example","audience":["d"],"prefix":"{prefix}",
                "principals":[{{"kind":"agent","name":"sub","groups":["groups"]}}]}}"#
        ))
    };
    for (a, b, expected) in [
        (issuer("a", "x/"), issuer("b", "x/"), Some("has the prefix of \"a\"")),
        (issuer("a", "x/"), issuer("a", "y/"), Some("two of this name")),
        (issuer("a", ""), issuer("b", "b/"), None),
    ] {
        let built = Issuers::new(&[a, b]);
        assert_eq!(
            built.err().map(|(_, what)| what.contains(expected.unwrap_or("?"))),
            expected.map(|_| true)
        );
    }
    let both = Issuers::new(&[issuer("a", ""), issuer("b", "b/")]).expect("issuers");
    let says = |sub: &str, group: &str| {
        let claims =
            claims(serde_json::json!({"iss": "https://a.example", "aud": "d", "sub": sub, "groups": group}));
        let token = ring().rsa.sign(&claims).expect("signed");
        let unproven = Unproven::read(token.as_bytes()).expect("read");
        let issuer = both.by_url("https://a.example").expect("an issuer");
        let proven = unproven.verify(&keys(), issuer.algorithms()).expect("proven");
        issuer.identify(&proven, NOW).map(|known| known.principal.id.name)
    };
    assert_eq!(says("bot", "dba"), Ok("bot".to_owned()));
    assert_eq!(says("b/bot", "dba"), Err(Refusal::Principal));
    assert_eq!(says("bot", "b/dba"), Err(Refusal::Principal));
}

#[test]
fn a_name_of_several_claims_can_be_taken_apart() {
    let made = |a: &str, b: &str| {
        let config = config(&format!(
            r#"{{"name":"x","issuer":"{URL}","audience":["durward"],"principals":[{{"kind":"agent","name":"{{a}}/{{b}}"}}]}}"#
        ));
        let claims = claims(serde_json::json!({ "a": a, "b": b }));
        known(&config, &ring().rsa.sign(&claims).expect("signed")).map(|known| known.principal.id.name)
    };
    assert_eq!(made("acme/api", "production"), Ok("x/acme/api/production".to_owned()));
    assert_eq!(made("acme", "api/production"), Err(Refusal::Principal));
    assert_eq!(made("", "production"), Err(Refusal::Principal));
}

#[test]
fn whoever_acts_is_the_principal_and_has_nothing_of_whom_it_acts_for() {
    use serde_json::json;
    let say = |changes| {
        known(&company(), &ring().rsa.sign(&claims(changes)).expect("signed")).map(|known| {
            let Principal { id, groups, on_behalf_of, .. } = known.principal;
            let on_behalf_of: Vec<String> = on_behalf_of.iter().map(ToString::to_string).collect();
            (id.to_string(), groups.join(","), on_behalf_of.join(" "), known.session_age)
        })
    };
    let is =
        |id: &str, groups: &str, acted: &str| Ok((id.to_owned(), groups.to_owned(), acted.to_owned(), 3600));
    let alice = "user:company/alice@example.com";
    assert_eq!(say(json!({"act": {"sub": "coder"}})), is("agent:company/coder", "", alice));
    assert_eq!(
        say(json!({"act": {"sub": "coder", "iss": URL, "groups": ["agents"]}})),
        is("agent:company/coder", "company/agents", alice)
    );
    assert_eq!(
        say(json!({"act": {"sub": "tester", "act": {"sub": "coder"}}})),
        is("agent:company/tester", "", &format!("agent:company/coder {alice}"))
    );
    let mut deep = json!({"sub": "a0"});
    for n in 1..12 {
        deep = json!({"sub": format!("a{n}"), "act": deep});
    }
    for act in [
        json!({"sub": "a", "act": {"sub": "a"}}),
        json!({"sub": "a", "iss": "https://evil.example"}),
        json!({"iss": URL}),
        json!("coder"),
        json!({"sub": 7}),
        json!({"sub": "a", "act": []}),
        deep,
    ] {
        assert_eq!(say(json!({ "act": act })), Err(Refusal::Chain), "{act}");
    }
    assert_eq!(say(json!({"act": {"sub": ""}})), Err(Refusal::Principal));
}

#[test]
fn an_actors_own_token_and_its_users_make_a_chain() {
    let of = |kind, name: &str, groups: &[&str]| Principal {
        id: PrincipalRef { kind, name: name.to_owned() },
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: vec![model::Asserted {
            issuer: name.to_owned(),
            subject: name.to_owned(),
            at: 1,
            session: None,
            groups: Vec::new(),
        }],
    };
    let (alice, coder) =
        (of(PrincipalKind::User, "alice", &["dba"]), of(PrincipalKind::Agent, "coder", &["bots"]));
    let both = acting(coder.clone(), &alice).expect("a chain");
    assert_eq!(
        (both.id.to_string().as_str(), both.groups.as_slice()),
        ("agent:coder", &["bots".to_owned()][..])
    );
    assert_eq!(both.asserted.len(), 2);
    let three = acting(of(PrincipalKind::Agent, "tester", &[]), &both).expect("a chain");
    let chain: Vec<String> = three.chain().map(ToString::to_string).collect();
    assert_eq!(chain, ["agent:tester", "agent:coder", "user:alice"]);
    assert_eq!(acting(coder, &three), Err(Refusal::Chain), "in a circle");
}

#[test]
fn keys_that_are_not_for_this_are_left_out() {
    let rsa = ring().rsa.members();
    for (keys, usable) in [
        (format!("{{\"keys\":[{{{rsa}}}]}}"), true),
        (format!("{{\"keys\":[{{{rsa},\"use\":\"enc\"}}]}}"), false),
        (format!("{{\"keys\":[{{{rsa},\"key_ops\":[\"sign\"]}}]}}"), false),
        (format!("{{\"keys\":[{{{rsa},\"alg\":\"RSA-OAEP\"}}]}}"), false),
        (format!("{{\"keys\":[{{{rsa},\"alg\":\"HS256\"}}]}}"), false),
        (r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#.to_owned(), false),
        (r#"{"keys":[{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}]}"#.to_owned(), false),
        (r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.to_owned(), false),
        (r#"{"keys":[]}"#.to_owned(), false),
        (r#"{"keys":{}}"#.to_owned(), false),
        ("[]".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(Keys::parse(keys.as_bytes()).is_ok(), usable, "{keys}");
    }
    // A key for one algorithm is for no other, and a token that names no key is the only key's.
    let token = ring().rsa.sign_with(r#"{"alg":"RS256"}"#, &honest()).expect("signed");
    for (alg, expected) in [("RS256", true), ("RS512", false), ("PS256", false)] {
        let keys =
            Keys::parse(format!("{{\"keys\":[{{{rsa},\"alg\":\"{alg}\"}}]}}").as_bytes()).expect("keys");
        let unproven = Unproven::read(token.as_bytes()).expect("read");
        assert_eq!(unproven.verify(&keys, &Algorithm::ALL).is_ok(), expected, "{alg}");
    }
}

/// RFC 7515, appendix A.3: a signature that others made.
#[test]
fn the_signature_of_the_standard_is_right() {
    let ec = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let keys = Keys::parse(ec.as_bytes()).expect("keys");
    let verified =
        |token: &str| Unproven::read(token.as_bytes()).and_then(|t| t.verify(&keys, &[Algorithm::Es256]));
    assert_eq!(
        verified(token).map(|proven| proven.claims().text("iss").map(str::to_owned)),
        Ok(Some("joe".to_owned()))
    );
    assert_eq!(verified(&token.replace("DtEh", "DtEg")).map(drop), Err(Refusal::Signature));
}

proptest! {
    #[test]
    fn nothing_that_is_brought_makes_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Unproven::read(&bytes);
        let _ = Claims::parse(&bytes);
        let _ = Keys::parse(&bytes);
        let _ = Condition::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn conditions_of_any_shape_are_read_or_refused(text in "[a-z(!&|=\" ]{0,60}") {
        if let Ok(condition) = Condition::parse(&text) {
            condition.fits(&Claims::parse(b"{}").expect("claims"));
        }
    }
}
