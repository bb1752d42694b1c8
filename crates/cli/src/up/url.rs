//! A connection string as libpq reads it: `postgres://user:password@host:port/database?sslmode=…`.

use anyhow::Context;
use gateway::net::tls::SslMode;
use zeroize::Zeroizing;

/// What `sslrootcert` says of the authorities that the system trusts.
const SYSTEM: &str = "system";

/// What each client says of its own connection, and the gateway of its own.
const OF_CLIENTS: [&str; 9] = [
    "application_name",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
];

/// Where a database is, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub name: String,
    pub sslmode: Option<String>,
    sslrootcert: Option<String>,
    pub direct_tls: bool,
    pub require_channel_binding: bool,
    /// What the URL says and the gateway does not need: names of [`OF_CLIENTS`].
    pub left_out: Vec<String>,
}

impl Database {
    /// Takes a URL apart, and the password out of it.
    pub(crate) fn parse(url: &str) -> Result<(Self, Option<Zeroizing<String>>), String> {
        let Parts { user, password, host, port: at, path, query } = parts(url)?;
        let user = decode(user)?;
        let mut database = Self {
            host: decode(host)?,
            port: match at {
                "" => 5432,
                typed => port(typed)?,
            },
            name: decode(path)?,
            user,
            sslmode: None,
            sslrootcert: None,
            direct_tls: false,
            require_channel_binding: false,
            left_out: Vec::new(),
        };
        let mut password = password.map(decode).transpose()?;
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("\"{}\" has no value", key_of(pair)))?;
            let value = decode(value)?;
            match key {
                "sslmode" => database.sslmode = Some(value),
                "sslrootcert" => database.sslrootcert = Some(value),
                "sslnegotiation" => {
                    database.direct_tls = match value.as_str() {
                        "direct" => true,
                        "postgres" => false,
                        _ => return Err("sslnegotiation is postgres or direct".to_owned()),
                    }
                }
                "channel_binding" => {
                    database.require_channel_binding = match value.as_str() {
                        "require" => true,
                        // It is bound wherever that can be.
                        "prefer" => false,
                        _ => return Err("channel_binding is prefer or require".to_owned()),
                    }
                }
                "host" => database.host = value,
                "port" => database.port = port(&value)?,
                "user" => database.user = value,
                "dbname" => database.name = value,
                "password" => password = Some(value),
                _ if OF_CLIENTS.contains(&key) => database.left_out.push(key.to_owned()),
                _ => {
                    return Err(format!(
                        "\"{key}\" is not taken in the URL; taken are sslmode, sslrootcert, sslnegotiation, channel_binding, host, port, user, \
                         password and dbname"
                    ));
                }
            }
        }
        let mode = database.sslmode.as_deref().map(str::parse::<SslMode>).transpose()?;
        if database.sslrootcert.as_deref() == Some(SYSTEM) {
            // Anybody has a certificate of one of these, for a name of theirs.
            if mode.is_some_and(|mode| mode != SslMode::VerifyFull) {
                return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            database.sslmode = Some(SslMode::VerifyFull.to_string());
            database.sslrootcert = None;
        }
        if database.user.is_empty() {
            return Err("the URL names no user: postgres://user@host/database".to_owned());
        }
        if database.host.is_empty() {
            "localhost".clone_into(&mut database.host);
        }
        if database.name.is_empty() {
            database.name.clone_from(&database.user);
        }
        Ok((database, password.filter(|p| !p.is_empty()).map(Zeroizing::new)))
    }

    /// The URL without its password.
    pub(crate) fn without_password(url: &str) -> Result<String, String> {
        let Parts { user, password: _, host, port, path, query } = parts(url)?;
        let port = if port.is_empty() { String::new() } else { format!(":{port}") };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let kept: Vec<&str> = query.split('&').filter(|p| !p.is_empty() && key_of(p) != "password").collect();
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Ok(format!("postgres://{user}@{host}{port}/{path}{query}"))
    }

    /// A name for it that a target may have.
    pub(crate) fn as_target_name(&self) -> String {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.name.chars().take(63).map(|c| if fine(c) { c } else { '-' }).collect()
    }

    /// The authorities that it names, read.
    pub(crate) fn root_certificates(&self) -> anyhow::Result<Option<String>> {
        let read =
            |path: &String| std::fs::read_to_string(path).with_context(|| format!("sslrootcert {path}"));
        self.sslrootcert.as_ref().map(read).transpose()
    }
}

