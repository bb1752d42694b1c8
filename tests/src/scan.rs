//! Whether a secret stands anywhere in what a run wrote, in eight encodings. Each run says which kinds of secrets it makes, and a
//! kind that it did not make fails it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use testkit::durward::Durward;
use testkit::{Scratch, http};

/// What each run makes. Keys that never leave the gateway's memory unsealed, of recordings and of journalled values, cannot be known
/// from outside; unit tests of `crates/recording` and `crates/store` look for those.
const RUNS: &[(&str, &[&str])] = &[
    (
        "sources",
        &[
            "administrator's secret",
            "approver's secret",
            "break-glass code",
            "client's SCRAM key",
            "invitation",
            "master key",
            "password by a command",
            "password by a file",
            "password by the environment",
            "password in a vault",
            "password of the store",
            "password sealed in the store",
            "password that is wrong",
            "private key of TLS",
            "recovery key",
            "secret in a statement",
            "server's SCRAM key",
            "signing secret of Slack",
            "token",
            "token of Slack",
            "token that is revoked",
            "vault's AppRole secret",
            "webhook's secret",
        ],
    ),
    (
        "browsers",
        &[
            "access token",
            "authorization code",
            "challenge of a passkey",
            "code verifier",
            "form's token against forgery",
            "invitation",
            "refresh token",
            "session cookie",
        ],
    ),
    (
        "people",
        &[
            "authorization code of the issuer",
            "client secret of the console",
            "code verifier",
            "form's token against forgery",
            "identity token",
            "password of a run's child",
            "session cookie",
            "token of login",
        ],
    ),
    ("agents", &["assertion by a private key", "exchanged token", "JWT of an issuer"]),
    ("introspection", &["client secret", "exchanged token", "opaque token of an issuer"]),
    ("introspection by a key", &["opaque token of an issuer", "private key"]),
];

/// A shorter text may stand somewhere by chance.
const SHORTEST: usize = 12;
/// What is looked up of a needle.
const HEAD: usize = 8;

/// The secrets of one run, and what it wrote.
pub(crate) struct Scan {
    kinds: BTreeSet<&'static str>,
    secrets: Vec<(&'static str, Vec<u8>)>,
    hay: BTreeMap<String, Vec<u8>>,
}

impl Scan {
    #[track_caller]
    pub(crate) fn new(run: &str) -> Self {
        let (_, kinds) = RUNS.iter().find(|(name, _)| *name == run).expect("a run of the table");
        Self { kinds: kinds.iter().copied().collect(), secrets: Vec::new(), hay: BTreeMap::new() }
    }

    /// A secret of a kind.
    #[track_caller]
    pub(crate) fn secret(&mut self, kind: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        let kind = *self.kinds.get(kind).unwrap_or_else(|| panic!("{kind} is not in the table of kinds"));
        assert!(secret.len() >= SHORTEST, "{kind} is too short to be looked for");
        // Of a JWT the signature is what nobody can make.
        if secret.starts_with(b"eyJ")
            && let Some(signature) = secret.rsplit(|b| *b == b'.').next().filter(|s| s.len() >= SHORTEST)
        {
            self.secrets.push((kind, signature.to_vec()));
        }
        self.secrets.push((kind, secret.to_vec()));
    }

    /// Something that was written.
    pub(crate) fn wrote(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.hay.entry(place.into()).or_default().extend(bytes.into());
    }

    /// Everything below a folder but what is there to keep secrets.
    pub(crate) fn folder(&mut self, folder: &Path, keeps: &[&str]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.folder(&path, keeps);
            } else if path.file_name().is_some_and(|name| !keeps.iter().any(|keeps| name == *keeps))
                && let Ok(bytes) = fs::read(&path)
            {
                self.wrote(path.display().to_string(), bytes);
            }
        }
    }

    /// What a gateway shows and wrote; it ends.
    pub(crate) fn gateway(&mut self, gateway: &mut Durward) {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let page = http::request(gateway.admin_port(), "GET", path, &[], b"").unwrap();
            self.wrote(path, page.headers + &page.body);
        }
        let pid = gateway.process().pid();
        self.wrote("arguments", fs::read(format!("/proc/{pid}/cmdline")).unwrap());
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        for (name, arguments) in [
            ("doctor", &["doctor"][..]),
            ("sessions", &["sessions", "ls", "--all"]),
            ("tokens", &["token", "ls"]),
            ("targets", &["targets", "ls"]),
            ("people", &["people", "ls"]),
            ("requests", &["requests", "ls", "--all"]),
            ("codes", &["break-glass", "ls"]),
        ] {
            for json in [&[][..], &["--json"]] {
                let output = gateway.command(&[arguments, json].concat()).output().unwrap();
                self.wrote(format!("durward {name}"), [output.stdout, output.stderr].concat());
            }
        }
        let exported = Scratch::new("exported").unwrap();
        let last = gateway.last_session().unwrap_or_default();
        for (name, arguments, place) in [
            ("export", &["export"][..], Some(exported.join("files"))),
            ("sessions play", &["sessions", "play", "--speed", "max", &last], None),
        ] {
            let output = gateway.command(arguments).args(place).output().unwrap();
            self.wrote(format!("durward {name}"), [output.stdout, output.stderr].concat());
        }
        self.folder(exported.path(), &[]);
        self.wrote("log", gateway.log());
        gateway.end();
        self.wrote("log", gateway.log());
        self.folder(&gateway.data(), &["master.key"]);
    }

    /// Whether words that are no secret stand where they should, so that a secret would be found there.
    pub(crate) fn finds(&self, place: &str, words: &str) -> bool {
        let mut places = self.hay.iter().filter(|(name, _)| name.ends_with(place));
        places.any(|(_, bytes)| bytes.windows(words.len()).any(|w| w == words.as_bytes()))
    }

    #[track_caller]
    pub(crate) fn check(self) {
        let Self { kinds, secrets, hay } = self;
        let made = secrets.iter().map(|(kind, _)| *kind).collect();
        let missing: Vec<_> = kinds.difference(&made).collect();
        assert!(missing.is_empty(), "the run made no {missing:?}");
        let needles = Needles::of(&secrets);
        let found: BTreeSet<String> = hay
            .iter()
            .flat_map(|(place, bytes)| {
                needles.within(bytes).into_iter().map(move |what| format!("{what} in {place}"))
            })
            .collect();
        assert!(found.is_empty(), "secrets stand where they should not: {found:#?}");
    }
}

