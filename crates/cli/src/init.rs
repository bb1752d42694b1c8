//! `durward init`: the administrator's secret, shown once.

use anyhow::bail;
use serde_json::json;

use crate::args::Init;
use crate::node;
use crate::show::{self, say};

pub(crate) fn run(args: &Init) -> anyhow::Result<()> {
    let settings = args.place.settings()?;
    let data = settings.data.display().to_string();
    let made = node::runtime()?.block_on(async {
        let store = node::open_store(&settings).await?;
        let made = store.make_administrator().await?;
        store.close().await;
        anyhow::Ok(made)
    })?;
    let Some(secret) = made else {
        bail!(
            "{data} has an administrator already; its secret was shown once and cannot be shown again. If it is \
             lost, begin with another data directory and apply your configuration there"
        );
    };
    if args.json {
        show::json(&json!({ "data": data, "administrator_secret": secret.as_str() }))?;
        return Ok(());
    }
    say(format_args!("Made {data}.\n"))?;
    show_secret(&secret)
}

/// The one time that it is shown.
pub(crate) fn show_secret(secret: &str) -> anyhow::Result<()> {
    say(
        "The administrator's secret, shown this once and written nowhere. Keep it in a password manager; whoever has it",
    )?;
    say("approves held statements and changes everything:")?;
    Ok(say(format_args!("\n    {secret}\n"))?)
}
