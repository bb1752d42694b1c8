//! OAUTHBEARER: byte by byte, the question where a token comes from and the token itself, and as libpq 18 does it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use testkit::durward::{Durward, Target};
use testkit::issuer::Issuer;
use testkit::process::free_port;

use crate::rig::{self, DATABASE};

const CLIENTS: &str = r#"{"algorithm":"EdDSA","clients":{"coder":{"secret":"one"}}}"#;

/// A connection that has said who it is.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) fn start(port: u16, user: &str) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut body = 196_608u32.to_be_bytes().to_vec();
        body.extend_from_slice(format!("user\0{user}\0database\0{DATABASE}\0\0").as_bytes());
        stream.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        Self(stream)
    }

    pub(crate) fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.0.read_exact(&mut body).unwrap();
        (head[0], body)
    }

    fn password(&mut self, body: &[u8]) {
        self.0.write_all(b"p").unwrap();
        self.0.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).unwrap();
        self.0.write_all(body).unwrap();
    }

    /// The mechanism and what libpq sends first with this token, which is empty where it asks for one.
    pub(crate) fn initial(&mut self, token: &str) {
        let auth = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
        let first = format!("n,,\x01auth={auth}\x01\x01");
        let mut body = b"OAUTHBEARER\0".to_vec();
        body.extend_from_slice(&u32::try_from(first.len()).unwrap().to_be_bytes());
        body.extend_from_slice(first.as_bytes());
        self.password(&body);
    }
}

#[track_caller]
fn offers(raw: &mut Raw) {
    assert_eq!(raw.next(), (b'R', b"\0\0\0\x0aOAUTHBEARER\0\0".to_vec()));
}

#[test]
fn a_client_asks_where_it_gets_a_token_and_comes_in_with_it() {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let server = rig::server(&[]);
    let port = free_port().unwrap();
    let gateway = Durward::start_with(&rig::binary(), &format!("oauth = \"127.0.0.1:{port}\"")).unwrap();
    let issuers = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"{}\"\naudience = \"durward\"\n\
         [[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\n",
        issuer.url()
    );
    let target = Target::new(DATABASE, server.port(), DATABASE);
    gateway.apply_with(&[target], &[("test", rig::ALLOW_ALL)], &[("issuers.toml", &issuers)]).unwrap();
    let token = issuer.token("coder", "one").unwrap();
    let issued = gateway.token("bot").unwrap();
    let discovery = format!("{}/.well-known/openid-configuration", issuer.url());
    for (port, user) in [(gateway.port(), "oauth"), (gateway.port(), "oauth:company"), (port, "anybody")] {
        let mut raw = Raw::start(port, user);
        offers(&mut raw);
        raw.initial("");
        let (kind, body) = raw.next();
        let said = String::from_utf8_lossy(&body[4..]).into_owned();
        assert_eq!((kind, &body[..4]), (b'R', &[0, 0, 0, 11][..]), "{user}");
        assert!(said.contains(&format!("\"openid-configuration\":\"{discovery}\"")), "{user}: {said}");
        assert!(said.contains("\"status\":\"invalid_token\""), "{user}: {said}");
        raw.password(b"\x01");
        assert_eq!(raw.next().0, b'E', "{user}");
        // With a token, be it the issuer's or the gateway's own, it is in.
        for good in [&token, &issued] {
            let mut raw = Raw::start(port, user);
            offers(&mut raw);
            raw.initial(good);
            assert_eq!(raw.next(), (b'R', vec![0, 0, 0, 0]), "{user}");
        }
        let mut raw = Raw::start(port, user);
        offers(&mut raw);
        raw.initial(&format!("{token}x"));
        assert_eq!(raw.next().1[..4], [0, 0, 0, 11], "{user}: why not");
        raw.password(b"\x01");
        let (kind, body) = raw.next();
        let said = String::from_utf8_lossy(&body).into_owned();
        assert!(kind == b'E' && said.contains("28P01") && !said.contains(&token), "{user}: {said}");
    }
    // A name that only begins so is asked for a password, as everybody is.
    let mut raw = Raw::start(gateway.port(), "oauthor");
    assert_eq!(raw.next(), (b'R', vec![0, 0, 0, 3]));

    // And as libpq 18 itself does, which asks its application for a token once it knows of whom.
    for (port, user, token, says) in [
        (gateway.port(), "oauth", token.as_str(), "came in as agent:company/coder"),
        (gateway.port(), "oauth:company", &issued, "came in as agent:bot"),
        (port, "anybody", &token, "came in as agent:company/coder"),
        (port, "anybody", &format!("{token}x"), "refused: "),
        (gateway.port(), "nobody", &token, "refused: "),
    ] {
        // Not over https, which tests of libpq's own are allowed.
        let mut program = Command::new(rig::python());
        program.arg(rig::folder("programs").join("libpq_oauth.py")).env("PGOAUTHDEBUG", "UNSAFE");
        program.arg(format!(
            "host=127.0.0.1 port={port} user='{user}' dbname={DATABASE} sslmode=disable require_auth=oauth \
             oauth_issuer={} oauth_client_id=psql",
            issuer.url()
        ));
        let output = program.arg(token).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(says), "{user}: {said}");
        let asked = said.contains(&format!("asked of {discovery} for"));
        assert_eq!(asked, user != "nobody", "{user}: {said}");
        assert!(!said.contains(token), "{user}: {said}");
    }
}
