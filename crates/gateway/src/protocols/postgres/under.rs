//! What a session has set that decides how the server reads and writes values: the same text is another operation under other
//! settings.

use std::collections::BTreeMap;

use policy::PROTECTED;
use sql::postgres::Control;

/// Settings that the server reports whenever they change, and under which it reads dates, times and intervals.
const REPORTED: [&str; 3] = ["DateStyle", "IntervalStyle", "TimeZone"];
/// As whom the session has logged in or says that it has (`session_user`): the server reports it, too.
pub(super) const LOGIN: &str = "session_authorization";
/// What the gateway's own login begins every session with, by name.
const OWN: [&str; 4] = ["user", "database", "client_encoding", "standard_conforming_strings"];

/// The circumstances of one operation: everything that the session has set, since a statement can read each setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Under {
    /// By what the server reported last.
    reported: BTreeMap<&'static str, String>,
    /// What the gateway says of who acts.
    own: Vec<(String, String)>,
    /// What the session began with, which `RESET` puts back.
    begun: BTreeMap<String, Option<String>>,
    /// What it has set since, as the server confirmed it.
    set: Set,
    /// What becomes of that at the end of the transaction in which something was set.
    transaction: Option<Box<Transaction>>,
    /// The role that decides about rights.
    role: String,
    /// The one that it has logged in as, as the server reported it last.
    login: Option<String>,
    /// The schemas in which names are found, in order.
    path: Vec<String>,
    /// Something is on its way that may change it.
    moving: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Set {
    /// Values by name; none where the value cannot be told.
    values: BTreeMap<String, Option<String>>,
    /// Something may have been set, or undone, that nobody saw: then the same cannot be told again.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Transaction {
    /// If it is rolled back.
    before: Set,
    /// If it is committed: without what was set for it alone.
    after: Set,
}

impl Under {
    /// Takes what the server reports.
    pub(super) fn report(&mut self, name: &[u8], value: &[u8]) {
        if name == LOGIN.as_bytes() {
            self.login = Some(String::from_utf8_lossy(value).into_owned());
        }
        if let Some(known) = REPORTED.iter().find(|known| known.as_bytes() == name) {
            self.reported.insert(known, String::from_utf8_lossy(value).into_owned());
        }
    }

    /// Takes what a session begins with.
    pub(super) fn begin(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if name.starts_with(PROTECTED) {
            self.own.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
        }
        if !OWN.contains(&name.as_str()) && !name.starts_with(PROTECTED) && !is_reported_in_lower_case(&name)
        {
            self.begun.insert(name, Some(String::from_utf8_lossy(value).into_owned()));
        }
    }

    /// Takes what a statement has set that the server has run. `plainly` says that it sets it for certain: `SET`, and not
    /// a function in an expression that may not have been evaluated.
    pub(super) fn completed(&mut self, control: &Control, plainly: bool) {
        match touched(control) {
            Touched::One(name) if is_reported_in_lower_case(name) => (),
            Touched::One(_) => {
                let (name, value, local) = if let Control::Set { name, value, local } = control {
                    (name, value.clone().filter(|_| plainly), *local)
                } else if let Control::Reset(Some(name)) = control {
                    (name, None, false)
                } else {
                    return;
                };
                let resets = matches!(control, Control::Reset(_)) && plainly;
                self.change(local, |set| {
                    if resets {
                        set.values.remove(name);
                    } else {
                        set.values.insert(name.clone(), value.clone());
                    }
                });
            }
            Touched::All => self.change(false, |set| *set = Set::default()),
            Touched::Unknown => self.change(false, |set| set.lost = true),
            // Which of it was set behind the savepoint is not followed.
            Touched::Nothing if matches!(control, Control::RollbackTo(_)) && self.transaction.is_some() => {
                self.change(false, |set| set.lost = true);
            }
            Touched::Nothing => (),
        }
    }

    fn change(&mut self, local: bool, change: impl Fn(&mut Set)) {
        let set = &self.set;
        let begun = || Box::new(Transaction { before: set.clone(), after: set.clone() });
        let transaction = self.transaction.get_or_insert_with(begun);
        if !local {
            change(&mut transaction.after);
        }
        change(&mut self.set);
    }

    /// A transaction has ended.
    pub(super) fn ended(&mut self, committed: bool) {
        if let Some(transaction) = self.transaction.take() {
            let Transaction { before, after } = *transaction;
            self.set = if committed { after } else { before };
        }
    }

    /// Whether something was set in the transaction that is open.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the session is of this role and finds names here.
    pub(super) fn is_of(&self, role: &str, path: &[String]) -> bool {
        self.role == role && self.path == path
    }

    /// The session is of this role now, and finds names here.
    pub(super) fn enter(&mut self, role: &str, path: &[String]) {
        role.clone_into(&mut self.role);
        path.clone_into(&mut self.path);
    }

    /// The same while something is on its way that may change it.
    pub(super) fn moving(&self) -> Self {
        Self { moving: true, ..self.clone() }
    }

    /// Whether it is certain, so that the same circumstances can be had again.
    pub(super) fn is_settled(&self) -> bool {
        !self.moving && !self.set.lost && self.set.values.values().all(Option::is_some)
    }

    /// The role that it has logged in as (`session_user`); `None` where the server does not report it.
    pub(super) fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The role that decides about rights.
    pub(super) fn role(&self) -> &str {
        &self.role
    }

