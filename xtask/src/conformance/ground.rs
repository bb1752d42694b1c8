//! One server and one gateway in front of it, for all suites.

use std::path::{Path, PathBuf};

use testkit::Failure;
use testkit::durward::{Durward, Target};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::free_port;

/// What some suites need of a server: two-phase commits, logical decoding, many sessions at once.
const SETTINGS: &[&str] = &["max_prepared_transactions=64", "wal_level=logical", "max_wal_size=2GB"];

const ALLOW_ALL: &str = "@id(\"all\")\npermit (principal, action, resource);\n";

/// The roles that tokio-postgres' tests log in as, each in its own way.
const LOGINS: &str = "host all pass_user 127.0.0.1/32 password\nhost all md5_user 127.0.0.1/32 md5\n\
                      host all scram_user 127.0.0.1/32 scram-sha-256\n";

/// Which way a suite goes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    Direct,
    Through,
}

/// A server, and the gateway in front of it.
pub(super) struct Ground {
    // Dropped in this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    server: Postgres,
    python: PathBuf,
    token: String,
    /// The gateway's listener for this server: clients name real databases.
    listener: u16,
}

impl Ground {
    pub(super) fn start(binary: &Path, python: &Path) -> Result<Self, Failure> {
        let server = Postgres::start(SETTINGS)?;
        let logins = server.directory().join("data/pg_hba.conf");
        std::fs::write(&logins, format!("{LOGINS}{}", std::fs::read_to_string(&logins)?))?;
        server.sql("postgres", "SELECT pg_reload_conf()")?;
        let listener = free_port()?;
        let gateway =
            Durward::start_with(binary, &format!("targets = {{ suites = \"127.0.0.1:{listener}\" }}"))?;
        gateway.apply(&[Target::new("suites", server.port(), "postgres")], &[("all", ALLOW_ALL)])?;
        let token = gateway.token("suites")?;
        Ok(Self { gateway, server, python: python.to_owned(), token, listener })
    }

    /// What the gateway has logged.
    pub(super) fn log(&self) -> String {
        self.gateway.log()
    }

    /// What a suite's script is told, see `tests/suites/lib.sh`.
    pub(super) fn environment(&self, way: Way) -> Vec<(&'static str, String)> {
        let (port, password) = match way {
            Way::Direct => (self.server.port(), "none-is-asked-for".to_owned()),
            Way::Through => (self.listener, self.token.clone()),
        };
        let mut environment = vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", port.to_string()),
            ("PGUSER", SUPERUSER.to_owned()),
            ("PGPASSWORD", password),
            ("PGDATABASE", "postgres".to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
            ("SERVER_PORT", self.server.port().to_string()),
            ("PYTHON", self.python.display().to_string()),
        ];
        if way == Way::Through {
            environment.push(("GATEWAY_BIN", self.gateway.binary().display().to_string()));
        }
        environment
    }
}

impl Way {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Direct => "directly",
            Self::Through => "through",
        }
    }
}
