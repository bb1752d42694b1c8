//! Round trips, lies and the RFC's own example.

use proptest::collection::vec;
use proptest::prelude::*;

use super::backend::{Backend, Field, TransactionStatus, backend};
use super::copy::{CopyFormat, CopyRewriter};
use super::error::{ErrorFields, field};
use super::frontend::{Frontend, Kind, Parse, frontend};
use super::row::{Cell, Cells};
use super::scram::{Binding, Client, ScramVerifier, Server};
use super::startup::{Startup, cancel_request, login_request, split_startup, ssl_request};
use super::{build, header, row, split};

fn built<R>(write: impl FnOnce(&mut Vec<u8>) -> R) -> Vec<u8> {
    let mut out = Vec::new();
    drop(write(&mut out));
    out
}

#[track_caller]
fn says(bytes: &[u8], expected: &Frontend<'_>) {
    let frame = split(bytes, usize::MAX).expect("framed").expect("whole");
    assert_eq!(frame.whole.len(), bytes.len());
    assert_eq!(&frontend(&frame).expect("read"), expected);
}

#[test]
fn what_a_client_writes_is_read_back() {
    says(&built(|o| build::query(o, "select 1")), &Frontend::Query(b"select 1"));
    says(
        &built(|o| build::parse(o, "s", "select $1", &[23])),
        &Frontend::Parse(Parse { name: b"s", sql: b"select $1", types: vec![23] }),
    );
    let bytes = built(|o| build::bind(o, "p", "s", &[1], &[Some(b"x"), None], &[0, 1]));
    let frame = split(&bytes, usize::MAX).expect("framed").expect("whole");
    let Frontend::Bind(bind) = frontend(&frame).expect("read") else { panic!("not a Bind") };
    assert_eq!((bind.portal, bind.statement), (b"p".as_slice(), b"s".as_slice()));
    assert_eq!(bind.formats.iter().collect::<Vec<_>>(), [1]);
    assert_eq!(bind.results.iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!([bind.formats.of(7), bind.results.of(1), bind.results.of(2)], [1, 1, 0]);
    assert_eq!(bind.values.iter().collect::<Vec<_>>(), [Some(b"x".as_slice()), None]);
    says(&built(|o| build::describe(o, b'S', "s")), &Frontend::Describe(Kind::Statement, b"s"));
    says(&built(|o| build::execute(o, "p", 7)), &Frontend::Execute { portal: b"p", max_rows: 7 });
    says(&built(|o| build::close_portal(o, "p")), &Frontend::Close(Kind::Portal, b"p"));
    says(&built(build::sync), &Frontend::Sync);
    says(&built(build::flush), &Frontend::Flush);
    says(&built(build::terminate), &Frontend::Terminate);
    says(&built(|o| build::copy_fail(o, "no")), &Frontend::CopyFail(b"no"));
}

/// What is left of a text that is cut is another one: an UPDATE without its WHERE.
#[test]
fn a_text_with_a_zero_byte_is_no_message_and_no_part_of_it_is_one() {
    type Build = fn(&mut Vec<u8>, &str) -> Result<(), crate::Malformed>;
    let all: [(&str, Build); 13] = [
        ("Query", |o, text| build::query(o, text)),
        ("Parse", |o, text| build::parse(o, "", text, &[])),
        ("Parse's name", |o, text| build::parse(o, text, "select 1", &[])),
        ("Bind's portal", |o, text| build::bind(o, text, "", &[], &[], &[])),
        ("Bind's statement", |o, text| build::bind(o, "", text, &[], &[], &[])),
        ("Describe", |o, text| build::describe(o, b'S', text)),
        ("Execute", |o, text| build::execute(o, text, 0)),
        ("Close of a portal", |o, text| build::close_portal(o, text)),
        ("Close of a statement", |o, text| build::close_statement(o, text)),
        ("CopyFail", |o, text| build::copy_fail(o, text)),
        ("PasswordMessage", |o, text| build::password(o, text.as_bytes())),
        ("SASLInitialResponse", |o, text| build::sasl_initial(o, text, b"")),
        ("StartupMessage", |o, text| login_request(o, 0, &[("user".to_owned(), text)])),
    ];
    for (what, build) in all {
        for text in ["update t set a = 1\0 where b", "\0", "x\0"] {
            let mut out = b"before".to_vec();
            assert!(build(&mut out, text).is_err(), "{what}: {text:?}");
            assert_eq!(out, b"before", "{what}: {text:?}");
        }
        let mut out = Vec::new();
        assert!(build(&mut out, "update t set a = 1 where b").is_ok(), "{what}");
        assert!(out.len() > 4, "{what}");
    }
    let name = [("us\0er".to_owned(), "x")];
    assert!(login_request(&mut Vec::new(), 0, &name).is_err());
}

#[test]
fn a_zero_byte_in_words_of_a_server_is_shown_and_begins_no_field() {
    let error = built(|o| build::error(o, &ErrorFields::new("42501", "no\0Dmore").hint("ask")));
    let body = error.get(5..).expect("a body");
    for (kind, expected) in [(b'M', Some("no\u{fffd}Dmore")), (b'D', None), (b'H', Some("ask"))] {
        assert_eq!(field(body, kind).as_deref(), expected);
    }
}

#[test]
fn what_a_server_writes_is_read_back() {
    let read = |bytes: Vec<u8>, expected: Backend<'_>| {
        let frame = split(&bytes, usize::MAX).expect("framed").expect("whole");
        assert_eq!(backend(&frame).expect("read"), expected);
    };
    read(
        built(|o| build::ready(o, TransactionStatus::Failed)),
        Backend::ReadyForQuery(TransactionStatus::Failed),
    );
    read(built(|o| build::command_complete(o, "SELECT 1")), Backend::CommandComplete(b"SELECT 1"));
    read(
        built(|o| build::parameter_status(o, "TimeZone", "UTC")),
        Backend::ParameterStatus { name: b"TimeZone", value: b"UTC" },
    );
    read(
        built(|o| build::backend_key_data(o, 7, &[1; 32])),
        Backend::BackendKeyData { process: 7, secret: &[1; 32] },
    );
    let fields = vec![Field {
        name: b"id".to_vec(),
        table: 1,
        attribute: 2,
        type_oid: 23,
        type_size: 4,
        type_modifier: -1,
        format: 1,
    }];
    let described = built(|o| build::row_description(o, &fields));
    let frame = split(&described, usize::MAX).expect("framed").expect("whole");
    let Ok(Backend::RowDescription(read_back)) = super::backend::backend(&frame) else {
        panic!("a description")
    };
    assert_eq!(read_back.iter().collect::<Vec<_>>(), fields);
    read(
        built(|o| build::negotiate_protocol_version(o, 2, &["_pq_.x"])),
        Backend::NegotiateProtocolVersion { minor: 2, options: vec![b"_pq_.x"] },
    );
    let error = built(|o| build::error(o, &ErrorFields::new("42501", "no").hint("ask").position(3)));
    let frame = split(&error, usize::MAX).expect("framed").expect("whole");
    assert_eq!(super::error::field(frame.body, b'C').as_deref(), Some("42501"));
    assert_eq!(super::error::field(frame.body, b'P').as_deref(), Some("3"));
}

