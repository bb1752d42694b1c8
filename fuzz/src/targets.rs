//! The decoders and the analysis, each with seeds that are well-formed.

use std::sync::LazyLock;

use sql::postgres::catalog::{Catalog, Rows, from_rows};
use sql::postgres::{NoNames, Options, Session, alike, analyse, template};
use wire::postgres::copy::{CopyFormat, CopyRewriter};
use wire::postgres::row::{Cell, Cells};
use wire::postgres::scram::{Binding, Client, ScramVerifier, Server};
use wire::postgres::{backend, build, error, frontend, oauth, row, split, startup};

/// One boundary.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What is well-formed.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes anything, and returns.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frontend", seeds: client_messages, run: run_frontend },
    Target { name: "backend", seeds: server_messages, run: run_backend },
    Target { name: "startup", seeds: startup_packets, run: run_startup },
    Target { name: "login", seeds: logins, run: run_login },
    Target { name: "copy", seeds: copied, run: run_copy },
    Target { name: "analysis", seeds: statements, run: run_analysis },
];

/// Masks every second column.
struct Stars;

impl Cells for Stars {
    fn cell(&mut self, index: usize, _value: Option<&[u8]>) -> Cell<'_> {
        if index.is_multiple_of(2) { Cell::Keep } else { Cell::Value(b"***") }
    }
}

/// Messages one after the other, as they would arrive.
fn frames(mut bytes: &[u8], mut see: impl FnMut(&wire::postgres::Frame<'_>)) {
    while let Ok(Some(frame)) = split(bytes, 1 << 20) {
        see(&frame);
        bytes = bytes.get(frame.whole.len()..).unwrap_or_default();
    }
}

fn run_frontend(bytes: &[u8]) {
    frames(bytes, |frame| drop(frontend::frontend(frame).map(|m| format!("{m:?}"))));
}

fn run_backend(bytes: &[u8]) {
    frames(bytes, |frame| {
        drop(backend::backend(frame).map(|m| format!("{m:?}")));
        let mut out = Vec::new();
        let _ = row::rewrite(frame.body, &mut out, &mut Stars);
        let _ = row::values(frame.body);
    });
}

fn run_startup(bytes: &[u8]) {
    drop(startup::split_startup(bytes).map(|s| format!("{s:?}")));
}

/// Each message of SCRAM and of OAUTHBEARER, whoever's it is.
fn run_login(bytes: &[u8]) {
    // A count of rounds is not what is tried here: each costs its time.
    let is_dear =
        bytes.windows(4).any(|four| four.starts_with(b"i=") && four.iter().skip(2).all(u8::is_ascii_digit));
    let mut client = Client::new(b"secret", "abc", Binding::None, None);
    if !is_dear && client.answer(bytes).is_ok() {
        let _ = client.verify(bytes);
    }
    for (plus, end_point) in [(false, None), (true, Some(&[7; 32][..]))] {
        let verifier = ScramVerifier::new(b"secret", b"0123456789abcdef", 1);
        if let Ok((server, _)) = Server::begin(verifier, plus, end_point, bytes, "xyz") {
            let _ = server.finish(bytes);
        }
        let verifier = ScramVerifier::new(b"secret", b"0123456789abcdef", 1);
        if let Ok((server, _)) = Server::begin(verifier, plus, end_point, b"n,,n=,r=abc", "xyz") {
            assert!(!matches!(server.finish(bytes), Ok(Some(_))), "a proof that nobody made");
        }
    }
    let _ = ScramVerifier::parse(&String::from_utf8_lossy(bytes));
    let _ = oauth::bearer(bytes);
    for (kind, _) in error::fields(bytes) {
        let _ = error::field(bytes, kind);
    }
}

fn run_copy(bytes: &[u8]) {
    let text = CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false };
    let csv = CopyFormat::Csv { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new(), header: true };
    for format in [text, csv, CopyFormat::Binary] {
        let mut rows = CopyRewriter::new(format, 3);
        let mut out = Vec::new();
        // The data comes in pieces that end anywhere.
        for piece in bytes.chunks(7) {
            if rows.row(piece, &mut out, &mut Stars).is_err() {
                break;
            }
        }
    }
}

fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        let answers: Vec<Rows> =
            serde_json::from_str(include_str!("../../crates/sql/tests/fixtures/shop.json"))
                .unwrap_or_default();
        from_rows(150_018, &answers, &[]).unwrap_or_default()
    });
    &CATALOG
}

fn run_analysis(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path: Vec<String> = ["pg_catalog", "shop", "public"].map(str::to_owned).to_vec();
    let session = Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &NoNames };
    let _ = template(&text);
    let _ = alike(&text, 18, &Options::default());
    let _ = analyse(&text, &session, &Options::default());
}

fn one<R>(write: impl FnOnce(&mut Vec<u8>) -> R) -> Vec<u8> {
    let mut out = Vec::new();
    drop(write(&mut out));
    out
}

fn client_messages() -> Vec<Vec<u8>> {
    vec![
        one(|out| build::query(out, "SELECT 1")),
        one(|out| build::parse(out, "name", "SELECT $1", &[23, 25])),
        one(|out| build::bind(out, "portal", "name", &[0, 1], &[Some(b"1"), None], &[1])),
        one(|out| build::describe(out, b'S', "name")),
        one(|out| build::execute(out, "portal", 10)),
        one(|out| build::close_portal(out, "portal")),
        one(|out| {
            build::flush(out);
            build::sync(out);
            build::terminate(out);
            build::copy_fail(out, "why")
        }),
        one(|out| build::password(out, b"secret")),
        one(|out| build::sasl_initial(out, "SCRAM-SHA-256", b"n,,n=,r=abc")),
    ]
}

fn server_messages() -> Vec<Vec<u8>> {
    vec![
        one(|out| build::data_row(out, &[Some(b"a"), None, Some(b"")])),
        one(|out| build::command_complete(out, "SELECT 3")),
        one(|out| build::authentication_sasl(out, &["SCRAM-SHA-256"])),
        one(|out| build::parameter_status(out, "TimeZone", "UTC")),
        one(|out| build::backend_key_data(out, 7, b"0123")),
        one(|out| build::negotiate_protocol_version(out, 0, &["_pq_.x"])),
        one(|out| {
            build::error(
                out,
                &wire::postgres::error::ErrorFields::new("42501", "no").hint("ask").position(3),
            );
        }),
        b"T\0\0\0\x1e\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0".to_vec(),
        b"H\0\0\0\x0b\0\0\x02\0\0\0\0".to_vec(),
        b"A\0\0\0\x0e\0\0\0\x01ch\0pay\0".to_vec(),
        b"t\0\0\0\x0a\0\x01\0\0\0\x17Z\0\0\0\x05I".to_vec(),
    ]
}

fn startup_packets() -> Vec<Vec<u8>> {
    vec![
        one(startup::ssl_request),
        one(|out| startup::cancel_request(out, 1, b"0123")),
        one(|out| {
            let pairs = [("user", "a"), ("database", "b"), ("options", "-c search_path=x")];
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            startup::login_request(out, 2, &pairs)
        }),
    ]
}

fn logins() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"n,,n=,r=abc",
        b"p=tls-server-end-point,,n=,r=abc",
        b"r=abcxyz,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1",
        b"c=biws,r=abcxyz,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"n,,\x01host=db\x01auth=Bearer abc.d-e_f\x01\x01",
        b"y,,\x01auth=\x01\x01",
        b"SERROR\0VERROR\0C42501\0Mno\0Hask\0P3\0\0",
    ];
    texts.map(<[u8]>::to_vec).to_vec()
}

fn copied() -> Vec<Vec<u8>> {
    vec![
        b"1\ta\\tb\t\\N\n2\tc\td\n\\.\n".to_vec(),
        b"id,a,b\n1,\"x\"\"y\",\n2,\"line\nbreak\",z\n".to_vec(),
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0\xff\xff".to_vec(),
    ]
}

fn statements() -> Vec<Vec<u8>> {
    include_str!("../seeds/statements.sql").lines().map(|line| line.as_bytes().to_vec()).collect()
}
