//! The machine that the gateway runs on: who can read and change its files, its ports, its disk, and as whom it runs.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gateway::credentials::Whence;
use gateway::doctor::certificate;
use gateway::doctor::{Check, Grade, advised, check, mended, shell};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use store::MasterKey;

use crate::config::{Settings, Source};
use crate::credentials::VaultLogin;
use crate::node;

/// With less space than this for the journal, soon nothing is forwarded, in MiB.
const LOW: u64 = 1024;
/// With less than this it may be hours.
const NEARLY_NONE: u64 = 100;

/// Looks at everything that `settings` name. `runs` says whether a gateway answers at its admin API.
pub(super) fn look(settings: &Settings, file: Option<&Path>, runs: bool) -> Vec<Check> {
    let mut found = Vec::new();
    let data = &settings.data;
    if let Some(file) = file {
        found.push(changed_by_its_owner("config", file));
    }
    match std::fs::metadata(data) {
        Err(error) => {
            found.push(mended("data", Grade::Bad, format!("{}: {error}", data.display()), init(data, file)))
        }
        Ok(metadata) => {
            found.push(private("data", data, "700"));
            found.push(owner(data, metadata.uid(), &passwd(), is_sealed(settings)));
            let journal = node::journal_in(data);
            found.push(space(if journal.is_dir() { journal.as_path() } else { data }, "the journal"));
        }
    }
    if settings.recordings.is_dir() && !settings.recordings.starts_with(data) {
        found.push(private("recordings", &settings.recordings, "700"));
        found.push(space(&settings.recordings, "recordings"));
    }
    for (what, secret) in secrets(settings).filter(|(_, secret)| secret.exists()) {
        found.push(private(what, secret, "600"));
    }
    if let Source::File(key) = &settings.master_key {
        found.extend(rotation(key, data, file));
    }
    // Where this user may not look, the store says so itself.
    if settings.store.is_none()
        && data.is_dir()
        && data.join("state.db").try_exists().is_ok_and(|there| !there)
    {
        let says = format!("{} holds no state yet", data.display());
        found.push(mended("store", Grade::Bad, says, init(data, file)));
    }
    let of_agents = settings.agents.iter().filter_map(|agents| agents.tls.as_ref());
    for (chain, key) in settings.tls.iter().chain(of_agents) {
        found.extend(tls(chain, key, None));
    }
    if let Some((chain, key)) = &settings.console_tls {
        let host = settings.public.place(settings.console.port()).host;
        found.extend(tls(chain, key, Some(&host)));
    }
    if let Some(applying) = &settings.apply {
        found.push(changed_by_its_owner("apply", &applying.directory));
    }
    found.extend(ports(settings, runs));
    found
}

/// Files with secrets in them.
fn secrets(settings: &Settings) -> impl Iterator<Item = (&'static str, &Path)> {
    let store = settings.store.as_ref().and_then(|store| store.password.as_ref());
    let vault = settings.vault.as_ref().map(|vault| match &vault.login {
        VaultLogin::Token(secret) | VaultLogin::AppRole { secret, .. } => secret,
    });
    let own = [("key", Some(&settings.master_key)), ("store", store), ("vault", vault)];
    let own = own.into_iter().filter_map(|(what, source)| match source {
        Some(Source::File(file)) => Some((what, file.as_path())),
        Some(Source::Env(_) | Source::Command(_)) | None => None,
    });
    let webhooks = settings.webhooks.values().map(|webhook| ("webhook", &webhook.secret));
    let slack =
        settings.slack.iter().flat_map(|slack| std::iter::once(&slack.token).chain(&slack.signing_secret));
    let told =
        webhooks.chain(slack.map(|secret| ("slack", secret))).filter_map(|(what, source)| match source {
            Source::File(file) => Some((what, file.as_path())),
            Source::Env(_) | Source::Command(_) => None,
        });
    let credentials = settings.credentials.values().filter_map(|source| match &source.from {
        Whence::File(file) => Some(("credential", file.as_path())),
        Whence::Env(_) | Whence::Command(_) | Whence::Vault { .. } => None,
    });
    own.chain(credentials).chain(told)
}

