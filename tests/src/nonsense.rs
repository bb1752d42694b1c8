//! A target that dies or answers nonsense: its session ends with a clear word, and no other is harmed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testkit::durward::Target;

use crate::hostile::READS;
use crate::rig::{DATABASE, Rig, server};

/// What stands in a statement before the letter of an answer.
const WORD: &[u8] = b"nonsense_";

/// What the target says instead of an answer; then it is silent, or gone.
const ANSWERS: [(&str, &[u8]); 12] = [
    ("nothing, it is gone", b""),
    ("bytes of no message", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"),
    ("a length of zero", b"Z\0\0\0\0"),
    ("a negative length", b"D\xff\xff\xff\xff"),
    ("a gigabyte that does not come", b"T\x3f\xff\xff\xff\0\x01"),
    ("an error of two gigabytes", b"E\x7f\xff\xff\xffS"),
    ("a notice of two gigabytes", b"N\x7f\xff\xff\xffS"),
    ("a setting of two megabytes", b"S\0\x20\0\0x"),
    ("a row before its description", b"D\0\0\0\x0b\0\x01\0\0\0\x011"),
    ("a count of columns that lies", b"T\0\0\0\x06\xff\xff"),
    ("another login", b"R\0\0\0\x08\0\0\0\0"),
    ("a status that there is none of", b"Z\0\0\0\x05Q"),
];

/// A relay to a server that answers statements with the word in them by itself.
fn liar(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { break };
            let upstream = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (answers, replies) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || copy(replies, answers));
            thread::spawn(move || relay(client, upstream));
        }
    });
    port
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn relay(mut client: TcpStream, mut upstream: TcpStream) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let said = &bytes[..count];
        let asked = said.windows(WORD.len()).position(|w| w == WORD).and_then(|at| said.get(at + WORD.len()));
        if let Some(letter) = asked {
            let (_, answer) = ANSWERS[usize::from(letter - b'a')];
            let _ = client.write_all(answer);
            if answer.is_empty() {
                break;
            }
            // It says no more, and waits for what comes of that.
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = client.read(&mut bytes);
            break;
        }
        if upstream.write_all(said).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = upstream.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_nonsense_ends_its_own_session_alone() {
    let server = server(&[]);
    let target = Target::new(DATABASE, liar(server.port()), DATABASE);
    let mut rig = Rig::of(server, &target, "", READS);
    let other = rig.through().connect().await;
    for (number, (what, _)) in ANSWERS.iter().enumerate() {
        let client = rig.through().connect().await;
        client.simple_query("SELECT 1").await.unwrap();
        let text = format!("SELECT 1 AS nonsense_{}", char::from(b'a' + u8::try_from(number).unwrap()));
        let asked = tokio::time::timeout(Duration::from_secs(20), client.simple_query(&text)).await;
        let Ok(Err(error)) = asked else { panic!("{what}: {asked:?}") };
        assert!(error.code().is_some(), "{what}: the client is not told: {error}");
        drop(client);
        let row = other.query_one("SELECT 7", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7, "{what}");
    }
    let resident = rig.gateway.process().usage().unwrap().resident;
    assert!(resident < 300 << 20, "{resident} bytes for answers that did not come");
    rig.gateway.still_runs().unwrap();
}
