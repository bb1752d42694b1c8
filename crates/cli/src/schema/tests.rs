//! Schemas and readers agree: on examples, on words that are none, and on values of every other kind.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::typed;

/// As much of JSON Schema as ours use; a word that is not known here fails the test.
struct Check<'a>(&'a Value);

impl Check<'_> {
    fn fits(&self, value: &Value) -> bool {
        self.by(self.0, value)
    }

    fn by(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(rules) = schema else { return schema.as_bool().expect("true or false") };
        rules.iter().all(|(word, rule)| self.rule(word, rule, schema, value))
    }

    fn rule(&self, word: &str, rule: &Value, schema: &Value, value: &Value) -> bool {
        let all = || rule.as_array().expect("a list").iter();
        match word {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let name = rule.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a definition");
                self.by(&self.0["$defs"][name], value)
            }
            "type" => match rule.as_str() {
                Some(kind) => is(kind, value),
                None => all().any(|kind| is(kind.as_str().expect("a kind"), value)),
            },
            "enum" => all().any(|one| one == value),
            "const" => rule == value,
            "anyOf" => all().any(|one| self.by(one, value)),
            "oneOf" => all().filter(|one| self.by(one, value)).count() == 1,
            "allOf" => all().all(|one| self.by(one, value)),
            "pattern" => value.as_str().is_none_or(|text| {
                regex::Regex::new(rule.as_str().expect("a pattern")).expect("a pattern").is_match(text)
            }),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().expect("a number")),
            "minItems" => value.as_array().is_none_or(|l| l.len() as u64 >= rule.as_u64().expect("a number")),
            "maxItems" => value.as_array().is_none_or(|l| l.len() as u64 <= rule.as_u64().expect("a number")),
            "maxProperties" => {
                value.as_object().is_none_or(|o| o.len() as u64 <= rule.as_u64().expect("a number"))
            }
            "not" => !self.by(rule, value),
            "uniqueItems" => true,
            "items" => value.as_array().is_none_or(|list| list.iter().all(|one| self.by(rule, one))),
            "required" => value
                .as_object()
                .is_none_or(|o| all().all(|name| o.contains_key(name.as_str().expect("name")))),
            "dependentRequired" => value.as_object().is_none_or(|object| {
                let rules = rule.as_object().expect("a table").iter();
                let mut asked = rules
                    .filter(|(name, _)| object.contains_key(*name))
                    .flat_map(|(_, names)| names.as_array());
                asked.all(|names| names.iter().all(|n| object.contains_key(n.as_str().expect("a name"))))
            }),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(name, v)| rule.get(name).is_none_or(|r| self.by(r, v)))
            }),
            "patternProperties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(name, v)| matching(rule, name).iter().all(|r| self.by(r, v)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let known = |name: &str| {
                    schema["properties"].get(name).is_some()
                        || !matching(&schema["patternProperties"], name).is_empty()
                };
                object.iter().filter(|(name, _)| !known(name)).all(|(_, v)| self.by(rule, v))
            }),
            other => panic!("what does {other} mean?"),
        }
    }
}

fn matching<'a>(patterns: &'a Value, name: &str) -> Vec<&'a Value> {
    let patterns = patterns.as_object().into_iter().flatten();
    patterns
        .filter(|(p, _)| regex::Regex::new(p).expect("a pattern").is_match(name))
        .map(|(_, r)| r)
        .collect()
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("what is {other}?"),
    }
}

/// Whether the reader takes it.
fn is_read(kind: Kind, value: &Value) -> bool {
    let Ok(text) = toml::to_string(value) else { return false };
    let file = Path::new("f.toml");
    match kind {
        Kind::Config => typed::toml::<crate::config::Typed>(file, &text).is_ok(),
        Kind::State => typed::toml::<crate::wanted::StateFile>(file, &text).is_ok(),
        Kind::Tests => typed::toml::<gateway::cases::Tests>(file, &text).is_ok(),
    }
}