/// What a change of the master key has left that was cut off, or is not over.
fn rotation(key: &Path, data: &Path, config: Option<&Path>) -> Vec<Check> {
    let mut found = Vec::new();
    let beside = MasterKey::beside(key);
    if beside.exists() {
        let says = format!(
            "{} was left by a change of the master key that was cut off, and may hold keys: nothing reads it",
            beside.display()
        );
        found.push(mended("key", Grade::Warning, says, format!("rm -- {}", word(&beside))));
    }
    // What cannot be read, or is no key, is told by whoever opens it.
    let count = MasterKey::count_in(key).unwrap_or(0);
    if count > 1 {
        let place = match config {
            Some(file) => format!("-c {}", word(file)),
            None => format!("--data {}", word(data)),
        };
        let says = format!(
            "{} holds {count} keys, each of which may be in force: a rotation is not over, or was cut off",
            key.display()
        );
        let advice =
            "ends it, wherever it was; where gateways share a store, bring the file to each of them before:";
        found.push(
            mended("key", Grade::Warning, says, format!("durward keys rotate {place}")).advising(advice),
        );
    }
    found
}

/// A path as a shell takes it.
fn word(path: &Path) -> String {
    shell(&path.display().to_string())
}

/// What makes a data directory, as it is configured.
fn init(data: &Path, file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("durward init -c {}", word(file)),
        None => format!("durward init --data {}", word(data)),
    }
}

/// Nobody but its owner can even read it.
fn private(what: &'static str, path: &Path, right: &str) -> Check {
    match mode(path) {
        Err(error) => {
            mended(what, Grade::Bad, format!("{}: {error}", path.display()), format!("ls -ld {}", word(path)))
        }
        Ok(mode) if mode & 0o077 == 0 => {
            check(what, Grade::Good, format!("{} is its owner's alone", path.display()))
        }
        Ok(mode) => mended(
            what,
            Grade::Bad,
            format!("{} can be read by others (mode {mode:o})", path.display()),
            format!("chmod {right} {}", word(path)),
        ),
    }
}

/// Others may read it, and not change it: whoever changes it changes what the gateway does.
fn changed_by_its_owner(what: &'static str, path: &Path) -> Check {
    match mode(path) {
        Err(error) => {
            mended(what, Grade::Bad, format!("{}: {error}", path.display()), format!("ls -ld {}", word(path)))
        }
        Ok(mode) if mode & 0o022 == 0 => {
            check(what, Grade::Good, format!("{} is changed by its owner alone", path.display()))
        }
        Ok(mode) => mended(
            what,
            Grade::Bad,
            format!("{} can be changed by others (mode {mode:o})", path.display()),
            format!("chmod go-w {}", word(path)),
        ),
    }
}

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(std::fs::metadata(path)?.mode() & 0o777)
}

/// Whether the master key lies in a file that a passphrase opens.
fn is_sealed(settings: &Settings) -> bool {
    match &settings.master_key {
        Source::File(file) => store::sealed_in(file).is_ok_and(|sealed| sealed.is_some()),
        Source::Env(_) | Source::Command(_) => false,
    }
}

