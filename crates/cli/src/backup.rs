//! `durward backup` and `durward restore`: store, journal and master key in one file that a recovery key opens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;
use store::{Locked, MasterKey, Opener, RecoveryKey, Revoked, Sealer, unseal};
use zeroize::Zeroizing;

use crate::args::{Backup, Restore};
use crate::config::{Settings, Source};
use crate::exit::Fault;
use crate::init;
use crate::node;
use crate::show::{self, say};

const MASTER: &str = "master.key";
const STORE: &str = "store";
const ABOUT: &str = "about";
const JOURNAL: &str = "journal/";
/// Where the recovery key may be given.
const VARIABLE: &str = "DURWARD_RECOVERY_KEY";

pub(crate) fn backup(args: &Backup) -> anyhow::Result<()> {
    let settings = args.place.settings()?;
    if args.file.exists() {
        return Err(Fault::Invalid(format!("{} is there already", args.file.display())).into());
    }
    node::runtime()?.block_on(async {
        let store = node::open_store_that_is_there(&settings).await?;
        let (recovery, is_new) = store.recovery_key(args.new_key).await?;
        if is_new {
            // Before anything can fail: it is not shown again.
            say("The recovery key, shown this once. Whoever has it and a backup has everything; keep it away from both:")?;
            say(format_args!("\n    {}\n", recovery.reveal().as_str()))?;
        }
        let beside = beside(&args.file);
        let written = write(&settings, &store, &recovery, &beside).await;
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        let bytes = written.with_context(|| beside.display().to_string())?;
        fs::rename(&beside, &args.file)?;
        let detail = format!("{bytes} bytes");
        store.note("backup", &detail, node::now()).await?;
        node::note_if_nobody_serves(&settings, "backup", &detail)?;
        store.close().await;
        if args.json {
            let told = json!({ "file": args.file, "bytes": bytes, "new_key": is_new });
            return Ok(show::json(&told)?);
        }
        say(format_args!("{} holds the store, the journal and the master key ({bytes} bytes).", args.file.display()))?;
        Ok(())
    })
}

