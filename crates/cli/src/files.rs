//! Targets, tags, issuers and policies as files: `*.toml` with `[[targets]]`,
//! `[[issuers]]` and `[[clients]]`, `*.cedar`. `*.test.toml` are tests of policies.

mod issuers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use gateway::configure::{ColumnConfig, Configuration, Password, PolicyFile, TargetConfig};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use self::issuers::{TypedClient, TypedIssuer};
use crate::exit::Fault;
use crate::typed;

/// How deep a directory is searched.
const DEPTH: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    #[serde(default)]
    targets: Vec<TypedTarget>,
    #[serde(default)]
    issuers: Vec<TypedIssuer>,
    #[serde(default)]
    clients: Vec<TypedClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedTarget {
    name: String,
    host: String,
    port: Option<u16>,
    user: String,
    database: String,
    password: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    credential: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
    #[serde(default)]
    direct_tls: bool,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    columns: BTreeMap<String, ColumnConfig>,
}

/// What a directory says, with the passwords beside it: a configuration does not write them.
pub(crate) struct Wanted {
    pub configuration: Configuration,
    passwords: BTreeMap<String, Zeroizing<String>>,
}

impl Wanted {
    /// Reads a directory.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut wanted = Self { configuration: Configuration::default(), passwords: BTreeMap::new() };
        for file in all(directory, &["toml", "cedar"])? {
            if is_test(&file) {
                continue;
            }
            let text =
                Zeroizing::new(std::fs::read_to_string(&file).with_context(|| file.display().to_string())?);
            if file.extension().is_some_and(|e| e == "cedar") {
                let name = file.strip_prefix(directory).unwrap_or(&file).display().to_string();
                wanted.configuration.policies.push(PolicyFile { name, text: text.to_string() });
            } else {
                let StateFile { targets, issuers, clients } =
                    typed::toml(&file, &text).map_err(Fault::Invalid)?;
                let home = file.parent().unwrap_or(directory);
                for target in targets {
                    wanted.add(target, home)?;
                }
                for issuer in issuers {
                    wanted.configuration.issuers.push(issuer.read(home)?);
                }
                for client in clients {
                    wanted.configuration.clients.push(client.read(home)?);
                }
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, typed: TypedTarget, home: &Path) -> anyhow::Result<()> {
        let TypedTarget {
            name,
            host,
            port,
            user,
            database,
            password,
            password_file,
            password_env,
            credential,
            sslmode,
            sslrootcert,
            direct_tls,
            tags,
            columns,
        } = typed;
        let password =
            one_password(password.map(Zeroizing::new), password_file.map(|f| home.join(f)), password_env)
                .with_context(|| format!("target \"{name}\""))?;
        let read = |path: PathBuf| {
            std::fs::read_to_string(home.join(&path)).with_context(|| path.display().to_string())
        };
        let sslrootcert = sslrootcert.map(read).transpose()?;
        if password.is_some() && credential.is_some() {
            let why = format!("target \"{name}\": it has a password and a credential: one of them");
            return Err(Fault::Invalid(why).into());
        }
        if let Some(password) = &password {
            self.passwords.insert(name.clone(), password.clone());
        }
        self.configuration.targets.push(TargetConfig {
            name,
            host,
            port: port.unwrap_or(5432),
            user,
            database,
            password: password.map(|p| Password::new(p.to_string())),
            credential,
            sslmode: sslmode.unwrap_or_else(|| "prefer".to_owned()),
            sslrootcert,
            direct_tls,
            tags,
            columns,
        });
        Ok(())
    }

    /// As the admin API takes it, passwords included.
    pub(crate) fn to_json(&self) -> anyhow::Result<Value> {
        let mut value = serde_json::to_value(&self.configuration)?;
        for target in value.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = crate::show::field(target, "name");
            if let (Some(password), Some(object)) = (self.passwords.get(&name), target.as_object_mut()) {
                object.insert("password".to_owned(), Value::String(password.to_string()));
            }
        }
        Ok(value)
    }
}

