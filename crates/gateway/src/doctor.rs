//! Looks at a target as a careful operator would before they let anybody in.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use journal::record;
use model::TargetName;
use policy::Policies;
use schemars::JsonSchema;
use serde::Serialize;
use sql::postgres::catalog::{Catalog, tells};

use crate::catalogue::ReadError;
use crate::configure::Freshness;
use crate::gateway::Gateway;
use crate::net::dial::{self, Address};
use crate::protocols::postgres::{Control, ControlError};
use crate::targets::Target;

pub mod certificate;
mod clocks;
mod functions;
mod names;
mod rights;

pub use crate::net::dial::shell;

/// The major versions of PostgreSQL that are tested.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;
/// So many seconds the target's clock may differ from ours.
const SKEW: f64 = 5.0;

/// Facts of the credential's role and the server, in one row. A closed list: it is run by `doctor` alone.
const FACTS: &str = "SELECT pg_catalog.current_setting('server_version_num'), \
    pg_catalog.current_setting('server_encoding'), r.rolsuper, r.rolcreaterole, r.rolreplication, r.rolbypassrls, \
    EXTRACT(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('is_superuser'), \
    r.rolcreatedb, r.oid \
    FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) current_user";

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it went.
    pub grade: Grade,
    /// In a sentence.
    pub says: String,
    /// A command for a shell of the machine, a statement for the target's administrator, or lines for the target's file, that
    /// mend it or show more of it: as they can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// What to do beside that, or where no command does it. What is to be replaced in it stands in capitals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A check without a command that mends it.
pub fn check(what: &'static str, grade: Grade, says: impl Into<String>) -> Check {
    Check { what, grade, says: says.into(), mend: None, advice: None }
}

/// A check with the command that mends it.
pub fn mended(what: &'static str, grade: Grade, says: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { mend: Some(mend.into()), ..check(what, grade, says) }
}

/// A check with what to do that no command does.
pub fn advised(
    what: &'static str,
    grade: Grade,
    says: impl Into<String>,
    advice: impl Into<String>,
) -> Check {
    check(what, grade, says).advising(advice)
}

impl Check {
    /// The same with what to do beside its command.
    pub fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Gateway {
    /// Looks at a target. `None` where there is none of this name.
    pub async fn doctor(&self, name: &TargetName) -> Option<Vec<Check>> {
        let target = self.target(name)?;
        Some(self.examine(&target).await)
    }

    /// Looks at a target, which need not be configured yet.
    pub(crate) async fn examine(&self, target: &Target) -> Vec<Check> {
        let mut checks = Vec::new();
        let note = record::Body::Gateway { target: target.name.to_string(), purpose: "doctor".to_owned() };
        if self.note(&note).is_err() {
            let says = "the journal cannot be written, so nothing is asked of the target";
            let advice = "make room on the journal's disk: durward doctor -c FILE, with the gateway's durward.toml, says where it is";
            return vec![advised("journal", Grade::Bad, says, advice)];
        }
        match target.control().await {
            Err(error) => {
                let says = format!("{}: {error}", target.address);
                checks.push(match &error {
                    ControlError::Dial(error) => Check {
                        mend: error.look(&target.address, &target.user, &target.database),
                        ..advised("reachable", Grade::Bad, says, error.advice())
                    },
                    ControlError::Lost(_) | ControlError::Refused { .. } | ControlError::Timeout => {
                        advised("reachable", Grade::Bad, says, "Look at the server's log.")
                    }
                });
            }
            Ok(mut control) => {
                checks.push(check("reachable", Grade::Good, "the gateway can log in to it"));
                checks.push(encryption(target));
                if let Some(der) = dial::shown(&target.address, &target.tls).await {
                    checks.push(certificate::look(&der));
                }
                let in_force = self.in_force.load_full();
                facts(&mut control, target, &in_force.policies, &mut checks).await;
                if let Some(catalogue) = catalogue(target, &mut checks).await {
                    checks.push(definitions(target, &catalogue));
                    checks.push(names::tags(target, &catalogue));
                    checks.extend(functions::look(&catalogue));
                    checks.extend(names::resources(target, &catalogue, &in_force.policies.references()));
                }
            }
        }
        checks
    }
}

/// What mends a connection that is not sure of its server.
const VERIFY_FULL: &str = "in the target's file: sslmode = \"verify-full\", and sslrootcert = \"FILE\" where the system does not know its \
    authority; then durward apply -f DIRECTORY";

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
            advised("tls", Grade::Warning, "the certificate's name is not checked", VERIFY_FULL)
        }
        SslMode::Require => {
            advised("tls", Grade::Warning, "encrypted, but with whoever answers", VERIFY_FULL)
        }
        SslMode::Prefer | SslMode::Disable => {
            advised("tls", Grade::Bad, "the connection may be in clear text", VERIFY_FULL)
        }
    }
}

