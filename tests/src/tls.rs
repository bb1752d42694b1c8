//! TLS on both sides: what a client sees, what the gateway insists on of a target, and logins bound to the connection.

use std::process::Command;

use testkit::certificates::Certificates;
use testkit::durward::Target;
use testkit::{Account, Scratch};

use crate::custody::{apply_with, role, targets, who};
use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, python, said, server};

const LOOPBACK: &[&str] = &["127.0.0.1", "localhost"];

fn certificates(scratch: &Scratch, name: &str) -> Certificates {
    let folder = scratch.join(name);
    std::fs::create_dir(&folder).unwrap();
    Certificates::make(&folder, LOOPBACK).unwrap()
}

/// A gateway that shows a certificate to its clients.
fn shown(certificates: &Certificates) -> Rig {
    let server = server(&[]);
    let target = Target::new(DATABASE, server.port(), DATABASE);
    Rig::of(server, &target, &tls(certificates), ALLOW_ALL)
}

/// How a server shows a certificate, which is given to its account.
fn server_shows(certificates: &Certificates) -> [String; 3] {
    let account = Account::unprivileged().unwrap();
    let Certificates { certificate, key, .. } = certificates;
    [certificate, key].into_iter().for_each(|file| account.give(file).unwrap());
    [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ]
}

/// The setting for it.
fn tls(certificates: &Certificates) -> String {
    let Certificates { authority: _, certificate, key } = certificates;
    format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", certificate.display(), key.display())
}

/// What psql says that insists on encryption and on one authority.
fn verified(way: &Way, trusted: &Certificates, more: &[(&str, &str)]) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-XAtc", "SELECT 'let ' || 'in'"]);
    psql.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &trusted.authority);
    psql.envs(more.iter().copied());
    way.said(&mut psql)
}

#[test]
fn a_client_that_checks_the_certificate_is_let_in_and_one_that_trusts_another_is_not() {
    let scratch = Scratch::new("tls").unwrap();
    let (ours, others) = (certificates(&scratch, "ours"), certificates(&scratch, "others"));
    let rig = shown(&ours);
    let said = verified(&rig.through(), &ours, &[]);
    assert!(said.starts_with("let in\n"), "{said}");
    let refused = verified(&rig.through(), &others, &[]);
    assert!(refused.contains("SSL error"), "{refused}");
}

/// By the token's name the same token works without being sent, and the login is bound to this very connection.
#[test]
fn a_tokens_login_can_be_bound_to_the_connection() {
    let scratch = Scratch::new("tls").unwrap();
    let ours = certificates(&scratch, "ours");
    let rig = shown(&ours);
    let way = rig.through();
    let (id, _) = way.password.rsplit_once('_').unwrap();
    let bound = [("PGUSER", id), ("PGCHANNELBINDING", "require")];
    let said = verified(&way, &ours, &bound);
    assert!(said.starts_with("let in\n"), "{said}");
    let wrong = [bound[0], bound[1], ("PGPASSWORD", "dwt_000000000000_wrong")];
    let refused = verified(&way, &ours, &wrong);
    assert!(!refused.contains("let in") && refused.contains("exit status: 2"), "{refused}");
}

#[test]
fn a_client_may_name_its_target_by_its_tls_and_then_gives_the_real_database() {
    let scratch = Scratch::new("tls").unwrap();
    let settings =
        format!("{}\nnames = {{ Localhost = \"orders-db\" }}", tls(&certificates(&scratch, "ours")));
    let server = server(&[]);
    let target = Target::new("orders-db", server.port(), DATABASE);
    let rig = Rig::of(server, &target, &settings, ALLOW_ALL);
    for (host, database, opened) in [
        ("localhost", DATABASE, true),
        // Whoever asks for an address names nothing by it.
        ("127.0.0.1", DATABASE, false),
        ("127.0.0.1", "orders-db", true),
        ("localhost", "orders-db", false),
    ] {
        let named = [("PGHOST", host), ("PGDATABASE", database), ("PGSSLMODE", "require")];
        let said =
            rig.through().said(Command::new("psql").args(["-XAtc", "SELECT current_database()"]).envs(named));
        assert_eq!(said.starts_with(DATABASE), opened, "{host} {database}: {said}");
    }
}

