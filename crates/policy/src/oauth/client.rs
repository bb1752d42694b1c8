//! A program that wants tokens, and how the gateway came to know it.

use super::redirect::Redirect;

/// The longest name of an agent that is made of a client's, in bytes.
const LONGEST_AGENT: usize = 100;
/// So much of the end of a registered client's id stands in its agent's name: it is random, and 32 bits.
const END: usize = 8;

/// A client that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What it calls itself in a question.
    pub id: String,
    /// For people. Of a client that described itself nobody has checked it.
    pub name: String,
    /// Where it may be answered.
    pub redirects: Vec<Redirect>,
    /// Where all this comes from.
    pub known: Known,
}

/// Where what is known of a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The document at the address that is its id.
    Document,
    /// It said so itself.
    Registered,
    /// Whoever runs the gateway said so.
    Configured,
}

impl Client {
    /// The address that it may be answered at and asks for.
    pub fn redirect(&self, asked: &str) -> Option<Redirect> {
        let asked = Redirect::read(asked).ok()?;
        self.redirects.iter().any(|known| known.fits(&asked)).then_some(asked)
    }

    /// The host of the document that its id is the address of, where it is. It vouches for what is known by that document.
    pub fn host(&self) -> Option<&str> {
        match self.known {
            Known::Document | Known::Configured => self.id.strip_prefix("https://")?.split('/').next(),
            Known::Registered => None,
        }
    }

    /// What its agents are called, behind the prefix of those that people run: letters, digits, `-`, `_` and `.`. What a client says
    /// of itself is never the name of one that a host or the configuration stands for.
    pub fn agent(&self) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' };
        let name: String = match (self.known, self.host()) {
            // Also where whoever runs the gateway said what the document says: policies name one agent.
            (Known::Document | Known::Configured, Some(host)) => host.chars().map(fine).collect(),
            (Known::Document, None) => "client".to_owned(),
            (Known::Configured, None) => self.id.clone(),
            // No host has an underscore, and no configured id begins so.
            (Known::Registered, _) => {
                let name: String = self.name.to_lowercase().chars().map(fine).collect();
                // Anybody may register any name: two of one name are two agents, so that neither has what the other has.
                let id: Vec<char> = self.id.chars().map(fine).collect();
                let end: String = id.iter().skip(id.len().saturating_sub(END)).collect();
                let name = name.trim_matches('-');
                let room = LONGEST_AGENT - "registered__".len() - END;
                let name: String = name.chars().take(room).collect();
                format!("registered_{name}_{end}")
            }
        };
        name.chars().take(LONGEST_AGENT).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Known};

    #[test]
    fn an_agent_is_called_by_who_vouches_for_its_client() {
        for (id, name, known, agent) in [
            ("https://claude.ai/oauth/metadata", "Anything", Known::Document, "claude.ai"),
            ("https://app.test:8443/x", "Anything", Known::Document, "app.test-8443"),
            ("claude-code", "Claude Code", Known::Configured, "claude-code"),
            ("https://claude.ai/oauth/metadata", "Claude Code", Known::Configured, "claude.ai"),
            ("https://claude.ai/oauth/metadata", "Cursor", Known::Registered, "registered_cursor_metadata"),
            ("client-0011aabbccdd", "claude.ai", Known::Registered, "registered_claude.ai_aabbccdd"),
            ("client-0011aabbccdd", "Cursor", Known::Registered, "registered_cursor_aabbccdd"),
            ("client-0011eeff0011", "CURSOR ", Known::Registered, "registered_cursor_eeff0011"),
            ("c2", "My Client (dev)", Known::Registered, "registered_my-client--dev_c2"),
        ] {
            let client = Client { id: id.to_owned(), name: name.to_owned(), redirects: Vec::new(), known };
            assert_eq!(client.agent(), agent);
        }
    }

    #[test]
    fn registered_clients_of_one_long_name_are_two_agents() {
        let of = |id: &str| {
            let (id, name) = (id.to_owned(), "a".repeat(200));
            Client { id, name, redirects: Vec::new(), known: Known::Registered }.agent()
        };
        let (one, other) = (of("client-00000001"), of("client-00000002"));
        assert!(one.ends_with("_00000001") && other.ends_with("_00000002"), "{one} {other}");
        assert!(one.len() <= super::LONGEST_AGENT);
    }
}
