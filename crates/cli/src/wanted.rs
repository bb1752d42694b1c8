//! What a directory says should be in force: `*.toml` with `[[targets]]`, `[[tags]]`, `[[issuers]]`, `[[clients]]` and `[[groups]]`,
//! `*.cedar` with policies, `*.test.toml` with tests of them. Every mistake is told with its place.

mod functions;
mod groups;
mod issuers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use gateway::cases;
use gateway::configure::{
    ColumnConfig, Configuration, Freshness, Password, PolicyFile, ReadOnly, TargetConfig, check_name,
    column_name, tag,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use zeroize::Zeroizing;

use self::functions::TypedFunction;
use self::groups::TypedGroup;
use self::issuers::{TypedClient, TypedIssuer};
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

/// 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]{1,63}$"))]
struct TargetWord(String);

impl TryFrom<String> for TargetWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        check_name(&word).map(|()| Self(word))
    }
}

/// Letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]+$"))]
struct TagWord(String);

impl TryFrom<String> for TagWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        tag(&word).map(|tag| Self(tag.0))
    }
}

/// `schema.table.column`; a part with a dot in it stands in double quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r#"^("[^"]+"|[^".][^.]*)(\.("[^"]+"|[^".][^.]*)){2}$"#))]
struct ColumnWord(String);

impl TryFrom<String> for ColumnWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match column_name(&word) {
            Some(_) => Ok(Self(word)),
            None => Err(format!("\"{word}\" is no column: it is written schema.table.column")),
        }
    }
}

/// How the target's TLS is judged, as libpq does.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SslModeWord {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslModeWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// How far the server itself refuses to write, where policy lets the principal write.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ReadOnlyWord {
    /// While nothing but reads is sent, outside of transaction blocks.
    #[default]
    Usual,
    /// In blocks that begin with a read as well: these stay read only.
    Strict,
}

/// How certain it is that a statement finds what it was judged by.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FreshnessWord {
    /// The target's definitions are looked at again and again.
    #[default]
    Polled,
    /// They are looked at for each statement, when what it names is locked already.
    Strict,
}

/// How a value is replaced.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StrategyWord {
    /// A constant of the type.
    Redact,
    /// The last four characters of a string of eight or more.
    Partial,
    /// NULL.
    Null,
    /// A keyed hash: equal values have equal masks.
    Hash,
    /// A date becomes the first day of its year.
    Generalize,
}

