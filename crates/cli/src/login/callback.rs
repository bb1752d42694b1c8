//! The end of the way back from the browser: one answer, to one question, on a port of the loopback that nobody knew before.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use gateway::net::form::decoded;

/// The longest head of a request that is read, in bytes.
const LONGEST: usize = 16 * 1024;
/// A browser sends its question at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(20);
const PATH: &str = "/callback";

/// Where the issuer sends the browser back to.
pub(super) struct Callback {
    listener: TcpListener,
    port: u16,
}

impl Callback {
    /// On a free port.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot listen on the loopback for the browser")?;
        listener.set_nonblocking(true)?;
        Ok(Self { port: listener.local_addr()?.port(), listener })
    }

    /// The address that the issuer is given.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the browser. The judge says what a question's parameters are worth: `None` where they are not the answer
    /// that is waited for, which anybody on this machine may send.
    pub(super) fn wait<T>(
        self,
        patience: Duration,
        judge: impl Fn(&[(String, String)]) -> Option<anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // Whoever hangs up or sends rubbish is not who is waited for.
                    if let Ok(Some(answer)) = self.answer(stream, &judge) {
                        return answer;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("nobody signed in within {} s", patience.as_secs())
    }

    fn answer<T>(
        &self,
        mut stream: TcpStream,
        judge: impl Fn(&[(String, String)]) -> Option<anyhow::Result<T>>,
    ) -> std::io::Result<Option<anyhow::Result<T>>> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = head(&mut stream)?;
        let judged = parameters(&head, self.port).and_then(|parameters| judge(&parameters));
        let (status, words) = match &judged {
            None => ("404 Not Found", "There is nothing here."),
            Some(Ok(_)) => ("200 OK", "You are signed in. You can close this window."),
            Some(Err(_)) => {
                ("200 OK", "You are not signed in: the terminal says why. You can close this window.")
            }
        };
        let page = format!("<!doctype html><meta charset=utf-8><title>Durward</title><p>{words}</p>\n");
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{page}",
            page.len()
        )?;
        stream.flush()?;
        Ok(judged)
    }
}

fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut read, mut part) = (Vec::new(), [0; 1024]);
    let begun = Instant::now();
    while !read.windows(4).any(|w| w == b"\r\n\r\n") && read.len() < LONGEST && begun.elapsed() < PATIENCE {
        let n = stream.read(&mut part)?;
        if n == 0 {
            break;
        }
        read.extend_from_slice(part.get(..n).unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Of a GET to the very address that the issuer was given. A page elsewhere that had its name resolve to the loopback names
/// itself in `Host`.
fn parameters(head: &str, port: u16) -> Option<Vec<(String, String)>> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    let here = format!("127.0.0.1:{port}");
    if method != "GET" || !version.starts_with("HTTP/1.") || hosts != [here.as_str()] {
        return None;
    }
    let (path, query) = target.split_once('?')?;
    if path != PATH {
        return None;
    }
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    let all: Vec<(String, String)> =
        query.split('&').filter(|p| !p.is_empty()).map(pair).collect::<Option<_>>()?;
    // One that comes twice is read in two ways by two readers.
    let twice =
        all.iter().enumerate().any(|(i, (name, _))| all.iter().skip(i + 1).any(|(other, _)| other == name));
    (!twice).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_to_the_very_address_has_parameters() {
        for (head, expected) in [
            ("GET /callback?code=a%20b&state=s HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", Some(2)),
            ("GET /callback?code=a HTTP/1.1\r\nHost: evil.example:7\r\n\r\n", None),
            ("GET /callback?code=a HTTP/1.1\r\nHost: 127.0.0.1:7\r\nHost: x\r\n\r\n", None),
            ("GET /callback?code=a HTTP/1.1\r\n\r\n", None),
            ("POST /callback?code=a HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", None),
            ("GET /other?code=a HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", None),
            ("GET /callback HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", None),
            ("GET /callback?state=a&state=b HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", None),
            ("GET /callback?code=%zz HTTP/1.1\r\nHost: 127.0.0.1:7\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(parameters(head, 7).map(|p| p.len()), expected, "{head:?}");
        }
    }
}
