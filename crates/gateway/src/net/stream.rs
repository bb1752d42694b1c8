//! One type for every kind of connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};
use wire::Malformed;

/// A connection, towards a client or a target.
pub enum Stream {
    /// TCP, in clear.
    Tcp(TcpStream),
    /// A UNIX-domain socket.
    Unix(UnixStream),
    /// A client inside this process.
    Inside {
        /// Its other end.
        stream: DuplexStream,
        /// Whether nobody can read along between it and whoever it speaks for.
        encrypted: bool,
    },
    /// TLS of which we are the client.
    TlsClient(Box<client::TlsStream<TcpStream>>),
    /// TLS of which we are the server.
    TlsServer(Box<server::TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether nobody on the way can read it.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Inside { encrypted, .. } => *encrypted,
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::TlsClient(_) | Self::TlsServer(_) => true,
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $body:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $body,
            Stream::Unix($stream) => $body,
            Stream::Inside { stream: $stream, .. } => $body,
            Stream::TlsClient($stream) => $body,
            Stream::TlsServer($stream) => $body,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A message that was read before the session's pump takes over.
pub struct Message {
    /// Its type.
    pub kind: u8,
    /// Type, length and body.
    pub whole: Vec<u8>,
}

impl Message {
    /// As the decoders take it.
    pub fn frame(&self) -> Result<wire::postgres::Frame<'_>, Malformed> {
        wire::postgres::split(&self.whole, usize::MAX)?.ok_or(Malformed("message is cut short"))
    }
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no message, or a longer one than is taken here.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// So much of a message that is announced is made room for before it comes, in bytes.
const BELIEVED: usize = 64 * 1024;

/// Reads exactly one message of a server's, and not a byte behind it: none that is longer than its kind may be, or than `limit`.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Message, ReadError> {
    bounded(stream, |kind| wire::postgres::backend::longest(kind).min(limit)).await
}

/// Reads exactly one message and not a byte behind it. `limit` bounds its length.
pub async fn message(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Message, ReadError> {
    bounded(stream, |_| limit).await
}

async fn bounded(
    stream: &mut (impl AsyncRead + Unpin),
    limit: impl FnOnce(u8) -> usize,
) -> Result<Message, ReadError> {
    let mut whole = vec![0; 5];
    stream.read_exact(&mut whole).await?;
    let Some((kind, length)) = wire::postgres::header(&whole)? else {
        return Err(Malformed("message is cut short").into());
    };
    if length > limit(kind) {
        return Err(Malformed("message is too long").into());
    }
    if length <= BELIEVED {
        whole.resize(length, 0);
        stream.read_exact(whole.get_mut(5..).unwrap_or_default()).await?;
        return Ok(Message { kind, whole });
    }
    let rest = u64::try_from(length.saturating_sub(5)).unwrap_or(u64::MAX);
    stream.take(rest).read_to_end(&mut whole).await?;
    if whole.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Message { kind, whole })
}
