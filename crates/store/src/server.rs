//! A PostgreSQL server as the store: its address, its connections, and what is to be done when it does not answer.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Executor as _, PgConnection, Postgres, Transaction};

use crate::StoreError;

/// Connections of one gateway, beside the one that listens.
const CONNECTIONS: u32 = 8;
/// A connection that was idle for longer is asked whether it still lives.
const FRESH: Duration = Duration::from_secs(1);

/// Where a server is and how it is reached. It is never printed with its password.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    patience: Duration,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { options, patience: _ } = self;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(socket) => write!(f, "postgres database {database} at {}", socket.display()),
            None => {
                write!(f, "postgres database {database} at {}:{}", options.get_host(), options.get_port())
            }
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// From `postgres://user@host:port/database?sslmode=…&sslrootcert=…`. Without `sslmode` a server on another machine must
    /// show a certificate for its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or("a store is written postgres://user@host:port/database")?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let names: Vec<&str> =
            parameters.split('&').map(|p| p.split_once('=').map_or(p, |(name, _)| name)).collect();
        let userinfo = place.rsplit_once('@').map_or("", |(user, _)| user);
        if userinfo.contains(':') || names.contains(&"password") {
            return Err(
                "there is a password in the address: give it beside, as password = { file = \"…\" } or \
                        { env = \"…\" }"
                    .to_owned(),
            );
        }
        let known =
            ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "dbname", "user", "options", ""];
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            let known = known.join(", ");
            return Err(format!("the store's address has no parameter \"{name}\"; there are {known}"));
        }
        if userinfo.is_empty() && !names.contains(&"user") {
            return Err("the store's address has no user: postgres://user@host:port/database".to_owned());
        }
        let options =
            PgConnectOptions::from_str(url).map_err(|error| format!("the store's address: {error}"))?;
        // What stands in the environment for other programs does not weaken ours.
        let options = if names.contains(&"sslmode") {
            options
        } else if is_here(&options) {
            options.ssl_mode(PgSslMode::Prefer)
        } else {
            options.ssl_mode(PgSslMode::VerifyFull)
        };
        let options = options.application_name("durward");
        Ok(Self { options, patience: Duration::from_secs(5) })
    }

    /// With a password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.options = self.options.password(password);
        self
    }

    /// With another bound on how long an answer is waited for.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether who answers there must prove by a certificate that they are meant, or is this machine.
    pub fn is_verified(&self) -> bool {
        match self.options.get_ssl_mode() {
            PgSslMode::VerifyFull => true,
            PgSslMode::Disable
            | PgSslMode::Allow
            | PgSslMode::Prefer
            | PgSslMode::Require
            | PgSslMode::VerifyCa => is_here(&self.options),
        }
    }
}

fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || Path::new(host).is_absolute()
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The connections to a server. Clones share them.
#[derive(Clone)]
pub(crate) struct Server {
    pool: PgPool,
    /// How another one is made.
    options: PgConnectOptions,
    patience: Duration,
    silence: Silence,
}

/// When a server was last silent: connections that are older are not used again.
#[derive(Clone)]
struct Silence {
    begun: Instant,
    /// In milliseconds since then; 0 for never.
    last: Arc<AtomicU64>,
}

impl Silence {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note(&self) {
        self.last.store(self.now().max(1), Ordering::Relaxed);
    }

    fn is_since(&self, age: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let made = self.now().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        last != 0 && made <= last
    }
}

impl Server {
    pub(crate) async fn connect(address: &Address) -> Result<Self, StoreError> {
        let Address { options, patience } = address;
        let silence = Silence { begun: Instant::now(), last: Arc::default() };
        let silent = silence.clone();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(*patience)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let is_old = silent.is_since(meta.age);
                Box::pin(async move {
                    if is_old || meta.idle_for < FRESH {
                        return Ok(!is_old);
                    }
                    sqlx::Connection::ping(connection).await.map(|()| true)
                })
            })
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect_lazy_with(options.clone());
        let server = Self { pool, options: options.clone(), patience: *patience, silence };
        // Whether it is there is found now.
        drop(server.acquire().await?);
        Ok(server)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    pub(crate) async fn close(&self) {
        // A server that is silent is not waited for.
        let _ = tokio::time::timeout(self.patience, self.pool.close()).await;
    }

    /// A connection for one thing.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let acquired = within(self.patience, self.pool.acquire()).await;
        self.hear(&acquired);
        acquired
    }

    /// Takes the connection back, if it is one that answers.
    pub(crate) fn settle<T>(
        &self,
        connection: PoolConnection<Postgres>,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.hear(&done);
        if matches!(done, Err(StoreError::Silent)) {
            // It is not waited for a goodbye.
            drop(connection.detach());
        }
        done
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let begun = within(self.patience, self.pool.begin()).await;
        self.hear(&begun);
        begun
    }

    fn hear<T>(&self, done: &Result<T, StoreError>) {
        if matches!(done, Err(StoreError::Silent)) {
            self.silence.note();
        }
    }

    /// Hears of changes, on a connection of its own: one that is silent keeps none from the next.
    pub(crate) async fn ears(&self) -> Result<PgListener, StoreError> {
        if self.pool.is_closed() {
            return Err(StoreError::Database(sqlx::Error::PoolClosed));
        }
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(self.patience);
        let own = own.connect_lazy_with(self.options.clone());
        let listen = async {
            let mut ears = PgListener::connect_with(&own).await?;
            ears.listen("durward").await?;
            Ok(ears)
        };
        within(self.patience, listen).await
    }
}

/// What every connection begins with. An approval that was used must stay used when the power fails.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET default_transaction_isolation = 'serializable'; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        )
        .await?;
    Ok(())
}

/// Not longer than this.
pub(crate) async fn within<T>(
    patience: Duration,
    done: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, done).await {
        Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => Err(StoreError::Silent),
        Ok(done) => Ok(done?),
    }
}
