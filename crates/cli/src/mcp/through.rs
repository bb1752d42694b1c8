//! MCP through another process of this user's: `durward run` keeps the tokens, and what its child starts speaks by way of a socket in
//! the run's own directory.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::unbounded_channel;

use super::Tokens;
use super::bridge::between;
use super::web::Web;

/// A message is not longer, in bytes.
const LONGEST: u64 = 16 << 20;

/// Carries messages for whoever of this user's comes.
pub(crate) async fn serve(listener: UnixListener, user: u32, web: Web, tokens: Arc<Tokens>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == user) {
            continue;
        }
        let (web, tokens) = (web.clone(), Arc::clone(&tokens));
        tokio::spawn(async move { one(stream, web, tokens).await });
    }
}

async fn one(stream: UnixStream, web: Web, tokens: Arc<Tokens>) {
    let (reading, mut writing) = stream.into_split();
    let (sender, lines) = unbounded_channel::<String>();
    let (out, mut answers) = unbounded_channel::<Value>();
    let reader = tokio::spawn(async move {
        let mut reading = BufReader::new(reading);
        loop {
            let mut line = Vec::new();
            let read = (&mut reading).take(LONGEST).read_until(b'\n', &mut line).await;
            // A line that is longer than any message ends it, as its end does.
            if !read.is_ok_and(|length| length > 0) || !line.ends_with(b"\n") {
                return;
            }
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let writer = tokio::spawn(async move {
        while let Some(message) = answers.recv().await {
            if writing.write_all(format!("{message}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    between(web, tokens, lines, out).await;
    reader.abort();
    let _ = writer.await;
}

/// Standard input and output to and from such a socket.
pub(super) fn join(socket: &Path) -> anyhow::Result<()> {
    let connect = || std::os::unix::net::UnixStream::connect(socket);
    let mut stream =
        connect().with_context(|| format!("{}: the run that this is part of has ended", socket.display()))?;
    let mut back = stream.try_clone()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut stream);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    });
    let mut out = std::io::stdout().lock();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = std::io::Read::read(&mut back, &mut piece)?;
        if length == 0 {
            return Ok(());
        }
        std::io::Write::write_all(&mut out, piece.get(..length).unwrap_or_default())?;
        std::io::Write::flush(&mut out)?;
    }
}
