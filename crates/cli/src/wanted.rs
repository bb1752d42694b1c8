//! What a directory says should be in force: `*.toml` with `[[targets]]`, `[[tags]]`, `[[issuers]]`, `[[clients]]` and `[[groups]]`,
//! `*.cedar` with policies, `*.test.toml` with tests of them. Every mistake is told with its place.

mod functions;
mod groups;
mod issuers;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gateway::cases;
use gateway::configure::{
    ColumnConfig, Configuration, Freshness, Password, PolicyFile, ReadOnly, TargetConfig,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use zeroize::Zeroizing;

use self::functions::TypedFunction;
use self::groups::TypedGroup;
use self::issuers::{TypedClient, TypedIssuer};
use self::words::{ColumnWord, FreshnessWord, ReadOnlyWord, SslModeWord, StrategyWord, TagWord, TargetWord};
use crate::client::Misconfigured;
use crate::exit::Fault;
use crate::files;
use crate::typed::{self, Time};

/// Targets, tags of their columns, issuers of tokens, clients with keys, and groups of the gateway's own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateFile {
    /// The services behind the gateway.
    #[serde(default)]
    targets: Vec<TypedTarget>,
    /// Tags of columns that stand apart from their target.
    #[serde(default)]
    tags: Vec<TypedTags>,
    /// Whose tokens are taken.
    #[serde(default)]
    issuers: Vec<TypedIssuer>,
    /// Workloads that prove themselves with keys of their own.
    #[serde(default)]
    clients: Vec<TypedClient>,
    /// Groups of the gateway's own, and who is in them.
    #[serde(default)]
    groups: Vec<TypedGroup>,
}

/// One service behind the gateway.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedTarget {
    /// What clients give as the database.
    #[schemars(with = "TargetWord")]
    name: Spanned<TargetWord>,
    /// Name, address, or the directory of a socket.
    host: String,
    /// 5432 where it is not given.
    port: Option<u16>,
    /// The role that the gateway logs in as.
    user: String,
    /// The database.
    database: String,
    /// Its password; better from a file or the environment.
    password: Option<String>,
    /// A file with its password.
    #[schemars(with = "Option<PathBuf>")]
    password_file: Option<Spanned<PathBuf>>,
    /// An environment variable with its password.
    #[schemars(with = "Option<String>")]
    password_env: Option<Spanned<String>>,
    /// A source of its password, by its name in the gateway's `durward.toml`.
    #[schemars(with = "Option<String>")]
    credential: Option<Spanned<String>>,
    /// As libpq's; `prefer` where it is not given.
    sslmode: Option<SslModeWord>,
    /// A file with the authorities of its certificate, in PEM; the system's where it is not given.
    #[schemars(with = "Option<PathBuf>")]
    sslrootcert: Option<Spanned<PathBuf>>,
    /// TLS from the first byte.
    #[serde(default)]
    direct_tls: bool,
    /// The login has to be bound to the server's certificate, as libpq's `channel_binding=require`.
    #[serde(default)]
    require_channel_binding: bool,
    /// How far the server itself refuses to write; `usual` where it is not given.
    #[serde(default)]
    read_only: ReadOnlyWord,
    /// How certain it is that a statement finds what it was judged by; `polled` where it is not given.
    #[serde(default)]
    freshness: FreshnessWord,
    /// What a policy may ask of it: `production`.
    #[serde(default)]
    tags: BTreeSet<TagWord>,
    /// Its columns, by `schema.table.column`.
    #[serde(default)]
    columns: BTreeMap<ColumnWord, TypedColumn>,
    /// Its functions whose code the gateway cannot read and a person has read, by `schema.name(type, …)`.
    #[serde(default)]
    functions: BTreeMap<String, TypedFunction>,
}

/// Tags of one target's columns, in a file of their own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedTags {
    /// The target's name; it is described in the same directory.
    #[schemars(with = "TargetWord")]
    target: Spanned<TargetWord>,
    /// Its columns, by `schema.table.column`.
    columns: BTreeMap<ColumnWord, TypedColumn>,
}

/// What is said of one column.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedColumn {
    /// Its tags; none clears what was proposed for it.
    #[serde(default)]
    tags: BTreeSet<TagWord>,
    /// How it is masked, where its tags do not say so.
    strategy: Option<StrategyWord>,
    /// Proposed by the gateway, and not yet looked at by a person: it is masked all the same.
    #[serde(default)]
    proposed: bool,
}