/// A URL's parts, still encoded.
struct Parts<'a> {
    user: &'a str,
    password: Option<&'a str>,
    host: &'a str,
    port: &'a str,
    path: &'a str,
    query: &'a str,
}

fn parts(url: &str) -> Result<Parts<'_>, String> {
    // The URL itself is never repeated in an error: it may have a password in it.
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| {
            "the URL is not one of a PostgreSQL database: it is written postgres://user@host:5432/database"
                .to_owned()
        })?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may have an unencoded @; a host has none.
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the host begins with [ and has no ]")?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if place.contains(',') {
        return Err("the URL names more than one host: give one".to_owned());
    }
    Ok(Parts { user, password, host, port, path, query })
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("\"{text}\" is no port: it is 1 to 65535"))
}

fn key_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

fn decode(text: &str) -> Result<String, String> {
    let bad =
        || "a % in the URL is not followed by two hexadecimal digits, or the result is not UTF-8".to_owned();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
        out.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    if out.contains(&0) {
        return Err("the URL has a zero byte".to_owned());
    }
    String::from_utf8(out).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        match Database::parse(url) {
            Err(why) => format!("error: {why}"),
            Ok((d, password)) => format!(
                "{}@{}:{}/{} {} {}",
                d.user,
                d.host,
                d.port,
                d.name,
                d.sslmode.unwrap_or_default(),
                password.as_ref().map_or("-", |p| p.as_str())
            ),
        }
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        for (url, expected) in [
            ("postgres://app:s3cret@db.example.com:6000/orders", "app@db.example.com:6000/orders  s3cret"),
            ("postgresql://app@db/orders?sslmode=verify-full", "app@db:5432/orders verify-full -"),
            ("postgres://app:p%40ss%2F@db/orders", "app@db:5432/orders  p@ss/"),
            ("postgres://app:a@b@db/orders", "app@db:5432/orders  a@b"),
            ("postgres://app@[::1]:7000/x", "app@::1:7000/x  -"),
            ("postgres://app@/x?host=/var/run/postgresql&port=5433", "app@/var/run/postgresql:5433/x  -"),
            ("postgres://app@db?password=x", "app@db:5432/app  x"),
            ("postgres://app@%2Ftmp/x", "app@/tmp:5432/x  -"),
            ("postgres://app@db/x?connect_timeout=5&application_name=psql", "app@db:5432/x  -"),
            ("postgres://app@db/x?sslrootcert=system", "app@db:5432/x verify-full -"),
            ("postgres://app@db/x?sslrootcert=system&sslmode=verify-full", "app@db:5432/x verify-full -"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
        for url in [
            "mysql://app:hunter2@db/x",
            "postgres://:hunter2@db/x",
            "postgres://app:hunter2@db:port/x",
            "postgres://app:hunter2@db/x?options=-c%20work_mem=1",
            "postgres://app:hunter2@a,b/x",
            "postgres://app:hunter2@db/x?sslmode=require&sslrootcert=system",
            "postgres://app:hunter2@db/x?sslnegotiation=dirct",
            "postgres://app:hunter2@db/x?channel_binding=disable",
            "postgres://app:hunter2%4@db/x",
        ] {
            let error = shown(url);
            assert!(error.starts_with("error: ") && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn the_password_is_taken_out_and_all_else_stays() {
        for url in [
            "postgres://app:s3cret@db.example.com:6000/orders",
            "postgresql://app:s3cret@[::1]/orders?sslmode=require&sslrootcert=/x",
            "postgres://app@db/orders?password=s3cret&sslmode=require",
            "postgres://a%20b:s3@cret@db",
        ] {
            let without = Database::without_password(url).expect("a URL");
            assert!(!without.contains("cret"), "{without}");
            let (before, after) =
                (Database::parse(url).expect("read"), Database::parse(&without).expect("read"));
            assert!(before.1.is_some() && after.1.is_none());
            assert_eq!(before.0, after.0);
        }
    }
}
