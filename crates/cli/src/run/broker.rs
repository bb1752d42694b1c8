//! Where the child logs in: a socket in a directory that is this user's alone, or a port of the loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use gateway::broker::Broker;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::place::Place;
use crate::client::part;
use crate::gate::Gate;
use crate::mint::Minter;

/// A broker that serves.
pub(super) struct Serving {
    broker: Arc<Broker<Minter>>,
    way: Way,
    task: JoinHandle<()>,
}

enum Way {
    Socket(Place),
    Port(u16),
}

/// Starts one.
pub(super) async fn start(gate: Gate, minter: Minter, port: Option<u16>) -> anyhow::Result<Serving> {
    let broker = Broker::new(gate.into(), minter).context("the system gives no randomness")?;
    let broker = Arc::new(broker);
    let (way, task) = match port {
        None => {
            let place = Place::make()?;
            let socket = place.socket();
            let listener = UnixListener::bind(&socket)
                .with_context(|| format!("cannot listen on {}", socket.display()))?;
            let serving = Arc::clone(&broker).serve_unix(listener, place.user);
            (Way::Socket(place), tokio::spawn(serving))
        }
        Some(port) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            // Whoever listens there already would be given what the child sends.
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}: is the port taken? Another is given with --port")
            })?;
            let serving = Arc::clone(&broker).serve_tcp(listener);
            (Way::Port(port), tokio::spawn(serving))
        }
    };
    Ok(Serving { broker, way, task })
}

impl Serving {
    /// What leads the child here, by libpq's names and as a URL.
    pub(super) fn environment(&self, agent: &str, target: Option<&str>) -> Vec<(&'static str, String)> {
        let (secret, user) = (self.broker.secret(), part(agent));
        let database = target.map(part).unwrap_or_default();
        let (host, port, url) = match &self.way {
            Way::Socket(place) => {
                let directory = place.path().display().to_string();
                let url =
                    format!("postgresql://{user}:{secret}@/{database}?host={}&port=5432", part(&directory));
                (directory, 5432, url)
            }
            Way::Port(port) => {
                let url = format!("postgresql://{user}:{secret}@127.0.0.1:{port}/{database}?sslmode=disable");
                ("127.0.0.1".to_owned(), *port, url)
            }
        };
        let mut all = vec![
            ("PGHOST", host),
            ("PGPORT", port.to_string()),
            ("PGUSER", agent.to_owned()),
            ("PGPASSWORD", secret.to_owned()),
            // The way to the broker does not leave this machine; the broker's own to the gateway is another.
            ("PGSSLMODE", "disable".to_owned()),
            ("PGGSSENCMODE", "disable".to_owned()),
            ("DATABASE_URL", url),
        ];
        all.extend(target.map(|target| ("PGDATABASE", target.to_owned())));
        all
    }

    /// Serves nobody any more; its tokens are of no use.
    pub(super) async fn end(self) {
        self.task.abort();
        self.broker.mint().end().await;
    }
}
