//! Why a target cannot be used: what is known of it, what a client hears of that, and what its operator may do.

use super::super::stream::ReadError;
use super::super::tls::TlsError;
use super::{PATIENCE, Password};
use crate::credentials::SourceError;

/// Why a target cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Unreachable(std::io::Error),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
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
            Self::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "Nothing listens there: does PostgreSQL run, and are host and port right?"
            }
            Self::Unreachable(error) if error.kind() == ErrorKind::UnexpectedEof => {
                "It hung up: is it PostgreSQL that listens there, and does it let this machine in?"
            }
            Self::Unreachable(_) => "Is the host spelt right, and can it be reached from this machine?",
            Self::Timeout => "Are host and port right? A firewall may drop what is sent there.",
            Self::Tls(_) => {
                "sslrootcert names the authority's certificate in PEM, if the system does not know it; verify-full needs the \
                 very name or address that the server's certificate has; sslmode=require encrypts without asking who answers."
            }
            Self::Refused { code, .. } if code == "28P01" => "Is the password right, and is the user?",
            Self::Refused { code, .. } if code.starts_with("28") => {
                "Does the server's pg_hba.conf let this user in from here, with this sslmode?"
            }
            Self::Refused { code, .. } if code == "3D000" => "Is the database's name spelt right?",
            Self::Refused { code, .. } if code == "53300" => "Wait, or let the server have more connections.",
            Self::Refused { .. } => "The server says why.",
            Self::Credential(_) => "Look at [credentials] in durward.toml, and at where it leads.",
            Self::NoPassword => {
                "Give one: to `up` by --password-file, .pgpass or at the prompt; to `apply` by password_file in the target's file."
            }
            Self::ClearText => "Use sslmode=verify-full, so that nobody on the way reads it.",
            Self::Unsupported(_) => "Let the server ask for scram-sha-256 in its pg_hba.conf.",
            Self::Protocol(_) => "Is it PostgreSQL that listens there?",
        }
    }

    /// Whether the server did not take the password.
    pub(crate) fn is_login(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "28P01" || code == "28000")
    }

    /// What a client is told: whose fault it is, without the server's words.
    pub fn for_client(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unreachable(_) | Self::Timeout => ("08001", "the target cannot be reached"),
            Self::Tls(_) => ("08001", "no trusted TLS connection to the target could be made"),
            Self::Refused { code, .. } if code == "53300" => ("53300", "the target has too many connections"),
            Self::Refused { code, .. } if code == "57P03" => {
                ("57P03", "the target is starting up or shutting down")
            }
            Self::Refused { code, .. } if code == "3D000" => {
                ("3D000", "the target's database does not exist")
            }
            Self::Refused { code, .. } if code.starts_with("28") => {
                ("08004", "the target does not accept the gateway's credential")
            }
            Self::Refused { .. } => ("08004", "the target refused the connection"),
            Self::Credential(_) => ("08004", "the gateway cannot get its credential for the target"),
            Self::NoPassword | Self::ClearText | Self::Unsupported(_) => {
                ("08004", "the target asks for a login that the gateway cannot make")
            }
            Self::Protocol(_) => ("08P01", "the target does not speak PostgreSQL's protocol"),
        }
    }
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
