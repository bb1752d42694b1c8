//! CancelRequests: which session a client means, and that it may.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, rand};
use hashbrown::HashMap;
use tokio::sync::Notify;

use super::dial::Address;
use super::tls::UpstreamTls;

/// So many wrong secrets of four bytes may be tried for one process id in each [`WINDOW`] from anywhere but where its session is:
/// they must not be found by trying. Whoever is where the session is can always be its client.
const MOST_GUESSES: u32 = 10;
/// The time in which wrong secrets are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The bytes of a secret of protocol 3.0.
const SHORT: usize = 4;

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
    /// Where its client is.
    pub client: IpAddr,
}

/// All sessions of this gateway that can be cancelled.
#[derive(Clone, Default)]
pub struct CancelRegistry(Arc<Mutex<HashMap<u32, Process>>>);

/// The sessions of one process id. Targets may give equal ones, so it has several.
#[derive(Default)]
struct Process {
    entries: Vec<Entry>,
    /// Since when wrong secrets are counted, and how many there were.
    guesses: Option<(Instant, u32)>,
}

impl Process {
    fn is_guessed_at(&mut self) -> bool {
        self.guesses = self.guesses.filter(|(since, _)| since.elapsed() < WINDOW);
        self.guesses.is_some_and(|(_, wrong)| wrong >= MOST_GUESSES)
    }
}

struct Entry {
    secret: Vec<u8>,
    session: Arc<Cancellable>,
}

/// A session's entry; leaves when it is dropped.
pub struct Registration {
    registry: CancelRegistry,
    session: Arc<Cancellable>,
    process: u32,
    secret: Vec<u8>,
}

impl Registration {
    /// What the client must bring.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What a cancel does to it.
    pub fn session(&self) -> &Cancellable {
        &self.session
    }
}

impl CancelRegistry {
    /// Enters a session under a secret of ours: 4 bytes for protocol 3.0, 32 for 3.2. `None` without randomness.
    pub fn register(&self, session: Cancellable, minor: u16) -> Option<Registration> {
        let mut secret = vec![0; if minor >= 2 { 32 } else { SHORT }];
        rand::fill(&mut secret).ok()?;
        let process = session.process;
        let session = Arc::new(session);
        let entry = Entry { secret: secret.clone(), session: Arc::clone(&session) };
        self.locked().entry(process).or_default().entries.push(entry);
        Some(Registration { registry: self.clone(), session, process, secret })
    }

    /// The session that a CancelRequest from somewhere means, if its secret is the right one. Who guesses takes nothing from whom
    /// it belongs to: long secrets are always compared, short ones where their session is.
    pub fn find(&self, process: u32, secret: &[u8], from: IpAddr) -> Option<Arc<Cancellable>> {
        let mut processes = self.locked();
        let of_id = processes.get_mut(&process)?;
        let is_guessed_at = of_id.is_guessed_at();
        let same = |e: &&Entry| {
            (!is_guessed_at || e.secret.len() > SHORT || e.session.client == from)
                && constant_time::verify_slices_are_equal(&e.secret, secret).is_ok()
        };
        let found = of_id.entries.iter().find(same).map(|e| Arc::clone(&e.session));
        if found.is_none() {
            let (since, wrong) = of_id.guesses.unwrap_or_else(|| (Instant::now(), 0));
            of_id.guesses = Some((since, wrong.saturating_add(1)));
            if wrong.saturating_add(1) == MOST_GUESSES {
                tracing::warn!(
                    process,
                    "many wrong cancel secrets: for a while they are heard from its client's address alone"
                );
            }
        }
        found
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.registry.locked();
        if let Some(same) = entries.get_mut(&self.process) {
            same.entries.retain(|e| e.secret != self.secret);
            if same.entries.is_empty() {
                entries.remove(&self.process);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn session(process: u32) -> Cancellable {
        Cancellable {
            held: Arc::default(),
            address: Address::new("localhost", 1),
            tls: UpstreamTls::default(),
            process,
            secret: vec![0; 4],
            client: HERE,
        }
    }

    #[test]
    fn secrets_are_not_found_by_trying_and_who_tries_is_in_nobodys_way() {
        let registry = CancelRegistry::default();
        let one = registry.register(session(7), 0).expect("registered");
        let long = registry.register(session(7), 2).expect("registered");
        let other = registry.register(session(8), 0).expect("registered");
        let wrong: Vec<u8> = one.secret().iter().map(|b| !b).collect();
        let finds = |process, secret: &[u8], from| registry.find(process, secret, from).is_some();
        assert!(!finds(7, &wrong, ELSEWHERE) && finds(7, one.secret(), ELSEWHERE));
        for _ in 0..2 * MOST_GUESSES {
            assert!(!finds(7, &wrong, ELSEWHERE));
        }
        assert!(!finds(7, one.secret(), ELSEWHERE), "nobody there is heard for a while");
        assert!(finds(7, one.secret(), HERE), "its owner is");
        assert!(finds(7, long.secret(), ELSEWHERE), "what nobody can guess is");
        assert!(finds(8, other.secret(), ELSEWHERE), "another session is not meant");
        for _ in 0..2 * MOST_GUESSES {
            assert!(!finds(7, &wrong, HERE));
        }
        assert!(finds(7, one.secret(), HERE), "also while somebody guesses there");
        std::thread::sleep(WINDOW);
        assert!(finds(7, one.secret(), ELSEWHERE));
    }

    #[test]
    fn only_the_right_secret_finds_a_session_and_only_while_it_lives() {
        let registry = CancelRegistry::default();
        let one = registry.register(session(7), 0).expect("registered");
        let other = registry.register(session(7), 2).expect("registered");
        assert_eq!((one.secret().len(), other.secret().len()), (4, 32));
        assert!(registry.find(7, one.secret(), HERE).is_some());
        assert!(registry.find(8, one.secret(), HERE).is_none());
        assert!(registry.find(7, b"four", HERE).is_none() && registry.find(7, b"", HERE).is_none());
        let secret = one.secret().to_vec();
        drop(one);
        assert!(registry.find(7, &secret, HERE).is_none());
        assert!(registry.find(7, other.secret(), HERE).is_some());
    }
}
