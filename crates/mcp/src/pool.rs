//! Sessions that wait for their principal's next call, so that it need not log in anew. Each is one token's, and is made as good
//! as new between two calls.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use gateway::gateway::Gateway;
use gateway::inside::Arriving;
use model::TargetName;
use zeroize::Zeroizing;

use crate::client::{Client, Lost};

/// A session waits so long for its next call.
const IDLE: Duration = Duration::from_secs(60);
/// So many wait for one token on one target: of calls that come one after the other, one is enough.
const MOST_IDLE: usize = 2;
/// And so many for one principal, whatever its clients call themselves, and wherever they come from.
const MOST_OF_ONE: usize = 4;
/// They are looked at so often.
const LOOK: Duration = Duration::from_secs(10);

/// Whose, and where: a digest of the token, the target, and from which address in which way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    principal: String,
    token: [u8; 32],
    target: TargetName,
    peer: std::net::IpAddr,
    encrypted: bool,
    application: String,
}

struct Idle<C> {
    client: C,
    since: Instant,
}

/// What waits, by whose it is.
struct Shelf<C>(HashMap<Key, Vec<Idle<C>>>);

impl<C> Shelf<C> {
    fn take(&mut self, key: &Key) -> Option<C> {
        let waiting = self.0.get_mut(key)?;
        let client = waiting.pop().map(|idle| idle.client);
        if waiting.is_empty() {
            self.0.remove(key);
        }
        client
    }

    /// Keeps one. Of its principal's, what waits longest makes room.
    fn keep(&mut self, key: Key, client: C) {
        if self.0.get(&key).is_some_and(|waiting| waiting.len() >= MOST_IDLE) {
            return;
        }
        let own = || self.0.iter().filter(|(other, _)| other.principal == key.principal);
        if own().map(|(_, waiting)| waiting.len()).sum::<usize>() >= MOST_OF_ONE {
            // The first of each was there first.
            let oldest = own().min_by_key(|(_, waiting)| waiting.first().map(|idle| idle.since));
            let oldest = oldest.map(|(other, _)| other.clone());
            if let Some((other, waiting)) = oldest.and_then(|other| self.0.remove_entry(&other)) {
                let rest: Vec<_> = waiting.into_iter().skip(1).collect();
                if !rest.is_empty() {
                    self.0.insert(other, rest);
                }
            }
        }
        self.0.entry(key).or_default().push(Idle { client, since: Instant::now() });
    }
}

/// The sessions that wait.
pub(crate) struct Pool {
    gateway: Arc<Gateway>,
    idle: Mutex<Shelf<Client>>,
}

/// Who calls.
pub(crate) struct Whose<'a> {
    pub(crate) name: String,
    pub(crate) token: &'a Zeroizing<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) encrypted: bool,
    pub(crate) client: &'a str,
}

/// A session for one call.
pub(crate) struct Lent {
    key: Key,
    pub(crate) client: Client,
}

impl Pool {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        let pool = Arc::new(Self { gateway, idle: Mutex::new(Shelf(HashMap::new())) });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// A session of this caller's on a target: one that waits, or a new one.
    pub(crate) async fn lend(&self, whose: &Whose<'_>, target: &TargetName) -> Result<Lent, Lost> {
        let mut token = [0; 32];
        token.copy_from_slice(digest(&SHA256, whose.token.as_bytes()).as_ref());
        let application = format!("mcp/{}", whose.client);
        let key = Key {
            principal: whose.name.clone(),
            token,
            target: target.clone(),
            peer: whose.peer.ip(),
            encrypted: whose.encrypted,
            application: application.clone(),
        };
        while let Some(mut client) = self.take(&key) {
            if client.is_there() {
                return Ok(Lent { key, client });
            }
        }
        let arriving =
            Arriving { peer: whose.peer, encrypted: whose.encrypted, target: target.clone(), application };
        let client =
            Client::open(&self.gateway, arriving, whose.token).await.map_err(Lost::before_it_began)?;
        Ok(Lent { key, client })
    }

    fn take(&self, key: &Key) -> Option<Client> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take(key)
    }

    /// Takes a session back whose call is over. Whoever called waits until nothing of it is left: no lock, no transaction.
    pub(crate) async fn give_back(&self, lent: Lent) {
        let Lent { key, mut client } = lent;
        if client.forget().await.is_ok() {
            self.keep(key, client);
        }
    }

    fn keep(&self, key: Key, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).keep(key, client);
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.0.retain(|_, waiting| {
            waiting.retain_mut(|idle| idle.since.elapsed() < IDLE && idle.client.is_there());
            !waiting.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use model::TargetName;

    use super::{Key, MOST_OF_ONE, Shelf};

    fn key(principal: &str, application: &str) -> Key {
        Key {
            principal: principal.to_owned(),
            token: [0; 32],
            target: TargetName::new("shop"),
            peer: std::net::IpAddr::from([127, 0, 0, 1]),
            encrypted: false,
            application: application.to_owned(),
        }
    }

    #[test]
    fn one_principal_keeps_few_waiting_whatever_its_clients_are_called() {
        let mut shelf = Shelf(HashMap::new());
        shelf.keep(key("b", "honest"), 1000);
        for number in 0..70 {
            shelf.keep(key("a", &format!("mcp/{number}")), number);
        }
        let count: usize = shelf.0.values().map(Vec::len).sum();
        assert_eq!(count, MOST_OF_ONE + 1);
        assert_eq!(shelf.take(&key("a", "mcp/69")), Some(69), "what came last is there");
        assert_eq!(shelf.take(&key("a", "mcp/0")), None, "what came first made room");
        assert_eq!(shelf.take(&key("b", "honest")), Some(1000), "that is nobody else's matter");
    }
}
