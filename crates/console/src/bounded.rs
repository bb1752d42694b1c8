//! Connections within bounds: whoever opens thousands and says nothing keeps neither the administrator nor clients out for
//! long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time.
const MOST: usize = 256;
/// A connection on which nothing has moved for so long is cut; the slowest answer (`doctor`) comes sooner.
const IDLE: Duration = Duration::from_secs(90);

pub(crate) struct Bounded {
    tcp: TcpListener,
    slots: Arc<Semaphore>,
    idle: Duration,
}

impl Bounded {
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self { tcp, slots: Arc::new(Semaphore::new(MOST)), idle: IDLE }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // A connection that waits for its slot waits in the kernel's queue.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { continue };
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    let idle = Box::pin(sleep(self.idle));
                    return (Connection { stream, idle, patience: self.idle, _slot: slot }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A connection that is cut when nothing moves.
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    patience: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// What a read or write came to, or the end of patience.
    fn within<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.patience);
            return moved;
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.within(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within(cx, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_is_cut_and_gives_its_slot_back() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut bounded = Bounded {
            slots: Arc::new(Semaphore::new(1)),
            idle: Duration::from_millis(50),
            ..Bounded::new(tcp)
        };
        let address = bounded.local_addr().expect("an address");
        let (_silent, _next) = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        let (mut first, _) = bounded.accept().await;
        let second = tokio::time::timeout(Duration::from_millis(20), bounded.accept()).await;
        assert!(second.is_err(), "there is one slot");
        assert_eq!(first.read_u8().await.expect_err("cut").kind(), io::ErrorKind::TimedOut);
        drop(first);
        let second = tokio::time::timeout(Duration::from_secs(5), bounded.accept()).await;
        assert!(second.is_ok(), "the slot is free again");
    }
}
