//! A PostgreSQL client that does nothing with what it reads, so that the time is the server's and the proxy's.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const BUFFER: usize = 256 * 1024;

/// Reads a result and prints `seconds rows bytes`.
pub(crate) async fn read(port: &str, database: &str, user: &str, sql: &str) -> io::Result<()> {
    let mut session = Session::open(port, database, user).await?;
    let start = Instant::now();
    let Counted { rows, bytes } = session.query(sql).await?;
    println!("{} {rows} {bytes}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Opens sessions, runs a statement in each, and holds them.
pub(crate) async fn hold(port: &str, database: &str, user: &str, sessions: &str) -> io::Result<()> {
    let count: usize = sessions.parse().map_err(io::Error::other)?;
    let mut open = Vec::new();
    for _ in 0..count {
        let mut session = Session::open(port, database, user).await?;
        session.query("SELECT 1").await?;
        open.push(session);
    }
    println!("ready");
    std::future::pending().await
}

struct Session {
    stream: BufReader<TcpStream>,
}

#[derive(Default)]
struct Counted {
    rows: u64,
    bytes: u64,
}

impl Session {
    async fn open(port: &str, database: &str, user: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
        stream.set_nodelay(true)?;
        let mut session = Self { stream: BufReader::with_capacity(BUFFER, stream) };
        // Protocol 3.0: https://www.postgresql.org/docs/current/protocol-message-formats.html, StartupMessage.
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", user, "database", database, ""] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        session.send(None, &body).await?;
        session.until_ready().await?;
        Ok(session)
    }

    async fn query(&mut self, sql: &str) -> io::Result<Counted> {
        self.send(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat()).await?;
        self.until_ready().await
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut message = Vec::from_iter(kind);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message).await
    }

    /// Reads up to ReadyForQuery, answers what is asked on the way, and counts rows and lines of a COPY.
    async fn until_ready(&mut self) -> io::Result<Counted> {
        let mut counted = Counted::default();
        loop {
            let kind = self.stream.read_u8().await?;
            let length = u64::from(self.stream.read_u32().await?.saturating_sub(4));
            counted.bytes += length + 5;
            match kind {
                b'E' | b'R' => {
                    let mut body = Vec::new();
                    (&mut self.stream).take(length).read_to_end(&mut body).await?;
                    if kind == b'E' {
                        return Err(io::Error::other(String::from_utf8_lossy(&body).replace('\0', " ")));
                    }
                    self.authenticate(&body).await?;
                    continue;
                }
                b'D' | b'd' => counted.rows += 1,
                _ => (),
            }
            self.skip(length).await?;
            if kind == b'Z' {
                return Ok(counted);
            }
        }
    }

    async fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            let there = self.stream.fill_buf().await?.len();
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let part = usize::try_from(length).unwrap_or(usize::MAX).min(there);
            self.stream.consume(part);
            length -= part as u64;
        }
        Ok(())
    }

    async fn authenticate(&mut self, body: &[u8]) -> io::Result<()> {
        match body {
            [0, 0, 0, 0, ..] => Ok(()),
            [0, 0, 0, 3, ..] => {
                let password = std::env::var("PGPASSWORD").unwrap_or_default();
                self.send(Some(b'p'), &[password.as_bytes(), b"\0"].concat()).await
            }
            _ => Err(io::Error::other("only clear-text passwords are spoken here")),
        }
    }
}
