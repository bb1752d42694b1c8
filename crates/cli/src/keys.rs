//! `durward keys`: another master key, while the gateways serve, and the passphrase that its file is sealed under.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::json;
use store::{KeyName, MasterKey, Opener, Rotated};

use crate::args::Keys;
use crate::config::{Settings, Source};
use crate::exit::Fault;
use crate::kept::Turn;
use crate::node;
use crate::passphrase::Given;
use crate::show::{self, say};

pub(crate) fn run(command: &Keys) -> anyhow::Result<()> {
    let (Keys::Add { place } | Keys::Rotate { place, .. } | Keys::Passphrase { place, .. }) = command;
    let settings = place.settings()?;
    node::runtime()?.block_on(async {
        let store = node::open_store_that_is_there(&settings).await?;
        let done = change(command, &settings, &store).await;
        store.close().await;
        done
    })
}

async fn change(command: &Keys, settings: &Settings, store: &store::Store) -> anyhow::Result<()> {
    // One at a time: of two that change the file at once one could take out the key that the other brings into force.
    let _turn = match &settings.master_key {
        Source::File(file) => Some(Turn::take(&folder_of(file)).await?),
        Source::Env(_) | Source::Command(_) => None,
    };
    let in_force = store.master().await?;
    match command {
        Keys::Add { .. } => add(settings, in_force),
        Keys::Passphrase { new_passphrase_fd, remove, .. } => {
            seal(settings, store, in_force, new_passphrase_fd.as_ref(), *remove).await
        }
        Keys::Rotate { json, .. } => rotate(settings, store, in_force, *json).await,
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Puts a new key in front of the one that is in force, for every gateway to have before it comes into force.
fn add(settings: &Settings, in_force: KeyName) -> anyhow::Result<()> {
    let Source::File(file) = &settings.master_key else {
        let why = "the master key does not come from a file: put a new key where it comes from, on a line before the old one";
        return Err(Fault::Invalid(why.to_owned()).into());
    };
    let kept = node::master_keys(settings, true)?;
    // One that stands there already may have been brought to others: another in its place would be none of theirs.
    let waits = kept.first().map(MasterKey::name).filter(|name| *name != in_force);
    let name = match waits {
        Some(waits) if kept.iter().any(|key| key.name() == in_force) => waits,
        _ => put_new_first(settings, file, in_force)?,
    };
    let already = if waits == Some(name) { " already" } else { "" };
    say(format_args!("The new master key {name} stands first in {}{already}.", file.display()))?;
    say("Bring this file to every gateway of the store, then run `durward keys rotate`.")?;
    Ok(())
}

/// Seals the file under a passphrase, under another one, or under none.
async fn seal(
    settings: &Settings,
    store: &store::Store,
    in_force: KeyName,
    new: Option<&Given>,
    remove: bool,
) -> anyhow::Result<()> {
    let Source::File(file) = &settings.master_key else {
        let why = "the master key does not come from a file: where it comes from keeps it, and may ask for a passphrase itself";
        return Err(Fault::Invalid(why.to_owned()).into());
    };
    let kept = node::master_keys(settings, true)?;
    if !kept.iter().any(|key| key.name() == in_force) {
        bail!("{} does not hold the master key {in_force}, which is in force", file.display());
    }
    let was_sealed = store::sealed_in(file)?.is_some();
    if remove && !was_sealed {
        say(format_args!("{} is sealed under no passphrase.", file.display()))?;
        return Ok(());
    }
    let wrap = if remove {
        None
    } else {
        settings.unlock.seal_new(new);
        settings.unlock.new_wrap().map_err(|error| Fault::Unauthorized(error.to_string()))?
    };
    MasterKey::write_file(file, &kept.iter().collect::<Vec<_>>(), wrap.as_deref())?;
    let what = if remove { "master key unsealed" } else { "master key sealed" };
    let detail = if remove { "it lies in its file in clear" } else { "its file opens by a passphrase" };
    store.note(what, detail, node::now()).await?;
    node::note_if_nobody_serves(settings, what, detail)?;
    if remove {
        say(format_args!("{} lies in clear: whoever can read it has the key.", file.display()))?;
        return Ok(());
    }
    say(format_args!(
        "{} opens by its passphrase alone from now on. Who forgets it needs a backup and its recovery key.",
        file.display()
    ))?;
    if !was_sealed {
        say(
            "What lay there before may still be on the disk and in copies: durward keys rotate makes a key that never lay in clear.",
        )?;
    }
    say(
        "Start a gateway that runs again before the next durward keys rotate: it knows no other passphrase than that of its start.",
    )?;
    Ok(())
}

fn put_new_first(settings: &Settings, file: &Path, in_force: KeyName) -> anyhow::Result<KeyName> {
    let kept = node::master_keys(settings, true)?;
    let Some(old) = kept.iter().find(|key| key.name() == in_force) else {
        bail!("{} does not hold the master key {in_force}, which is in force", file.display());
    };
    let new = MasterKey::fresh()?;
    MasterKey::write_file(file, &[&new, old], settings.unlock.of_file(file)?.as_deref())?;
    Ok(new.name())
}

async fn rotate(
    settings: &Settings,
    store: &store::Store,
    in_force: KeyName,
    as_json: bool,
) -> anyhow::Result<()> {
    let first = |keys: &[MasterKey]| keys.first().map(MasterKey::name);
    let mut keys = node::master_keys(settings, true)?;
    if first(&keys) == Some(in_force) {
        if let [new, before, ..] = keys.as_slice() {
            return end(settings, store, new, before, as_json).await;
        }
        match &settings.master_key {
            Source::File(file) if !store.is_shared() => {
                put_new_first(settings, file, in_force)?;
                keys = node::master_keys(settings, true)?;
            }
            Source::File(_) => bail!(
                "several gateways may use this store: `durward keys add` puts a new key into the file; bring it to each of \
                 them, then rotate"
            ),
            Source::Env(_) | Source::Command(_) => bail!(
                "the key that master_key gives first is in force already: put a new one where it comes from, on a line \
                 before the old one, for every gateway"
            ),
        }
    }
    let Some(new) = keys.first() else { bail!("there is no master key") };
    let Rotated { before, after, values } = store.rotate(new, node::now()).await?;
    if let Source::File(file) = &settings.master_key {
        MasterKey::write_file(file, &[new], settings.unlock.of_file(file)?.as_deref())?;
    }
    let noted = format!("{before} by {after}; {values} values wrapped anew");
    node::note_if_nobody_serves(settings, "master key replaced", &noted)?;
    if as_json {
        return Ok(as_told(before, after, values)?);
    }
    say(format_args!(
        "The master key {after} is in force in place of {before}: {values} values were wrapped anew."
    ))?;
    say("The old one opens nothing any more, but what was copied before: take it out wherever it lies.")?;
    Ok(())
}

/// What is left of a rotation that was cut off behind the moment from which on the new key is in force: where the store is
/// shared, on every gateway's machine but one.
async fn end(
    settings: &Settings,
    store: &store::Store,
    new: &MasterKey,
    before: &MasterKey,
    as_json: bool,
) -> anyhow::Result<()> {
    let (before, after) = (before.name(), new.name());
    let is_file = if let Source::File(file) = &settings.master_key {
        MasterKey::write_file(file, &[new], settings.unlock.of_file(file)?.as_deref())?;
        let (what, detail) =
            ("master key taken out", format!("{before}, which opens nothing any more; {after} is in force"));
        store.note(what, &detail, node::now()).await?;
        node::note_if_nobody_serves(settings, what, &detail)?;
        true
    } else {
        false
    };
    if as_json {
        return Ok(as_told(before, after, 0)?);
    }
    say(format_args!("The master key {after} was in force already: the rotation to it is over."))?;
    if is_file {
        say(format_args!(
            "{before} opens nothing any more, and is out of the file now: take it out wherever else it lies."
        ))?;
    } else {
        say(format_args!(
            "{before} opens nothing any more: take it out where master_key comes from, and wherever else it lies."
        ))?;
    }
    Ok(())
}

fn as_told(before: KeyName, after: KeyName, values: usize) -> std::io::Result<()> {
    show::json(&json!({ "before": before.to_string(), "after": after.to_string(), "values": values }))
}