impl StrategyWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Partial => "partial",
            Self::Null => "null",
            Self::Hash => "hash",
            Self::Generalize => "generalize",
        }
    }
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
            let text =
                Zeroizing::new(std::fs::read_to_string(&file).with_context(|| file.display().to_string())?);
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
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }

        fn problem(&self) -> String {
            let error = Wanted::read(self.0.path()).err().expect("an error");
            format!("{error:#}").replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    const KEYS: &str = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    const TARGET: &str =
        "[[targets]]\nname = \"orders\"\nhost = \"db\"\nuser = \"app\"\ndatabase = \"orders\"\n";

    #[test]
    fn a_directory_is_targets_tags_and_policies() {
        let place = Place::new();
        place.write("targets/secret", "hunter2\n");
        place.write(
            "targets/orders.toml",
            &format!(
                "{TARGET}password_file = \"secret\"\n[targets.columns.\"shop.people.email\"]\ntags = [\"pii\"]\n"
            ),
        );
        place.write(
            "a-tags.toml",
            "[[tags]]\ntarget = \"orders\"\ncolumns = { \"shop.people.iban\" = { tags = [\"bank\"], strategy = \"partial\" } }\n",
        );
        place.write("policies/a.cedar", "@id(\"a\") permit (principal, action, resource);");
        place.write("policies/a.test.toml", "case = []\n");
        place.write("keys.json", KEYS);
        place.write(
            "issuers.toml",
            "[[issuers]]\nname = \"company\"\npreset = \"keycloak\"\nissuer = \"https://x.example\"\naudience = \"durward\"\n\
             jwks_file = \"keys.json\"\nagent_session = \"30m\"\nprincipals = [{ kind = \"user\", name = \"email\" }]\n\
             [[clients]]\nname = \"nightly\"\njwks_file = \"keys.json\"\ngroups = [\"jobs\"]\n",
        );
        place.write(".hidden.toml", "x");
        let wanted = Wanted::read(place.0.path()).expect("read");
        assert_eq!(wanted.configuration.policies[0].name, "policies/a.cedar");
        let json = wanted.to_json().expect("json");
        assert_eq!(json["targets"][0]["password"], "hunter2");
        assert_eq!(json["targets"][0]["columns"]["shop.people.email"]["tags"][0], "pii");
        assert_eq!(json["targets"][0]["columns"]["shop.people.iban"]["strategy"], "partial");
        let issuer = &wanted.configuration.issuers[0];
        assert_eq!((issuer.jwks.as_deref(), issuer.agent_session), (Some(KEYS), Some(1800)));
        let client = &wanted.configuration.clients[0];
        assert_eq!((client.name.as_str(), client.jwks.as_str()), ("nightly", KEYS));
        assert!(issuer.audience.contains("durward") && issuer.principals[0].name == "email");
        for name in ["targets/secret", "keys.json"] {
            assert!(wanted.files.iter().any(|f| f.ends_with(name)), "{name}: {:?}", wanted.files);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_the_word_that_may_be_meant() {
        let with = |rest: &str| format!("{TARGET}{rest}");
        for (text, expected) in [
            (
                with("pasword = \"x\""),
                &["t.toml:6:1: unknown field `pasword`", "did you mean `password`?"][..],
            ),
            (with("port = \"x\""), &["t.toml:6:8: invalid type: string \"x\", expected u16"]),
            (
                with("sslmode = \"verify-ful\""),
                &["t.toml:6:11: unknown variant `verify-ful`", "did you mean `verify-full`?"],
            ),
            (with("tags = [\"prod uction\"]"), &["t.toml:6:8: the tag \"prod uction\" has other characters"]),
            (with("columns = { \"people.email\" = {} }"), &["t.toml:6:13: \"people.email\" is no column"]),
            (
                with("columns = { \"a.b.c\" = { strategy = \"partal\" } }"),
                &["t.toml:6:36: unknown variant `partal`", "did you mean `partial`?"],
            ),
            (
                with("password = \"x\"\npassword_env = \"Y\""),
                &["t.toml:2:8: the target \"orders\" has more than one of"],
            ),
            (
                with("password = \"x\"\ncredential = \"Y\""),
                &["t.toml:7:14: \"orders\" has a password and a credential"],
            ),
            (
                with("password_env = \"DURWARD_TEST_NO_SUCH\""),
                &["t.toml:6:16: DURWARD_TEST_NO_SUCH is not set"],
            ),
            (with("sslrootcert = \"none.pem\""), &["t.toml:6:15: none.pem: No such file"]),
            (
                with("[[tags]]\ntarget = \"ordrs\"\ncolumns = {}"),
                &[
                    "t.toml:7:10: no target \"ordrs\" is described among these files; did you mean \"orders\"?",
                ],
            ),
            (with(TARGET), &["t.toml:7:8: the target \"orders\" is described at", "t.toml:2:8 already"]),
            (
                "[[issuers]]\nname = \"jobs\"\npreset = \"github-action\"\naudience = \"durward\"\n".to_owned(),
                &["t.toml:3:10: unknown variant `github-action`", "did you mean `github-actions`?"],
            ),
            (
                "[[issuers]]\nname = \"jobs\"\npreset = \"github-actions\"\naudience = \"durward\"\nwhen = \"repository = \"\n".to_owned(),
                &["t.toml:2:8: \"jobs\": "],
            ),
            (
                "[[groups]]\nname = \"a\"\nmembers = [\"user:x\", \"usr:y\"]\n".to_owned(),
                &["t.toml:3:11: \"usr:y\" is no member", "did you mean \"user:\"?"],
            ),
            (
                "[[groups]]\nname = \"dba\"\nmembers = [\n  \"user:x\",\n  \"group:local/dbas\",\n]\n".to_owned(),
                &["t.toml:5:3: \"dba\": there is no group \"local/dbas\"; did you mean \"group:local/dba\"?"],
            ),
            (
                "[[groups]]\nname = \"a\"\nmembers = [\"group:local/b\"]\n[[groups]]\nname = \"b\"\nmembers = [\"group:local/a\"]\n"
                    .to_owned(),
                &["t.toml:3:12: \"a\": \"local/b\" has it for a member already", "t.toml:6:12: \"b\": "],
            ),
            (
                "[[groups]]\nname = \"a\"\nmembers = [\"agent:local/coder\"]\n".to_owned(),
                &["t.toml:3:12: \"a\": anybody who signs in can call an agent of theirs local/coder"],
            ),
            (
                "[[groups]]\nname = \"a\"\nmembers = []\n[[groups]]\nname = \"a\"\nmembers = []\n".to_owned(),
                &["t.toml:5:8: the group \"a\" is described at", "t.toml:2:8 already"],
            ),
            ("[[groups]]\nname = \"a b\"\nmembers = []\n".to_owned(), &["t.toml:2:8: a group's name has 1 to 63"]),
            ("[[groups]]\nname = \"a\"\nmember = []\n".to_owned(), &["t.toml:3:1: unknown field", "did you mean `members`?"]),
            (TARGET.replace("orders", "or ders"), &["t.toml:2:8: a target's name has 1 to 63 letters"]),
            (TARGET.replace("\"db\"", "\"\""), &["t.toml:2:8: the host of \"orders\" is empty"]),
        ] {
            let place = Place::new();
            place.write("t.toml", &text);
            let told = place.problem();
            for part in expected {
                assert!(told.contains(part), "{text}\n→ {told}\nhas not {part}");
            }
        }
    }

    #[test]
    fn the_mistakes_of_all_files_are_told_together() {
        let place = Place::new();
        place.write("a.toml", "[[target]]\n");
        place.write("b.toml", "[[tags]]\ntarget = \"x\"\ncolumns = {}\n");
        place.write("c/p.cedar", "@id(\"a\") permit (principal, action == Action::\"selct\", resource);");
        let told = place.problem();
        for part in [
            "a.toml:1:3: unknown field `target`",
            "b.toml:2:10: no target \"x\"",
            "c/p.cedar:1:",
            "Action::\"select\"",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
