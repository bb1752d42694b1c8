//! Where a target's control connection goes, and how it begins.

use model::TargetName;

use crate::credentials::Credential;
use crate::net::dial::{Address, Login};
use crate::net::tls::UpstreamTls;
use crate::protocols::postgres::{Control, ControlError};

/// Where a target's control connection goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub target: TargetName,
    pub address: Address,
    pub tls: UpstreamTls,
    pub user: String,
    pub database: String,
    pub credential: Credential,
}

impl Place {
    /// Whose relations and numbers are meant, by what it is configured to be.
    pub(super) fn server(&self) -> String {
        format!("{}/{}", self.address, self.database)
    }

    /// A new connection of our own.
    pub(crate) async fn control(&self) -> Result<Control, ControlError> {
        self.connect(&parameters(&self.user, &self.database)).await
    }

    /// One that begins as a client's session does: with the search path that the server gives this role.
    pub(crate) async fn usual(&self) -> Result<Control, ControlError> {
        let mut parameters = parameters(&self.user, &self.database);
        parameters.retain(|(name, _)| name != "search_path");
        self.connect(&parameters).await
    }

    async fn connect(&self, parameters: &[(String, Vec<u8>)]) -> Result<Control, ControlError> {
        let password = self.credential.password().await.map_err(|error| ControlError::Dial(error.into()))?;
        let login = Login { user: &self.user, password: password.as_deref(), minor: 0, parameters };
        let connected = Control::connect(&self.address, &self.tls, &login).await;
        if matches!(&connected, Err(ControlError::Dial(error)) if error.is_login()) {
            // Whoever comes next reads it anew.
            self.credential.refused(password.as_ref());
        }
        connected
    }
}

/// How a connection of our own begins: it only reads, resolves no name outside the system's schema, and neither waits long
/// for others nor takes more than one of the server's processes.
fn parameters(user: &str, database: &str) -> Vec<(String, Vec<u8>)> {
    [
        ("user", user),
        ("database", database),
        ("application_name", "durward"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("default_transaction_read_only", "on"),
        ("search_path", "pg_catalog"),
        ("statement_timeout", "55s"),
        ("lock_timeout", "2s"),
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.into()))
    .collect()
}
