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
/// They are looked at so often.
const LOOK: Duration = Duration::from_secs(10);

/// Whose, and where: a digest of the token, the target, and from which address in which way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    token: [u8; 32],
    target: TargetName,
    peer: std::net::IpAddr,
    encrypted: bool,
    application: String,
}

struct Idle {
    client: Client,
    since: Instant,
}

/// The sessions that wait.
pub(crate) struct Pool {
    gateway: Arc<Gateway>,
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
}

/// Who calls.
pub(crate) struct Whose<'a> {
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
        let pool = Arc::new(Self { gateway, idle: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// A session of this caller's on a target: one that waits, or a new one.
    pub(crate) async fn lend(&self, whose: &Whose<'_>, target: &TargetName) -> Result<Lent, Lost> {
        let mut token = [0; 32];
        token.copy_from_slice(digest(&SHA256, whose.token.as_bytes()).as_ref());
        let application = format!("mcp/{}", whose.client);
        let key = Key {
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
        let client = Client::open(&self.gateway, arriving, whose.token).await?;
        Ok(Lent { key, client })
    }

    fn take(&self, key: &Key) -> Option<Client> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(key)?;
        let client = waiting.pop().map(|idle| idle.client);
        if waiting.is_empty() {
            idle.remove(key);
        }
        client
    }

    /// Takes a session back whose call is over. Whoever called waits until nothing of it is left: no lock, no transaction.
    pub(crate) async fn give_back(&self, lent: Lent) {
        let Lent { key, mut client } = lent;
        if client.forget().await.is_ok() {
            self.keep(key, client);
        }
    }

    fn keep(&self, key: Key, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry(key).or_default();
        if waiting.len() < MOST_IDLE {
            waiting.push(Idle { client, since: Instant::now() });
        }
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, waiting| {
            waiting.retain_mut(|idle| idle.since.elapsed() < IDLE && idle.client.is_there());
            !waiting.is_empty()
        });
    }
}
