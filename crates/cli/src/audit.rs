//! `durward audit`: needs files and nothing else.

use anyhow::anyhow;
use journal::verify::{Failure, Report, verify};
use serde_json::json;

use crate::args::Audit;
use crate::exit::Fault;
use crate::node;
use crate::show::{self, say};

pub(crate) fn run(command: &Audit) -> anyhow::Result<()> {
    let Audit::Verify { journal, place, json } = command;
    let directory = match journal {
        Some(directory) => directory.clone(),
        None => node::journal_in(&place.settings()?.data),
    };
    node::must_have_journal(&directory)?;
    let Report { records, head, open, sessions, torn } =
        verify(&directory).map_err(|failure| match failure {
            Failure::Io(..) => anyhow!(failure),
            Failure::Tampered { .. } => {
                Fault::Wrong(format!("the journal does not verify: {failure}")).into()
            }
        })?;
    if *json {
        let report = json!({
            "records": records, "head": head, "sessions": sessions, "open": open, "torn": torn
        });
        return Ok(show::json(&report)?);
    }
    say(format_args!(
        "{records} records of {sessions} sessions verify: none was changed, removed or moved."
    ))?;
    say(format_args!("Head: {head}"))?;
    say("Keep the head elsewhere: it shows later whether the end was cut off or the whole chain made anew.")?;
    if !open.is_empty() {
        say(format_args!("Without an end (live, or cut off by a crash): {}", open.join(", ")))?;
    }
    if torn > 0 {
        say(format_args!(
            "The last line is not whole ({torn} bytes): it is being written, or a crash cut it off."
        ))?;
    }
    Ok(())
}
