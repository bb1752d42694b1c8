//! Programs with agents in them: where one of those is run that are known, it is told of the gateway's MCP endpoint, for this run
//! alone. Nothing is written to a file of theirs, and no token is in what they are told.

use std::path::Path;

use serde_json::json;

/// What a command becomes, and what is said of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The command with what it is told.
    pub command: Vec<String>,
    /// What it is told by its environment.
    pub environment: Vec<(&'static str, String)>,
    /// For whoever started it, where it cannot be told for a run alone.
    pub hint: Option<String>,
}

/// A program's own words before those of whoever runs it; `bridge` is what starts its way to the gateway.
pub(super) fn told(command: &[String], bridge: &[String], is_set: impl Fn(&str) -> bool) -> Told {
    let as_it_is = Told { command: command.to_vec(), environment: Vec::new(), hint: None };
    let (Some((program, rest)), Some((start, arguments))) = (command.split_first(), bridge.split_first())
    else {
        return as_it_is;
    };
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let with = |own: Vec<String>| {
        let command = std::iter::once(program.clone()).chain(own).chain(rest.iter().cloned()).collect();
        Told { command, environment: Vec::new(), hint: None }
    };
    match name {
        "claude" => {
            // With a subcommand it runs no agent.
            let runs = rest.first().is_none_or(|first| first.starts_with('-') || first.contains(' '));
            let server = json!({ "mcpServers": { "durward": { "command": start, "args": arguments } } });
            if runs { with(vec![format!("--mcp-config={server}")]) } else { as_it_is }
        }
        // Strings and lists of JSON are those of TOML.
        "codex" => with(vec![
            "-c".to_owned(),
            format!("mcp_servers.durward.command={}", json!(start)),
            "-c".to_owned(),
            format!("mcp_servers.durward.args={}", json!(arguments)),
        ]),
        "opencode" if !is_set(OPENCODE) => {
            let server = json!({ "type": "local", "command": bridge, "enabled": true });
            let environment = vec![(OPENCODE, json!({ "mcp": { "durward": server } }).to_string())];
            Told { environment, ..as_it_is }
        }
        "opencode" => hinted(as_it_is, "opencode"),
        "gemini" => hinted(as_it_is, "gemini"),
        "cursor" | "cursor-agent" => hinted(as_it_is, "cursor"),
        "code" => hinted(as_it_is, "vscode"),
        "windsurf" => hinted(as_it_is, "windsurf"),
        _ => as_it_is,
    }
}

/// Where this program reads more of its configuration.
const OPENCODE: &str = "OPENCODE_CONFIG_CONTENT";

fn hinted(told: Told, client: &str) -> Told {
    let hint = format!(
        "{client} cannot be told of the gateway's MCP endpoint for one run: durward mcp config --client {client} --write"
    );
    Told { hint: Some(hint), ..told }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{OPENCODE, told};

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn known_programs_are_told_and_others_are_left_alone() {
        let bridge = words(&["durward", "mcp", "--through", "/run/x/mcp.sock"]);
        let server = json!({ "command": "durward", "args": ["mcp", "--through", "/run/x/mcp.sock"] });
        let config = &*format!("--mcp-config={}", json!({ "mcpServers": { "durward": server } }));
        for (command, expected) in [
            (&["claude"][..], words(&["claude", config])),
            (&["/usr/bin/claude", "-p", "do it"], words(&["/usr/bin/claude", config, "-p", "do it"])),
            (&["claude", "find the late orders"], words(&["claude", config, "find the late orders"])),
            (&["claude", "mcp", "list"], words(&["claude", "mcp", "list"])),
            (
                &["codex", "exec", "do it"],
                words(&[
                    "codex",
                    "-c",
                    "mcp_servers.durward.command=\"durward\"",
                    "-c",
                    "mcp_servers.durward.args=[\"mcp\",\"--through\",\"/run/x/mcp.sock\"]",
                    "exec",
                    "do it",
                ]),
            ),
            (&["psql", "-c", "SELECT 1"], words(&["psql", "-c", "SELECT 1"])),
            (&["claudette"], words(&["claudette"])),
        ] {
            let told = told(&words(command), &bridge, |_| false);
            assert_eq!(
                (told.command, told.environment, told.hint),
                (expected, Vec::new(), None),
                "{command:?}"
            );
        }
        let opencode = told(&words(&["opencode"]), &bridge, |_| false);
        assert_eq!(opencode.command, ["opencode"]);
        assert_eq!(opencode.environment[0].0, OPENCODE);
        assert!(opencode.environment[0].1.contains("/run/x/mcp.sock"));
        let set = told(&words(&["opencode"]), &bridge, |name| name == OPENCODE);
        assert!(set.environment.is_empty() && set.hint.is_some(), "what is set stays");
        assert!(told(&words(&["gemini"]), &bridge, |_| false).hint.is_some());
    }
}
