//! `durward sessions play` and `tail`: a recording in the terminal, as it went or as it goes.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use super::screen::{self, Look};
use crate::args::Play;
use crate::client::{Client, part};
use crate::show::{field, say};

/// So many steps are asked for at a time.
const STEPS: usize = 50;
/// In seconds.
const PATIENCE: u64 = 20;

/// What of a recording is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub rows: usize,
    pub only: Option<String>,
    pub find: Option<String>,
    pub wire: bool,
    pub wait: u64,
}

/// A page of a recording.
pub(super) fn page(client: &Client, id: &str, from: u64, asked: &Asked) -> anyhow::Result<Value> {
    let Asked { rows, only, find, wire, wait } = asked;
    let mut path = format!(
        "/sessions/{}/recording?from={from}&limit={STEPS}&rows={rows}&wire={wire}&wait={wait}",
        part(id)
    );
    for (name, value) in [("only", only), ("find", find)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    client.get(&path)
}

/// Hands on the pages of a recording from a step on, up to its end; `each` says whether to go on.
pub(super) fn pages(
    client: &Client,
    id: &str,
    from: u64,
    asked: &Asked,
    mut each: impl FnMut(&Value) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut from = from;
    loop {
        let page = page(client, id, from, asked)?;
        let goes_on = each(&page)?;
        match page.get("next").and_then(Value::as_u64) {
            Some(next) if goes_on => from = next,
            Some(_) | None => return Ok(()),
        }
    }
}

pub(super) fn steps(page: &Value) -> impl Iterator<Item = &Value> {
    page.get("steps").and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn target(page: &Value) -> String {
    page.get("session").map(|session| field(session, "target")).unwrap_or_default()
}

pub(super) fn play(client: &Client, args: &Play) -> anyhow::Result<()> {
    let Play { id, speed, idle, step: by_step, from, only, find, rows } = args;
    let look = look();
    let asked = Asked { rows: *rows, only: only.clone(), find: find.clone(), ..Asked::default() };
    let mut last: Option<u64> = None;
    pages(client, id, *from, &asked, |page| {
        if last.is_none() {
            tell(screen::beginning(page.get("session").unwrap_or(&Value::Null), look))?;
        }
        for step in steps(page) {
            let lines = screen::step(step, &target(page), look, room());
            if lines.is_empty() {
                continue;
            }
            let at = step.get("at_us").and_then(Value::as_u64).unwrap_or_default();
            if *by_step {
                if !next_is_wanted()? {
                    return Ok(false);
                }
            } else {
                wait(at.saturating_sub(last.unwrap_or(at)), *speed, *idle);
            }
            last = Some(at);
            tell(lines)?;
        }
        last = last.or(Some(0));
        if page.get("next").is_none_or(Value::is_null) {
            tell(ending(page, look))?;
        }
        Ok(true)
    })
}

/// How a recording ends, or that it goes on.
fn ending(page: &Value, look: Look) -> Vec<String> {
    match page.get("ended").filter(|ended| !ended.is_null()) {
        Some(ended) => screen::end(ended, look),
        None if page.get("live").and_then(Value::as_bool) == Some(true) => {
            vec![String::new(), "The session goes on: sessions tail.".to_owned()]
        }
        None => vec![String::new(), "The recording has no end: the gateway was cut off.".to_owned()],
    }
}

pub(super) fn tail(client: &Client, id: &str, rows: usize, json: bool) -> anyhow::Result<()> {
    let look = look();
    let mut asked = Asked { rows, ..Asked::default() };
    let mut from = 0;
    let mut begun = false;
    loop {
        let page = page(client, id, from, &asked)?;
        if !std::mem::replace(&mut begun, true) && !json {
            tell(screen::beginning(page.get("session").unwrap_or(&Value::Null), look))?;
        }
        let live = page.get("live").and_then(Value::as_bool) == Some(true);
        let is_done = |step: &&Value| step.get("done").and_then(Value::as_bool) == Some(true) || !live;
        for step in steps(&page).take_while(is_done) {
            from = step.get("index").and_then(Value::as_u64).unwrap_or(from) + 1;
            if json {
                say(step)?;
            } else {
                tell(screen::step(step, &target(&page), look, room()))?;
            }
        }
        if !live && page.get("next").is_none_or(Value::is_null) {
            if !json {
                tell(ending(&page, look))?;
            }
            return Ok(());
        }
        asked.wait = PATIENCE;
    }
}

/// How many characters a line of the terminal has; as many as there are elsewhere.
fn room() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map_or(usize::MAX, |size| usize::from(size.ws_col).max(20))
}

fn look() -> Look {
    if io::stdout().is_terminal() { Look::Painted } else { Look::Plain }
}

fn tell(lines: Vec<String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn wait(micros: u64, speed: f64, idle: u64) {
    let seconds = Duration::from_micros(micros).min(Duration::from_secs(idle)).as_secs_f64() / speed;
    // No time at all where it is played as fast as it goes.
    if seconds.is_finite() && seconds > 0.0 {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}

fn next_is_wanted() -> io::Result<bool> {
    eprint!("-- return: next, q: end -- ");
    let mut typed = String::new();
    let read = io::stdin().lock().read_line(&mut typed)?;
    Ok(read > 0 && !typed.trim().eq_ignore_ascii_case("q"))
}