fn passwd() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// Same user is no boundary: whatever runs as the owner of the data has what the gateway has.
fn owner(data: &Path, uid: u32, passwd: &str, sealed: bool) -> Check {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let entry = passwd.lines().map(fields).find(|f| f.get(2).is_some_and(|id| *id == uid.to_string()));
    let name = entry.as_ref().and_then(|f| f.first()).map_or_else(|| uid.to_string(), Clone::clone);
    let shell = entry.as_ref().and_then(|f| f.get(6)).map(String::as_str);
    let advice =
        "as root, while the gateway does not run; then run it as durward, as the unit in packaging/ does:";
    let mend = format!(
        "id durward || useradd --system --shell /usr/sbin/nologin durward; chown -R durward: {}",
        word(data)
    );
    if uid == 0 {
        let says = "the data belongs to root: the gateway needs none of root's rights";
        return mended("same-user", Grade::Warning, says, mend).advising(advice);
    }
    let Some(shell) = shell else {
        let says = format!(
            "the data belongs to {name}, of whom /etc/passwd says nothing: whether anybody logs in as {name} is unknown"
        );
        return mended("same-user", Grade::Warning, says, format!("getent passwd {uid}"));
    };
    if shell.ends_with("/nologin") || shell.ends_with("/false") {
        return check(
            "same-user",
            Grade::Good,
            format!("the data belongs to {name}, as whom nobody logs in"),
        );
    }
    // No shell there is /bin/sh (passwd(5)).
    let (read, advice) = if sealed {
        ("read and write the store, though not the key, which a passphrase opens", advice.to_owned())
    } else {
        ("read the key and the store", format!("seal the key by durward keys passphrase, or {advice}"))
    };
    let says = format!(
        "the data belongs to {name}, who logs in here: whatever runs as {name}, agents too, can {read}"
    );
    mended("same-user", Grade::Warning, says, mend).advising(advice)
}

/// `what` lies there.
fn space(place: &Path, what: &str) -> Check {
    match rustix::fs::statvfs(place) {
        Err(error) => {
            let says = format!("{} cannot be asked: {error}", place.display());
            mended("disk", Grade::Warning, says, format!("df -h {}", word(place)))
        }
        Ok(of) => free(place, what, of.f_bavail.saturating_mul(of.f_frsize) / (1024 * 1024)),
    }
}

fn free(place: &Path, what: &str, mebibytes: u64) -> Check {
    let then = match what {
        "recordings" => "when they cannot be written, sessions that policy wants recorded end",
        _ => "when it cannot be written, nothing is forwarded",
    };
    let says = format!("{mebibytes} MiB are free for {what}; {then}");
    let grade = match mebibytes {
        NEARLY_NONE.. if mebibytes >= LOW => {
            return check("disk", Grade::Good, format!("{mebibytes} MiB are free for {what}"));
        }
        NEARLY_NONE.. => Grade::Warning,
        _ => Grade::Bad,
    };
    mended("disk", grade, says, format!("df -h {}", word(place)))
        .advising("give it more room, or another disk:")
}

/// A certificate and its key; browsers come by the name of a host, where there is one.
fn tls(chain: &Path, key: &Path, host: Option<&str>) -> Vec<Check> {
    let mut found = vec![private("tls-key", key, "600")];
    let der = std::fs::read(chain).ok().and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
    found.extend(host.zip(der.as_ref()).and_then(|(host, der)| certificate::is_for(der, host)));
    found.push(match &der {
        Some(der) => certificate::look(der),
        None => check("certificate", Grade::Bad, format!("{} is no certificate in PEM", chain.display())),
    });
    if let Err(error) = node::check_certificate(chain, key) {
        found.push(check("tls", Grade::Bad, format!("{error:#}")));
    }
    found
}

