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
        let mut wrong = Ok(());
        if let (Some(recorded), Some(fields)) = (recorded, report.as_object_mut()) {
            wrong = all_match(&recorded);
            let Recorded { whole, open, forgotten, left_behind, faulty, lossy } = recorded;
            let faulty: Vec<_> =
                faulty.into_iter().map(|(file, why)| json!({ "file": file, "why": why })).collect();
            let words = json!({
                "whole": whole, "open": open, "forgotten": forgotten, "not_in_backup": left_behind,
                "faulty": faulty, "lossy": lossy
            });
            fields.insert("recordings".to_owned(), words);
        }
        show::json(&report)?;
        return wrong;
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
    let any = |r: &Recorded| *r != Recorded::default();
    if let Some(recorded) = recorded.filter(any) {
        let Recorded { whole, open, forgotten, left_behind, faulty, lossy } = &recorded;
        say(format_args!(
            "{whole} recordings are whole and as the journal knows them; {} more up to what it last said of them; {forgotten} \
             were forgotten.",
            open.len()
        ))?;
        if !lossy.is_empty() {
            say(format_args!("They say themselves that they lost something: {}", lossy.join(", ")))?;
        }
        if !left_behind.is_empty() {
            say(format_args!(
                "Not in the backup that this was restored from, and not here since: {}",
                left_behind.join(", ")
            ))?;
        }
        for (file, why) in faulty {
            say(format_args!("FAULTY {}: {}", file.display(), show::line(why)))?;
        }
        return all_match(&recorded);
    }
    Ok(())
}

fn all_match(recorded: &Recorded) -> anyhow::Result<()> {
    let Some((file, why)) = recorded.faulty.first() else { return Ok(()) };
    let more = match recorded.faulty.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let why = format!(
        "the journal verifies; a recording does not verify: the recording {}: {why}{more}",
        file.display()
    );
    Err(Fault::Wrong(why).into())
}

/// Recordings need no key to be checked.
fn recorded(journal: &Path, directory: &Path) -> anyhow::Result<Recorded> {
    recording::verify::look(journal, directory).map_err(|failure| anyhow!(failure))
}
