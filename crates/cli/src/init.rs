//! `durward init`: the administrator's secret, shown once.

use anyhow::bail;
use gateway::embedded::Embedded;
use gateway::people::{self, NewMember};
use gateway::presence::Place;
use gateway::state::State;
use serde_json::json;
use store::Store;

use crate::args::Init;
use crate::config::{CONSOLE, Settings, Source};
use crate::exit::Fault;
use crate::node;
use crate::passphrase;
use crate::show::{self, say};

pub(crate) fn run(args: &Init) -> anyhow::Result<()> {
    let settings = args.place.settings()?;
    if args.seal.passphrase {
        let Source::File(file) = &settings.master_key else {
            return Err(Fault::Invalid(
                "the master key does not come from a file: what gives it keeps it".to_owned(),
            )
            .into());
        };
        passphrase::must_be_sealed(file)?;
        settings.unlock.seal_new(args.seal.new_passphrase_fd.as_ref());
    }
    if args.new_secret {
        return replace(&settings, args.json);
    }
    let data = settings.data.display().to_string();
    let made = node::runtime()?.block_on(async {
        let store = node::open_store(&settings).await?;
        let made = store.make_administrator().await?;
        let link = match made {
            Some(_) => {
                // Without a configuration nobody has said where it will be: where `serve` and `up` listen if nobody does.
                let port = Some(settings.console.port()).filter(|port| *port != 0).unwrap_or(CONSOLE);
                Some(first_link(&settings.public.place(port), store.clone()).await?)
            }
            None => None,
        };
        store.close().await;
        anyhow::Ok(made.zip(link))
    })?;
    let Some((secret, link)) = made else {
        bail!(
            "{data} has an administrator already; its secret was shown once and cannot be shown again. If it is \
             lost, durward init --new-secret makes another in its place"
        );
    };
    if args.json {
        show::json(&json!({ "data": data, "administrator_secret": secret.as_str(), "console": link }))?;
        return Ok(());
    }
    say(format_args!("Made {data}.\n"))?;
    show_secret(&secret)?;
    say(
        "Once the gateway serves, the first person comes to its console by this link, which is good once, for a day:",
    )?;
    Ok(say(format_args!("\n    {link}\n"))?)
}

/// Another secret in place of the administrator's. Whoever has the place with its master key has all that the secret opens.
fn replace(settings: &Settings, as_json: bool) -> anyhow::Result<()> {
    let secret = node::runtime()?.block_on(async {
        let store = node::open_store_that_is_there(settings).await?;
        let secret = store.replace_administrator(node::now()).await;
        store.close().await;
        anyhow::Ok(secret?)
    })?;
    let data = settings.data.display();
    let Some(secret) = secret else {
        return Err(Fault::Missing(format!("{data} has no administrator yet: durward init")).into());
    };
    // Shown before anything else can fail: the one before is gone.
    if as_json {
        show::json(&json!({ "data": data.to_string(), "administrator_secret": secret.as_str() }))?;
    } else {
        show_secret(&secret)?;
        say("The one before opens nothing any more.")?;
    }
    node::note_if_nobody_serves(settings, store::REPLACED, "the one before opens nothing any more")
}

/// By which the first person comes to the console, who may do everything there.
pub(crate) async fn first_link(place: &Place, store: Store) -> anyhow::Result<String> {
    let name = std::env::var("USER").unwrap_or_default();
    let plain =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let name = if plain && name != "root" { name } else { "admin".to_owned() };
    let state = State::new(Embedded::new(store));
    let invitation = people::invite(&state, &NewMember::administrator(&name)).await?;
    Ok(place.link_of(&invitation.secret))
}

/// The one time that it is shown.
pub(crate) fn show_secret(secret: &str) -> anyhow::Result<()> {
    say(
        "The administrator's secret, shown this once and written nowhere. Keep it in a password manager; whoever has it",
    )?;
    say("approves held statements and changes everything:")?;
    Ok(say(format_args!("\n    {secret}\n"))?)
}
