//! Why a target cannot be used: what is known of it, what a client hears of that, and what its operator may do.

use model::TargetName;
use policy::Denied;

use super::super::stream::ReadError;
use super::super::tls::TlsError;
use super::{Address, PATIENCE, Password};
use crate::credentials::SourceError;
use crate::targets::Contact;

/// Why a target cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host's name leads nowhere.
    #[error("its host cannot be found: {0}")]
    Name(std::io::Error),
    /// No connection.
    #[error("cannot connect: {0}")]
    Unreachable(std::io::Error),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
    /// TLS was demanded, and the server has none.
    #[error("TLS: the server does not offer it")]
    NoTls,
    /// TLS was demanded and did not come about.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server refused; its own words, which may name hosts and users, are for the log.
    #[error("refused with SQLSTATE {code}: {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
        /// The whole message, as it would go to a client.
        whole: Vec<u8>,
    },
    /// The password is somewhere else, and cannot be had.
    #[error("the target's credential cannot be had: {0}")]
    Credential(String),
    /// The server asks for a password and the target has none.
    #[error("the server asks for a password, and the target has none")]
    NoPassword,
    /// The server asks for the password itself over a connection that others could read.
    #[error("the server asks for the password in clear text over an unencrypted connection")]
    ClearText,
    /// The login was to be bound to the server's certificate, and is not.
    #[error("channel binding is required, and the server does not log in by SCRAM-SHA-256-PLUS")]
    Unbound,
    /// A way of logging in that is not spoken here.
    #[error("the server asks for an authentication method that is not supported ({0})")]
    Unsupported(u32),
    /// The server does not speak the protocol.
    #[error("protocol: {0}")]
    Protocol(&'static str),
}

impl From<SourceError> for DialError {
    fn from(error: SourceError) -> Self {
        Self::Credential(error.to_string())
    }
}

