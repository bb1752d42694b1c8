//! Both sockets of one session, read and written by one task with bounded buffers.
//!
//! A proxy that waits for one write before it reads the other side can deadlock: the target waits for us to read while
//! we wait for it to read. So one poll drives all four directions, and a direction whose buffer is full is not read.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// How much is read from a socket at once, in bytes.
const READ: usize = 32 * 1024;
/// Above this many unsent bytes towards one side, the other side is not read.
const HIGH_WATER: usize = 256 * 1024;
/// An empty buffer keeps so many bytes while its session waits, since most messages fit in it.
pub const KEPT: usize = 1024;

/// Bytes of one direction: appended at the end, taken from the front.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// What has arrived and was not consumed.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Forgets the first `n` bytes.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// The place to append to; what was consumed is dropped first, so that the buffer does not grow without need.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Appends.
    pub fn extend(&mut self, more: &[u8]) {
        self.tail().extend_from_slice(more);
    }

    /// Puts bytes back in front of all that is in it.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        let rest = self.filled().to_vec();
        *self = Self { bytes, start: 0 };
        self.bytes.extend_from_slice(&rest);
    }

    /// Appends what nobody else needs: where nothing is in the buffer, its memory changes hands.
    pub fn append(&mut self, more: &mut Vec<u8>) {
        if self.is_empty() {
            self.consume(0);
            std::mem::swap(&mut self.bytes, more);
        } else {
            self.extend(more);
        }
    }

    /// Gives memory back that an earlier burst needed.
    fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT && self.is_empty() {
            *self = Self::default();
        }
    }
}

/// What woke the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At least one side sent something.
    Read,
    /// A full outgoing buffer has drained.
    Drained,
    /// The client will send no more.
    ClientEnded,
    /// The target will send no more.
    UpstreamEnded,
}

/// One side's socket with its buffers.
pub struct Side<S> {
    stream: S,
    /// What it sent and nobody consumed yet.
    pub input: Buffer,
    /// What is to be sent to it.
    pub output: Buffer,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// A side whose socket may have been read too far during login.
    pub fn new(stream: S, leftover: &[u8]) -> Self {
        let mut input = Buffer::default();
        input.extend(leftover);
        Self { stream, input, output: Buffer::default(), ended: false }
    }

    /// The socket itself, for a clean end.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether so much is unsent that nothing more should be produced for it.
    pub fn is_full(&self) -> bool {
        self.output.len() >= HIGH_WATER
    }

    /// Sends what is left and closes it. The caller bounds the time.
    pub async fn finish(&mut self) {
        let _ = self.stream.write_all(self.output.filled()).await;
        let _ = self.stream.shutdown().await;
        self.output = Buffer::default();
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let had = !self.output.is_empty();
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.output.filled()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => self.output.consume(n),
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Pending => break,
            }
        }
        if had && let Poll::Ready(Err(e)) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Err(e);
        }
        Ok(())
    }

    /// Reads once. `Some(true)`: bytes came; `Some(false)`: the end; `None`: nothing yet.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<bool>> {
        let mut scratch = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(e)) => Err(e),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.ended = true;
                Ok(Some(false))
            }
            Poll::Ready(Ok(())) => {
                self.input.extend(buffer.filled());
                Ok(Some(true))
            }
        }
    }
}

/// Whose bytes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ears {
    /// Read the client.
    pub client: bool,
    /// Read the target.
    pub upstream: bool,
}

/// A failed socket, and whose it was.
#[derive(Debug)]
pub enum Broken {
    /// The client's connection failed.
    Client(io::Error),
    /// The target's connection failed.
    Upstream(io::Error),
}

/// Both sides of one session.
pub struct Pump<C, U> {
    /// The client's side.
    pub client: Side<C>,
    /// The target's side.
    pub upstream: Side<U>,
}

