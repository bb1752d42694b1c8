//! Looks at a target as a careful operator would before they let anybody in.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use journal::record;
use model::TargetName;
use serde::Serialize;

use crate::catalogue::ReadError;
use crate::gateway::Gateway;
use crate::net::dial::Address;
use crate::protocols::postgres::{Control, ControlError};
use crate::targets::Target;

/// The servers that are tested.
const VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;
/// So many seconds the target's clock may differ from ours.
const SKEW: f64 = 5.0;

/// Facts of the credential's role and the server, in one row. A closed list: it is run by `doctor` alone.
const FACTS: &str = "SELECT pg_catalog.current_setting('server_version_num'), \
    pg_catalog.current_setting('server_encoding'), r.rolsuper, r.rolcreaterole, r.rolreplication, r.rolbypassrls, \
    EXTRACT(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('is_superuser') \
    FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) current_user";

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, and something should be better.
    Warning,
    /// It does not work.
    Bad,
}

/// One check of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it went.
    pub grade: Grade,
    /// In a sentence, with what to do about it.
    pub says: String,
}

fn check(what: &'static str, grade: Grade, says: impl Into<String>) -> Check {
    Check { what, grade, says: says.into() }
}

impl Gateway {
    /// Looks at a target. `None` where there is none of this name.
    pub async fn doctor(&self, name: &TargetName) -> Option<Vec<Check>> {
        let target = self.target(name)?;
        let mut checks = Vec::new();
        let note = record::Body::Gateway { target: name.to_string(), purpose: "doctor".to_owned() };
        if self.note(&note).is_err() {
            let says = "the journal cannot be written, so nothing is asked of the target";
            return Some(vec![check("journal", Grade::Bad, says)]);
        }
        match target.control().await {
            Err(error) => {
                let advice = match &error {
                    ControlError::Dial(error) => error.advice(),
                    ControlError::Lost(_) | ControlError::Refused { .. } | ControlError::Timeout => {
                        "Look at the server's log."
                    }
                };
                let says = format!("{}: {error}. {advice}", target.address);
                checks.push(check("reachable", Grade::Bad, says));
            }
            Ok(mut control) => {
                checks.push(check("reachable", Grade::Good, "the gateway can log in to it"));
                checks.push(encryption(&target));
                facts(&mut control, &mut checks).await;
                tags(&target, &mut checks).await;
            }
        }
        Some(checks)
    }
}

fn encryption(target: &Target) -> Check {
    use crate::net::tls::SslMode;
    let here = match &target.address {
        Address::Unix { .. } => true,
        Address::Tcp { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    match target.tls.mode() {
        _ if here => check("tls", Grade::Good, "it is on this machine"),
        SslMode::VerifyFull => check("tls", Grade::Good, "encrypted, and the server's certificate names it"),
        SslMode::VerifyCa => {
            check("tls", Grade::Warning, "the certificate's name is not checked: sslmode verify-full does")
        }
        SslMode::Require => {
            check("tls", Grade::Warning, "encrypted, but with whoever answers: use sslmode verify-full")
        }
        SslMode::Prefer | SslMode::Disable => {
            check("tls", Grade::Bad, "the connection may be in clear text: use sslmode verify-full")
        }
    }
}

async fn facts(control: &mut Control, checks: &mut Vec<Check>) {
    let rows = match control.query(FACTS).await {
        Ok(rows) => rows,
        Err(error) => return checks.push(check("facts", Grade::Bad, format!("it cannot be asked: {error}"))),
    };
    let row = rows.into_iter().next().unwrap_or_default();
    let text = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
    let major = text(0).parse::<u32>().unwrap_or(0) / 10_000;
    checks.push(if VERSIONS.contains(&major) {
        check("version", Grade::Good, format!("PostgreSQL {major}"))
    } else {
        let (first, last) = (VERSIONS.start(), VERSIONS.end());
        check(
            "version",
            Grade::Bad,
            format!("PostgreSQL {major}: only {first} to {last} are tested and served"),
        )
    });
    checks.push(match text(1).as_str() {
        "UTF8" => check("encoding", Grade::Good, "UTF8"),
        other => check("encoding", Grade::Bad, format!("its encoding is {other}: only UTF8 is served")),
    });
    let rights: Vec<&str> = [(2, "superuser"), (3, "createrole"), (4, "replication"), (5, "bypassrls")]
        .into_iter()
        .filter(|(index, _)| text(*index) == "t")
        .map(|(_, word)| word)
        .collect();
    checks.push(if rights.is_empty() {
        check("role", Grade::Good, "the credential's role has no rights over the server as a whole")
    } else {
        let says = format!(
            "the credential's role has {}: give the gateway a role that can do no more than its most trusted principal may",
            rights.join(", ")
        );
        check("role", Grade::Warning, says)
    });
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let skew = text(6).parse::<f64>().map_or(f64::NAN, |theirs| theirs - ours);
    checks.push(if skew.abs() <= SKEW {
        check("clock", Grade::Good, "its clock is ours")
    } else {
        let says =
            format!("its clock differs by {skew:.0} s: records of both cannot be compared; set both by NTP");
        check("clock", Grade::Warning, says)
    });
}

/// Tags that match no column protect nothing, and are most often misspelt.
async fn tags(target: &Target, checks: &mut Vec<Check>) {
    if let Err(error) = target.catalogue.ready().await {
        let grade = if matches!(error, ReadError::Resting) { Grade::Warning } else { Grade::Bad };
        return checks.push(check("catalogue", grade, format!("it cannot be read: {error}")));
    }
    let (catalogue, _) = target.catalogue.current();
    checks.push(check("catalogue", Grade::Good, "read"));
    let tagging = target.catalogue.tagging();
    let missing: BTreeSet<String> = tagging
        .columns
        .iter()
        .map(|tagged| &tagged.column)
        .filter(|c| {
            catalogue.relation(&c.table.schema, &c.table.name).is_none_or(|r| r.column(&c.name).is_none())
        })
        .map(ToString::to_string)
        .collect();
    checks.push(if missing.is_empty() {
        check("tags", Grade::Good, format!("{} tagged columns, all of them there", tagging.columns.len()))
    } else {
        let names: Vec<String> = missing.into_iter().collect();
        check("tags", Grade::Warning, format!("tags of columns that are not there: {}", names.join(", ")))
    });
}