/// All spellings of all secrets, by how they begin.
struct Needles<'s> {
    begins: Vec<bool>,
    heads: HashMap<[u8; HEAD], Vec<Needle<'s>>>,
}

/// One spelling of one secret.
struct Needle<'s> {
    kind: &'s str,
    spelling: &'static str,
    bytes: Vec<u8>,
}

impl<'s> Needles<'s> {
    fn of(secrets: &[(&'s str, Vec<u8>)]) -> Self {
        let mut this = Self { begins: vec![false; 1 << 16], heads: HashMap::new() };
        for (kind, secret) in secrets {
            for (spelling, bytes) in spellings(secret) {
                let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
                this.begins[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
                this.heads.entry(head).or_default().push(Needle { kind, spelling, bytes });
            }
        }
        this
    }

    fn within(&self, hay: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, head) in hay.windows(HEAD).enumerate() {
            if !self.begins[usize::from(u16::from_le_bytes([head[0], head[1]]))] {
                continue;
            }
            let head: [u8; HEAD] = head.try_into().unwrap();
            for Needle { kind, spelling, bytes } in self.heads.get(&head).into_iter().flatten() {
                if hay[at..].starts_with(bytes) {
                    found.insert(format!("{kind}, as {spelling},"));
                }
            }
        }
        found
    }
}

/// A secret as it may stand somewhere, in eight spellings; those of texts are of texts alone.
fn spellings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> String {
        secret.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let percent: String = secret
        .iter()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let mut all = vec![
        ("raw", secret.to_vec()),
        ("hex", hex(false).into_bytes()),
        ("HEX", hex(true).into_bytes()),
        ("percent", percent.into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        let json: String = text
            .chars()
            .map(|c| match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                other => other.to_string(),
            })
            .collect();
        all.push(("JSON", json.into_bytes()));
        all.push(("UTF-16LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    }
    // Behind none, one or two other bytes it looks otherwise; what its neighbours share is left out.
    for lead in 0..3 {
        let padded = [&[0; 2][..lead.min(2)], secret].concat();
        for (name, extra) in [("base64", *b"+/"), ("base64url", *b"-_")] {
            let text = base64(&padded, extra);
            all.push((name, text.as_bytes()[(lead * 8).div_ceil(6)..text.len() - 4].to_vec()));
        }
    }
    all
}

fn base64(bytes: &[u8], extra: [u8; 2]) -> String {
    let alphabet = [&b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[..], &extra].concat();
    let digits = |chunk: &[u8]| {
        let number = (0..3).fold(0_usize, |n, i| n << 8 | usize::from(chunk.get(i).copied().unwrap_or(0)));
        [18, 12, 6, 0].map(|shift| char::from(alphabet[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[test]
fn a_secret_is_found_in_each_of_eight_spellings() {
    let secret = "pa\"ss wörd/+~?>";
    for (at, (name, spelt)) in spellings(secret.as_bytes()).iter().enumerate() {
        assert!(!spelt.is_empty(), "{name}");
        assert!(at == 0 || *spelt != secret.as_bytes(), "{name}");
    }
    let secrets = [("a password", secret.as_bytes().to_vec())];
    let needles = Needles::of(&secrets);
    let inside = |hay: &[u8]| !needles.within(hay).is_empty();
    for lead in 0..4 {
        let text = [&b"abcd"[..lead], secret.as_bytes(), b"tail"].concat();
        for extra in [*b"+/", *b"-_"] {
            assert!(inside(base64(&text, extra).as_bytes()), "behind {lead}");
        }
    }
    assert!(inside("{\"x\":\"pa\\\"ss wörd/+~?>\"}".as_bytes()));
    assert!(!inside(b"pa\"ss word/+~?>"));
}

#[test]
#[should_panic(expected = "the run made no")]
fn a_kind_that_was_not_made_fails_its_run() {
    let mut scan = Scan::new("agents");
    scan.secret("exchanged token", "dwt_0123456789ab");
    scan.check();
}

#[test]
#[should_panic(expected = "exchanged token, as hex, in a file")]
fn a_secret_that_was_written_fails_its_run() {
    let mut scan = Scan::new("agents");
    for kind in scan.kinds.clone() {
        scan.secret(kind, format!("{kind} 0123456789"));
    }
    let spelt: String = b"exchanged token 0123456789".iter().map(|b| format!("{b:02x}")).collect();
    scan.wrote("a file", format!("before {spelt} behind"));
    scan.check();
}