/// libpq 17 and newer sends its cancel by TLS, too, and takes an end that was not announced for a failure.
#[test]
fn a_cancel_by_tls_ends_as_libpq_expects() {
    let scratch = Scratch::new("tls").unwrap();
    let rig = shown(&certificates(&scratch, "ours"));
    let cancels = "import psycopg\n\
        with psycopg.connect('sslmode=require') as c: c.pgconn.cancel_conn().blocking(); print('cancelled')";
    let said = rig.through().said(Command::new(python()).args(["-c", cancels]));
    assert!(said.starts_with("cancelled\n"), "{said}");
}

#[test]
fn a_target_is_reached_by_tls_and_only_if_its_certificate_is_the_right_one() {
    let scratch = Scratch::new("tls").unwrap();
    let (ours, others) = (certificates(&scratch, "ours"), certificates(&scratch, "others"));
    let settings = server_shows(&ours);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let encrypted = ["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"];
    for (trusted, expected) in [(&ours, true), (&others, false)] {
        let server = server(&settings);
        let target = Target {
            authority: Some(trusted.authority.clone()),
            ..Target::new(DATABASE, server.port(), DATABASE)
        };
        let rig = Rig::of(server, &target, "", ALLOW_ALL);
        let way = rig.through();
        let said = way.said(Command::new("psql").args(encrypted));
        assert_eq!(said.starts_with("t\n"), expected, "{said}");
    }
}

/// `sslmode=require` asks nobody who answers: a login that is bound to the certificate is no use to whoever stands between.
#[test]
fn a_login_is_bound_to_the_targets_certificate_where_that_is_required() {
    let scratch = Scratch::new("tls").unwrap();
    let ours = certificates(&scratch, "ours");
    let settings = server_shows(&ours);
    let settings: Vec<&str> =
        settings.iter().map(String::as_str).chain(["password_encryption=scram-sha-256"]).collect();
    let rig = Rig::start(&settings, ALLOW_ALL);
    role(&rig.server, "bound", "a password");
    let rules = |method: &str| {
        let rules =
            format!("host all postgres 127.0.0.1/32 trust\nhostssl all bound 127.0.0.1/32 {method}\n");
        std::fs::write(rig.server.directory().join("data").join("pg_hba.conf"), rules).unwrap();
        rig.server.sql(DATABASE, "SELECT pg_reload_conf()").unwrap();
    };
    let plain = targets(&rig.server, &[("bound", "password = \"a password\"")]);
    for (method, required, lets_in) in [
        ("scram-sha-256", true, true),
        ("password", false, true),
        ("password", true, false),
        ("trust", true, false),
        ("trust", false, true),
    ] {
        rules(method);
        let line = format!("sslmode = \"require\"\nrequire_channel_binding = {required}");
        let applied = apply_with(&rig.gateway, &plain.replace("sslmode = \"disable\"", &line), "");
        assert!(applied.status.success(), "{}", said(&applied));
        let told = who(rig.gateway.port(), &rig.through().password, "bound");
        assert_eq!(told.starts_with("bound\n"), lets_in, "{method} {required}: {told}");
        if !lets_in {
            assert!(told.contains("no trusted TLS connection to the target could be made"), "{told}");
            let doctor = said(&rig.gateway.command(&["doctor", "bound"]).output().unwrap());
            assert!(doctor.contains("channel binding is required"), "{doctor}");
        }
    }
    let without =
        plain.replace("sslmode = \"disable\"", "sslmode = \"disable\"\nrequire_channel_binding = true");
    let refused = apply_with(&rig.gateway, &without, "");
    assert!(said(&refused).contains("there is nothing to bind to without TLS"), "{}", said(&refused));
}