impl<C, U> Pump<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Writes what is to be written and waits until one of the wanted sides has something. Cancel-safe.
    pub async fn turn(&mut self, ears: Ears) -> Result<Turn, Broken> {
        poll_fn(|cx| self.poll_turn(cx, ears)).await
    }

    /// Sends the client what it takes at once of what is to be sent to it. Cancel-safe.
    pub async fn send_to_client(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| Poll::Ready(self.client.poll_write(cx).map_err(Broken::Client))).await
    }

    /// Waits until the client has something, and sends nothing to anybody. Cancel-safe.
    pub async fn hear_client(&mut self) -> Result<Turn, Broken> {
        poll_fn(|cx| match self.client.poll_read(cx).map_err(Broken::Client)? {
            Some(true) => Poll::Ready(Ok(Turn::Read)),
            Some(false) => Poll::Ready(Ok(Turn::ClientEnded)),
            None => Poll::Pending,
        })
        .await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, ears: Ears) -> Poll<Result<Turn, Broken>> {
        let were_full = self.client.is_full() || self.upstream.is_full();
        self.upstream.poll_write(cx).map_err(Broken::Upstream)?;
        self.client.poll_write(cx).map_err(Broken::Client)?;
        let mut read = false;
        // What the target sends goes to the client, so it is read only while the client keeps up; and the other way round.
        if ears.upstream && !self.upstream.ended && !self.client.is_full() {
            match self.upstream.poll_read(cx).map_err(Broken::Upstream)? {
                Some(true) => read = true,
                Some(false) => return Poll::Ready(Ok(Turn::UpstreamEnded)),
                None => (),
            }
        }
        if ears.client && !self.client.ended && !self.upstream.is_full() {
            match self.client.poll_read(cx).map_err(Broken::Client)? {
                Some(true) => read = true,
                Some(false) => return Poll::Ready(Ok(Turn::ClientEnded)),
                None => (),
            }
        }
        if read {
            return Poll::Ready(Ok(Turn::Read));
        }
        if were_full && !self.client.is_full() && !self.upstream.is_full() {
            return Poll::Ready(Ok(Turn::Drained));
        }
        self.client.input.shrink();
        self.upstream.input.shrink();
        self.client.output.shrink();
        self.upstream.output.shrink();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_not_fed_without_bound() {
        let (client, _far_client) = duplex(1024);
        let (upstream, mut far_upstream) = duplex(1024);
        let mut pump = Pump { client: Side::new(client, b""), upstream: Side::new(upstream, b"") };
        let feeder = tokio::spawn(async move {
            let chunk = vec![7u8; 4096];
            let mut sent = 0usize;
            while sent < 4 * HIGH_WATER && far_upstream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
        });
        let relay = async {
            loop {
                pump.turn(Ears { client: true, upstream: true }).await.expect("open");
                let n = pump.upstream.input.len();
                let bytes = pump.upstream.input.filled().to_vec();
                pump.client.output.extend(&bytes);
                pump.upstream.input.consume(n);
            }
        };
        let stuck = tokio::time::timeout(std::time::Duration::from_millis(300), relay).await;
        assert!(stuck.is_err(), "the relay must wait for the client");
        assert!(pump.client.output.len() <= HIGH_WATER + READ);
        feeder.abort();
    }

    #[tokio::test]
    async fn both_directions_move_at_once() {
        let (client, mut far_client) = duplex(64);
        let (upstream, mut far_upstream) = duplex(64);
        let mut pump = Pump { client: Side::new(client, b""), upstream: Side::new(upstream, b"") };
        pump.client.output.extend(&[1; 1000]);
        pump.upstream.output.extend(&[2; 1000]);
        let task =
            tokio::spawn(
                async move { while pump.turn(Ears { client: true, upstream: true }).await.is_ok() {} },
            );
        let (mut a, mut b) = (vec![0; 1000], vec![0; 1000]);
        far_client.read_exact(&mut a).await.expect("client");
        far_upstream.read_exact(&mut b).await.expect("upstream");
        assert_eq!((a[999], b[999]), (1, 2));
        task.abort();
    }
}