/// Everything that can be said, each at least once.
fn examples() -> Vec<(Kind, Value)> {
    let all = [
        (Kind::Config, ""),
        (
            Kind::Config,
            "data = 'state'\nwatch = true\nmaster_key = { file = 'k' }\napply = 'files'\n\
             [postgres]\nlisten = ['0.0.0.0:7432', '[::]:7432']\ntls = { certificate = 'c', key = 'k' }\nconnections = 10\n\
             connections_per_address = 3\nlogin = '5s'\ntargets = { orders = '127.0.0.1:7433' }\n\
             [console]\nlisten = '127.0.0.1:7300'\nhosts = ['gate.example.com']\npublic_url = 'https://gate.example.com'\nsecond_person = ['policies', 'targets']\n\
             [console.roles]\nadministrator = ['company/platform']\npolicy_editor = ['company/dba']\nauditor = ['user:company/eve']\n[log]\nformat = 'json'\nlevel = 'info'\n\
             [limits]\nhold = '1m'\nhold_in_block = '10s'\ndrain = '20s'\nsessions_of_one = 20\n\
             tokens_of_one = 30\nrequests_of_one = 1000000\nrequests_in_all = 2000000\n[mcp]\ncalls = 4\nrows = 50\nbytes = 1000\ntime = '30s'\n[retention]\ntokens = '30d'\nrequests = '1d'\nrecordings = '7d'\n\
             [recordings]\ndirectory = 'rec'\nbytes_per_operation = 0\n\
             [webhooks.ops]\nurl = 'https://hooks.example.com/durward?team=db'\nsecret = { file = 's' }\nauthorities = 'ca.pem'\n\
             [webhooks.here]\nurl = 'http://127.0.0.1:8080'\nsecret = { env = 'S' }\n\
             [slack]\nchannel = 'C0123456789'\ntoken = { file = 't' }\nsigning_secret = { env = 'S' }\napi = 'http://127.0.0.1:8081/api'\n",
        ),
        (
            Kind::Config,
            "master_key = { command = ['pass', 'x'] }\napply = { directory = 'd', prune = true }\n[postgres]\nlisten = '127.0.0.1:1'\n",
        ),
        (Kind::Config, "master_key = { env = 'KEY' }\nstore = 'postgres://durward@db.example.com/durward'\n"),
        (
            Kind::Config,
            "[store]\nurl = 'postgres://u@h:5432/d?sslmode=require'\npassword = { file = 'p' }\nlease = '2s'\n\
             [postgres]\noauth = '127.0.0.1:7434'\n[agents]\nlisten = '127.0.0.1:7380'\nurls = ['https://gate.example.com']\n\
             [break_glass]\ncommand = ['page', 'oncall']\n[vault]\naddress = 'https://v.example:8200'\ntoken = { env = 'T' }\n\
             authorities = 'ca.pem'\nnamespace = 'n'\nmount = 'kv'\n[credentials.a]\nfile = 'f'\ncache = '1m'\n\
             [credentials.b]\nenv = 'E'\n[credentials.c]\ncommand = ['pass', 'c']\n\
             [credentials.d]\nvault = 'databases/orders'\nkey = 'word'\n",
        ),
        (
            Kind::Config,
            "[vault]\naddress = 'https://v.example:8200'\nrole_id = 'r'\nsecret_id = { file = 's' }\napprole = 'roles'\n",
        ),
        (
            Kind::State,
            "[[targets]]\nname = 'orders'\nhost = 'db'\nport = 5432\nuser = 'u'\ndatabase = 'd'\npassword_file = 'f'\n\
             sslmode = 'verify-full'\nsslrootcert = 'ca.pem'\ndirect_tls = true\nrequire_channel_binding = true\nread_only = 'strict'\nfreshness = 'strict'\ntags = ['production']\n\
             [targets.columns]\n'a.b.c' = { tags = ['pii.email'], strategy = 'hash', proposed = true }\n\
             [[targets]]\nname = 'b'\nhost = 'db'\nuser = 'u'\ndatabase = 'd'\npassword_env = 'X'\nread_only = 'usual'\nfreshness = 'polled'\n\
             [[targets]]\nname = 'c'\nhost = 'db'\nuser = 'u'\ndatabase = 'd'\ncredential = 'orders'\n\
             [[tags]]\ntarget = 'orders'\ncolumns = { 'a.b.d' = { tags = [] } }\n",
        ),
        (
            Kind::State,
            "[[targets]]\nname = 'a'\nhost = 'db'\nuser = 'u'\ndatabase = 'd'\n\
             functions.'a.f(integer)' = { digest = 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', effects = ['update=a.b'], holds = ['a.b.c'] }\n",
        ),
        (
            Kind::State,
            "[[issuers]]\nname = 'jobs'\npreset = 'github-actions'\naudience = 'durward'\nwhen = 'repository == \"acme/api\"'\n\
             leeway = '5s'\nlogin_client = 'durward'\nlogin_scopes = 'openid groups'\nlogin_device = true\nconsole_client = 'durward'\nconsole_credential = 'at-issuer'\nmax_age = '10m'\nagent_session = '1h'\nuser_session = '8h'\nexchange_life = '1h'\n\
             [[issuers]]\nname = 'company'\nissuer = 'https://x.example'\naudience = ['a', 'b']\nalgorithms = ['RS256']\n\
             jwks_uri = 'https://x.example/keys'\nca_file = 'ca.pem'\njwks_file = 'k.json'\nprefix = 'c/'\n\
             principals = [{ when = 'x', kind = 'user', name = 'email', groups = ['g'], in_groups = ['h'], unverified_email = true }]\n\
             [[clients]]\nname = 'nightly'\njwks_file = 'k.json'\nalgorithms = ['ES256']\ngroups = ['jobs']\n\
             agent_session = '1h'\nexchange_life = '1h'\n\
             [[issuers]]\nname = 'asked'\nissuer = 'https://y.example'\naudience = 'a'\n\
             introspection = { client_id = 'g', credential = 'c', auth = 'private_key_jwt', key_id = 'k', endpoint = 'https://y.example/a', every = '10s', grace = '1m', opaque = true }\n\
             [[groups]]\nname = 'dba'\nmembers = ['user:company/alice', 'agent:github/acme/api', 'group:company/on call']\n",
        ),
        (
            Kind::Config,
            "[console]\nlisten = '0.0.0.0:7300'\npublic_url = 'https://gate.example.com'\ntls = { certificate = 'c.pem', key = 'k.pem' }\n",
        ),
        (
            Kind::Config,
            "[console]\nlisten = '0.0.0.0:7300'\npublic_url = 'https://gate.example.com'\ntrusted_proxy = ['10.0.0.0/8', '2001:db8::7']\n",
        ),
        (Kind::Config, "[agents]\nlisten = '0.0.0.0:7380'\ntls = { certificate = 'c.pem', key = 'k.pem' }\n"),
        (
            Kind::Config,
            "[agents.authorization]\nsession = '8h'\nregistration = true\ndocuments_at_private_hosts = ['clients.corp.example']\n\
             documents_authorities = 'ca.pem'\n\
             [[agents.authorization.clients]]\nid = 'claude-code'\nname = 'Claude Code'\nredirects = ['http://127.0.0.1/callback']\n\
             [[agents.authorization.clients]]\nid = 'b'\nredirects = ['https://app.example.com/callback', 'http://[::1]:1/x']\n",
        ),
        #[cfg(feature = "otel")]
        (
            Kind::Config,
            "[traces]\nendpoint = 'https://collector.example:4318'\nheaders = { authorization = { env = 'T' } }\n\
             authorities = 'ca.pem'\nsample = 0.1\n",
        ),
        (Kind::Config, "[postgres]\nlisten = []\ntargets = { orders = '127.0.0.1:7433' }\n"),
        (
            Kind::Tests,
            "[[case]]\nname = 'n'\nprincipal = 'agent:a'\ngroups = ['g']\non_behalf_of = ['user:u']\ntarget = 't'\n\
             target_tags = ['x']\nwithout_where = true\napproved = ['h']\neffects = ['select=a.b']\nexpect = 'hold'\nby = ['h']\n\
             values = [{ column = 'a.b.c', how = '=', value = '1' }]\nvalues_uncertain = true\nliterals = 1\n\
             estimated_rows = 7\nmeasured_rows = 8\n\
             [[case]]\nname = 'n'\nprincipal = 'agent:a'\ntarget = 't'\nstatement = 'SELECT 1'\nexpect = 'allow'\n",
        ),
    ];
    all.into_iter().map(|(kind, text)| (kind, toml::from_str(text).expect("TOML"))).collect()
}

