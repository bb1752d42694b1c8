//! Whom to ask: a running gateway, or the data directory of one that does not run.

use std::sync::Arc;

use anyhow::Context as _;
use gateway::configure::Configuration;
use gateway::explain::{Asked, Explained};
use gateway::gateway::Gateway;

use crate::args::Place;
use crate::client::Client;
use crate::exit::Fault;
use crate::node;

/// Knows what is configured, and what a target's catalogue makes of a statement.
pub(super) enum Oracle {
    /// A gateway that runs.
    Running(Client),
    /// One that was started for this, serves nobody, and ends with it.
    Here { runtime: tokio::runtime::Runtime, gateway: Arc<Gateway> },
}

impl Oracle {
    /// The gateway that runs, unless a place says where one's data is.
    pub(super) fn find(client: impl Fn() -> anyhow::Result<Client>, place: &Place) -> anyhow::Result<Self> {
        if place.config.is_none() && place.data.is_none() {
            return Ok(Self::Running(client()?));
        }
        let settings = place.settings()?;
        let runtime = node::runtime()?;
        let gateway = runtime.block_on(node::without_listeners(&settings))?;
        Ok(Self::Here { runtime, gateway })
    }

    pub(super) fn configuration(&self) -> anyhow::Result<Configuration> {
        Ok(match self {
            Self::Running(client) => serde_json::from_value(client.get("/configuration")?)?,
            Self::Here { runtime, gateway } => runtime.block_on(gateway.export())?,
        })
    }

    pub(super) fn explain(&self, asked: &Asked) -> anyhow::Result<Explained> {
        match self {
            Self::Running(client) => {
                let answer = client.post("/explain", &serde_json::to_value(asked)?)?;
                serde_json::from_value(answer).context("the gateway is of another version")
            }
            Self::Here { runtime, gateway } => runtime.block_on(gateway.explain(asked)).map_err(|error| {
                if let gateway::requests::AdminError::Missing(what) = error {
                    return Fault::Missing(format!("there is no {what}")).into();
                }
                error.into()
            }),
        }
    }
}
