//! Whose statement is looked at, on a connection of the gateway's own.

use sql::postgres::outline::{literal, quoted};

use super::super::control::{Control, ControlError};
use super::super::request::Request;
use super::super::under::LOGIN;

/// Settings that are not a client's here: how long it may take, and that it only reads.
pub(super) const OURS: [&str; 13] = [
    "search_path",
    "role",
    "statement_timeout",
    "lock_timeout",
    "default_transaction_read_only",
    "transaction_read_only",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "client_connection_check_interval",
    "deadlock_timeout",
];

/// Whose statement it is, and under which settings.
pub(in crate::protocols::postgres) struct Asker {
    settings: Vec<(String, String)>,
    login: Option<String>,
    pub(super) role: String,
    pub(super) path: Vec<String>,
}

impl Asker {
    pub(in crate::protocols::postgres) fn of(request: &Request) -> Result<Self, &'static str> {
        let again = "what it means here cannot be had on another connection";
        let settings = request.under.again().ok_or(again)?;
        let path = request.under.path().iter().filter(|schema| !schema.starts_with("pg_temp"));
        let login = request.under.login().map(str::to_owned);
        Ok(Self { settings, login, role: request.under.role().to_owned(), path: path.cloned().collect() })
    }

    /// Whether a connection has logged in as the same role as its session says that it has: no other can become that again.
    pub(super) fn is_login_of(&self, control: &Control) -> bool {
        self.login.as_deref() == control.parameter(LOGIN)
    }

    /// Whether its session has set this.
    pub(super) fn sets(&self, setting: &str) -> bool {
        self.settings.iter().any(|(name, _)| name.eq_ignore_ascii_case(setting))
    }

    /// As the session is: its role, where it finds names, what it has set.
    pub(in crate::protocols::postgres) async fn enter(
        &self,
        control: &mut Control,
    ) -> Result<(), ControlError> {
        let mut all = Vec::new();
        for (name, value) in &self.settings {
            let name = name.to_ascii_lowercase();
            if !OURS.contains(&name.as_str()) {
                all.push(format!("pg_catalog.set_config({}, {}, true)", literal(&name), literal(value)));
            }
        }
        if !all.is_empty() {
            control.query(&format!("SELECT {}", all.join(", "))).await?;
        }
        // The system's own names come first anyway; where it is said, what is made without a schema's name would go there, too.
        let implied = usize::from(self.path.first().is_some_and(|schema| schema == "pg_catalog"));
        let path: Vec<String> = self.path.iter().skip(implied).map(|schema| quoted(schema)).collect();
        let path = if path.is_empty() { "''".to_owned() } else { path.join(", ") };
        control
            .query(&format!("SET LOCAL search_path = {path}; SET LOCAL ROLE {}", quoted(&self.role)))
            .await?;
        Ok(())
    }
}