#[test]
fn every_example_is_taken_by_schema_and_reader() {
    let mut examples = examples();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (kind, file) in [(Kind::Config, "packaging/durward.toml"), (Kind::State, "docs/example/targets.toml")]
    {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        examples.push((kind, toml::from_str(&text).expect(file)));
    }
    for (kind, example) in examples {
        let schema = of(kind).to_value();
        assert!(Check(&schema).fits(&example), "{kind:?}: {example}");
        assert!(is_read(kind, &example), "{kind:?}: {example}");
    }
}

/// Each place of an example gets a word that is none, loses each of its words, and becomes everything else that it could be.
#[test]
fn schema_and_reader_refuse_the_same() {
    let others = [
        json!(true),
        json!(-1),
        json!(5),
        json!(70_000),
        json!("x y"),
        json!("45s"),
        json!("0s"),
        json!("127.0.0.1:7300"),
        json!("1.2.3.4:80"),
        json!("a.b.c"),
        json!([]),
        json!(["x y"]),
        json!({}),
        json!({ "file": "x" }),
    ];
    let mut refused = 0;
    for (kind, example) in examples() {
        let schema = of(kind).to_value();
        for place in places(&example) {
            let mut changed = Vec::new();
            let with = |change: &dyn Fn(&mut Value)| {
                let mut copy = example.clone();
                change(copy.pointer_mut(&place).expect("a place"));
                copy
            };
            changed.extend(others.iter().map(|other| with(&|at| *at = other.clone())));
            if let Some(table) = example.pointer(&place).and_then(Value::as_object) {
                changed.push(with(&|at| at["zebra"] = json!({})));
                for name in table.keys() {
                    changed.push(with(&|at| drop(at.as_object_mut().expect("a table").remove(name))));
                }
            }
            for value in changed.into_iter().filter(Value::is_object) {
                let (fits, read) = (Check(&schema).fits(&value), is_read(kind, &value));
                assert_eq!(
                    fits, read,
                    "{kind:?} at {place}: the schema says {fits}, the reader {read}: {value}"
                );
                refused += usize::from(!fits);
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

/// JSON pointers of everything in a value, itself first.
fn places(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(table) => {
            table.iter().map(|(name, v)| (name.replace('~', "~0").replace('/', "~1"), v)).collect()
        }
        Value::Array(list) => list.iter().enumerate().map(|(at, v)| (at.to_string(), v)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, child) in children {
        all.extend(places(child).into_iter().map(|rest| format!("/{name}{rest}")));
    }
    all
}