#[test]
fn lengths_and_counts_that_lie_are_errors() {
    let frontend_lies: [&[u8]; 8] = [
        b"Q\0\0\0\x08abcd",                                   // no end of the string
        b"Q\0\0\0\x0aab\0cde",                                // more behind it
        b"P\0\0\0\x0aa\0b\0\xff\xff",                         // 65,535 types in no bytes
        b"B\0\0\0\x08\0\0\0\x01",                             // one format in no bytes
        b"D\0\0\0\x06Xa",                                     // neither S nor P
        b"S\0\0\0\x05x",                                      // a Sync with a body
        b"?\0\0\0\x04",                                       // no such message
        b"B\0\0\0\x12\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0\0\0", // a length of -16
    ];
    for bytes in frontend_lies {
        let frame = split(bytes, usize::MAX).expect("framed").unwrap_or_else(|| panic!("whole: {bytes:?}"));
        assert!(frontend(&frame).is_err(), "{bytes:?}");
    }
    assert!(header(b"Q\0\0\0\x03").is_err());
    assert!(header(b"Q\xff\xff\xff\xff").is_err());
    assert!(split(b"Q\0\x10\0\0", 1000).is_err(), "longer than the limit is known before it arrives");
    assert_eq!(split(b"Q\0\0\0", 10), Ok(None));
}

