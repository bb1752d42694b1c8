//! CancelRequests: which session a client means, and that it may.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, rand};
use hashbrown::HashMap;
use tokio::sync::Notify;

use super::dial::{self, Address};
use super::tls::UpstreamTls;

/// One address may ask so often in each [`WINDOW`]: a secret of four bytes must not be found by trying.
const MOST_REQUESTS: u32 = 100;
/// The time in which requests are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// What a cancel does to one session.
pub struct Cancellable {
    /// Wakes a session whose operation is held.
    pub held: Arc<Notify>,
    /// Where its target is.
    pub address: Address,
    /// How it is reached.
    pub tls: UpstreamTls,
    /// The server's process.
    pub process: u32,
    /// The server's secret.
    pub secret: Vec<u8>,
}

/// All sessions of this gateway that can be cancelled. Targets may give equal process ids, so one id has several.
#[derive(Clone, Default)]
pub struct CancelRegistry {
    sessions: Arc<Mutex<HashMap<u32, Vec<Entry>>>>,
    requests: Arc<Mutex<Option<Counted>>>,
}

/// Requests by address since a moment.
struct Counted {
    since: Instant,
    by: HashMap<IpAddr, u32>,
}

struct Entry {
    secret: Vec<u8>,
    session: Arc<Cancellable>,
}

/// A session's entry; leaves when it is dropped.
pub struct Registration {
    registry: CancelRegistry,
    process: u32,
    secret: Vec<u8>,
}

impl Registration {
    /// What the client must bring.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl CancelRegistry {
    /// Enters a session under a secret of ours: 4 bytes for protocol 3.0, 32 for 3.2. `None` without randomness.
    pub fn register(&self, session: Cancellable, minor: u16) -> Option<Registration> {
        let mut secret = vec![0; if minor >= 2 { 32 } else { 4 }];
        rand::fill(&mut secret).ok()?;
        let process = session.process;
        let entry = Entry { secret: secret.clone(), session: Arc::new(session) };
        self.locked().entry(process).or_default().push(entry);
        Some(Registration { registry: self.clone(), process, secret })
    }

    /// Does what a CancelRequest asks for, if it may. As with PostgreSQL, nobody is told.
    pub async fn request(&self, from: IpAddr, process: u32, secret: &[u8]) {
        if !self.may_ask(from) {
            tracing::warn!(%from, "too many cancel requests: ignored");
            return;
        }
        let Some(session) = self.find(process, secret) else {
            tracing::info!(%from, process, "a cancel request that fits no session");
            return;
        };
        // A held operation has not reached the server; only those that wait right now are woken.
        session.held.notify_waiters();
        if let Err(error) =
            dial::cancel(&session.address, &session.tls, session.process, &session.secret).await
        {
            tracing::warn!(%error, process, "a cancel request did not reach the target");
        }
    }

    fn may_ask(&self, from: IpAddr) -> bool {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let counted = match requests.as_mut() {
            Some(counted) if now.duration_since(counted.since) < WINDOW => counted,
            _ => requests.insert(Counted { since: now, by: HashMap::new() }),
        };
        let count = counted.by.entry(from).or_default();
        *count = count.saturating_add(1);
        *count <= MOST_REQUESTS
    }

    /// The session that a CancelRequest means, if its secret is the right one.
    pub fn find(&self, process: u32, secret: &[u8]) -> Option<Arc<Cancellable>> {
        let entries = self.locked();
        let same = |e: &&Entry| constant_time::verify_slices_are_equal(&e.secret, secret).is_ok();
        entries.get(&process)?.iter().find(same).map(|e| Arc::clone(&e.session))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Vec<Entry>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.registry.locked();
        if let Some(same) = entries.get_mut(&self.process) {
            same.retain(|e| e.secret != self.secret);
            if same.is_empty() {
                entries.remove(&self.process);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(process: u32) -> Cancellable {
        Cancellable {
            held: Arc::default(),
            address: Address::new("localhost", 1),
            tls: UpstreamTls::default(),
            process,
            secret: vec![0; 4],
        }
    }

    #[test]
    fn guessing_secrets_is_slow() {
        let registry = CancelRegistry::default();
        let from: IpAddr = "10.0.0.1".parse().expect("address");
        let asked = (0..1000).filter(|_| registry.may_ask(from)).count();
        assert_eq!(asked, MOST_REQUESTS as usize);
        assert!(registry.may_ask("10.0.0.2".parse().expect("address")), "another address is not meant");
    }

    #[test]
    fn only_the_right_secret_finds_a_session_and_only_while_it_lives() {
        let registry = CancelRegistry::default();
        let one = registry.register(session(7), 0).expect("registered");
        let other = registry.register(session(7), 2).expect("registered");
        assert_eq!((one.secret().len(), other.secret().len()), (4, 32));
        assert!(registry.find(7, one.secret()).is_some());
        assert!(registry.find(8, one.secret()).is_none());
        assert!(registry.find(7, b"four").is_none() && registry.find(7, b"").is_none());
        let secret = one.secret().to_vec();
        drop(one);
        assert!(registry.find(7, &secret).is_none());
        assert!(registry.find(7, other.secret()).is_some());
    }
}
