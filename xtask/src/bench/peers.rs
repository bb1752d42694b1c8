//! The ways to the server that are compared, each started with what makes it comparable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::durward::Durward;
use testkit::postgres::SUPERUSER;
use testkit::process::{Running, Stop, Usage, free_port, usage};
use testkit::{Account, Failure, Scratch};

use super::DATABASE;

/// One way to the server.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) database: &'static str,
    pub(super) user: String,
    password: String,
    /// The authority of its certificate; without one its clients come in clear.
    authority: Option<PathBuf>,
    /// The process between client and server; none on the direct way.
    pid: Option<u32>,
    _running: Option<Running>,
}

impl Peer {
    pub(super) fn at(name: &'static str, port: u16, running: Option<Running>) -> Self {
        let pid = running.as_ref().map(Running::pid);
        Self {
            name,
            port,
            database: DATABASE,
            user: SUPERUSER.to_owned(),
            password: String::new(),
            authority: None,
            pid,
            _running: running,
        }
    }

    pub(super) fn direct(server: u16) -> Self {
        Self::at("direct", server, None)
    }

    pub(super) fn relay(binary: &Path, server: u16, scratch: &Scratch) -> Result<Self, Failure> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.args(["copy", &port.to_string(), &server.to_string()]);
        Self::started("relay", command, port, scratch)
    }

    pub(super) fn haproxy(server: u16, scratch: &Scratch) -> Result<Self, Failure> {
        let (port, file) = (free_port()?, scratch.join("haproxy.cfg"));
        fs::write(
            &file,
            format!(
                "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
                 timeout server 1h\nlisten postgres\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{server}\n"
            ),
        )?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(file);
        Self::started("haproxy", command, port, scratch)
    }

    pub(super) fn pgbouncer(server: u16, scratch: &Scratch) -> Result<Self, Failure> {
        let (port, file) = (free_port()?, scratch.join("pgbouncer.ini"));
        fs::write(
            &file,
            format!(
                "[databases]\n{DATABASE} = host=127.0.0.1 port={server} user={SUPERUSER}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
                 pool_mode = session\nmax_client_conn = 2000\ndefault_pool_size = 1200\nlog_connections = 0\n\
                 log_disconnections = 0\n"
            ),
        )?;
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg(file);
        Account::unprivileged()?.runs(&mut command);
        Self::started("pgbouncer", command, port, scratch)
    }

    pub(super) fn started(
        name: &'static str,
        mut command: Command,
        port: u16,
        scratch: &Scratch,
    ) -> Result<Self, Failure> {
        let log = scratch.join(&format!("{name}.log"));
        let mut running = Running::start(&mut command, &log, Stop::Terminate)?;
        running.wait_for_port(port)?;
        Ok(Self::at(name, port, Some(running)))
    }

    pub(super) fn durward(gateway: &Durward) -> Result<Self, Failure> {
        let mut peer = Self::at("durward", gateway.port(), None);
        peer.user = "agent".to_owned();
        peer.password = gateway.token("bench")?;
        peer.pid = Some(gateway.process().pid());
        Ok(peer)
    }

    /// The same, by TLS and as somebody who has a password.
    pub(super) fn by_tls(self, authority: &Path, user: &str, password: &str) -> Self {
        let (user, password, authority) = (user.to_owned(), password.to_owned(), Some(authority.to_owned()));
        Self { user, password, authority, ..self }
    }

    /// The same, through a process that is there already.
    pub(super) fn through(self, pid: u32) -> Self {
        Self { pid: Some(pid), ..self }
    }

    /// What the process between has used so far.
    pub(super) fn usage(&self) -> Result<Option<Usage>, Failure> {
        self.pid.map(usage).transpose()
    }

    /// A client's command, on its way to this peer.
    pub(super) fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("PGPASSWORD", &self.password);
        match &self.authority {
            Some(file) => command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", file),
            None => command.env("PGSSLMODE", "disable"),
        };
        command
    }
}