/// Where a backup is written until it is whole: `FILE.part`.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// The store as of one moment, then the journal: what the store knows, the journal tells.
async fn write(
    settings: &Settings,
    store: &store::Store,
    recovery: &RecoveryKey,
    to: &Path,
) -> anyhow::Result<u64> {
    // One that a backup left that was cut off; whatever else it leads to is not written.
    if let Err(error) = fs::remove_file(to)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let mut out = Sealer::new(BufWriter::new(new_file(to)?), recovery)?;
    out.entry(ABOUT)?;
    let sealed = match &settings.master_key {
        Source::File(file) => store::sealed_in(file)?.is_some(),
        Source::Env(_) | Source::Command(_) => false,
    };
    let about = json!({ "version": env!("CARGO_PKG_VERSION"), "made": node::now(), "sealed": sealed });
    out.write_all(about.to_string().as_bytes())?;
    out.entry(MASTER)?;
    let in_force = store.master().await?;
    let masters = node::master_keys(settings, true)?;
    let master =
        masters.iter().find(|key| key.name() == in_force).context("the master key in force is gone")?;
    out.write_all(master.reveal_for_backup().as_bytes())?;
    out.entry(STORE)?;
    store.dump(&mut out).await?;
    for path in segments(&node::journal_in(&settings.data))? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        out.entry(&format!("{JOURNAL}{name}"))?;
        // A segment that is being written has this much now; a line that is not whole is put aside when it is opened.
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        io::copy(&mut BufReader::new(file).take(length), &mut out)?;
    }
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// The journal's files in their order, but for its lock.
fn segments(journal: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !journal.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(journal)? {
        let path = entry?.path();
        if path.is_file() && path.file_name().is_some_and(|name| name != "lock") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn restore(args: &Restore) -> anyhow::Result<()> {
    let settings = args.place.settings()?;
    let recovery = recovery_key(args)?;
    if settings.data.exists() && fs::read_dir(&settings.data)?.next().is_some() {
        bail!("{} is not empty: a backup is restored into an empty place", settings.data.display());
    }
    fs::DirBuilder::new().recursive(true).create(&settings.data)?;
    private(&settings.data, 0o700)?;
    node::runtime()?.block_on(async {
        let _turn = crate::kept::Turn::take(&settings.data).await?;
        let done = put_back(args, &settings, &recovery).await;
        if done.is_err() {
            // What is half there must not be served, nor keep the next try from an empty place.
            for entry in fs::read_dir(&settings.data)?.flatten() {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
        done
    })
}

fn private(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Everything is read to its end before anything of it counts.
async fn put_back(args: &Restore, settings: &Settings, recovery: &RecoveryKey) -> anyhow::Result<()> {
    let journal = node::journal_in(&settings.data);
    fs::DirBuilder::new().create(&journal)?;
    private(&journal, 0o700)?;
    let store_copy = settings.data.join("restored");
    let (mut master, mut about) = (Zeroizing::new(Vec::new()), Vec::new());
    let mut into: Option<File> = None;
    let name = std::cell::RefCell::new(String::new());
    let current = std::cell::RefCell::new(&mut into);
    let file = File::open(&args.file).with_context(|| args.file.display().to_string())?;
    unseal(
        BufReader::new(file),
        recovery,
        |entry| {
            entry.clone_into(&mut name.borrow_mut());
            **current.borrow_mut() = match entry.strip_prefix(JOURNAL) {
                Some(segment) if segment.contains(['/', '\\']) || segment.starts_with('.') => {
                    return Err(io::Error::other("a name that is none of a journal's"));
                }
                Some(segment) => Some(new_file(&journal.join(segment))?),
                None if entry == STORE => Some(new_file(&store_copy)?),
                None => None,
            };
            Ok(())
        },
        |bytes| match (&mut **current.borrow_mut(), name.borrow().as_str()) {
            (Some(file), _) => file.write_all(bytes),
            (None, MASTER) => master.write_all(bytes),
            (None, ABOUT) => about.write_all(bytes),
            (None, _) => Ok(()),
        },
    )
    .with_context(|| args.file.display().to_string())?;
    drop(into);
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap_or_default();
    let made = about.get("made").and_then(serde_json::Value::as_i64).unwrap_or(0);

    let master = MasterKey::from_hex(std::str::from_utf8(&master)?, "the backup")?;
    if about.get("sealed").and_then(serde_json::Value::as_bool) == Some(true) && !args.clear_key {
        settings.unlock.seal_new(args.new_passphrase_fd.as_ref());
    }
    put_master_key(settings, &master)?;
    let detail = format!("a backup of {}", show::time(made));
    let mut lines = BufReader::new(File::open(&store_copy)?);
    let location = node::location(settings)?;
    let (locked, revoked) = Locked::restore(&location, &mut lines, &detail, node::now()).await?;
    fs::remove_file(&store_copy)?;
    let store = locked.unlock(&master).await?;
    // It may have been replaced since, because somebody knew it.
    let secret = store.replace_administrator(node::now()).await?;
    store.close().await;
    let Revoked { tokens, requests, codes, approvers } = revoked;
    let what = format!(
        "{detail}; revoked, since they may have changed after it: {tokens} tokens, {requests} requests, {codes} one-time \
         codes, {approvers} approvers"
    );
    node::note_if_nobody_serves(settings, "restored", &what)?;
    let verified = journal::verify::verify(&journal)?;
    let missing = note_recordings(settings, &journal)?;
    if args.json {
        let told = json!({
            "made": made, "tokens": tokens, "requests": requests, "codes": codes, "approvers": approvers,
            "records": verified.records, "recordings_missing": missing,
            "administrator_secret": secret.as_ref().map(|secret| secret.as_str())
        });
        return Ok(show::json(&told)?);
    }
    say(format_args!("Restored {detail}. Its journal verifies: {} records.", verified.records))?;
    say(format_args!(
        "Revoked, since they may have changed after it was made: {tokens} tokens, {requests} requests, {codes} one-time codes, \
         {approvers} approvers."
    ))?;
    if let Some(secret) = secret {
        say("The administrator's secret of then opens nothing any more.")?;
        init::show_secret(&secret)?;
    }
    say("What issuers said until now is worth nothing any more: whoever signed in there signs in again.")?;
    if !missing.is_empty() {
        say(format_args!(
            "Recordings are not in a backup, and those of {} sessions are not here: copy the recordings (*.rec) of the gateway that \
             it was made of to {}; `durward audit verify` says which are missing.",
            missing.len(),
            settings.recordings.display()
        ))?;
    }
    say(
        "Targets, policies and issuers are those of then: apply your files. Revocations that were made after it are not in it:",
    )?;
    say(
        "make them again before anybody comes in. Do not let the gateway run that it is a copy of: two would write one journal.",
    )?;
    Ok(())
}

/// So many recordings are named in one record.
const AT_ONCE: usize = 500;

/// Recordings are in no backup: the journal says which were not here, so that nobody takes them for removed.
fn note_recordings(settings: &Settings, journal: &Path) -> anyhow::Result<Vec<String>> {
    let found = recording::verify::look(journal, &settings.recordings)?;
    let missing: Vec<String> = found
        .faulty
        .iter()
        .filter(|(file, _)| !file.exists())
        .filter_map(|(file, _)| Some(file.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    for some in missing.chunks(AT_ONCE) {
        node::note_if_nobody_serves(settings, recording::verify::LEFT_BEHIND, &some.join(" "))?;
    }
    Ok(missing)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A file gets the key; another source must give it already.
fn put_master_key(settings: &Settings, master: &MasterKey) -> anyhow::Result<()> {
    if let Source::File(file) = &settings.master_key
        && !file.exists()
    {
        let wrap = settings.unlock.new_wrap().map_err(|error| {
            let why = format!(
                "the master key was sealed under a passphrase where it comes from, and is sealed here, too: {error} \
                 (--new-passphrase-fd for a new one; --clear-key has it lie in clear)"
            );
            anyhow::Error::from(Fault::Unauthorized(why))
        })?;
        return Ok(MasterKey::write_file(file, &[master], wrap.as_deref())?);
    }
    let given = node::master_keys(settings, true)?;
    if given.iter().any(|key| key.name() == master.name()) {
        return Ok(());
    }
    bail!(
        "the backup was sealed under the master key {}, which master_key does not give: name a file that is not there yet \
         (master_key = {{ file = \"…\" }}), restore, and bring the key from it to where you keep it",
        master.name()
    )
}

fn recovery_key(args: &Restore) -> anyhow::Result<RecoveryKey> {
    let text = match (&args.key_file, std::env::var(VARIABLE)) {
        (Some(file), _) => {
            Zeroizing::new(fs::read_to_string(file).with_context(|| file.display().to_string())?)
        }
        (None, Ok(text)) => Zeroizing::new(text),
        (None, Err(_)) => Zeroizing::new(rpassword::prompt_password("Recovery key (dwk_…): ")?),
    };
    let wrong =
        || Fault::Unauthorized("that is no recovery key: it begins with dwk_ and was shown once".to_owned());
    RecoveryKey::parse(&text).ok_or_else(|| wrong().into())
}