#[test]
fn a_connection_begins_with_one_of_four_packets() {
    let ssl = built(ssl_request);
    assert_eq!(split_startup(&ssl), Ok(Some((Startup::Ssl, 8))));
    let cancel = built(|o| cancel_request(o, 7, &[9; 32]));
    assert_eq!(split_startup(&cancel), Ok(Some((Startup::Cancel { process: 7, secret: vec![9; 32] }, 44))));
    let parameters = vec![("user".to_owned(), "a".to_owned()), ("user".to_owned(), "b".to_owned())];
    let login = built(|o| login_request(o, 2, &parameters));
    let Ok(Some((Startup::Login(read), _))) = split_startup(&login) else { panic!("a login") };
    assert_eq!((read.major, read.minor, read.parameter("user")), (3, 2, Some(&b"b"[..])));
    let latin = built(|o| login_request(o, 0, &[("database".to_owned(), b"\xe9")]));
    let Ok(Some((Startup::Login(read), _))) = split_startup(&latin) else { panic!("a login") };
    assert_eq!(read.parameter("database"), Some(&b"\xe9"[..]));
    for lie in
        [&b"\0\0\0\x04"[..], b"\0\x01\0\0", b"\0\0\0\x09\x04\xd2\x16\x2fx", b"\0\0\0\x0c\0\x03\0\0user"]
    {
        assert!(split_startup(lie).is_err(), "{lie:?}");
    }
    let old = [0, 0, 0, 12, 0, 2, 0, 0, 1, 2, 3, 4];
    assert!(matches!(split_startup(&old), Ok(Some((Startup::Login(l), _))) if l.major == 2));
}

/// Replaces what is `secret`; the rest stays.
struct Secrets;

impl Cells for Secrets {
    fn cell(&mut self, _: usize, value: Option<&[u8]>) -> Cell<'_> {
        match value {
            Some(v) if v.starts_with(b"secret") => Cell::Value(b"m\"0-k\t"),
            Some(b"gone") => Cell::Null,
            _ => Cell::Keep,
        }
    }
}

fn copied(format: CopyFormat, columns: usize, rows: &[&[u8]]) -> Result<Vec<u8>, crate::Malformed> {
    let mut rewriter = CopyRewriter::new(format, columns);
    let mut all = Vec::new();
    for row in rows {
        let mut out = Vec::new();
        rewriter.row(row, &mut out, &mut Secrets)?;
        let frame = split(&out, usize::MAX)?.expect("whole");
        all.extend_from_slice(frame.body);
    }
    Ok(all)
}

#[test]
fn text_rows_are_rewritten_field_by_field() {
    let text = || CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false };
    let row: &[u8] = b"1\tsecret\\tx\t\\N\ta\\\\b\tgone\n";
    assert_eq!(copied(text(), 5, &[row]).expect("rewritten"), b"1\tm\"0-k\\t\t\\N\ta\\\\b\t\\N\n");
    assert!(copied(text(), 4, &[row]).is_err(), "another number of columns");
    assert!(copied(text(), 5, &[b"1\t2\t3\t4\t5"]).is_err(), "no end of the row");
    assert_eq!(copied(text(), 0, &[b"\n"]).expect("no columns"), b"\n");
    let dash = CopyFormat::Text { delimiter: b'-', null: b"\\N".to_vec(), header: false };
    assert_eq!(copied(dash, 2, &[b"a\\-b-secret\n"]).expect("rewritten"), b"a\\-b-m\"0\\-k\\t\n");
    let named = CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: true };
    assert_eq!(copied(named, 1, &[b"secret\n", b"secret\n"]).expect("named"), b"secret\nm\"0-k\\t\n");
}

#[test]
fn a_value_that_looks_like_the_chosen_null_is_rewritten_like_any_other() {
    let text = |null: &[u8]| CopyFormat::Text { delimiter: b'\t', null: null.to_vec(), header: false };
    let csv = CopyFormat::Csv {
        delimiter: b',',
        quote: b'"',
        escape: b'"',
        null: b"secret".to_vec(),
        header: false,
    };
    assert_eq!(copied(text(b"secret"), 2, &[b"secret\tx\n"]).expect("text"), b"m\"0-k\\t\tx\n");
    assert_eq!(
        copied(text(b"\\\\N"), 1, &[b"\\\\N\n"]).expect("a value that is written like it"),
        b"\\\\N\n"
    );
    assert_eq!(copied(text(b"x\\"), 1, &[b"x\\\n"]).expect("a NULL that is no escape"), b"x\\\n");
    // In CSV the server puts such a value within quotes.
    assert_eq!(copied(csv, 2, &[b"secret,\"secret\"\n"]).expect("csv"), b"secret,\"m\"\"0-k\t\"\n");
}

