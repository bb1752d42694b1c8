//! `durward doctor`.

use serde_json::{Map, Value};

use crate::args::Doctor;
use crate::client::{Client, part};
use crate::exit::Fault;
use crate::show::{self, field, say};

pub(crate) fn run(client: &Client, args: &Doctor) -> anyhow::Result<()> {
    let names = match &args.target {
        Some(name) => vec![name.clone()],
        None => {
            let configuration = client.get("/configuration")?;
            let targets = configuration.get("targets").and_then(Value::as_array);
            targets.into_iter().flatten().map(|t| field(t, "name")).collect()
        }
    };
    let mut all = Map::new();
    for name in names {
        let checks = client.get(&format!("/targets/{}/doctor", part(&name)))?;
        all.insert(name, checks);
    }
    let bad = all.values().flat_map(checks).filter(|c| field(c, "grade") == "bad").count();
    if args.json {
        show::json(&Value::Object(all))?;
    } else {
        for (name, found) in &all {
            say(format_args!("{}:", show::line(name)))?;
            for check in checks(found) {
                let of = |name| show::line(&field(check, name));
                say(format_args!("  {:<8} {:<10} {}", of("grade"), of("what"), of("says")))?;
            }
        }
        if all.is_empty() {
            say("There are no targets.")?;
        }
    }
    if bad > 0 {
        return Err(Fault::Wrong(format!("{bad} checks failed")).into());
    }
    Ok(())
}

fn checks(found: &Value) -> impl Iterator<Item = &Value> {
    found.as_array().into_iter().flatten()
}
