//! From a grant to an open session: the target is dialled with its own credential, and the client is told that it is in.

use std::sync::Arc;

use policy::{Caps, Denied, Grant, PROTECTED};
use tokio::sync::Notify;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;

use super::answers::Answers;
use super::conversation::Conversation;
use super::guard::{Block, Guard, SETTING};
use super::masks::Masks;
use super::session::Open;
use super::settings;
use super::understanding::Understanding;
use crate::audit::Audit;
use crate::configure::{Freshness, ReadOnly};
use crate::gateway::Gateway;
use crate::net::cancel::{Cancellable, Registration};
use crate::net::dial::{DialError, Login, Password, Upstream, dial, untold};
use crate::net::listen::{Accepted, Wish};
use crate::net::pump::{Pump, Side};
use crate::spine::Stop;
use crate::targets::{Contact, Target};

/// Opens the session, all but the client's own part of it: see [`enter`].
pub(super) async fn open(
    gateway: &Gateway,
    grant: &Grant,
    wish: Wish<'_>,
    audit: &mut Audit,
    cancel: &Arc<Notify>,
    session: &str,
) -> Result<(Opened, Registration), Stop> {
    let target = gateway.target(grant.target()).ok_or_else(|| denied("08004", "there is no such target"))?;
    let everything = gateway.allows_everything(grant);
    let database = wish.database().unwrap_or(target.database.as_bytes());
    // Tags and the catalogue are those of the target's own database; who may do everything needs neither.
    if !everything && database != target.database.as_bytes() {
        return Err(denied(
            "3D000",
            "no other database of this target may be used here: only its own is understood",
        ));
    }
    let read_only = !everything && !gateway.could_write(grant);
    let mut parameters = parameters(wish, &target.user, database, everything, read_only)?;
    bounded(&grant.caps(), &mut parameters)?;
    // Behind all that the client asked for: the last one counts.
    parameters.extend(who_acts(grant, session));
    if !everything {
        // How names are resolved is asked on this very connection, whenever it may have moved.
        let purpose = match target.care.freshness {
            Freshness::Polled => "session names; read only between writes",
            Freshness::Strict => "session names; read only between writes; locks before statements",
        };
        audit.gateway(target.name.as_str(), purpose)?;
        target.catalogue.ready().await.map_err(|error| {
            tracing::warn!(session, %error, "the target's catalogue cannot be read");
            let (code, reason) = error.for_client("without which it understands no statement");
            Stop::Denied(untold(&target.name, code, reason))
        })?;
    }
    gateway.check_room(&target, grant.principal()).await?;
    let dialled = upstream(&target, wish.minor(), &parameters, everything, session).await;
    let upstream = dialled?;
    let cancellable = Cancellable {
        held: Arc::clone(cancel),
        address: target.address.clone(),
        tls: target.tls.clone(),
        process: upstream.process,
        secret: upstream.secret.clone(),
        client: wish.peer().ip(),
    };
    let registration = gateway
        .cancels()
        .register(cancellable, wish.minor())
        .ok_or(Stop::Broken("no randomness for a cancel key"))?;
    if !everything {
        check_reading(&upstream)?;
    }
    let welcome = welcome(&upstream, registration.secret(), read_only);
    let guard = if everything || read_only { Guard::Off } else { Guard::Waiting };
    let strict = target.care.read_only == ReadOnly::Strict && !everything && !read_only;
    let block = if strict { Block::None } else { Block::Unguarded };
    let terms = Terms { guard, block, caps: grant.caps(), stores: gateway.could_store(grant) };
    Ok((Opened { target, upstream, everything, terms, welcome, begun: parameters }, registration))
}

/// The target's connection. A password that was kept and is not taken any more is read anew, once.
async fn upstream(
    target: &Target,
    minor: u16,
    parameters: &[(String, Vec<u8>)],
    everything: bool,
    session: &str,
) -> Result<Upstream, Stop> {
    let mut anew = false;
    loop {
        let password = target.credential.password().await;
        let password = password.map_err(|error| unreachable(target, error.into(), Words::Ours, session))?;
        let login = Login { user: &target.user, password: password.as_deref(), minor, parameters };
        let words = if everything { Words::TheServers(login.password) } else { Words::Ours };
        match dial(&target.address, &target.tls, &login).await {
            Ok(upstream) => {
                target.catalogue.met(Contact::Reachable);
                return Ok(upstream);
            }
            Err(error) if !anew && error.is_login() && target.credential.refused(password.as_ref()) => {
                anew = true
            }
            Err(error) => return Err(unreachable(target, error, words, session)),
        }
    }
}

/// A session at the target, and what the client is told of it.
pub(super) struct Opened {
    target: Arc<Target>,
    upstream: Upstream,
    pub(super) everything: bool,
    terms: Terms,
    welcome: Vec<u8>,
    /// The start-up parameters.
    begun: Vec<(String, Vec<u8>)>,
}

/// What the conversation begins with.
struct Terms {
    guard: Guard,
    block: Block,
    caps: Caps,
    /// Whether values of the principal's own could be among those that are hidden from it.
    stores: bool,
}

/// The longest times that policy gives are what the session begins with, and what `RESET` puts back.
fn bounded(caps: &Caps, parameters: &mut Vec<(String, Vec<u8>)>) -> Result<(), Stop> {
    for (name, cap) in caps.settings() {
        match parameters.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            None => parameters.push((name.to_owned(), cap.to_string().into_bytes())),
            Some((_, value)) => {
                if let Err(why) = caps.allow(name, std::str::from_utf8(value).ok()) {
                    return Err(denied("42501", &why));
                }
            }
        }
    }
    Ok(())
}