#[test]
fn csv_rows_are_rewritten_whatever_quotes_them() {
    let csv = |delimiter, quote, escape| CopyFormat::Csv {
        delimiter,
        quote,
        escape,
        null: Vec::new(),
        header: false,
    };
    let plain = csv(b',', b'"', b'"');
    assert_eq!(
        copied(plain.clone(), 3, &[b"1,,\"secret, \"\"x\"\"\"\n"]).expect("read"),
        b"1,,\"m\"\"0-k\t\"\n"
    );
    assert_eq!(copied(plain.clone(), 2, &[b"\"a\nb\",\"\"\n"]).expect("kept"), b"\"a\nb\",\"\"\n");
    assert_eq!(
        copied(csv(b',', b'0', b'0'), 2, &[b"0a00,b0,secret\n"]).expect("odd"),
        b"0a00,b0,0m\"00-k\t0\n"
    );
    assert_eq!(
        copied(csv(b'-', b'"', b'\\'), 2, &[b"\"a\\\"-\"-secret\n"]).expect("odd"),
        b"\"a\\\"-\"-\"m\\\"0-k\t\"\n"
    );
    for broken in [&b"1,2,3\n"[..], b"1\n", b"\"1,2\n", b"1,a\"b\n", b"1,2"] {
        assert!(copied(plain.clone(), 2, &[broken]).is_err(), "{broken:?}");
    }
}

#[test]
fn binary_copies_are_rewritten_with_their_header_and_trailer() {
    let mut first = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    first.extend_from_slice(b"\0\x02\0\0\0\x06secret\xff\xff\xff\xff");
    let out = copied(CopyFormat::Binary, 2, &[&first, b"\xff\xff"]).expect("rewritten");
    assert!(out.ends_with(b"\0\x02\0\0\0\x06m\"0-k\t\xff\xff\xff\xff\xff\xff"));
    assert!(copied(CopyFormat::Binary, 1, &[&first]).is_err(), "another number of columns");
    assert!(copied(CopyFormat::Binary, 2, &[b"nonsense"]).is_err());
    assert!(copied(CopyFormat::Binary, 2, &[&first, b"\xff\xff", b"\0\x02"]).is_err(), "data behind the end");
}