/// How soon altered definitions are seen.
fn definitions(target: &Target, catalogue: &Catalog) -> Check {
    const WHAT: &str = "definitions";
    if catalogue.tells_of_definitions() {
        return check(WHAT, Grade::Good, "it tells of altered definitions at once, by an event trigger");
    }
    let says = match target.care.freshness {
        Freshness::Polled => "altered definitions are seen within about a second",
        Freshness::Strict => {
            "they are looked at for each statement; those that are altered meanwhile cost it another try"
        }
    };
    let says = format!("{says}; an event trigger, which a superuser can make, tells of them at once");
    mended(WHAT, Grade::Good, says, tells::definition()).advising("in the target's database, as a superuser:")
}

async fn facts(control: &mut Control, target: &Target, policies: &Policies, checks: &mut Vec<Check>) {
    let rows = match control.query(FACTS).await {
        Ok(rows) => rows,
        Err(error) => {
            let says = format!("it cannot be asked: {error}");
            let advice = "look at the server's log, and at the settings that its role begins with";
            return checks.push(advised("facts", Grade::Bad, says, advice));
        }
    };
    let row = rows.into_iter().next().unwrap_or_default();
    let text = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
    let major = text(0).parse::<u32>().unwrap_or(0) / 10_000;
    checks.push(if VERSIONS.contains(&major) {
        check("version", Grade::Good, format!("PostgreSQL {major}"))
    } else {
        let (first, last) = (VERSIONS.start(), VERSIONS.end());
        advised(
            "version",
            Grade::Bad,
            format!("PostgreSQL {major}: only {first} to {last} are tested and served"),
            format!("bring the server to PostgreSQL {last} (pg_upgrade), or another gateway in front of it"),
        )
    });
    checks.push(match text(1).as_str() {
        "UTF8" => check("encoding", Grade::Good, "UTF8"),
        other => advised(
            "encoding",
            Grade::Bad,
            format!("its encoding is {other}: only UTF8 is served"),
            "make one that is (createdb -T template0 -E UTF8 NAME), and bring what is in it over with pg_dump and pg_restore",
        ),
    });
    checks.extend(rights::look(control, &row, &target.user, &target.name, policies).await);
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let skew = text(6).parse::<f64>().map_or(f64::NAN, |theirs| theirs - ours);
    checks.push(if skew.abs() <= SKEW {
        check("clock", Grade::Good, "its clock is ours")
    } else {
        let says = format!("its clock differs by {skew:.0} s: records of both cannot be compared");
        mended("clock", Grade::Warning, says, "timedatectl set-ntp true")
            .advising("on whichever of the two machines is wrong, as root:")
    });
}

async fn catalogue(target: &Target, checks: &mut Vec<Check>) -> Option<Arc<Catalog>> {
    if let Err(error) = target.catalogue.ready().await {
        let grade = if matches!(error, ReadError::Resting) { Grade::Warning } else { Grade::Bad };
        let advice = "look again in half a minute; if it stays so, look at the server's log, and at locks on its system tables \
                      (pg_locks)";
        checks.push(advised("catalogue", grade, format!("it cannot be read: {error}"), advice));
        return None;
    }
    checks.push(check("catalogue", Grade::Good, "read"));
    Some(target.catalogue.current().0)
}
