//! Tokens as known issuers write them, from their documentation; names and numbers are changed.

use serde_json::{Value, json};

use super::{NOW, config, ring};
use crate::identity::{Issuer, Issuers, Refusal, Unproven};

/// What the common claims are where a sample does not say so.
fn whole(mut claims: Value, iss: &str) -> String {
    for (name, value) in [
        ("iss", json!(iss)),
        ("aud", json!("durward")),
        ("iat", json!(NOW - 10)),
        ("nbf", json!(NOW - 10)),
        ("exp", json!(NOW + 300)),
        ("jti", json!("a-unique-id")),
    ] {
        if claims.get(name).is_none() {
            claims[name] = value;
        }
    }
    claims.to_string()
}

/// `kind:name [groups]`, or why not.
#[track_caller]
fn is(preset: &str, iss: &str, when: Option<&str>, claims: Value) -> Result<String, Refusal> {
    let when = when.map(|when| format!(r#","when":{}"#, json!(when))).unwrap_or_default();
    let typed = config(&format!(
        r#"{{"name":"i","preset":"{preset}","issuer":"{iss}","audience":["durward"],"prefix":""{when}}}"#
    ));
    let issuers = Issuers::new(&[typed]).unwrap_or_else(|error| panic!("{error:?}"));
    let token = ring().rsa.sign(&whole(claims, iss)).expect("signed");
    let unproven = Unproven::read(token.as_bytes())?;
    let issuer = issuers.by_url(iss).expect("an issuer");
    let proven = unproven.verify(&super::keys(), issuer.algorithms())?;
    issuer.identify(&proven, NOW).map(|known| format!("{} {:?}", known.principal.id, known.principal.groups))
}

fn says(text: &str) -> Result<String, Refusal> {
    Ok(text.to_owned())
}

#[test]
fn github_actions() {
    let iss = "https://token.actions.githubusercontent.com";
    let job = |repository: &str, environment: Option<&str>| {
        let (owner, _) = repository.split_once('/').expect("an owner");
        let mut claims = json!({
            "sub": format!("repo:{repository}:ref:refs/heads/main"),
            "ref": "refs/heads/main", "sha": "b1f2", "repository": repository, "repository_owner": owner,
            "actor_id": "12", "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65",
            "run_id": "1099", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted",
            "actor": "octocat", "workflow": "deploy", "head_ref": "", "base_ref": "", "event_name": "push",
            "ref_protected": "true", "ref_type": "branch", "workflow_sha": "b1f2", "job_workflow_sha": "b1f2",
            "workflow_ref": format!("{repository}/.github/workflows/deploy.yml@refs/heads/main"),
            "job_workflow_ref": format!("{repository}/.github/workflows/deploy.yml@refs/heads/main"),
            // As GitHub writes them: it begins before it is issued.
            "nbf": NOW - 610, "iat": NOW - 10, "exp": NOW + 290,
        });
        if let Some(environment) = environment {
            claims["environment"] = json!(environment);
            claims["sub"] = json!(format!("repo:{repository}:environment:{environment}"));
        }
        claims
    };
    let when = Some(r#"repository == "acme/api" && environment == "production""#);
    assert_eq!(
        is("github-actions", iss, when, job("acme/api", Some("production"))),
        says("agent:acme/api []")
    );
    for (repository, environment) in [
        ("acme/api", None),
        ("acme/api", Some("staging")),
        ("acme/api-evil", Some("production")),
        ("acme-evil/api", Some("production")),
        ("evil/acme", Some("production")),
    ] {
        let refused = is("github-actions", iss, when, job(repository, environment));
        assert_eq!(refused, Err(Refusal::Condition), "{repository} {environment:?}");
    }
    // A branch may be called so that `sub` looks like an environment's.
    let mut branch = job("acme/api", None);
    branch["sub"] = json!("repo:acme/api:environment:production");
    assert_eq!(is("github-actions", iss, when, branch), Err(Refusal::Condition));
}

#[test]
fn gitlab() {
    let iss = "https://gitlab.example.com";
    let job = |path: &str, protected: &str| {
        json!({
            "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": path, "user_id": "1",
            "user_login": "sample-user", "user_email": "sample-user@example.com",
            "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
            "ref_path": "refs/heads/main", "ref_protected": protected, "groups_direct": ["acme/sub"],
            "environment": "production", "environment_protected": "false", "deployment_tier": "production",
            "environment_action": "start", "runner_id": 1, "runner_environment": "self-hosted", "sha": "714a",
            "project_visibility": "public",
            "ci_config_ref_uri": "gitlab.example.com/acme/api//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": "714a",
            "sub": format!("project_path:{path}:ref_type:branch:ref:main"), "nbf": NOW - 15,
        })
    };
    let when = Some(r#"project_path == "acme/api" && ref_protected == "true""#);
    assert_eq!(is("gitlab", iss, when, job("acme/api", "true")), says(r#"agent:acme/api ["acme"]"#));
    assert_eq!(is("gitlab", iss, when, job("acme/api", "false")), Err(Refusal::Condition));
    assert_eq!(is("gitlab", iss, when, job("acme/api2", "true")), Err(Refusal::Condition));
}

#[test]
fn kubernetes() {
    let iss = "https://kubernetes.default.svc.cluster.local";
    let pod = json!({
        "aud": ["durward"], "sub": "system:serviceaccount:prod:coder",
        "kubernetes.io": {
            "namespace": "prod", "node": {"name": "n1", "uid": "c1"}, "pod": {"name": "coder-6d", "uid": "c2"},
            "serviceaccount": {"name": "coder", "uid": "c3"}, "warnafter": NOW + 200,
        },
    });
    assert_eq!(is("kubernetes", iss, None, pod.clone()), says(r#"agent:prod/coder ["prod"]"#));
    let mut other = pod.clone();
    other["aud"] = json!(["https://kubernetes.default.svc.cluster.local"]);
    assert_eq!(is("kubernetes", iss, None, other), Err(Refusal::Audience));
    // Tokens of secrets, as old clusters made them, never end.
    let old = json!({
        "sub": "system:serviceaccount:prod:coder", "kubernetes.io/serviceaccount/namespace": "prod",
        "kubernetes.io/serviceaccount/service-account.name": "coder",
    });
    assert_eq!(is("kubernetes", iss, None, old), Err(Refusal::Principal));
}

#[test]
fn google() {
    let iss = "https://accounts.google.com";
    let person = json!({
        "azp": "1234.apps.googleusercontent.com", "sub": "107691503500061507151", "at_hash": "HK6E", "hd": "acme.com",
        "email": "jsmith@acme.com", "email_verified": true, "nonce": "0394",
    });
    let robot = json!({
        "azp": "102100000000000000000", "sub": "102100000000000000000",
        "email": "ci@project.iam.gserviceaccount.com", "email_verified": true,
    });
    let when = Some(r#"hd == "acme.com" || email in ["ci@project.iam.gserviceaccount.com"]"#);
    assert_eq!(is("google", iss, when, person.clone()), says(r#"user:jsmith@acme.com ["acme.com"]"#));
    assert_eq!(is("google", iss, when, robot.clone()), says("agent:ci@project.iam.gserviceaccount.com []"));
    let mut stranger = person.clone();
    stranger["hd"] = json!(null);
    assert_eq!(is("google", iss, when, stranger), Err(Refusal::Condition));
    let mut robot = robot;
    robot["email"] = json!("ci@evil.iam.gserviceaccount.com");
    assert_eq!(is("google", iss, when, robot), Err(Refusal::Condition));
    let mut unverified = person;
    unverified["email_verified"] = json!(false);
    assert_eq!(is("google", iss, when, unverified), Err(Refusal::Principal));
}

#[test]
fn azure() {
    let iss = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
    let person = json!({
        "aio": "AXQA", "azp": "04b07795", "azpacr": "0", "groups": ["0760b6cf"], "name": "Alice A", "oid": "690222be",
        "preferred_username": "alice@acme.com", "rh": "0.AX", "scp": "access_as_user", "sub": "HKZpfaHyWadeO",
        "tid": "72f988bf", "uti": "fqiB", "ver": "2.0",
    });
    assert_eq!(is("azure", iss, None, person.clone()), says(r#"user:690222be ["0760b6cf"]"#));
    let app = json!({
        "aio": "E2Zg", "azp": "11a93b77", "azpacr": "1", "oid": "f2a4", "sub": "f2a4", "roles": ["Database.Read"],
        "tid": "72f988bf", "uti": "x", "ver": "2.0",
    });
    assert_eq!(is("azure", iss, None, app.clone()), says(r#"agent:11a93b77 ["Database.Read"]"#));
    let older = json!({
        "appid": "11a93b77", "appidacr": "1", "idp": "https://sts.windows.net/72f988bf/", "idtyp": "app", "oid": "f2a4",
        "sub": "f2a4", "tid": "72f988bf", "ver": "1.0",
    });
    assert_eq!(is("azure", "https://sts.windows.net/72f988bf/", None, older), says("agent:11a93b77 []"));
    let mut many = person.clone();
    many["groups"] = json!(null);
    many["_claim_names"] = json!({"groups": "src1"});
    assert_eq!(is("azure", iss, None, many), Err(Refusal::Principal), "groups that were left out");
    assert_eq!(
        is("azure", "https://login.microsoftonline.com/other/v2.0", None, person).map(drop),
        Ok(()),
        "each tenant is its own issuer"
    );
}

#[test]
fn okta() {
    let iss = "https://acme.okta.com/oauth2/default";
    let person = json!({
        "ver": 1, "jti": "AT.0mP4", "sub": "alice@acme.com", "cid": "0oa1", "uid": "00u1", "scp": ["openid"],
        "auth_time": NOW - 60, "groups": ["Everyone", "Database Admins"],
    });
    assert_eq!(is("okta", iss, None, person), says(r#"user:alice@acme.com ["Database Admins", "Everyone"]"#));
    let service = json!({"ver": 1, "jti": "AT.1", "sub": "0oa1", "cid": "0oa1", "scp": ["db"]});
    assert_eq!(is("okta", iss, None, service), says("agent:0oa1 []"));
}

#[test]
fn auth0() {
    let iss = "https://acme.eu.auth0.com/";
    let person = json!({
        "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "aud": ["durward", "https://acme.eu.auth0.com/userinfo"], "azp": "abc",
        "scope": "openid profile", "permissions": ["read:db"],
    });
    assert_eq!(is("auth0", iss, None, person), says("user:auth0|5f7c8ec7c33c6c004bbafe82 []"));
    let machine = json!({"sub": "abc@clients", "azp": "abc", "gty": "client-credentials", "scope": "db"});
    assert_eq!(is("auth0", iss, None, machine), says("agent:abc []"));
}

#[test]
fn keycloak() {
    let iss = "https://sso.acme.com/realms/acme";
    let person = json!({
        "jti": "onrtac:6d", "sub": "3f4b", "typ": "Bearer", "azp": "cli", "sid": "a1", "acr": "1",
        "allowed-origins": ["https://x"], "realm_access": {"roles": ["offline_access", "dba"]},
        "resource_access": {"account": {"roles": ["manage-account"]}}, "scope": "openid email profile",
        "email_verified": true, "name": "Alice A", "preferred_username": "alice", "email": "alice@acme.com",
        "groups": ["/dba", "/team/db"],
    });
    assert_eq!(
        is("keycloak", iss, None, person.clone()),
        says(r#"user:alice ["dba", "offline_access", "team/db"]"#)
    );
    let service = json!({
        "sub": "9c", "typ": "Bearer", "azp": "coder", "client_id": "coder", "clientHost": "10.0.0.1",
        "clientAddress": "10.0.0.1", "preferred_username": "service-account-coder", "realm_access": {"roles": ["agents"]},
    });
    assert_eq!(is("keycloak", iss, None, service), says(r#"agent:coder ["agents"]"#));
    // A person who chose such a name is none the more a service.
    let mut odd = person;
    odd["preferred_username"] = json!("service-account-coder");
    assert_eq!(is("keycloak", iss, None, odd).map(|who| who.starts_with("user:")), Ok(true));
}

#[test]
fn a_vendor_of_agents() {
    let iss = "https://tokens.vendor.example";
    let agent = json!({"sub": "agent_01H", "organization": "acme", "act": {"sub": "agent_02K"}});
    let when = Some(r#"organization == "acme""#);
    assert_eq!(is("agent-vendor", iss, when, agent.clone()), says("agent:agent_02K []"));
    let mut foreign = agent;
    foreign["organization"] = json!("evil");
    assert_eq!(is("agent-vendor", iss, when, foreign), Err(Refusal::Condition));
}

/// Whatever preset is named, or none: strangers get their tokens from the same address.
#[test]
fn who_gives_everybody_tokens_must_be_told_which_are_ours() {
    let issuer = |preset: &str, url: &str, when: &str| {
        let mut typed = serde_json::json!({
            "name": "x", "issuer": url, "audience": ["durward"], "principals": [{"kind": "agent", "name": "sub"}],
        });
        for (name, value) in [("preset", preset), ("when", when)] {
            if !value.is_empty() {
                typed[name] = value.into();
            }
        }
        Issuer::new(&config(&typed.to_string())).map(drop)
    };
    let (github, gitlab, google) =
        ("https://token.actions.githubusercontent.com", "https://gitlab.com", "https://accounts.google.com");
    let mine = "https://login.example.com";
    for (preset, url, when, fine) in [
        ("", mine, "", true),
        ("gitlab", mine, "", false),
        ("gitlab", mine, "project_path == \"acme/api\"", true),
        ("", github, "", false),
        ("keycloak", github, "", false),
        ("", "https://Token.Actions.GitHubUserContent.com/acme", "", false),
        ("", google, "", false),
        ("", gitlab, "", false),
        ("", "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "", false),
        ("", "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", "", true),
        ("", github, "repository == \"acme/api\"", true),
        ("", github, "repository == \"acme/api\" && environment == \"production\"", true),
        ("", github, "repository_owner_id in [\"7\"]", true),
        ("", github, "sub == \"repo:acme/api:ref:refs/heads/main\"", true),
        ("", google, "hd == \"example.com\"", true),
        ("", gitlab, "namespace_id == \"7\"", true),
        // What strangers' tokens say, too.
        ("github-actions", github, "environment == \"production\"", false),
        ("", github, "iss == \"https://token.actions.githubusercontent.com\"", false),
        ("", github, "aud == \"durward\"", false),
        ("", github, "ref == \"refs/heads/main\" && event_name == \"push\"", false),
        ("", github, "actor == \"alice\"", false),
        ("", github, "job_workflow_ref == \"acme/ci/.github/workflows/x.yml@v1\"", false),
        ("", github, "repository == \"acme/api\" || environment == \"production\"", false),
        ("", google, "email_verified == true", false),
        ("agent-vendor", mine, "environment == \"production\"", false),
        ("agent-vendor", mine, "organization == \"acme\"", true),
    ] {
        let built = issuer(preset, url, when);
        assert_eq!(built.is_ok(), fine, "{preset} {url} {when}: {built:?}");
        assert!(built.err().is_none_or(|why| why.contains("everybody gets tokens of this issuer")));
    }
}
