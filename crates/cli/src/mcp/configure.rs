//! Configurations of agents' programs: what is added to which file, and how that is undone. What else stands in a file stays as
//! it is, sign for sign. No token stands in any of them: the program starts `durward mcp`, which signs in by itself.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::args::{AgentsProgram, McpConfig};
use crate::exit::Fault;

/// What the gateway is called in them.
const NAME: &str = "durward";

/// Where a program keeps its servers.
struct Place {
    /// The file, from the project's folder or from home.
    file: PathBuf,
    /// The table of servers in it.
    table: &'static str,
    /// The server's own entry.
    entry: Value,
}

impl Place {
    fn of(args: &McpConfig) -> anyhow::Result<Self> {
        let command = command();
        let mut arguments = vec!["mcp".to_owned(), "--agent".to_owned(), args.agent().to_owned()];
        for target in &args.targets {
            arguments.extend(["--target".to_owned(), target.clone()]);
        }
        if let Some(url) = &args.url {
            arguments.extend(["--url".to_owned(), url.clone()]);
        }
        let usual = json!({ "command": command, "args": arguments });
        let (file, table, entry) = match args.client {
            AgentsProgram::Claude => (PathBuf::from(".mcp.json"), "mcpServers", usual),
            AgentsProgram::Cursor => (PathBuf::from(".cursor/mcp.json"), "mcpServers", usual),
            AgentsProgram::Vscode => (
                PathBuf::from(".vscode/mcp.json"),
                "servers",
                json!({ "type": "stdio", "command": command, "args": arguments }),
            ),
            AgentsProgram::Windsurf => (home(".codeium/windsurf/mcp_config.json")?, "mcpServers", usual),
            AgentsProgram::Gemini => (PathBuf::from(".gemini/settings.json"), "mcpServers", usual),
            AgentsProgram::Codex => (home(".codex/config.toml")?, "mcp_servers", usual),
            AgentsProgram::Opencode => {
                let all: Vec<&String> = std::iter::once(&command).chain(&arguments).collect();
                let entry = json!({ "type": "local", "command": all, "enabled": true });
                (PathBuf::from("opencode.json"), "mcp", entry)
            }
        };
        Ok(Self { file: args.file.clone().unwrap_or(file), table, entry })
    }
}

/// This very program, where it is not found by its name.
pub(crate) fn command() -> String {
    let by_name = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(NAME).is_file()));
    let own = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    own.filter(|_| !by_name).unwrap_or_else(|| NAME.to_owned())
}

fn home(file: &str) -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    Ok(PathBuf::from(home.ok_or_else(|| Fault::Missing("HOME is not set".to_owned()))?).join(file))
}

pub(super) fn run(args: &McpConfig) -> anyhow::Result<()> {
    let place = Place::of(args)?;
    let Place { file, table, entry } = &place;
    let is_toml = args.client == AgentsProgram::Codex;
    if args.undo {
        return undo(&place, is_toml);
    }
    if !args.write {
        println!("# {}: add this, or let --write do it", file.display());
        let text =
            if is_toml { toml_entry(entry) } else { format!("{:#}", json!({ *table: { NAME: entry } })) };
        println!("{text}");
        return Ok(());
    }
    let before = read(file)?;
    let after = if is_toml {
        with_toml(&before, entry)?
    } else {
        with_json(&before, table, entry).with_context(|| format!("{} is left as it is", file.display()))?
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, after).with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "{} has the server \"{NAME}\" now. Start the program anew; it is there after durward login.",
        file.display()
    );
    println!("To undo it: durward mcp config --client {} --undo", args.client.name());
    Ok(())
}

