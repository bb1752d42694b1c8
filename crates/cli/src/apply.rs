//! `durward apply -f DIR`.

use crate::args::Apply;
use crate::client::Client;
use crate::files::Wanted;
use crate::show::{self, say};

pub(crate) fn run(client: &Client, args: &Apply) -> anyhow::Result<()> {
    let wanted = Wanted::read(&args.directory)?.to_json()?;
    let applied = if args.dry_run {
        client.post("/configuration/check", &wanted)?
    } else {
        client.put("/configuration", &wanted)?
    };
    if args.json {
        return Ok(show::json(&applied)?);
    }
    let changes: Vec<&str> = applied
        .get("changes")
        .and_then(|c| c.as_array())
        .into_iter()
        .flatten()
        .filter_map(|c| c.as_str())
        .collect();
    for change in &changes {
        say(format_args!("  {}", show::line(change)))?;
    }
    let version = show::field(&applied, "version");
    let how = match (changes.is_empty(), args.dry_run) {
        (true, _) => "Nothing differs",
        (false, true) => "Would be applied",
        (false, false) => "Applied",
    };
    Ok(say(format_args!("{how}; policies {version}."))?)
}
