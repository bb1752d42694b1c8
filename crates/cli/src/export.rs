//! `durward export DIR`: what is in force as files that `durward apply` reads.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path};

use anyhow::Context;
use gateway::configure::{Configuration, TargetConfig};
use serde::Serialize;

use crate::args::Export;
use crate::client::Client;
use crate::exit::Fault;
use crate::show::{self, say};

#[derive(Serialize)]
struct TargetsFile<'a> {
    targets: [&'a TargetConfig; 1],
}

pub(crate) fn run(client: &Client, args: &Export) -> anyhow::Result<()> {
    let Export { directory } = args;
    let configuration: Configuration = serde_json::from_value(client.get("/configuration")?)?;
    let empty = std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
    if !empty {
        let why =
            format!("{} is not empty: name a directory that is, or none that is there", directory.display());
        return Err(Fault::Invalid(why).into());
    }
    let files = files(&configuration)?;
    for (name, text) in &files {
        write(directory, name, text)?;
        say(show::line(name))?;
    }
    let without = "Passwords are not in them: those that are kept stay when the files are applied.";
    Ok(say(format_args!("{} files in {}. {without}", files.len(), directory.display()))?)
}

/// Names and texts.
fn files(configuration: &Configuration) -> anyhow::Result<Vec<(String, String)>> {
    let Configuration { targets, policies, tests, issuers, clients, groups } = configuration;
    let mut files = Vec::new();
    for issuer in issuers {
        files.extend(named("issuers", &issuer.name, issuer)?);
    }
    for client in clients {
        files.extend(named("clients", &client.name, client)?);
    }
    for group in groups {
        files.extend(named("groups", &group.name, group)?);
    }
    for target in targets {
        let mut target = target.clone();
        if let Some(pem) = target.sslrootcert.take() {
            let name = format!("{}.ca.pem", target.name);
            files.push((format!("targets/{name}"), pem));
            target.sslrootcert = Some(name);
        }
        let text = toml::to_string(&TargetsFile { targets: [&target] })?;
        files.push((format!("targets/{}.toml", target.name), text));
    }
    for policy in policies.iter().chain(tests) {
        files.push((policy.name.clone(), policy.text.clone()));
    }
    Ok(files)
}

/// As it is typed: times with their unit, and what is in files beside it.
fn named<T: Serialize>(kind: &str, name: &str, config: &T) -> anyhow::Result<Vec<(String, String)>> {
    let mut typed = toml::Table::try_from(config)?;
    in_seconds(&mut typed, &["leeway", "max_age", "agent_session", "user_session", "exchange_life"]);
    if let Some(how) = typed.get_mut("introspection").and_then(toml::Value::as_table_mut) {
        in_seconds(how, &["every", "grace"]);
    }
    let mut files = Vec::new();
    for (key, typed_key, end) in [("jwks", "jwks_file", "jwks.json"), ("ca", "ca_file", "ca.pem")] {
        if let Some(toml::Value::String(text)) = typed.remove(key) {
            let beside = format!("{name}.{end}");
            files.push((format!("{kind}/{beside}"), text));
            typed.insert(typed_key.to_owned(), toml::Value::String(beside));
        }
    }
    let file = toml::Table::from_iter([(kind.to_owned(), toml::Value::Array(vec![typed.into()]))]);
    files.push((format!("{kind}/{name}.toml"), toml::to_string(&file)?));
    Ok(files)
}

fn in_seconds(table: &mut toml::Table, times: &[&str]) {
    for time in times {
        if let Some(seconds) = table.get_mut(*time) {
            *seconds = toml::Value::String(format!("{seconds}s"));
        }
    }
}

/// A policy file's name comes from whoever applied it: it stays within the directory.
fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let within = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let seen = !name.split('/').any(|part| part.starts_with('.'));
    let ours = ["targets/", "issuers/", "clients/", "groups/"].iter().any(|folder| name.starts_with(folder));
    let policies = name.ends_with(".cedar") || gateway::cases::is_one(name);
    if !within || !seen || !(policies || ours) {
        let why = format!("the policy file's name \"{name}\" cannot be a file's that apply would read again");
        return Err(Fault::Wrong(why).into());
    }
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        made.with_context(|| parent.display().to_string())?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::Wanted;

    const KEYS: &str = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

    #[test]
    fn what_is_exported_is_read_as_the_same_configuration() {
        let json = serde_json::json!({
            "targets": [
                { "name": "a.b", "host": "::1", "port": 5433, "user": "u \"x\"", "database": "d\\e",
                  "sslmode": "verify-full", "sslrootcert": "PEM\n", "direct_tls": true, "require_channel_binding": true,
                  "read_only": "strict",
                  "freshness": "strict", "tags": ["production"],
                  "columns": { "s.\"t.u\".c": { "tags": ["pii"], "strategy": "hash" },
                               "s.t.d": { "tags": [], "proposed": true } } },
                { "name": "b", "host": "/run/postgresql", "user": "u", "database": "d" }
            ],
            "issuers": [
                { "name": "company", "preset": "keycloak", "issuer": "https://x.example", "audience": ["durward"],
                  "login_client": "durward", "login_device": true,
                  "introspection": { "client_id": "gate", "credential": "issuer", "auth": "private_key_jwt", "key_id": "k", "endpoint": "https://x.example/ask",
                                     "every": 10, "grace": 60, "opaque": true },
                  "algorithms": ["EdDSA"], "jwks": KEYS, "when": "azp == \"cli\"", "max_age": 3600, "leeway": 5,
                  "principals": [{ "kind": "user", "name": "email", "groups": ["groups"], "in_groups": ["staff"] }] }
            ],
            "clients": [{ "name": "nightly", "jwks": KEYS, "groups": ["jobs"], "exchange_life": 600 }],
            "groups": [{ "name": "dba", "members": ["user:company/alice", "group:company/on call"] },
                       { "name": "none", "members": [] }],
            "policies": [{ "name": "deep/x.cedar", "text": "@id(\"x\") permit (principal, action, resource);" }]
        });
        let configuration: Configuration = serde_json::from_value(json).expect("a configuration");
        let place = tempfile::tempdir().expect("a directory");
        for (name, text) in files(&configuration).expect("files") {
            write(place.path(), &name, &text).expect("written");
        }
        let read = Wanted::read(place.path()).map_err(|e| format!("{e:#}")).expect("read");
        assert_eq!(read.configuration, configuration);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let place = tempfile::tempdir().expect("a directory");
        for name in ["../x.cedar", "/x.cedar", "a/../../x.cedar", "x.txt", ".x.cedar", "", "a/./b.cedar"] {
            assert!(write(place.path(), name, "").is_err(), "{name}");
        }
        write(place.path(), "a/b.cedar", "").expect("an honest one");
    }
}
