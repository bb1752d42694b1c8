//! Tokens for a run: minted when they are needed, renewed before they end, revoked when the run does.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use gateway::broker::{Mint, Minted};
use gateway::net::dial::Password;
use gateway::requests::NewToken;
use serde_json::Value;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::client::{Client, part};
use crate::exit::Fault;
use crate::login::{Desk, Stored};
use crate::show::field;

/// What tokens are for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The agent that they are for; whoever asks, where there is none.
    pub agent: Option<String>,
    /// Who asks, where that is only said: with the administrator's secret.
    pub user: Option<String>,
    pub targets: Vec<String>,
    pub purpose: Option<String>,
    /// In seconds.
    pub life: u64,
}

/// Who vouches for the user.
enum Source {
    /// Whoever has the administrator's secret says who it is.
    Administrator(Client, NewToken),
    /// They signed in.
    SignedIn(Stored),
}

/// A token just minted, and its id.
pub(crate) struct Fresh {
    pub id: String,
    pub token: Zeroizing<String>,
}

impl Source {
    /// The sign-in of this machine's user, unless a user is named.
    fn of(client: impl Fn() -> anyhow::Result<Client>, wanted: &Wanted) -> anyhow::Result<Self> {
        match &wanted.user {
            None => Ok(Self::SignedIn(Stored::usable()?)),
            Some(user) => Ok(Self::Administrator(client()?, wanted.said_of(user))),
        }
    }

    fn mint(&self, wanted: &Wanted) -> anyhow::Result<Fresh> {
        match self {
            Self::Administrator(client, token) => {
                let issued = client.post("/tokens", &serde_json::to_value(token)?)?;
                Ok(Fresh { id: field(&issued, "id"), token: Zeroizing::new(field(&issued, "token")) })
            }
            Self::SignedIn(stored) => {
                let Wanted { agent, user: _, targets, purpose, life } = wanted;
                let desk = Desk::new(&stored.agents)?;
                let given = desk.mint(&stored.token, agent.as_deref(), targets, purpose.as_deref(), *life)?;
                let id = given.token.rsplit_once('_').map(|(id, _)| id.to_owned());
                let id =
                    id.ok_or_else(|| Fault::Invalid("the gateway gave no token of its own".to_owned()))?;
                Ok(Fresh { id, token: given.token })
            }
        }
    }

    fn revoke(&self, fresh: &Fresh) -> anyhow::Result<()> {
        match self {
            Self::Administrator(client, _) => {
                client.post(&format!("/tokens/{}/revoke", part(&fresh.id)), &Value::Null).map(drop)
            }
            Self::SignedIn(stored) => Desk::new(&stored.agents)?.revoke(&fresh.token),
        }
    }
}

impl Wanted {
    /// The same, in the administrator's words.
    fn said_of(&self, user: &str) -> NewToken {
        let Self { agent, user: _, targets, purpose, life } = self;
        let name = user.strip_prefix("user:").unwrap_or(user).to_owned();
        let (kind, name, on_behalf_of) = match agent {
            Some(agent) => ("agent", agent.clone(), vec![format!("user:{name}")]),
            None => ("user", name, Vec::new()),
        };
        NewToken {
            kind: kind.to_owned(),
            name,
            groups: Vec::new(),
            on_behalf_of,
            purpose: purpose.clone(),
            targets: targets.clone(),
            seconds: *life,
        }
    }

    /// One token that is kept nowhere here.
    pub(crate) fn fresh(&self, client: impl Fn() -> anyhow::Result<Client>) -> anyhow::Result<Fresh> {
        Source::of(client, self)?.mint(self)
    }
}

/// Mints as long as a run lasts.
pub(crate) struct Minter {
    source: Arc<Source>,
    wanted: Wanted,
    last: Mutex<Option<(Arc<Minted>, Instant)>>,
    all: std::sync::Mutex<Vec<Fresh>>,
}

impl Minter {
    pub(crate) fn new(client: impl Fn() -> anyhow::Result<Client>, wanted: Wanted) -> anyhow::Result<Self> {
        let source = Arc::new(Source::of(client, &wanted)?);
        Ok(Self { source, wanted, last: Mutex::default(), all: std::sync::Mutex::default() })
    }

    /// Mints the first, so that what is wrong is known.
    pub(crate) async fn first(&self) -> anyhow::Result<()> {
        self.current().await.map(drop)
    }

    async fn current(&self) -> anyhow::Result<Arc<Minted>> {
        let mut last = self.last.lock().await;
        let life = Duration::from_secs(self.wanted.life);
        if let Some((minted, since)) = &*last
            && since.elapsed() < life / 2
        {
            return Ok(Arc::clone(minted));
        }
        let (source, wanted) = (Arc::clone(&self.source), self.wanted.clone());
        let fresh = tokio::task::spawn_blocking(move || source.mint(&wanted)).await??;
        let token = Password::new(Zeroizing::new(fresh.token.as_bytes().to_vec()));
        let minted = Arc::new(Minted { id: fresh.id.clone(), token });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(fresh);
        *last = Some((Arc::clone(&minted), Instant::now()));
        Ok(minted)
    }

    /// One that is good for a while, as text.
    pub(crate) async fn text(&self) -> anyhow::Result<Zeroizing<String>> {
        let minted = self.current().await?;
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|fresh| fresh.id == minted.id).map(|fresh| fresh.token.clone());
        found.ok_or_else(|| Fault::Unauthorized("the token was given back".to_owned()).into())
    }

    /// Revokes what was minted: nobody has a use for it any more.
    pub(crate) async fn end(&self) {
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        let source = Arc::clone(&self.source);
        let revoke = move || {
            for fresh in all {
                if let Err(error) = source.revoke(&fresh) {
                    eprintln!("durward: {} could not be revoked, and ends by itself: {error:#}", fresh.id);
                }
            }
        };
        let _ = tokio::task::spawn_blocking(revoke).await;
    }
}

impl Mint for Minter {
    async fn token(&self) -> Result<Arc<Minted>, String> {
        self.current().await.map_err(|error| format!("{error:#}"))
    }
}