/// What a directory says, with the passwords beside it: a configuration does not write them.
#[derive(Default)]
pub(crate) struct Wanted {
    pub configuration: Configuration,
    /// All files that were read for it, those that it names among them.
    pub files: Vec<PathBuf>,
    passwords: BTreeMap<String, Zeroizing<String>>,
    /// Where each target is described.
    places: BTreeMap<String, String>,
    /// Where each issuer and client is described.
    named_at: BTreeMap<String, String>,
    groups_at: groups::Places,
    /// Where members are described that only the gateway can judge, by what they are members of.
    members_at: BTreeMap<(String, &'static str), String>,
    problems: Vec<String>,
}

/// One file while it is read.
struct Page<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Page<'_> {
    fn at<T>(&self, what: &Spanned<T>) -> String {
        typed::at(self.file, self.text, what.span().start)
    }

    /// Relative to the file.
    fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

impl Wanted {
    /// Reads a directory.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut wanted = Self::default();
        let mut tags = Vec::new();
        for file in files::all(directory, &["toml", "cedar"])? {
            let text = Zeroizing::new(files::text(&file)?);
            wanted.files.push(file.clone());
            if files::is_test(&file) {
                let name = name_in(directory, &file);
                match cases::read(&file.display().to_string(), &text) {
                    Err(problem) => wanted.problems.push(problem),
                    Ok(_) => wanted.configuration.tests.push(PolicyFile { name, text: text.to_string() }),
                }
                continue;
            }
            if file.extension().is_some_and(|e| e == "cedar") {
                let name = name_in(directory, &file);
                wanted.configuration.policies.push(PolicyFile { name, text: text.to_string() });
                continue;
            }
            match typed::toml::<StateFile>(&file, &text) {
                Err(problem) => wanted.problems.push(problem),
                Ok(StateFile { targets, tags: apart, issuers, clients, groups }) => {
                    let page = Page { file: &file, text: &text };
                    issuers.into_iter().for_each(|issuer| issuer.read(&page, &mut wanted));
                    clients.into_iter().for_each(|client| client.read(&page, &mut wanted));
                    groups.into_iter().for_each(|group| group.read(&page, &mut wanted));
                    targets.into_iter().for_each(|target| wanted.add(target, &page));
                    tags.extend(apart.into_iter().map(|one| (page.at(&one.target), one)));
                }
            }
        }
        tags.into_iter().for_each(|(place, one)| wanted.tag(&place, one));
        wanted.judge(directory);
        if wanted.problems.is_empty() {
            return Ok(wanted);
        }
        Err(Fault::Invalid(wanted.problems.join("\n")).into())
    }

    fn add(&mut self, typed: TypedTarget, page: &Page<'_>) {
        let TypedTarget {
            name: spanned,
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
            require_channel_binding,
            read_only,
            freshness,
            tags,
            columns,
            functions,
        } = typed;
        let place = page.at(&spanned);
        let TargetWord(name) = spanned.into_inner();
        if let Some(credential) = &credential {
            self.members_at.insert((name.clone(), "credential"), page.at(credential));
        }
        if let Some(file) = &sslrootcert {
            self.members_at.insert((name.clone(), "sslrootcert"), page.at(file));
        }
        if let Some(first) = functions.values().next() {
            self.members_at.insert((name.clone(), "functions"), page.at(&first.digest));
        }
        if let Some(first) = self.places.get(&name) {
            return self
                .problems
                .push(format!("{place}: the target \"{name}\" is described at {first} already"));
        }
        let mut sources = Vec::new();
        sources.extend(password.map(|given| Ok(Zeroizing::new(given))));
        sources.extend(password_file.map(|file| {
            let path = page.path(file.get_ref());
            self.files.push(path.clone());
            files::password_file(&path).map_err(|error| format!("{}: {error:#}", page.at(&file)))
        }));
        sources.extend(password_env.map(|name| {
            let missing = |_| format!("{}: {} is not set in the environment", page.at(&name), name.get_ref());
            store::children::withhold(name.get_ref());
            std::env::var(name.get_ref()).map(Zeroizing::new).map_err(missing)
        }));
        if sources.len() > 1 {
            let why = "has more than one of password, password_file and password_env";
            self.problems.push(format!("{place}: the target \"{name}\" {why}"));
        }
        if let Some(credential) = credential.as_ref().filter(|_| !sources.is_empty()) {
            let why = format!("\"{name}\" has a password and a credential: one of them");
            self.problems.push(format!("{}: {why}", page.at(credential)));
        }
        let password = sources.into_iter().next().and_then(|given| self.good(given));
        let sslrootcert = sslrootcert.and_then(|file| self.text(&file, page));
        for (what, value) in [("host", &host), ("user", &user), ("database", &database)] {
            if value.is_empty() || value.contains('\0') {
                self.problems.push(format!("{place}: the {what} of \"{name}\" is empty or has a zero byte"));
            }
        }
        if let Some(password) = &password {
            self.passwords.insert(name.clone(), password.clone());
        }
        self.places.insert(name.clone(), place);
        self.configuration.targets.push(TargetConfig {
            name,
            host,
            port: port.unwrap_or(5432),
            user,
            database,
            password: password.map(|p| Password::new(p.to_string())),
            credential: credential.map(Spanned::into_inner),
            sslmode: sslmode.unwrap_or(SslModeWord::Prefer).as_str().to_owned(),
            sslrootcert,
            direct_tls,
            require_channel_binding,
            read_only: match read_only {
                ReadOnlyWord::Usual => ReadOnly::Usual,
                ReadOnlyWord::Strict => ReadOnly::Strict,
            },
            freshness: match freshness {
                FreshnessWord::Polled => Freshness::Polled,
                FreshnessWord::Strict => Freshness::Strict,
            },
            tags: tags.into_iter().map(|TagWord(tag)| tag).collect(),
            columns: columns.into_iter().map(column).collect(),
            functions: functions.into_iter().map(|(name, typed)| (name, typed.config())).collect(),
        });
    }

