//! Listening: each connection becomes a cancel or a session, in a task of its own that can neither hurt nor outlive the
//! others unseen.
//!
//! Statements are parsed by recursive code, so the threads that run sessions have stacks of [`THREAD_STACK`] bytes; a
//! runtime that analyses statements elsewhere gives its own as much (`tokio::runtime::Builder::thread_stack_size`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::{CarriedBy, TargetName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::audit::Audit;
use crate::gateway::Gateway;
use crate::lanes::Lanes;
use crate::net::dial;
use crate::net::listen::{Accepted, Front, Negotiated, Share, negotiate};
use crate::net::tls::ServerTls;
use crate::protocols::postgres::PostgresSession;
use crate::sessions::Ended;
use crate::spine::{self, Stop};

/// The stack that worker threads need, in bytes.
pub const THREAD_STACK: usize = 16 * 1024 * 1024;
/// A connection that asks for a cancel may take so long in all.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// While the gateway drains, sessions that were busy are looked at so often.
const LOOK: Duration = Duration::from_millis(100);
/// A session that is told to end gets so long beyond the drain's own time.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The certificate that clients are shown, which may be replaced while they are served; none where clients come in clear.
pub type Certificate = ArcSwapOption<ServerTls>;

/// Serves PostgreSQL clients until the gateway drains; returns when its sessions have ended.
pub async fn serve_postgres(gateway: Arc<Gateway>, front: Front, tls: Arc<Certificate>) {
    let lanes = match Lanes::start() {
        Ok(lanes) => lanes,
        Err(error) => return tracing::error!(%error, "no threads for sessions"),
    };
    let mut tasks = JoinSet::new();
    let mut draining = gateway.draining();
    // The first of several listeners serves those who come from inside.
    let mut inside = gateway.doorbell().answer();
    loop {
        tokio::select! {
            biased;
            _ = draining.wait_for(Option::is_some) => break,
            Some(_) = tasks.join_next() => (),
            Some(accepted) = next(&mut inside) => {
                tasks.spawn(lanes.run(Box::pin(session(Arc::clone(&gateway), accepted))));
            }
            (tcp, peer, share) = front.accept() => {
                // The socket moves to the thread that will poll it.
                let Ok(tcp) = tcp.into_std() else { continue };
                let (target, bearer) = (front.target().cloned(), front.asks_for_bearer());
                let names = Arc::clone(front.names());
                let arrived = Arrived { tcp, peer, target, names, bearer, _share: share };
                let session = connection(Arc::clone(&gateway), arrived, tls.load_full(), front.bounds().login);
                tasks.spawn(lanes.run(Box::pin(session)));
            }
        }
    }
    drop(front);
    drain(&gateway, tasks).await;
}

async fn next(inside: &mut Option<UnboundedReceiver<Accepted>>) -> Option<Accepted> {
    match inside {
        Some(arriving) => arriving.recv().await,
        None => std::future::pending().await,
    }
}

/// Idle sessions end at once, busy ones when they are done or the time is over.
async fn drain(gateway: &Gateway, mut tasks: JoinSet<()>) {
    let patience = gateway.draining().borrow().unwrap_or_default();
    let mut looks = interval(LOOK);
    let all = async {
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    gateway.sessions().end_idle(&Ended::Draining);
                }
                ended = tasks.join_next() => if ended.is_none() { return },
            }
        }
    };
    if timeout(patience, all).await.is_ok() {
        return;
    }
    gateway.sessions().end(&Ended::Draining, |_| true);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(LAST_WORDS, all).await.is_err() {
        tracing::warn!(left = tasks.len(), "sessions did not end in time: cut");
    }
}

/// A connection that has been accepted, with its share of the bounds, and the target whose own listener it came to, or those
/// that it may name by its TLS.
struct Arrived {
    tcp: std::net::TcpStream,
    peer: SocketAddr,
    target: Option<TargetName>,
    names: Arc<BTreeMap<String, TargetName>>,
    bearer: bool,
    _share: Share,
}

