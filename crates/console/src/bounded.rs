//! Connections within bounds: whoever opens thousands keeps neither the administrator nor clients out. Where all places are
//! taken, whoever comes gets that of the one who waited longest, among those of the address that has most of them. Over TLS
//! where there is a certificate.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::serve::Listener;
use gateway::serve::Certificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Connections at a time.
const MOST: usize = 256;
/// A connection is cut when no answer has begun so long after its last one, or after its request has: one that comes byte by
/// byte gets no more time than others. The slowest answer (`doctor`) comes sooner.
const IDLE: Duration = Duration::from_secs(90);

/// What a client that speaks TLS begins with.
const HANDSHAKE: u8 = 22;

pub(crate) struct Bounded {
    tcp: TcpListener,
    places: Arc<Places>,
    idle: Duration,
    /// What clients are shown; none where they come in clear.
    certificate: Option<Arc<Certificate>>,
    /// Whether they may come in clear all the same.
    in_clear: bool,
}

impl Bounded {
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self { tcp, places: Arc::new(Places::new(MOST)), idle: IDLE, certificate: None, in_clear: false }
    }

    /// So many connections at a time.
    pub(crate) fn holding(self, most: usize) -> Self {
        Self { places: Arc::new(Places::new(most)), ..self }
    }

    /// Over TLS alone, with the certificate of the moment in which a client comes.
    pub(crate) fn by_tls(self, certificate: Arc<Certificate>) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// The same, and who begins in clear goes on so. What they may ask for then is another's to say.
    pub(crate) fn by_tls_or_in_clear(self, certificate: Arc<Certificate>) -> Self {
        Self { certificate: Some(certificate), in_clear: true, ..self }
    }

    /// How it is to be read. The handshake is the first thing that is read, so that whoever is slow at it holds up nobody.
    fn wire(&self, stream: TcpStream) -> Option<Wire> {
        let Some(certificate) = &self.certificate else { return Some(Wire::Clear(stream)) };
        let shown = certificate.load_full()?;
        let acceptor = TlsAcceptor::from(shown.config());
        if self.in_clear {
            return Some(Wire::Either(stream, acceptor));
        }
        Some(Wire::Shaking(Box::new(acceptor.accept(stream))))
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    let Some(stream) = self.wire(stream) else { continue };
                    let idle = Box::pin(sleep(self.idle));
                    let place = Places::enter(&self.places, peer.ip());
                    let patience = self.idle;
                    let by_tls = Arc::new(AtomicBool::new(false));
                    return (Connection { stream, by_tls, idle, patience, reading: false, place }, peer);
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

/// Who is connected, in the order of when each was last answered.
struct Places {
    most: usize,
    all: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_turn: BTreeMap<u64, (IpAddr, Arc<Cut>)>,
}

/// How a connection is told that its place went to another.
#[derive(Default)]
struct Cut {
    cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// A place among the connections.
struct Place {
    places: Arc<Places>,
    turn: u64,
    cut: Arc<Cut>,
}

impl Places {
    fn new(most: usize) -> Self {
        Self { most, all: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for whoever comes; of another, where all are taken.
    fn enter(places: &Arc<Self>, address: IpAddr) -> Place {
        let cut = Arc::<Cut>::default();
        let mut taken = places.taken();
        while taken.by_turn.len() >= places.most {
            let Some((_, loser)) = taken.first_of_most().and_then(|turn| taken.by_turn.remove(&turn)) else {
                break;
            };
            loser.end();
        }
        let turn = taken.turn();
        taken.by_turn.insert(turn, (address, Arc::clone(&cut)));
        drop(taken);
        Place { places: Arc::clone(places), turn, cut }
    }
}

impl Taken {
    fn turn(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The one who waited longest, of the address that has most.
    fn first_of_most(&self) -> Option<u64> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in self.by_turn.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let most = counts.values().max()?;
        let of_most = |address: &IpAddr| counts.get(address) == Some(most);
        self.by_turn.iter().find(|(_, (address, _))| of_most(address)).map(|(turn, _)| *turn)
    }
}

impl Cut {
    fn end(&self) {
        self.cut.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Whether it has ended; else whoever reads is woken when it does.
    fn is_ended(&self, cx: &Context<'_>) -> bool {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.cut.load(Ordering::SeqCst)
    }
}

impl Place {
    /// It was answered: others have waited longer now.
    fn answered(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.by_turn.remove(&self.turn) {
            self.turn = taken.turn();
            taken.by_turn.insert(self.turn, own);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_turn.remove(&self.turn);
    }
}

/// A connection that is cut when no answer begins.
pub(crate) struct Connection {
    stream: Wire,
    /// Whether it is one by TLS; known before anything is read of it.
    by_tls: Arc<AtomicBool>,
    idle: Pin<Box<Sleep>>,
    patience: Duration,
    /// A request has begun and no answer yet.
    reading: bool,
    place: Place,
}

/// A socket, what becomes of one by TLS, and one that failed at it.
enum Wire {
    Clear(TcpStream),
    /// Its first byte says which.
    Either(TcpStream, TlsAcceptor),
    Shaking(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    Failed,
}

impl Wire {
    /// The stream, once it is one.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Open<'_>>> {
        if let Self::Either(stream, _) = self {
            let mut first = [0];
            let mut seen = ReadBuf::new(&mut first);
            std::task::ready!(stream.poll_peek(cx, &mut seen))?;
            let is_tls = seen.filled() == [HANDSHAKE];
            *self = match std::mem::replace(self, Self::Failed) {
                Self::Either(stream, acceptor) if is_tls => Self::Shaking(Box::new(acceptor.accept(stream))),
                Self::Either(stream, _) => Self::Clear(stream),
                other @ (Self::Clear(_) | Self::Shaking(_) | Self::Tls(_) | Self::Failed) => other,
            };
        }
        if let Self::Shaking(shaking) = self {
            *self = match std::task::ready!(Pin::new(shaking).poll(cx)) {
                Ok(stream) => Self::Tls(Box::new(stream)),
                Err(_) => Self::Failed,
            };
        }
        Poll::Ready(match self {
            Self::Clear(stream) => Ok(Open::Clear(Pin::new(stream))),
            Self::Tls(stream) => Ok(Open::Tls(Pin::new(stream))),
            Self::Either(..) | Self::Shaking(_) | Self::Failed => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
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
    /// Whether it comes by TLS, once anything has been read of it.
    pub(crate) fn by_tls(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.by_tls)
    }

    /// Patience begins anew.
    fn renew(&mut self) {
        self.idle.as_mut().reset(Instant::now() + self.patience);
    }

    /// What a read or write came to, or the end of patience or of its place.
    fn within<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            return moved;
        }
        if self.place.cut.is_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether it may go on at all.
    fn goes_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.within::<()>(cx, Poll::Pending) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.goes_on(cx)?;
        let moved = of!(self.stream, cx, stream => stream.poll_read(cx, buffer));
        if matches!(self.stream, Wire::Tls(_)) {
            self.by_tls.store(true, Ordering::Release);
        }
        if moved.is_ready() && !std::mem::replace(&mut self.reading, true) {
            self.renew();
        }
        self.within(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = of!(self.stream, cx, stream => stream.poll_write(cx, bytes));
        if moved.is_ready() {
            self.reading = false;
            self.renew();
            self.place.answered();
        }
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    use super::*;

    async fn bounded(most: usize, idle: Duration) -> (Bounded, SocketAddr) {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let bounded = Bounded { places: Arc::new(Places::new(most)), idle, ..Bounded::new(tcp) };
        let address = bounded.local_addr().expect("an address");
        (bounded, address)
    }

    /// A client of an address of its own.
    async fn client(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{from}:0").parse().expect("an address")).expect("bound");
        socket.connect(to).await.expect("connected")
    }

    #[tokio::test]
    async fn who_says_nothing_is_cut() {
        let (mut bounded, address) = bounded(2, Duration::from_millis(50)).await;
        let _silent = client("127.0.0.1", address).await;
        let (mut first, _) = bounded.accept().await;
        assert_eq!(first.read_u8().await.expect_err("cut").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_says_it_byte_by_byte_is_cut_and_who_is_answered_is_not() {
        for answered in [false, true] {
            let (mut bounded, address) = bounded(2, Duration::from_millis(200)).await;
            let mut slow = client("127.0.0.1", address).await;
            let (mut connection, _) = bounded.accept().await;
            let mut outcome = Ok(());
            for _ in 0..20 {
                // It may be cut by now.
                let _ = slow.write_all(b"a").await;
                outcome = connection.read_u8().await.map(drop);
                if outcome.is_err() {
                    break;
                }
                if answered {
                    connection.write_all(b"b").await.expect("it is told");
                }
                sleep(Duration::from_millis(30)).await;
            }
            assert_eq!(outcome.is_ok(), answered, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn who_comes_takes_the_place_of_who_waited_longest() {
        let (mut bounded, address) = bounded(2, Duration::from_secs(60)).await;
        let mut clients = Vec::new();
        let mut connections = Vec::new();
        for _ in 0..2 {
            clients.push(client("127.0.0.1", address).await);
            connections.push(bounded.accept().await.0);
        }
        let (mut second, mut first) = (connections.pop().expect("two"), connections.pop().expect("two"));
        first.write_all(b"an answer").await.expect("it is told");
        let waits = tokio::spawn(async move { second.read_u8().await });
        tokio::task::yield_now().await;
        clients.push(client("127.0.0.1", address).await);
        let (_third, _) = bounded.accept().await;
        let cut =
            tokio::time::timeout(Duration::from_secs(5), waits).await.expect("at once").expect("it ends");
        assert_eq!(cut.expect_err("cut").kind(), io::ErrorKind::ConnectionAborted);
        clients.first_mut().expect("the first").write_all(b"c").await.expect("sent");
        assert_eq!(first.read_u8().await.expect("it lives on"), b'c');
    }

    #[tokio::test]
    async fn an_address_that_has_many_places_takes_none_of_others() {
        let (mut bounded, address) = bounded(3, Duration::from_secs(60)).await;
        let mut other = client("127.0.0.2", address).await;
        let (mut its_own, _) = bounded.accept().await;
        let (mut clients, mut connections) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            clients.push(client("127.0.0.1", address).await);
            connections.push(bounded.accept().await.0);
        }
        other.write_all(b"c").await.expect("sent");
        assert_eq!(its_own.read_u8().await.expect("it lives on"), b'c');
    }
}
