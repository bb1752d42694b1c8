//! What a session has set that decides how the server reads and writes values: the same text is another operation under other
//! settings.

use std::collections::BTreeMap;

use sql::postgres::Control;

/// Settings that the server reports whenever they change, and under which it reads dates, times and intervals.
const REPORTED: [&str; 3] = ["DateStyle", "IntervalStyle", "TimeZone"];
/// Settings that decide how values become texts, which it does not report.
const UNREPORTED: [&str; 2] = ["bytea_output", "extra_float_digits"];

/// The circumstances of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Under {
    /// By what the server reported last.
    reported: BTreeMap<&'static str, String>,
    /// What the session was seen to set.
    set: BTreeMap<String, Option<String>>,
    /// The role that decides about rights.
    role: String,
    /// Whether something is on its way that may change it, or may have been undone unseen: then the same cannot be told again.
    unsettled: bool,
}

impl Under {
    /// Takes what the server reports.
    pub(super) fn report(&mut self, name: &[u8], value: &[u8]) {
        if let Some(known) = REPORTED.iter().find(|known| known.as_bytes() == name) {
            self.reported.insert(known, String::from_utf8_lossy(value).into_owned());
        }
    }

    /// Whether a statement changes anything here.
    pub(super) fn concerns(&self, control: &Control) -> bool {
        match touched(control) {
            Touched::One(name) => decides(name),
            Touched::All => !self.set.is_empty() || self.unsettled,
            Touched::Unknown | Touched::Nothing => false,
        }
    }

    /// Takes what a statement sets that concerns it. `certain` says that nothing is in flight before it and no transaction
    /// open that could undo it.
    pub(super) fn take(&mut self, control: &Control, certain: bool) {
        if let Control::Set { name, value, local } = control {
            self.set.insert(name.clone(), value.clone());
            self.unsettled |= *local || !certain || value.is_none();
        } else if let Control::Reset(Some(name)) = control {
            self.unsettled |= self.set.remove(name).is_some() && !certain;
        } else {
            // `RESET ALL` and `DISCARD ALL`.
            self.unsettled = !certain && (self.unsettled || !self.set.is_empty());
            self.set.clear();
        }
    }

    /// Takes what a session begins with.
    pub(super) fn begin(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if decides(&name) {
            self.set.insert(name, Some(String::from_utf8_lossy(value).into_owned()));
        }
    }

    /// Whether the session is of this role.
    pub(super) fn is_of(&self, role: &str) -> bool {
        self.role == role
    }

    /// The session is of this role now.
    pub(super) fn enter(&mut self, role: &str) {
        role.clone_into(&mut self.role);
    }

    /// The same while something is on its way that may change it.
    pub(super) fn moving(&self) -> Self {
        Self { unsettled: true, ..self.clone() }
    }

    /// Whether it is certain, so that the same circumstances can be had again.
    pub(super) fn is_settled(&self) -> bool {
        !self.unsettled
    }

    /// All of it, for people and digests.
    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        let reported = self.reported.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let set = self.set.iter().map(|(name, value)| {
            (name.clone(), value.clone().unwrap_or_else(|| "what cannot be told".to_owned()))
        });
        reported.chain([("role".to_owned(), self.role.clone())]).chain(set).collect()
    }
}

/// Whether the server reports a setting that matters here.
pub(super) fn is_reported(name: &[u8]) -> bool {
    REPORTED.iter().any(|known| known.as_bytes() == name)
}

/// Whether a setting decides how values become texts.
fn decides(name: &str) -> bool {
    UNREPORTED.contains(&name)
}

/// Whether a statement may change what the server reports.
pub(super) fn moves_reports(control: &Control) -> bool {
    match touched(control) {
        Touched::One(name) => REPORTED.iter().any(|reported| reported.eq_ignore_ascii_case(name)),
        Touched::All | Touched::Unknown => true,
        Touched::Nothing => false,
    }
}

/// Which settings a statement changes.
pub(super) enum Touched<'a> {
    /// This one.
    One(&'a str),
    /// Each goes back to what the session began with.
    All,
    /// What code that runs may change.
    Unknown,
    /// None.
    Nothing,
}

/// Which settings a statement changes.
pub(super) fn touched(control: &Control) -> Touched<'_> {
    match control {
        Control::Set { name, .. } | Control::Reset(Some(name)) => Touched::One(name),
        Control::Reset(None) => Touched::All,
        Control::Discard(what) if what.is_all() => Touched::All,
        Control::ChangesSettings => Touched::Unknown,
        Control::Discard(_)
        | Control::Begin { .. }
        | Control::Commit { .. }
        | Control::Rollback { .. }
        | Control::Savepoint(_)
        | Control::RollbackTo(_)
        | Control::Release(_)
        | Control::PrepareTransaction
        | Control::Prepare { .. }
        | Control::Execute { .. }
        | Control::Deallocate(_)
        | Control::Declare { .. }
        | Control::Fetch { .. }
        | Control::CloseCursor(_)
        | Control::CopyIn
        | Control::CopyOut(_)
        | Control::Listen
        | Control::SetRole
        | Control::Ddl
        | Control::TempObject => Touched::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str, local: bool) -> Control {
        Control::Set { name: name.to_owned(), value: Some(value.to_owned()), local }
    }

    #[test]
    fn what_may_have_been_undone_cannot_be_had_again() {
        for (controls, settled, lines) in [
            (vec![(set("bytea_output", "escape", false), true)], true, 1),
            (vec![(set("bytea_output", "escape", true), true)], false, 1),
            (vec![(set("bytea_output", "escape", false), false)], false, 1),
            (vec![(set("work_mem", "1MB", false), false)], true, 0),
            (vec![(set("bytea_output", "escape", false), true), (Control::Reset(None), true)], true, 0),
            (vec![(set("bytea_output", "escape", true), true), (Control::Reset(None), true)], true, 0),
            (vec![(set("bytea_output", "escape", false), true), (Control::Reset(None), false)], false, 0),
        ] {
            let mut under = Under::default();
            for (control, certain) in &controls {
                if under.concerns(control) {
                    under.take(control, *certain);
                }
            }
            assert_eq!((under.is_settled(), under.set.len()), (settled, lines), "{controls:?}");
        }
    }

    #[test]
    fn reports_are_of_three_settings() {
        let mut under = Under::default();
        assert!(is_reported(b"DateStyle") && !is_reported(b"is_superuser"));
        under.report(b"DateStyle", b"ISO, DMY");
        assert!(under.lines().contains(&("DateStyle".to_owned(), "ISO, DMY".to_owned())));
        assert!(under.is_settled() && !under.moving().is_settled());
        assert!(moves_reports(&set("datestyle", "DMY", false)) && !moves_reports(&set("jit", "off", false)));
    }
}
