//! What a decision costs where there are many policies, or many relations to know.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use testkit::Failure;
use testkit::durward::Durward;
use testkit::postgres::Postgres;

use super::{DATABASE, POLICY, target};

/// Policies besides the one that allows.
pub(super) const POLICIES: [u32; 4] = [10, 100, 1_000, 10_000];
/// Tables besides those that are asked.
pub(super) const RELATIONS: [u32; 2] = [100, 20_000];

/// Longer than the gateway leaves a catalogue unlooked at.
const SETTLE: Duration = Duration::from_secs(5);
/// A statement that makes more tables than this holds too many locks.
const BATCH: u32 = 500;

/// Applies so many policies that do not decide: some for other targets, some for other groups, some for other tables.
pub(super) fn policies(gateway: &Durward, server: &Postgres, count: u32) -> Result<(), Failure> {
    let mut text = POLICY.to_owned();
    for number in 0..count {
        let resource = match number % 3 {
            0 => format!("resource in Target::\"other-{number}\""),
            1 => "resource".to_owned(),
            _ => format!("resource in Schema::\"{DATABASE}/other_{number}\""),
        };
        let principal = if number % 3 == 1 {
            format!("principal in Group::\"team-{number}\"")
        } else {
            "principal".to_owned()
        };
        let action = "action in [Action::\"select\", Action::\"update\"]";
        let _ = writeln!(text, "@id(\"other-{number}\") permit ({principal}, {action}, {resource});");
    }
    gateway.apply(&[target(server)], &[("bench", &text)])
}

/// Makes tables up to a number, and gives the gateway time to see them.
pub(super) fn relations(server: &Postgres, count: u32) -> Result<(), Failure> {
    for first in (0..count).step_by(BATCH as usize) {
        let last = (first + BATCH).min(count) - 1;
        server.sql(
            DATABASE,
            &format!(
                "DO $$ BEGIN FOR i IN {first}..{last} LOOP \
                 EXECUTE format('CREATE TABLE IF NOT EXISTS other_%s (id integer, name text, at timestamptz)', i); \
                 END LOOP; END $$"
            ),
        )?;
    }
    sleep(SETTLE);
    Ok(())
}