/// Where a gateway runs its ports are taken, and should be.
fn ports(settings: &Settings, runs: bool) -> Vec<Check> {
    let mut wanted: Vec<SocketAddr> = settings.postgres.clone();
    wanted.extend(settings.targets.values());
    wanted.extend(&settings.oauth);
    wanted.push(settings.console);
    wanted.extend(settings.agents.iter().map(|agents| agents.listen));
    wanted.retain(|address| address.port() != 0);
    let look = |address: SocketAddr| match (TcpListener::bind(address), runs) {
        (Ok(_), false) => check("port", Grade::Good, format!("{address} is free")),
        (Ok(_), true) => advised(
            "port",
            Grade::Bad,
            format!("a gateway runs, and nobody listens on {address}"),
            "end it and start it again: a new listener needs that",
        ),
        (Err(_), true) => check("port", Grade::Good, format!("somebody listens on {address}")),
        (Err(error), false) => mended(
            "port",
            Grade::Bad,
            format!("{address} cannot be listened on: {error}"),
            format!("ss -ltnp 'sport = :{}'", address.port()),
        )
        .advising("who does:"),
    };
    wanted.into_iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_reach_is_told_with_what_mends_it() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("key");
        std::fs::write(&file, "x").expect("written");
        for (mode, secret, owned) in [
            (0o600, Grade::Good, Grade::Good),
            (0o644, Grade::Bad, Grade::Good),
            (0o664, Grade::Bad, Grade::Bad),
            (0o602, Grade::Bad, Grade::Bad),
        ] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            let (one, two) = (private("key", &file, "600"), changed_by_its_owner("config", &file));
            assert_eq!((one.grade, two.grade), (secret, owned), "{mode:o}");
            let mends = |check: &Check| check.mend.as_ref().is_some_and(|m| m.starts_with("chmod "));
            assert_eq!((mends(&one), mends(&two)), (secret == Grade::Bad, owned == Grade::Bad));
        }
    }

    #[test]
    fn a_rotation_that_was_cut_off_is_told_with_what_ends_it() {
        let place = tempfile::tempdir().expect("a directory");
        let key = place.path().join("master.key");
        let keys = [MasterKey::fresh().expect("a key"), MasterKey::fresh().expect("a key")];
        let [new, old] = keys.each_ref();
        let passphrase = store::Passphrase::new("correct horse battery");
        let wrap = store::Stretch::fresh().and_then(|stretch| stretch.wrap(&passphrase)).expect("stretched");
        for wrap in [None, Some(&wrap)] {
            MasterKey::write_file(&key, &[old], wrap).expect("written");
            assert!(rotation(&key, place.path(), None).is_empty());
            MasterKey::write_file(&key, &[new, old], wrap).expect("written");
            let found = rotation(&key, place.path(), None);
            let [check] = found.as_slice() else { panic!("{found:?}") };
            assert!(check.says.contains("holds 2 keys"), "{check:?}");
            let mends = format!("durward keys rotate --data {}", place.path().display());
            assert_eq!(check.mend.as_deref(), Some(mends.as_str()));
        }
        std::fs::remove_file(&key).expect("removed");
        std::fs::write(MasterKey::beside(&key), "").expect("written");
        let found = rotation(&key, place.path(), None);
        assert!(
            found.len() == 1 && found[0].mend.as_ref().is_some_and(|m| m.starts_with("rm -- ")),
            "{found:?}"
        );
    }

    #[test]
    fn an_owner_who_logs_in_is_a_danger() {
        let passwd = "root:x:0:0::/root:/bin/bash\nme:x:1000:1000::/home/me:/bin/zsh\ndurward:x:998:998::/:/usr/sbin/nologin\n\
            agent:x:1001:1001::/home/agent:\nshort:x:1002:1002\n";
        for (uid, grade, says) in [
            (0, Grade::Warning, "belongs to root"),
            (1000, Grade::Warning, "whatever runs as me"),
            (998, Grade::Good, "belongs to durward"),
            (1001, Grade::Warning, "whatever runs as agent"),
            (1002, Grade::Warning, "is unknown"),
            (4242, Grade::Warning, "is unknown"),
        ] {
            let found = owner(Path::new("/data"), uid, passwd, false);
            assert!(found.grade == grade && found.says.contains(says), "{found:?}");
        }
    }

    #[test]
    fn a_disk_that_fills_is_told_before_it_is_full() {
        for (free_mebibytes, grade) in
            [(LOW, Grade::Good), (LOW - 1, Grade::Warning), (NEARLY_NONE, Grade::Warning), (0, Grade::Bad)]
        {
            for what in ["the journal", "recordings"] {
                let found = free(Path::new("/data"), what, free_mebibytes);
                assert!(found.grade == grade && found.says.contains(what), "{free_mebibytes}: {found:?}");
            }
        }
    }
}
