use serde_json::json;

use super::*;

const CLIENT: &str = "durward-cli";

fn signed_in(header: &str, claims: &str, asked: bool) -> Result<SignedIn, Refusal> {
    let mut company = company();
    company.audience.insert(CLIENT.to_owned());
    let issuers = Issuers::new(&[company]).expect("issuers");
    let token = ring().ec.sign_with(header, claims).expect("signed");
    let issuer = issuers.by_url(URL).expect("it");
    let proven = Unproven::read_identity(token.as_bytes())?.verify(&keys(), issuer.algorithms())?;
    issuer.signed_in(&proven, CLIENT, asked, NOW)
}

#[test]
fn an_identity_token_for_the_command_line_signs_in_and_nothing_else_does() {
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    let identity = |changes: serde_json::Value| {
        let mut all = json!({ "aud": CLIENT, "nonce": "n" });
        all.as_object_mut().expect("it").extend(changes.as_object().expect("it").clone());
        claims(all)
    };
    for (changes, expected) in [
        (json!({}), Ok(())),
        (json!({ "aud": [CLIENT] }), Ok(())),
        (json!({ "azp": CLIENT }), Ok(())),
        (json!({ "aud": ["durward", CLIENT], "azp": CLIENT }), Ok(())),
        (json!({ "typ": "ID" }), Ok(())),
        (json!({ "token_use": "id", "at_hash": "x", "auth_time": NOW - 20 }), Ok(())),
        // For the gateway, or by another client.
        (json!({ "aud": "durward" }), Err(Refusal::Audience)),
        (json!({ "aud": ["durward", CLIENT] }), Err(Refusal::Audience)),
        (json!({ "aud": ["durward", CLIENT], "azp": "durward" }), Err(Refusal::Audience)),
        (json!({ "azp": "another" }), Err(Refusal::Audience)),
        (json!({ "azp": 1 }), Err(Refusal::Audience)),
        // For access.
        (json!({ "scope": "openid" }), Err(Refusal::Type)),
        (json!({ "scp": ["openid"] }), Err(Refusal::Type)),
        (json!({ "client_id": CLIENT }), Err(Refusal::Type)),
        (json!({ "cid": CLIENT }), Err(Refusal::Type)),
        (json!({ "typ": "Bearer" }), Err(Refusal::Type)),
        (json!({ "token_use": "access" }), Err(Refusal::Type)),
        (json!({ "nonce": null }), Err(Refusal::Type)),
        // Of another moment.
        (json!({ "iat": NOW - 650 }), Ok(())),
        (json!({ "iat": NOW - 660 }), Err(Refusal::TooOld)),
        (json!({ "iat": NOW - 50, "exp": NOW - 61 }), Err(Refusal::Expired)),
    ] {
        let claims = identity(changes);
        assert_eq!(signed_in(header, &claims, true).map(drop), expected, "{claims}");
    }
    // Where a code may be entered elsewhere there is no nonce.
    let without = identity(json!({ "nonce": null }));
    assert_eq!(signed_in(header, &without, false).map(drop), Ok(()));
    for kind in ["at+jwt", "application/at+jwt", "logout+jwt"] {
        let header = format!(r#"{{"alg":"ES256","kid":"ec","typ":"{kind}"}}"#);
        assert_eq!(signed_in(&header, &identity(json!({})), true).map(drop), Err(Refusal::Type), "{kind}");
    }
    let until = signed_in(header, &identity(json!({})), true).expect("it").until;
    assert_eq!(until, NOW - 10 + 600 + 60, "it is remembered for as long as it would be taken");
}