fn one_password(
    password: Option<Zeroizing<String>>,
    file: Option<PathBuf>,
    variable: Option<String>,
) -> anyhow::Result<Option<Zeroizing<String>>> {
    match (password, file, variable) {
        (None, None, None) => Ok(None),
        (Some(password), None, None) => Ok(Some(password)),
        (None, Some(file), None) => password_file(&file).map(Some),
        (None, None, Some(name)) => {
            let missing = || Fault::Invalid(format!("password_env: {name} is not set"));
            Ok(Some(Zeroizing::new(std::env::var(&name).map_err(|_| missing())?)))
        }
        _ => {
            let why = "it has more than one of password, password_file and password_env";
            Err(Fault::Invalid(why.to_owned()).into())
        }
    }
}

/// The password in a file, without its line's end.
pub(crate) fn password_file(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the password's file {} cannot be read", file.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Policies in files and directories, in order.
pub(crate) fn policies(paths: &[PathBuf]) -> anyhow::Result<Vec<policy::Source>> {
    let mut sources = Vec::new();
    for path in paths {
        for file in all(path, &["cedar"])? {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            sources.push(policy::Source { name: file.display().to_string(), text });
        }
    }
    if sources.is_empty() {
        let places: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(
            Fault::Missing(format!("there are no policies (*.cedar) in {}", places.join(", "))).into()
        );
    }
    Ok(sources)
}

pub(crate) fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".test.toml"))
}

/// The files of a directory with one of these extensions, sorted; a path that is a file is itself.
pub(crate) fn all(path: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    search(path, extensions, DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn search(
    directory: &Path,
    extensions: &[&str],
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                search(&path, extensions, depth - 1, found)?;
            }
        } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_targets_and_policies() {
        let place = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let target = |rest: &str| {
            format!(
                "[[targets]]\nname = \"orders\"\nhost = \"db\"\nuser = \"app\"\ndatabase = \"orders\"\n{rest}"
            )
        };
        write("targets/secret", "hunter2\n");
        write(
            "targets/orders.toml",
            &target(
                "password_file = \"secret\"\n[targets.columns.\"shop.people.email\"]\ntags = [\"pii\"]\n",
            ),
        );
        write("keys.json", "{\"keys\":[]}");
        write(
            "issuers.toml",
            "[[issuers]]\nname = \"company\"\npreset = \"keycloak\"\nissuer = \"https://x.example\"\naudience = \"durward\"\n\
             jwks_file = \"keys.json\"\nagent_session = \"30m\"\nprincipals = [{ kind = \"user\", name = \"email\" }]\n",
        );
        write("policies/a.cedar", "permit");
        write("policies/a.test.toml", "[[case]]");
        write(".hidden.toml", "x");
        let wanted = Wanted::read(place.path()).expect("read");
        assert_eq!(wanted.configuration.policies[0].name, "policies/a.cedar");
        let json = wanted.to_json().expect("json");
        assert_eq!(json["targets"][0]["password"], "hunter2");
        assert_eq!(json["targets"][0]["columns"]["shop.people.email"]["tags"][0], "pii");

        let issuer = &wanted.configuration.issuers[0];
        assert_eq!((issuer.jwks.as_deref(), issuer.agent_session), (Some("{\"keys\":[]}"), Some(1800)));
        assert!(issuer.audience.contains("durward") && issuer.principals[0].name == "email");

        for (rest, expected) in [
            ("pasword = \"x\"", "orders.toml:6:1: unknown field `pasword`"),
            ("password = \"x\"\npassword_env = \"Y\"", "more than one of"),
            ("password_env = \"DURWARD_TEST_NO_SUCH\"", "DURWARD_TEST_NO_SUCH is not set"),
        ] {
            write("targets/orders.toml", &target(rest));
            let error = Wanted::read(place.path()).err().expect("an error");
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
    }
}