    fn tag(&mut self, place: &str, typed: TypedTags) {
        let TypedTags { target, columns } = typed;
        let TargetWord(name) = target.into_inner();
        let Some(target) = self.configuration.targets.iter_mut().find(|t| t.name == name) else {
            let meant = policy::nearest(&name, self.places.keys().map(String::as_str))
                .map(|word| format!("; did you mean \"{word}\"?"))
                .unwrap_or_default();
            let why = format!("{place}: no target \"{name}\" is described among these files{meant}");
            return self.problems.push(why);
        };
        for (column, config) in columns.into_iter().map(column) {
            if target.columns.contains_key(&column) {
                self.problems.push(format!("{place}: {column} of \"{name}\" is spoken of twice"));
            }
            target.columns.insert(column, config);
        }
    }

    /// The text of a file that is named.
    fn text(&mut self, file: &Spanned<PathBuf>, page: &Page<'_>) -> Option<String> {
        let path = page.path(file.get_ref());
        self.files.push(path.clone());
        let read = std::fs::read_to_string(&path);
        self.good(read.map_err(|error| format!("{}: {}: {error}", page.at(file), path.display())))
    }

    fn seconds(&mut self, place: &str, what: &str, time: Option<Time>) -> Option<u32> {
        let too_long = |_| format!("{place}: {what} is too long");
        time.and_then(|t| self.good(u32::try_from(t.0.as_secs()).map_err(too_long)))
    }

    fn good<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// Issuers and policies are checked here as well, since here it is known where the files are.
    fn judge(&mut self, directory: &Path) {
        let known = policy::identity::Issuers::new(&self.configuration.issuers);
        let known = known.and_then(|issuers| {
            policy::identity::Clients::new(&self.configuration.clients, &issuers).map(drop)
        });
        if let Err((name, what)) = known {
            let place = self.named_at.get(&name).map(|place| format!("{place}: ")).unwrap_or_default();
            self.problems.push(format!("{place}\"{name}\": {what}"));
        }
        groups::judge(self);
        let whole = directory.is_file();
        let place = |name: &str| if whole { directory.to_owned() } else { directory.join(name) };
        let sources: Vec<policy::Source> = self
            .configuration
            .policies
            .iter()
            .map(|p| policy::Source { name: place(&p.name).display().to_string(), text: p.text.clone() })
            .collect();
        if let Err(problems) = policy::Policies::load(&sources) {
            self.problems.extend(problems.iter().map(ToString::to_string));
        }
    }

    /// Where something is described: a member of a target, an issuer or a client, or itself.
    pub(crate) fn place(&self, name: &str, member: Option<&str>) -> Option<&str> {
        let own = self.members_at.iter().find(|((of, known), _)| of == name && member == Some(known));
        let whole = || self.places.get(name).or_else(|| self.named_at.get(name));
        own.map(|(_, place)| place).or_else(whole).map(String::as_str)
    }

    /// What the gateway says of these files, with its place in them.
    pub(crate) fn placed(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(Misconfigured { name, member, reason }) = error.downcast_ref() else { return error };
        let place = self.place(name, Some(member.as_str()));
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        Fault::Invalid(format!("{place}{reason}")).into()
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

fn column((ColumnWord(name), typed): (ColumnWord, TypedColumn)) -> (String, ColumnConfig) {
    let TypedColumn { tags, strategy, proposed } = typed;
    let config = ColumnConfig {
        tags: tags.into_iter().map(|TagWord(tag)| tag).collect(),
        strategy: strategy.map(|s| s.as_str().to_owned()),
        proposed,
    };
    (name, config)
}

/// A policy file's name: its path within the directory.
fn name_in(directory: &Path, file: &Path) -> String {
    let within = file.strip_prefix(directory).ok().filter(|p| !p.as_os_str().is_empty());
    let name = within.or_else(|| file.file_name().map(Path::new)).unwrap_or(file);
    name.display().to_string()
}

#[cfg(test)]
mod tests;
