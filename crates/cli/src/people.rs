//! `durward people`: who comes to the console by a passkey.

use serde_json::{Value, json};

use crate::args::People;
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: &Client, command: People) -> anyhow::Result<()> {
    match command {
        People::Invite { name, roles, groups, json } => {
            let invited =
                client.post("/people", &json!({ "name": name, "roles": roles, "groups": groups }))?;
            if json {
                return Ok(show::json(&invited)?);
            }
            say(field(&invited, "link"))?;
            // Not on the standard output: that is the link alone, for scripts.
            eprintln!(
                "This link is {name}'s, shown this once, and good once, until {}: give it to them and to nobody else. They open it \
                 in the browser in which they will approve.",
                time_field(&invited, "expires")
            );
            Ok(())
        }
        People::Ls { json } => {
            let mut people = client.get("/people")?;
            let invited = client.get("/people/invited")?;
            if let (Value::Array(people), Value::Array(invited)) = (&mut people, invited) {
                people.extend(invited);
            }
            if json { Ok(show::json(&people)?) } else { list(&people) }
        }
        People::Remove { name, json } => {
            let removed = client.post(&format!("/people/{}/remove", part(&name)), &Value::Null)?;
            if json {
                return Ok(show::json(&removed)?);
            }
            Ok(say(format_args!("Removed {name}; their answers to what still waits do not count."))?)
        }
    }
}

fn list(people: &Value) -> anyhow::Result<()> {
    let row = |person: &Value| {
        vec![
            field(person, "name"),
            field(person, "roles"),
            field(person, "groups"),
            if person.get("expires").is_some() {
                format!("invited, until {}", time_field(person, "expires"))
            } else {
                time_field(person, "added")
            },
        ]
    };
    let rows: Vec<_> = people.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["NAME", "ROLES", "GROUPS", "ADDED"], &rows)?)
}
