//! Input that nobody means well: it costs its sender, and nobody else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::rig::{Rig, Way};

/// Reads are allowed, so that statements are understood and masked as in earnest.
const READS: &str = "@id(\"connect\")\npermit (principal, action == Action::\"connect\", resource);\n\
     @id(\"read\")\npermit (principal, action in Action::\"read\", resource);\n";

/// The gateway's own bound on a login is longer: whoever waits so long for an end was forgotten.
const PATIENCE: Duration = Duration::from_secs(40);

fn open(way: &Way) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", way.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends bytes, says goodbye, and reads what comes until the end, which must come.
#[track_caller]
fn answer(way: &Way, bytes: &[u8]) -> Vec<u8> {
    let mut socket = open(way);
    // The other side may have closed by now: what it said is still there.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let end = socket.take(1 << 20).read_to_end(&mut said);
    let forgotten = end.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!forgotten, "the connection is not ended");
    said
}

async fn is_well(rig: &Rig) {
    let client = rig.through().connect().await;
    let row = client.query_one("SELECT count(*) FROM people", &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) > 0);
}

fn startup(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in pairs {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let mut packet = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
    packet.extend_from_slice(&body);
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_before_a_login_ends_its_own_connection_alone() {
    let rig = Rig::start(&[], READS);
    let way = rig.through();
    let tls_then_more = [&[0, 0, 0, 8, 4, 210, 22, 47][..], &startup(&[("user", "x")])].concat();
    let long = startup(&[("user", &"x".repeat(100_000))]);
    let cases: [(&str, Vec<u8>); 9] = [
        ("nothing", Vec::new()),
        ("half a length", vec![0, 0]),
        ("a length of zero", vec![0, 0, 0, 0]),
        ("a negative length", vec![0xff; 8]),
        ("a length of a gigabyte", vec![0x40, 0, 0, 0, 0, 3, 0, 0]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a name that is too long", long),
        ("more behind a request for TLS", tls_then_more),
        ("parameters without an end", [&[0, 0, 0, 20, 0, 3, 0, 0][..], b"user\0aaaaaaa"].concat()),
    ];
    for (what, bytes) in cases {
        let said = answer(&way, &bytes);
        assert!(!said.windows(5).any(|w| w == b"Z\0\0\0\x05"), "{what}: let in");
    }
    is_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_keep_nobody_out() {
    let rig = Rig::start(&[], READS);
    let way = rig.through();
    // As many as one address may have, and more; each says a little and then nothing.
    let idle: Vec<TcpStream> = (0..400)
        .filter_map(|_| TcpStream::connect(("127.0.0.1", way.port)).ok())
        .map(|mut socket| {
            let _ = socket.write_all(&[0, 0, 0]);
            socket
        })
        .collect();
    assert!(idle.len() > 300);
    is_well(&rig).await;
    drop(idle);
}

/// Says a little at a time for as long as it is let; how long that was.
fn trickles(way: &Way, begin: &[u8]) -> Duration {
    let mut socket = open(way);
    socket.write_all(begin).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let ended = match socket.read(&mut [0; 1024]) {
            Ok(count) => count == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        if ended || socket.write_all(b"x").is_err() {
            break;
        }
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_trickles_is_ended_in_time() {
    let rig = Rig::start(&[], READS);
    let password =
        [&startup(&[("user", "x"), ("database", crate::rig::DATABASE)])[..], b"p\0\0\xea\x60"].concat();
    let begins = [vec![0, 0, 0x23, 0x28, 0, 3, 0, 0], password];
    let slow: Vec<_> = begins
        .map(|begin| {
            let way = rig.through();
            std::thread::spawn(move || trickles(&way, &begin))
        })
        .into_iter()
        .collect();
    is_well(&rig).await;
    for login in slow {
        let lasted = login.join().unwrap();
        assert!(lasted < Duration::from_secs(20), "a login lasted {lasted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_lie_end_their_session_and_no_other() {
    let rig = Rig::start(&[], READS);
    let other = rig.through().connect().await;
    for lie in [
        &b"Q\0\0\0\x03"[..],
        b"Q\xff\xff\xff\xff",
        b"Q\x7f\xff\xff\xff",
        b"B\0\0\0\x0e\0\0\xff\xff\0\0\0\0",
        b"P\0\0\0\x08\0\0\xff\xff",
        b"\x01\0\0\0\x04",
        b"X\0\0\0\xff",
        b"F\0\0\0\x10\0\0\0\x01\xff\xff\0\0\0\0",
    ] {
        let way = rig.through();
        let mut bytes = startup(&[("user", "x"), ("database", crate::rig::DATABASE)]);
        bytes.push(b'p');
        bytes.extend_from_slice(&u32::try_from(way.password.len() + 5).unwrap().to_be_bytes());
        bytes.extend_from_slice(way.password.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(lie);
        answer(&way, &bytes);
        let row = other.query_one("SELECT 7", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
    }
    is_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_are_bombs_are_refused_and_the_session_lives() {
    let rig = Rig::start(&[], READS);
    let client = rig.through().connect().await;
    for bomb in [
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}", vec!["'a'"; 30_000].join(" || ")),
        format!("SELECT {} 1", "NOT ".repeat(30_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(10_000), "]".repeat(10_000)),
        vec!["SELECT 1"; 20_000].join(" UNION ALL "),
    ] {
        let error = client.simple_query(&bomb).await.unwrap_err();
        assert!(error.code().is_some(), "{}: {error}", &bomb[..40]);
        client.simple_query("SELECT 1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_prepared_statements_are_only_that() {
    let rig = Rig::start(&[], READS);
    let client = rig.through().connect().await;
    let mut kept = Vec::new();
    for number in 0..10_000 {
        kept.push(
            client.prepare(&format!("SELECT {number} AS n, name FROM people WHERE id = $1")).await.unwrap(),
        );
    }
    let row = client.query_one(kept.last().unwrap(), &[&7_i32]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 9_999);
    is_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_holds_up_nobody_else() {
    let rig = Rig::start(&[], READS);
    let way = rig.through();
    let mut bytes = startup(&[("user", "x"), ("database", crate::rig::DATABASE)]);
    bytes.push(b'p');
    bytes.extend_from_slice(&u32::try_from(way.password.len() + 5).unwrap().to_be_bytes());
    bytes.extend_from_slice(way.password.as_bytes());
    bytes.push(0);
    let query = b"SELECT repeat('x', 1000) FROM generate_series(1, 1000000)\0";
    bytes.push(b'Q');
    bytes.extend_from_slice(&u32::try_from(query.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(query);
    let deaf: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut socket = open(&way);
            socket.write_all(&bytes).unwrap();
            socket
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    is_well(&rig).await;
    let resident = rig.gateway.process().usage().unwrap().resident;
    assert!(resident < 400 << 20, "{resident} bytes for four results that nobody reads");
    drop(deaf);
}