/// Lets the client in.
pub(super) fn enter(gateway: &Gateway, opened: Opened, accepted: Accepted, cancel: Arc<Notify>) -> Open {
    let Opened { target, upstream, everything, terms, welcome, begun } = opened;
    let ear = accepted.ear();
    let (client, early) = accepted.into_stream();
    let mut pump = Pump { client: Side::new(client, &early), upstream: Side::new(upstream.stream, b"") };
    pump.client.output.extend(&welcome);
    let mut conversation = Conversation::new(Understanding::new(Arc::<Target>::clone(&target), everything));
    let Terms { guard, block, caps, stores } = terms;
    (conversation.guard, conversation.block, conversation.caps) = (guard, block, caps);
    for (name, value) in &upstream.parameters {
        conversation.reported(name.as_bytes(), value);
    }
    for (name, value) in &begun {
        conversation.begins_with(name, value);
    }
    let mut answers = Answers::new(Masks { key: gateway.hash_key(), stores });
    answers.ear = ear;
    let mut open = Open::new(target, pump, conversation, answers, cancel);
    if !everything {
        // The first statement will need it, and the client takes a while to send it.
        open.ask_ahead();
    }
    open
}

/// The start-up parameters for the target: its own user and database, and what the client may ask for.
fn parameters(
    wish: Wish<'_>,
    user: &str,
    database: &[u8],
    everything: bool,
    read_only: bool,
) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let wanted = settings::wanted(wish.parameters(), everything);
    if let Some(refused) = wanted.refused {
        return Err(Stop::Denied(refused));
    }
    let own = [("user", user.as_bytes()), ("database", database)];
    let mut parameters: Vec<(String, Vec<u8>)> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    if !everything {
        parameters.push(("client_encoding".to_owned(), b"UTF8".to_vec()));
        // What a database or role has by default would be another way to read a text.
        parameters.push((STRINGS.to_owned(), b"on".to_vec()));
    }
    parameters.extend(wanted.settings);
    if read_only {
        parameters.push((SETTING.to_owned(), b"on".to_vec()));
    }
    Ok(parameters)
}

/// What the target may know of who acts. These are what `RESET` and `DISCARD` put back, and no client may set them.
fn who_acts(grant: &Grant, session: &str) -> [(String, Vec<u8>); 3] {
    let principal = grant.principal();
    let chain: Vec<String> = principal.chain().rev().map(|link| plain(&link.to_string())).collect();
    [
        ("principal", plain(&principal.id.to_string())),
        ("chain", chain.join(" > ")),
        ("session", plain(session)),
    ]
    .map(|(name, value)| (format!("{PROTECTED}{name}"), value.into_bytes()))
}

/// As it is in every encoding that a server may have: other signs as `%` and two digits for each byte.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether a backslash in a string is only that.
const STRINGS: &str = "standard_conforming_strings";

/// A server that stores other encodings converts what it gets, and could read a text otherwise than we do; so could one that
/// did not take the settings that the session began with.
fn check_reading(upstream: &Upstream) -> Result<(), Stop> {
    let said = |name: &str| upstream.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
    if said("client_encoding").is_none_or(|v| v == b"UTF8")
        && said("server_encoding").is_none_or(|v| v == b"UTF8")
    {
        if said(STRINGS).is_none_or(|v| v == b"on") {
            return Ok(());
        }
        return Err(denied(
            "0A000",
            "the target reads backslashes in strings otherwise, which is not supported",
        ));
    }
    Err(denied("0A000", "the target's database is not encoded in UTF-8, which is not supported"))
}

/// AuthenticationOk and everything up to ReadyForQuery. The process id is the server's own, since `pg_backend_pid()` and
/// notifications speak of it; the secret is ours.
fn welcome(upstream: &Upstream, secret: &[u8], read_only: bool) -> Vec<u8> {
    let mut out = Vec::new();
    build::authentication_ok(&mut out);
    for (name, value) in &upstream.parameters {
        // What the gateway set is not the client's to see: it sees the server's own default.
        let value: &[u8] = if read_only && name == SETTING { b"off" } else { value };
        build::parameter_status(&mut out, name, value);
    }
    build::backend_key_data(&mut out, upstream.process, secret);
    for notice in &upstream.notices {
        out.extend_from_slice(notice);
    }
    build::ready(&mut out, TransactionStatus::Idle);
    out
}

/// Whose words a client gets when the target does not open a session.
enum Words<'a> {
    /// It may see everything but this password.
    TheServers(Option<&'a Password>),
    Ours,
}

fn unreachable(target: &Target, error: DialError, words: Words, session: &str) -> Stop {
    target.catalogue.met(error.contact());
    tracing::warn!(session, target_name = %target.name, %error, "the target cannot be used");
    if let Words::TheServers(password) = words
        && let Some(message) = error.own_words(password)
    {
        return Stop::Unopened(message.to_vec());
    }
    let (code, reason) = error.for_client();
    Stop::Denied(untold(&target.name, code, reason.to_owned()))
}

fn denied(code: &'static str, reason: &str) -> Stop {
    Stop::Denied(Denied {
        code,
        reason: reason.to_owned(),
        hint: None,
        policies: Vec::new(),
        version: "".into(),
    })
}
