//! Connections within bounds: whoever opens thousands and says nothing keeps neither the administrator nor clients out for
//! long. Over TLS where there is a certificate.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use gateway::serve::Certificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Connections at a time.
const MOST: usize = 256;
/// A connection on which nothing has moved for so long is cut; the slowest answer (`doctor`) comes sooner.
const IDLE: Duration = Duration::from_secs(90);

pub(crate) struct Bounded {
    tcp: TcpListener,
    slots: Arc<Semaphore>,
    idle: Duration,
    /// What clients are shown; none where they come in clear.
    certificate: Option<Arc<Certificate>>,
}

impl Bounded {
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self { tcp, slots: Arc::new(Semaphore::new(MOST)), idle: IDLE, certificate: None }
    }

    /// Over TLS alone, with the certificate of the moment in which a client comes.
    pub(crate) fn by_tls(self, certificate: Arc<Certificate>) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// How it is to be read. The handshake is the first thing that is read, so that whoever is slow at it holds up nobody.
    fn wire(&self, stream: TcpStream) -> Option<Wire> {
        let Some(certificate) = &self.certificate else { return Some(Wire::Clear(stream)) };
        let shown = certificate.load_full()?;
        Some(Wire::Shaking(Box::new(TlsAcceptor::from(shown.config()).accept(stream))))
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
                    let Some(stream) = self.wire(stream) else { continue };
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
    stream: Wire,
    idle: Pin<Box<Sleep>>,
    patience: Duration,
    _slot: OwnedSemaphorePermit,
}

/// A socket, what becomes of one by TLS, and one that failed at it.
enum Wire {
    Clear(TcpStream),
    Shaking(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    Failed,
}

impl Wire {
    /// The stream, once it is one.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Open<'_>>> {
        if let Self::Shaking(shaking) = self {
            *self = match std::task::ready!(Pin::new(shaking).poll(cx)) {
                Ok(stream) => Self::Tls(Box::new(stream)),
                Err(_) => Self::Failed,
            };
        }
        Poll::Ready(match self {
            Self::Clear(stream) => Ok(Open::Clear(Pin::new(stream))),
            Self::Tls(stream) => Ok(Open::Tls(Pin::new(stream))),
            Self::Shaking(_) | Self::Failed => Err(io::ErrorKind::ConnectionAborted.into()),
        })
    }
}

enum Open<'s> {
    Clear(Pin<&'s mut TcpStream>),
    Tls(Pin<&'s mut TlsStream<TcpStream>>),
}

/// The same on either.
macro_rules! of {
    ($wire:expr, $cx:expr, $stream:pat => $body:expr) => {
        match $wire.poll_open($cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(Open::Clear($stream))) => $body,
            Poll::Ready(Ok(Open::Tls($stream))) => $body,
        }
    };
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
        let moved = of!(self.stream, cx, stream => stream.poll_read(cx, buffer));
        self.within(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = of!(self.stream, cx, stream => stream.poll_write(cx, bytes));
        self.within(cx, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of!(self.stream, cx, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of!(self.stream, cx, stream => stream.poll_shutdown(cx))
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