/// One connection, from its first byte to its end.
async fn connection(
    gateway: Arc<Gateway>,
    arrived: Arrived,
    tls: Option<Arc<ServerTls>>,
    patience: Duration,
) {
    let Arrived { tcp, peer, target, names, bearer, _share } = arrived;
    let tcp = match TcpStream::from_std(tcp) {
        Ok(tcp) => tcp,
        Err(error) => return tracing::debug!(%peer, %error, "a connection that cannot be polled"),
    };
    match timeout(patience, Box::pin(negotiate(tcp, peer, tls.as_deref()))).await {
        Ok(Ok(Negotiated::Login(mut accepted))) => {
            let named = accepted.server_name().and_then(|name| names.get(name));
            if let Some(target) = target.or_else(|| named.cloned()) {
                accepted.set_target(target);
            }
            accepted.set_bearer(bearer);
            session(gateway, *accepted).await;
        }
        Ok(Ok(Negotiated::Cancel { process, secret, mut waiting })) => {
            let cancelling = async {
                cancel(&gateway, process, &secret, peer.ip()).await;
                // Over TLS an end that is not announced is an error to clients.
                let _ = waiting.shutdown().await;
            };
            if timeout(CANCEL_PATIENCE, Box::pin(cancelling)).await.is_err() {
                tracing::debug!(%peer, "a cancel took too long");
            }
        }
        Ok(Ok(Negotiated::Gone)) => (),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection ended before its login"),
        Err(_) => tracing::debug!(%peer, "a connection took too long to say what it wants"),
    }
}

/// Reaches the session that a CancelRequest means: what it holds is withdrawn, what it runs is cancelled at its target.
pub(crate) async fn cancel(gateway: &Gateway, process: u32, secret: &[u8], from: IpAddr) {
    let Some(session) = gateway.cancels().find(process, secret, from) else { return };
    session.held.notify_waiters();
    if let Err(error) = dial::cancel(&session.address, &session.tls, session.process, &session.secret).await {
        tracing::debug!(%error, "a cancel did not reach its target");
    }
}

async fn session(gateway: Arc<Gateway>, accepted: Accepted) {
    let Some(id) = gateway.session_id() else {
        tracing::error!("no randomness for a session's id");
        return;
    };
    session_of(gateway, accepted, id).await;
}

/// A session in a box of its own, made here so that whoever waits for it has no room for another.
fn caught(
    gateway: &Arc<Gateway>,
    accepted: Accepted,
    id: &str,
    audit: &mut Audit,
) -> impl Future<Output = Result<Stop, ()>> {
    CatchUnwind(Box::pin(AssertUnwindSafe(async move {
        let session = PostgresSession::new(Arc::clone(gateway), accepted, id.to_owned());
        spine::serve(session, gateway, audit).await
    })))
}

/// A session of this id, from its login to its end.
pub(crate) async fn session_of(gateway: Arc<Gateway>, accepted: Accepted, id: String) {
    let mut audit = Audit::new(&gateway, &id);
    let caught = caught(&gateway, accepted, &id, &mut audit).await;
    let stop = match caught {
        Ok(stop) => stop,
        Err(()) => {
            gateway.metrics().faults.inc();
            let stop = Stop::Broken("a panic");
            Box::pin(audit.close(&stop)).await;
            stop
        }
    };
    if let Some(run) = gateway.holds().plans().of(&id).filter(|run| run.plan.by == CarriedBy::Session) {
        if let Some(finish) = run.ended() {
            Box::pin(gateway.holds().plan_over(&id, &run, finish)).await;
        }
        gateway.holds().plans().end(&id);
    }
    gateway.metrics().ended(stop.word());
    match stop {
        Stop::Done
        | Stop::Denied(_)
        | Stop::NoLeave(_)
        | Stop::Unopened(_)
        | Stop::Login(_)
        | Stop::Ended(_) => {
            tracing::info!(session = id, "session ended: {stop}");
        }
        Stop::Violation(_) | Stop::Upstream(_) => tracing::warn!(session = id, "session ended: {stop}"),
        Stop::Journal | Stop::Recording | Stop::Broken(_) => {
            tracing::error!(session = id, "session ended: {stop}")
        }
    }
}

/// Turns a panic of a session's into its end. What it shares with others is behind locks that survive poisoning.
struct CatchUnwind<F>(Pin<Box<AssertUnwindSafe<F>>>);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}
