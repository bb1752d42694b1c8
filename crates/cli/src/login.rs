//! `durward login`, `logout`, `whoami`: a person signs in at their issuer, in their browser, and this machine keeps a token of
//! the gateway's for it. That token opens sessions and mints agents' tokens; it approves and administers nothing.

mod callback;
mod desk;
mod device;
mod flow;
mod stored;

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

pub(crate) use self::desk::{Desk, must_be_private};
pub(crate) use self::stored::Stored;
use crate::args::{Login, Logout, Whoami};
use crate::exit::Fault;
use crate::show::{self, field, say, time};

pub(crate) fn login(args: &Login) -> anyhow::Result<()> {
    let Login { agents, issuer, no_browser, device, patience } = args;
    let desk = Desk::new(agents)?;
    let issuer = chosen(&desk.issuers()?, issuer.as_deref())?;
    let patience = Duration::from_secs(*patience);
    let identity = if *device {
        device::sign_in(&issuer, patience)?
    } else {
        flow::sign_in(&issuer, !no_browser, patience)?
    };
    let signed_in = desk.sign_in(&identity)?;
    let known = desk.who(&signed_in.token)?;
    let stored = Stored {
        agents: agents.clone(),
        issuer: issuer.name,
        principal: field(&known, "principal"),
        token: signed_in.token,
        expires: signed_in.expires,
    };
    if let Some(before) = Stored::read()? {
        // One at a time: the one before is of no use to anybody.
        forget(&before);
    }
    stored.keep()?;
    let who = show::line(&stored.principal);
    Ok(say(format_args!("Signed in as {who} until {}.", time(stored.expires)))?)
}

/// Whether somebody is signed in on this machine.
pub(crate) fn is_somebody() -> anyhow::Result<bool> {
    Ok(Stored::read()?.is_some())
}

/// Opens the browser, where there is one.
pub(crate) fn show_browser(address: &str) {
    flow::open_browser(address);
}

fn chosen(issuers: &[flow::Issuer], name: Option<&str>) -> anyhow::Result<flow::Issuer> {
    let names = || issuers.iter().map(|i| show::line(&i.name)).collect::<Vec<_>>().join(", ");
    match (name, issuers) {
        (_, []) => {
            let why = "nobody signs in here: no issuer of the gateway has a login (login_client of an issuer in its configuration)";
            Err(Fault::Missing(why.to_owned()).into())
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Fault::Invalid(format!("there are several: --issuer is one of {}", names())).into()),
        (Some(name), all) => {
            all.iter().find(|i| i.name == name).cloned().ok_or_else(|| {
                Fault::Missing(format!("there is no issuer {name}: there is {}", names())).into()
            })
        }
    }
}

pub(crate) fn logout(args: &Logout) -> anyhow::Result<()> {
    let Logout { json } = args;
    let Some(stored) = Stored::read()? else {
        return Err(Fault::Missing("nobody is signed in here".to_owned()).into());
    };
    let revoked = forget(&stored);
    Stored::remove()?;
    if *json {
        return Ok(show::json(&json!({ "principal": stored.principal, "revoked": revoked }))?);
    }
    Ok(say(format_args!("Signed out: {}.", show::line(&stored.principal)))?)
}

/// Has the gateway revoke it; whether it did.
fn forget(stored: &Stored) -> bool {
    let revoked = Desk::new(&stored.agents).and_then(|desk| desk.revoke(&stored.token));
    if let Err(error) = &revoked {
        eprintln!("durward: the gateway could not be told, so the token ends by itself: {error:#}");
    }
    revoked.is_ok()
}

pub(crate) fn whoami(args: &Whoami) -> anyhow::Result<()> {
    let stored = Stored::usable()?;
    let known: Value =
        Desk::new(&stored.agents)?.who(&stored.token).context("the stored token is not good")?;
    if args.json {
        return Ok(show::json(&known)?);
    }
    say(format_args!("{} until {}", show::line(&field(&known, "principal")), time(stored.expires)))?;
    let groups = field(&known, "groups");
    if !groups.is_empty() {
        say(format_args!("groups: {}", show::line(&groups)))?;
    }
    Ok(say(format_args!("by {} at {}", show::line(&stored.issuer), show::line(&stored.agents)))?)
}