#[test]
fn scram_is_what_rfc_7677_shows() {
    let mut client = Client::new(b"pencil", "rOprNGfwEbeRWgbNEkqO", Binding::None, None);
    let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let answer = client.answer(first);
    // The RFC's client names its user in the exchange, PostgreSQL's does not: only the shape can be compared.
    assert!(
        answer
            .expect("answered")
            .starts_with(b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")
    );
    let verifier = ScramVerifier::new(
        b"pencil",
        b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81",
        4096,
    );
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (server, said) =
        Server::begin(verifier, false, None, first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").expect("begun");
    assert_eq!(
        said,
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let signed = server.finish(last).expect("finished").expect("the right password");
    assert_eq!(signed, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// One exchange between our two sides; `Err` where one of them stops, `Ok(false)` where the password is wrong.
fn exchange(
    password: &[u8],
    binding: Binding,
    plus: bool,
    end_point: Option<&[u8]>,
) -> Result<bool, crate::Malformed> {
    let verifier = ScramVerifier::new(b"right", &[7; 16], 4096);
    let mut client = Client::new(password, "abc", binding, None);
    let (server, first) = Server::begin(verifier, plus, end_point, &client.first(), "def")?;
    match server.finish(&client.answer(&first)?)? {
        None => Ok(false),
        Some(last) => client.verify(&last).map(|()| true),
    }
}

#[test]
fn scram_meets_itself_and_only_with_the_right_password_and_binding() {
    let bound = |hash: &[u8]| Binding::ServerEndPoint(hash.to_vec());
    assert_eq!(exchange(b"right", Binding::None, false, None), Ok(true));
    assert_eq!(exchange(b"wrong", Binding::None, false, None), Ok(false));
    assert_eq!(exchange(b"right", bound(b"hash"), true, Some(b"hash")), Ok(true));
    assert!(exchange(b"right", bound(b"another"), true, Some(b"hash")).is_err(), "somebody in the middle");
    assert!(exchange(b"right", Binding::Unoffered, false, Some(b"hash")).is_err(), "the offer was removed");
    assert_eq!(exchange(b"right", Binding::Unoffered, false, None), Ok(true));
    let verifier = ScramVerifier::new(b"right", &[7; 16], 4096);
    assert_eq!(ScramVerifier::parse(&verifier.to_string()), Ok(verifier.clone()));
    assert!(verifier.matches(b"right") && !verifier.matches(b"wrong"));
}

#[test]
fn a_login_takes_what_an_earlier_one_worked_out_and_only_where_it_fits() {
    let log_in = |password: &[u8], salt: u8, known| {
        let mut client = Client::new(password, "abc", Binding::None, known);
        let verifier = ScramVerifier::new(b"right", &[salt; 16], 4096);
        let (server, first) = Server::begin(verifier, false, None, &client.first(), "def").expect("begun");
        let last = server.finish(&client.answer(&first).expect("answered")).expect("finished");
        let right = last.is_some_and(|last| client.verify(&last).is_ok());
        (right, client.into_salted())
    };
    let (right, known) = log_in(b"right", 7, None);
    assert!(right && known.is_some());
    // With it the password itself is not looked at again.
    let (right, again) = log_in(b"anything", 7, known.clone());
    assert!(right && again == known);
    // The server has another salt now: everything is worked out anew.
    assert!(log_in(b"right", 8, known.clone()).0);
    assert!(!log_in(b"anything", 8, known).0);
}

#[test]
fn a_scram_client_does_not_believe_any_server() {
    for lie in [
        &b"r=xyz,s=W22Z,i=4096"[..],
        b"r=abc,s=W22Z,i=4096",
        b"r=abcd,s=W22Z,i=0",
        b"r=abcd,s=W22Z,i=99999999",
        b"r=abcd,s=?,i=4096",
        b"s=W22Z,i=4096",
        b"\xff",
    ] {
        assert!(Client::new(b"p", "abc", Binding::None, None).answer(lie).is_err(), "{lie:?}");
    }
    assert!(Client::new(b"p", "abc", Binding::None, None).verify(b"v=AAAA").is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300), kind in any::<u8>()) {
        let _ = split_startup(&bytes);
        let mut message = Vec::new();
        build::message(&mut message, kind, |out| out.extend_from_slice(&bytes));
        let frame = split(&message, usize::MAX).expect("framed").expect("whole");
        let _ = frontend(&frame);
        let _ = backend(&frame);
        let _ = row::values(&bytes);
        let _ = row::rewrite(&bytes, &mut Vec::new(), &mut Secrets);
        let _ = super::error::fields(&bytes).count();
        for format in [
            CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false },
            CopyFormat::Csv { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new(), header: false },
            CopyFormat::Binary,
        ] {
            let mut rewriter = CopyRewriter::new(format, usize::from(kind % 4));
            let _ = rewriter.row(&bytes, &mut Vec::new(), &mut Secrets);
        }
    }

    #[test]
    fn rows_without_secrets_are_unchanged(values in vec(proptest::option::of(vec(any::<u8>(), 0..20)), 0..20)) {
        let values: Vec<Option<&[u8]>> = values.iter().map(|v| v.as_deref().filter(|v| !v.starts_with(b"secret") && *v != b"gone")).collect();
        let whole = built(|o| build::data_row(o, &values));
        let frame = split(&whole, usize::MAX).expect("framed").expect("whole");
        let mut out = Vec::new();
        row::rewrite(frame.body, &mut out, &mut Secrets).expect("rewritten");
        prop_assert_eq!(&out, &whole);
        prop_assert_eq!(row::values(frame.body).expect("read"), values);
    }
}

#[test]
fn more_parameters_than_can_be_counted_are_as_many_as_there_are() {
    for (there, told, fine) in
        [(0, 0, true), (2, 2, true), (65_536, 0, true), (65_537, 1, true), (2, 3, false), (65_536, 1, false)]
    {
        let mut bytes = vec![b't'];
        bytes.extend(u32::try_from(6 + 4 * there).expect("a length").to_be_bytes());
        bytes.extend(u16::try_from(told).expect("a count").to_be_bytes());
        bytes.extend(std::iter::repeat_n(23_u32.to_be_bytes(), there).flatten());
        let frame = split(&bytes, usize::MAX).expect("framed").expect("whole");
        let read = backend(&frame);
        assert_eq!(read.is_ok(), fine, "{there} told as {told}");
        if let Ok(Backend::ParameterDescription(types)) = read {
            assert_eq!(types.len(), there);
        }
    }
}
