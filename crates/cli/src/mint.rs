//! Tokens for a run: minted when they are needed, renewed before they end, revoked when the run does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::broker::{Mint, Minted};
use gateway::net::dial::Password;
use gateway::requests::NewToken;
use serde_json::Value;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::client::{Client, part};
use crate::exit::Fault;
use crate::show::field;

/// What the tokens are for.
pub(crate) struct Wanted(NewToken);

impl Wanted {
    /// An agent's, who acts for a user.
    pub(crate) fn agent(
        agent: &str,
        user: Option<&str>,
        targets: &[String],
        purpose: Option<&str>,
        life: u64,
    ) -> anyhow::Result<Self> {
        let user = user.ok_or_else(|| {
            let why = "whom does it act for? With the administrator's secret, --for user:NAME says so";
            Fault::Invalid(why.to_owned())
        })?;
        let user = if user.contains(':') { user.to_owned() } else { format!("user:{user}") };
        Ok(Self(NewToken {
            kind: "agent".to_owned(),
            name: agent.to_owned(),
            groups: Vec::new(),
            on_behalf_of: vec![user],
            purpose: purpose.map(str::to_owned),
            targets: targets.to_vec(),
            seconds: life,
        }))
    }

    /// A person's own, for one target.
    pub(crate) fn user(user: Option<&str>, target: &str, life: u64) -> anyhow::Result<Self> {
        let user = user.ok_or_else(|| {
            Fault::Invalid("who are you? With the administrator's secret, --as NAME says so".to_owned())
        })?;
        Ok(Self(NewToken {
            kind: "user".to_owned(),
            name: user.trim_start_matches("user:").to_owned(),
            groups: Vec::new(),
            on_behalf_of: Vec::new(),
            purpose: None,
            targets: vec![target.to_owned()],
            seconds: life,
        }))
    }
}

/// Mints by the admin API.
pub(crate) struct Minter {
    client: Arc<Client>,
    wanted: Wanted,
    last: Mutex<Option<(Arc<Minted>, Instant)>>,
    all: std::sync::Mutex<Vec<String>>,
}

/// One that asks as the administrator.
pub(crate) fn minter(client: impl Fn() -> anyhow::Result<Client>, wanted: Wanted) -> anyhow::Result<Minter> {
    Ok(Minter {
        client: Arc::new(client()?),
        wanted,
        last: Mutex::default(),
        all: std::sync::Mutex::default(),
    })
}

/// A token just minted, and its id.
pub(crate) struct Fresh {
    pub id: String,
    pub token: Zeroizing<String>,
}

impl Minter {
    /// Mints the first, so that what is wrong is known.
    pub(crate) async fn first(&self) -> anyhow::Result<()> {
        self.current().await.map(drop)
    }

    /// Mints one that is kept nowhere here.
    pub(crate) fn fresh(&self) -> anyhow::Result<Fresh> {
        mint(&self.client, &self.wanted.0)
    }

    async fn current(&self) -> anyhow::Result<Arc<Minted>> {
        let mut last = self.last.lock().await;
        let life = Duration::from_secs(self.wanted.0.seconds);
        if let Some((minted, since)) = &*last
            && since.elapsed() < life / 2
        {
            return Ok(Arc::clone(minted));
        }
        let (client, wanted) = (Arc::clone(&self.client), self.wanted.0.clone());
        let Fresh { id, token } = tokio::task::spawn_blocking(move || mint(&client, &wanted)).await??;
        self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(id.clone());
        let token = Password::new(Zeroizing::new(token.as_bytes().to_vec()));
        let minted = Arc::new(Minted { id, token });
        *last = Some((Arc::clone(&minted), Instant::now()));
        Ok(minted)
    }

    /// Revokes what was minted: nobody has a use for it any more.
    pub(crate) async fn end(&self) {
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let client = Arc::clone(&self.client);
        let revoke = move || {
            for id in all {
                if let Err(error) = client.post(&format!("/tokens/{}/revoke", part(&id)), &Value::Null) {
                    eprintln!("durward: {id} could not be revoked, and ends by itself: {error:#}");
                }
            }
        };
        let _ = tokio::task::spawn_blocking(revoke).await;
    }
}

fn mint(client: &Client, wanted: &NewToken) -> anyhow::Result<Fresh> {
    let issued = client.post("/tokens", &serde_json::to_value(wanted)?)?;
    let token = Zeroizing::new(field(&issued, "token"));
    Ok(Fresh { id: field(&issued, "id"), token })
}

impl Mint for Minter {
    async fn token(&self) -> Result<Arc<Minted>, String> {
        self.current().await.map_err(|error| format!("{error:#}"))
    }
}