impl DialError {
    /// What the operator may do about it.
    pub fn advice(&self) -> &'static str {
        use std::io::ErrorKind;
        match self {
            Self::Name(_) => "Is the host spelt right, and does this machine's resolver know it?",
            Self::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "Nothing listens there: does PostgreSQL run, and are host and port right?"
            }
            Self::Unreachable(error) if error.kind() == ErrorKind::NotFound => {
                "There is no such socket: does PostgreSQL run, and are its directory and port right?"
            }
            Self::Unreachable(error) if error.kind() == ErrorKind::UnexpectedEof => {
                "It hung up: is it PostgreSQL that listens there, and does it let this machine in?"
            }
            Self::Unreachable(_) => "Can the host be reached from this machine?",
            Self::Timeout => "Are host and port right? A firewall may drop what is sent there.",
            Self::NoTls => {
                "Let the server encrypt (ssl = on), or have sslmode=prefer, without channel_binding=require, where nobody can read along on the way."
            }
            Self::Tls(_) => {
                "sslrootcert names the authority's certificate in PEM, if the system does not know it; verify-full needs the \
                 very name or address that the server's certificate has; sslmode=require without sslrootcert encrypts and \
                 asks nobody who answers."
            }
            Self::Refused { code, .. } => match code.as_str() {
                "28P01" => "Is the password right, and is the user?",
                "28000" => {
                    "Is there such a role, may it log in, and does the server's pg_hba.conf let it in from here, with this sslmode?"
                }
                "3D000" => "Is the database's name spelt right?",
                "42501" => "The role needs CONNECT on the database.",
                "53300" => "Wait, or let the server have more connections.",
                "55000" => {
                    "The database takes no connections (ALLOW_CONNECTIONS): is it the one that is meant?"
                }
                "57P03" => "Wait until it has started; if it is a standby, let it answer (hot_standby = on).",
                _ => "The server says why.",
            },
            Self::Credential(_) => "Look at [credentials] in durward.toml, and at where it leads.",
            Self::NoPassword => {
                "Give one: to `up` by --password-file, .pgpass or at the prompt; to `apply` by password_file in the target's file."
            }
            Self::ClearText => "Use sslmode=verify-full, so that nobody on the way reads it.",
            Self::Unbound => {
                "Let the server ask for scram-sha-256 over TLS; what ends TLS before it cannot bind. Without channel_binding, \
                 have sslmode=verify-full."
            }
            Self::Unsupported(_) => "Let the server ask for scram-sha-256 in its pg_hba.conf.",
            Self::Protocol(_) => "Is it PostgreSQL that listens there?",
        }
    }

    /// A command that shows the operator more of it, from where the gateway runs. It says nothing secret.
    pub(crate) fn look(&self, address: &Address, user: &str, database: &str) -> Option<String> {
        let psql = |host: &str, port: u16| {
            let [host, user, database] = [host, user, database].map(shell);
            Some(format!("psql -h {host} -p {port} -U {user} -d {database} -c 'SELECT 1'"))
        };
        let (host, port) = match address {
            Address::Tcp { host, port } => (host.clone(), *port),
            Address::Unix { directory, port } => (directory.display().to_string(), *port),
        };
        match self {
            Self::Name(_) => Some(format!("getent hosts {}", shell(&host))),
            Self::Unreachable(_) | Self::Timeout | Self::Protocol(_) => {
                Some(format!("pg_isready -h {} -p {port}", shell(&host)))
            }
            Self::NoTls | Self::Tls(_) => Some(format!(
                "openssl s_client -starttls postgres -showcerts -connect {} </dev/null",
                shell(&address.to_string())
            )),
            Self::Refused { .. }
            | Self::NoPassword
            | Self::ClearText
            | Self::Unbound
            | Self::Unsupported(_) => psql(&host, port),
            // Where it leads is in a file that only its owner reads.
            Self::Credential(_) => None,
        }
    }

    /// Whether the server did not take the password.
    pub(crate) fn is_login(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "28P01" || code == "28000")
    }

    /// What a client is told: whose fault it is, without the server's words.
    pub fn for_client(&self) -> (&'static str, &'static str) {
        use std::io::ErrorKind;
        match self {
            Self::Name(_) => ("08001", "the target cannot be reached: its host's name is not found"),
            Self::Unreachable(error)
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
            {
                ("08001", "the target cannot be reached: nothing listens there")
            }
            Self::Unreachable(_) => ("08001", "the target cannot be reached"),
            Self::Timeout => ("08001", "the target cannot be reached: it does not answer"),
            Self::NoTls => {
                ("08001", "the target offers no TLS, without which the gateway does not log in to it")
            }
            Self::Tls(_) | Self::Unbound => {
                ("08001", "no trusted TLS connection to the target could be made")
            }
            Self::Refused { code, .. } => match code.as_str() {
                "28P01" => (
                    "08004",
                    "the gateway's own login to the target failed: its password is not accepted there",
                ),
                code if code.starts_with("28") => {
                    ("08004", "the gateway's own login to the target failed: the target does not let it in")
                }
                "3D000" => ("3D000", "the target's database does not exist"),
                "42501" => (
                    "08004",
                    "the gateway's own login to the target failed: it may not use the target's database",
                ),
                "53300" => ("53300", "the target has too many connections"),
                "55000" => ("08004", "the target's database takes no connections"),
                "57P03" => ("57P03", "the target is starting up, shutting down or recovering"),
                _ => ("08004", "the target refused the connection"),
            },
            Self::Credential(_) => ("08004", "the gateway cannot get its credential for the target"),
            Self::NoPassword => (
                "08004",
                "the gateway's own login to the target failed: it has no password, and is asked for one",
            ),
            Self::ClearText | Self::Unsupported(_) => {
                ("08004", "the target asks for a login that the gateway cannot make")
            }
            Self::Protocol(_) => ("08P01", "the target does not speak PostgreSQL's protocol"),
        }
    }

    /// The same in one word, for whoever watches the gateway.
    pub(crate) fn contact(&self) -> Contact {
        match self {
            Self::Name(_) => Contact::Unresolved,
            Self::Unreachable(_) | Self::Timeout | Self::Protocol(_) => Contact::Unreachable,
            Self::NoTls | Self::Tls(_) | Self::Unbound => Contact::Untrusted,
            Self::Refused { code, .. } => match code.as_str() {
                "3D000" | "55000" => Contact::NoDatabase,
                "53300" => Contact::Full,
                "57P03" => Contact::NotReady,
                code if code == "42501" || code.starts_with("28") => Contact::LoginRefused,
                _ => Contact::Unreachable,
            },
            Self::Credential(_) => Contact::NoCredential,
            Self::NoPassword | Self::ClearText | Self::Unsupported(_) => Contact::LoginRefused,
        }
    }
}

/// A refusal of what needs a target that cannot be used: why, and what whoever runs the gateway may do.
pub(crate) fn untold(target: &TargetName, code: &'static str, reason: String) -> Denied {
    Denied { code, reason, hint: Some(way_on(target)), policies: Vec::new(), version: "".into() }
}

/// Whom to ask. The client can do nothing about it.
pub(crate) fn way_on(target: &TargetName) -> String {
    format!("Whoever runs the gateway sees why, and what mends it: durward doctor {}", shell(target.as_str()))
}

/// As a shell takes it for one word.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl DialError {
    /// The server's own message, for a client that may see everything: what it asked for itself does not exist, or is no
    /// valid setting. What concerns the gateway's login stays with the gateway, and so does what repeats its password.
    pub fn own_words(&self, password: Option<&Password>) -> Option<&[u8]> {
        let Self::Refused { code, whole, .. } = self else { return None };
        let repeats = |secret: &[u8]| !secret.is_empty() && whole.windows(secret.len()).any(|w| w == secret);
        (!code.starts_with("28") && !password.is_some_and(|password| repeats(&password.bytes)))
            .then_some(whole)
    }
}

impl From<ReadError> for DialError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Unreachable(error),
            ReadError::Malformed(wire::Malformed(why)) => Self::Protocol(why),
        }
    }
}

impl From<wire::Malformed> for DialError {
    fn from(wire::Malformed(why): wire::Malformed) -> Self {
        Self::Protocol(why)
    }
}

impl From<std::io::Error> for DialError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreachable(error)
    }
}

impl From<TlsError> for DialError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.to_string())
    }
}