    /// The schemas in which names are found, in order.
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// All that is to be set elsewhere for a statement to be read there as here; `None` where that cannot be told.
    pub(super) fn again(&self) -> Option<Vec<(String, String)>> {
        let reported = self.reported.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let own = self.own.iter().cloned();
        let begun = self.begun.iter().filter(|(name, _)| !self.set.values.contains_key(*name));
        let set: Option<Vec<_>> =
            begun.chain(&self.set.values).map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        Some(reported.chain(own).chain(set.filter(|_| self.is_settled())?).collect())
    }

    /// All of it, for people and digests.
    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        let reported = self.reported.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let own = [("role".to_owned(), self.role.clone()), ("schemas".to_owned(), self.path.join(", "))];
        let begun = self.begun.iter().filter(|(name, _)| !self.set.values.contains_key(*name));
        let set = begun.chain(&self.set.values).map(|(name, value)| {
            (name.clone(), value.clone().unwrap_or_else(|| "what cannot be told".to_owned()))
        });
        reported.chain(own).chain(set).collect()
    }
}

fn is_reported_in_lower_case(name: &str) -> bool {
    REPORTED.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The settings that matter here and that the server reports.
pub(super) fn reported() -> impl Iterator<Item = &'static str> {
    REPORTED.into_iter().chain([LOGIN])
}

/// Whether the server reports a setting that matters here.
pub(super) fn is_reported(name: &[u8]) -> bool {
    reported().any(|known| known.as_bytes() == name)
}

/// Whether a statement may change any setting, once it has run.
pub(super) fn moves_settings(control: &Control) -> bool {
    !matches!(touched(control), Touched::Nothing) || matches!(control, Control::RollbackTo(_))
}

/// Whether a statement may change what the server reports.
pub(super) fn moves_reports(control: &Control) -> bool {
    match touched(control) {
        Touched::One(name) => is_reported_in_lower_case(name),
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

    /// What is done, and whether it ends a transaction that commits or rolls back.
    enum Step {
        Runs(Control),
        InAnExpression(Control),
        Commits,
        RollsBack,
    }

    #[test]
    fn everything_that_was_set_is_known_as_the_server_confirmed_it() {
        use Step::{Commits, InAnExpression, RollsBack, Runs};
        let name = || set("application_name", "a", false);
        let local = || set("work_mem", "1MB", true);
        for (case, steps, settled, lines) in [
            ("set", vec![Runs(name()), Commits], true, &["application_name=a"][..]),
            ("undone", vec![Runs(name()), RollsBack], true, &[]),
            ("for one transaction", vec![Runs(local())], true, &["work_mem=1MB"]),
            ("which is over", vec![Runs(local()), Commits], true, &[]),
            ("both", vec![Runs(name()), Runs(local()), Commits], true, &["application_name=a"]),
            (
                "set again",
                vec![Runs(name()), Commits, Runs(set("application_name", "b", false)), RollsBack],
                true,
                &["application_name=a"],
            ),
            (
                "reset",
                vec![
                    Runs(name()),
                    Commits,
                    Runs(Control::Reset(Some("application_name".to_owned()))),
                    Commits,
                ],
                true,
                &[],
            ),
            ("all reset", vec![Runs(name()), Commits, Runs(Control::Reset(None)), Commits], true, &[]),
            (
                "perhaps",
                vec![InAnExpression(name()), Commits],
                false,
                &["application_name=what cannot be told"],
            ),
            ("by code", vec![Runs(Control::ChangesSettings), Commits], false, &[]),
            ("by code, undone", vec![Runs(Control::ChangesSettings), RollsBack], true, &[]),
            (
                "by code, all reset",
                vec![Runs(Control::ChangesSettings), Commits, Runs(Control::Reset(None)), Commits],
                true,
                &[],
            ),
            (
                "behind a savepoint",
                vec![Runs(name()), Runs(Control::RollbackTo("s".to_owned())), Commits],
                false,
                &["application_name=a"],
            ),
        ] {
            let mut under = Under::default();
            for step in &steps {
                match step {
                    Runs(control) => under.completed(control, true),
                    InAnExpression(control) => under.completed(control, false),
                    Commits => under.ended(true),
                    RollsBack => under.ended(false),
                }
            }
            let own = ["role", "schemas"];
            let all: Vec<String> = under
                .lines()
                .into_iter()
                .filter(|(n, _)| !own.contains(&n.as_str()))
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            assert_eq!(
                (under.is_settled(), all),
                (settled, lines.iter().map(ToString::to_string).collect()),
                "{case}"
            );
        }
    }

    #[test]
    fn what_a_session_began_with_comes_back() {
        let mut under = Under::default();
        under.begin("Application_Name", b"psql");
        under.begin("client_encoding", b"UTF8");
        under.begin("durward.principal", b"agent:a");
        let name = |under: &Under| {
            under
                .lines()
                .into_iter()
                .filter(|(n, _)| n == "application_name")
                .map(|(_, v)| v)
                .collect::<Vec<_>>()
        };
        assert_eq!((name(&under), under.begun.len()), (vec!["psql".to_owned()], 1));
        under.completed(&set("application_name", "x", false), true);
        assert_eq!(name(&under), ["x"]);
        under.completed(&Control::Reset(None), true);
        assert_eq!(name(&under), ["psql"]);
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
