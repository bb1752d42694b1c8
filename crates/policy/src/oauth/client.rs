//! A program that wants tokens, and how the gateway came to know it.

use super::redirect::Redirect;

/// The longest name of an agent that is made of a client's, in bytes.
const LONGEST_AGENT: usize = 100;

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

    /// The host that vouches for it, where one does.
    pub fn host(&self) -> Option<&str> {
        let rest = self.id.strip_prefix("https://").filter(|_| self.known == Known::Document)?;
        rest.split('/').next()
    }

    /// What its agents are called, behind the prefix of those that people run: letters, digits, `-`, `_` and `.`. What a client says
    /// of itself is never the name of one that a host or the configuration stands for.
    pub fn agent(&self) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' };
        let name: String = match (self.known, self.host()) {
            (Known::Document, host) => host.unwrap_or("client").chars().map(fine).collect(),
            (Known::Configured, _) => self.id.clone(),
            // No host has an underscore, and no configured id begins so.
            (Known::Registered, _) => {
                let name: String = self.name.to_lowercase().chars().map(fine).collect();
                format!("registered_{}", name.trim_matches('-'))
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
            ("c1", "claude.ai", Known::Registered, "registered_claude.ai"),
            ("c2", "My Client (dev)", Known::Registered, "registered_my-client--dev"),
        ] {
            let client = Client { id: id.to_owned(), name: name.to_owned(), redirects: Vec::new(), known };
            assert_eq!(client.agent(), agent);
        }
    }
}