fn undo(place: &Place, is_toml: bool) -> anyhow::Result<()> {
    let Place { file, table, entry: _ } = place;
    let before = read(file)?;
    let after = if is_toml { without_toml(&before) } else { without_json(&before, table)? };
    match after {
        None => println!("{} has no server \"{NAME}\".", file.display()),
        Some(after) => {
            std::fs::write(file, after).with_context(|| format!("cannot write {}", file.display()))?;
            println!("{} has no server \"{NAME}\" any more.", file.display());
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

// ---------------------------------------------------------------------- JSON, of which nothing is moved

fn with_json(text: &str, table: &str, entry: &Value) -> anyhow::Result<String> {
    if text.trim().is_empty() {
        return Ok(format!("{:#}\n", json!({ table: { NAME: entry } })));
    }
    let parsed: Value = serde_json::from_str(text).map_err(|error| {
        Fault::Invalid(format!(
            "it is no plain JSON ({error}): add the entry by hand, as it is shown without --write"
        ))
    })?;
    let wrong = |what: &str| Fault::Invalid(format!("{what} is not an object in it"));
    let root = parsed.as_object().ok_or_else(|| wrong("the whole"))?;
    let indented = |depth: usize, value: &Value| {
        format!("{value:#}").replace('\n', &format!("\n{}", "  ".repeat(depth)))
    };
    let (at, inserted) = match root.get(table) {
        None => {
            let own = indented(1, &json!({ NAME: entry }));
            (opening(text, &[]), (format!("\n  \"{table}\": {own}"), root.is_empty()))
        }
        Some(servers) => {
            let servers = servers.as_object().ok_or_else(|| wrong(table))?;
            if servers.contains_key(NAME) {
                let span = span(text, &[table, NAME]).ok_or_else(|| wrong(NAME))?;
                return Ok(replaced(text, span, &indented(2, entry)));
            }
            let own = indented(2, entry);
            (opening(text, &[table]), (format!("\n    \"{NAME}\": {own}"), servers.is_empty()))
        }
    };
    let at = at.ok_or_else(|| wrong(table))?;
    let (inserted, alone) = inserted;
    let comma = if alone { "\n" } else { "," };
    Ok(replaced(text, at..at, &format!("{inserted}{comma}")))
}

fn without_json(text: &str, table: &str) -> anyhow::Result<Option<String>> {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let there = parsed.as_ref().and_then(|root| root.get(table)?.get(NAME)).is_some();
    if !there {
        return Ok(None);
    }
    let broken = || Fault::Invalid("the entry is not found in it".to_owned());
    let value = span(text, &[table, NAME]).ok_or_else(broken)?;
    // From what is before its name to the comma behind it, or else from the comma before it.
    let head = text.get(..value.start).unwrap_or_default();
    let name = head.rfind(&format!("\"{NAME}\"")).ok_or_else(broken)?;
    let tail = text.get(value.end..).unwrap_or_default();
    let behind =
        tail.trim_start().starts_with(',').then(|| value.end + tail.find(',').unwrap_or_default() + 1);
    let before = head.get(..name).unwrap_or_default().trim_end();
    let (from, to) = match behind {
        Some(behind) => (before.len(), behind),
        None => (before.strip_suffix(',').unwrap_or(before).len(), value.end),
    };
    Ok(Some(replaced(text, from..to, "")))
}

fn replaced(text: &str, range: Range<usize>, with: &str) -> String {
    let mut out = text.get(..range.start).unwrap_or_default().to_owned();
    out.push_str(with);
    out.push_str(text.get(range.end..).unwrap_or_default());
    out
}

/// Behind the brace that opens the object at a path.
fn opening(text: &str, path: &[&str]) -> Option<usize> {
    let span = if path.is_empty() { text.find('{')?..text.len() } else { span(text, path)? };
    text.get(span.start..)?.starts_with('{').then_some(span.start + 1)
}

/// Where the value at a path stands, in a text that is valid JSON.
fn span(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let bytes = text.as_bytes();
    let mut at = skip(bytes, text.find('{')? + 1);
    loop {
        let name = value(bytes, at)?;
        let is_it = serde_json::from_str::<String>(text.get(name.clone())?).ok()? == **first;
        at = skip(bytes, name.end);
        at = skip(bytes, at.checked_add(1).filter(|_| bytes.get(at) == Some(&b':'))?);
        let found = value(bytes, at)?;
        if is_it && rest.is_empty() {
            return Some(found);
        }
        if is_it {
            let inner = span(text.get(found.clone())?, rest)?;
            return Some(found.start + inner.start..found.start + inner.end);
        }
        at = skip(bytes, found.end);
        at = skip(bytes, at.checked_add(1).filter(|_| bytes.get(at) == Some(&b','))?);
    }
}

fn skip(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The value that begins here, in valid JSON.
fn value(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (offset, byte) in bytes.get(from..)?.iter().enumerate() {
        let at = from + offset;
        if quoted {
            (quoted, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            if !quoted && depth == 0 {
                return Some(from..at + 1);
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(from..at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(from..at + 1);
                }
            }
            b',' if depth == 0 => return Some(from..at),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(from..at),
            _ => {}
        }
    }
    None
}

// ---------------------------------------------------------------------- TOML

fn toml_entry(entry: &Value) -> String {
    // Strings of JSON are strings of TOML, and so are lists of them.
    format!(
        "[mcp_servers.{NAME}]\ncommand = {}\nargs = {}\n",
        entry.get("command").unwrap_or(&Value::Null),
        entry.get("args").unwrap_or(&Value::Null)
    )
}

fn with_toml(text: &str, entry: &Value) -> anyhow::Result<String> {
    text.parse::<toml::Table>().map_err(|error| Fault::Invalid(format!("the file is no TOML: {error}")))?;
    let rest = without_toml(text).unwrap_or_else(|| text.to_owned());
    let gap = if rest.trim().is_empty() { "" } else { "\n" };
    Ok(format!("{}{gap}{}", if rest.trim().is_empty() { "" } else { &rest }, toml_entry(entry)))
}

fn without_toml(text: &str) -> Option<String> {
    let own = [format!("[mcp_servers.{NAME}]"), format!("[mcp_servers.{NAME}.")];
    let mut is_own = false;
    let mut found = false;
    let mut rest = String::new();
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            is_own = own.iter().any(|own| trimmed.starts_with(own.as_str()));
            found |= is_own;
        }
        if !is_own {
            rest.push_str(line);
        }
    }
    found.then(|| format!("{}\n", rest.trim_end()).trim_start_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{with_json, with_toml, without_json, without_toml};

    fn entry() -> Value {
        json!({ "command": "durward", "args": ["mcp"] })
    }

    #[test]
    fn an_entry_is_added_and_taken_out_and_nothing_else_is_touched() {
        for before in [
            "{}",
            "{\n  \"theme\": \"dark\"\n}\n",
            "{ \"mcpServers\": {} }",
            "{\"b\": [1, {\"mcpServers\": 2}], \"mcpServers\": {\"z\": {\"command\": \"a \\\"quoted\\\" }\"}, \"a\": {}}, \"x\": \"\\\\\"}",
            "{\n  \"mcpServers\": {\n    \"other\": { \"command\": \"other\" }\n  },\n  \"last\": null\n}\n",
        ] {
            let after = with_json(before, "mcpServers", &entry()).expect("added");
            let mut expected: Value = serde_json::from_str(before).expect("JSON");
            expected["mcpServers"]["durward"] = entry();
            assert_eq!(serde_json::from_str::<Value>(&after).expect("JSON"), expected, "{after}");
            let again = with_json(&after, "mcpServers", &json!({ "command": "else" })).expect("replaced");
            let read: Value = serde_json::from_str(&again).expect("JSON");
            assert_eq!(read["mcpServers"]["durward"]["command"], "else");
            let without = without_json(&again, "mcpServers").expect("taken out").expect("was there");
            expected["mcpServers"].as_object_mut().expect("object").remove("durward");
            assert_eq!(serde_json::from_str::<Value>(&without).expect("JSON"), expected, "{without}");
            assert_eq!(without_json(before, "mcpServers").expect("read"), None);
        }
        assert!(with_json("", "mcpServers", &entry()).is_ok());
        assert!(with_json("{ // a comment\n}", "mcpServers", &entry()).is_err(), "it is left alone");
        assert!(with_json("{\"mcpServers\": 1}", "mcpServers", &entry()).is_err());
    }

    #[test]
    fn the_same_in_toml() {
        for before in ["", "model = \"x\" # mine\n", "[mcp_servers.other]\ncommand = \"o\"\n\n[tui]\na = 1\n"]
        {
            let after = with_toml(before, &entry()).expect("added");
            let read: toml::Table = after.parse().expect("TOML");
            assert_eq!(read["mcp_servers"]["durward"]["args"][0].as_str(), Some("mcp"), "{after}");
            assert!(after.starts_with(before), "{after}");
            assert_eq!(with_toml(&after, &entry()).expect("again"), after);
            assert_eq!(without_toml(&after).expect("was there").trim_end(), before.trim_end());
        }
        assert_eq!(without_toml("a = 1\n"), None);
    }
}
