//! `durward audit`: needs files and nothing else.

use std::path::Path;

use anyhow::anyhow;
use journal::verify::{Failure, Report, verify};
use recording::verify::Report as Recorded;
use serde_json::json;

use crate::args::Audit;
use crate::exit::Fault;
use crate::node;
use crate::show::{self, say};

pub(crate) fn run(command: &Audit) -> anyhow::Result<()> {
    let Audit::Verify { journal, recordings, place, json } = command;
    let (directory, recordings) = match journal {
        Some(directory) => (directory.clone(), recordings.clone()),
        None => {
            let settings = place.settings()?;
            (node::journal_in(&settings.data), Some(recordings.clone().unwrap_or(settings.recordings)))
        }
    };
    node::must_have_journal(&directory)?;
    let Report { records, head, open, sessions, torn } =
        verify(&directory).map_err(|failure| match failure {
            Failure::Io(..) => anyhow!(failure),
            Failure::Tampered { .. } => {
                Fault::Wrong(format!("the journal does not verify: {failure}")).into()
            }
        })?;
    let recorded = recordings.map(|recordings| recorded(&directory, &recordings)).transpose()?;
    if *json {
        let mut report = json!({
            "records": records, "head": head, "sessions": sessions, "open": open, "torn": torn
        });
        if let (Some(Recorded { whole, open, forgotten, lossy }), Some(fields)) =
            (recorded, report.as_object_mut())
        {
            let words = json!({ "whole": whole, "open": open, "forgotten": forgotten, "lossy": lossy });
            fields.insert("recordings".to_owned(), words);
        }
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
    let any = |r: &Recorded| r.whole > 0 || !r.open.is_empty() || r.forgotten > 0;
    if let Some(Recorded { whole, open, forgotten, lossy }) = recorded.filter(any) {
        say(format_args!(
            "{whole} recordings are whole and as the journal knows them; {} more up to what it last said of them; {forgotten} \
             were forgotten.",
            open.len()
        ))?;
        if !lossy.is_empty() {
            say(format_args!("They say themselves that they lost something: {}", lossy.join(", ")))?;
        }
    }
    Ok(())
}

/// Recordings need no key to be checked.
fn recorded(journal: &Path, directory: &Path) -> anyhow::Result<Recorded> {
    recording::verify::verify(journal, directory).map_err(|failure| match failure {
        recording::verify::Failure::Io(..) => anyhow!(failure),
        recording::verify::Failure::Tampered { .. } => {
            Fault::Wrong(format!("a recording does not verify: {failure}")).into()
        }
    })
}
