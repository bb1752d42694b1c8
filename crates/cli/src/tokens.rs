//! `durward token`.

use gateway::requests::NewToken;
use serde_json::Value;

use crate::args::Token;
use crate::client::{Client, part};
use crate::exit::Fault;
use crate::show::{self, say};

pub(crate) fn run(client: &Client, command: Token) -> anyhow::Result<()> {
    match command {
        Token::Issue { principal, groups, on_behalf_of, purpose, targets, life, json } => {
            let (kind, name) = principal
                .split_once(':')
                .ok_or_else(|| Fault::Invalid(format!("\"{principal}\": write agent:NAME or user:NAME")))?;
            let (kind, name) = (kind.to_owned(), name.to_owned());
            let wanted = NewToken { kind, name, groups, on_behalf_of, purpose, targets, seconds: life };
            let issued = client.post("/tokens", &serde_json::to_value(wanted)?)?;
            if json {
                return Ok(show::json(&issued)?);
            }
            say(show::field(&issued, "token"))?;
            // Not on the standard output: that is the token alone, for scripts.
            eprintln!(
                "It is shown this once, is good until {}, and is revoked with: durward token revoke {}",
                show::time_field(&issued, "expires"),
                show::field(&issued, "id")
            );
            Ok(())
        }
        Token::Ls { most, before, json } => {
            let before = before.map(|id| format!("&before={}", part(&id))).unwrap_or_default();
            let tokens = client.get(&format!("/tokens?most={most}{before}"))?;
            if json {
                show::json(&tokens)?;
            } else {
                list(&tokens)?;
            }
            show::older(&tokens, usize::from(most));
            Ok(())
        }
        Token::Revoke { id, json } => {
            // Of a whole token its id is enough, and goes no further.
            let id = gateway::tokens::named(&id);
            let revoked = client.post(&format!("/tokens/{}/revoke", part(id)), &Value::Null)?;
            if json {
                return Ok(show::json(&revoked)?);
            }
            Ok(say(format_args!("Revoked {id}; sessions ended: {}.", show::field(&revoked, "sessions")))?)
        }
    }
}

fn list(tokens: &Value) -> anyhow::Result<()> {
    let row = |token: &Value| {
        let revoked = token.get("revoked").and_then(Value::as_bool).unwrap_or(false);
        vec![
            show::field(token, "id"),
            show::field(token, "principal"),
            show::field(token, "groups"),
            show::field(token, "targets"),
            if revoked { "revoked".to_owned() } else { show::time_field(token, "expires") },
            show::field(token, "sessions"),
            show::field(token, "purpose"),
        ]
    };
    let rows: Vec<_> = tokens.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["ID", "PRINCIPAL", "GROUPS", "TARGETS", "EXPIRES", "SESSIONS", "PURPOSE"], &rows)?)
}
