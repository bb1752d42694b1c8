//! Several statements in one message: what the earlier ones change for the later ones.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use pg_query::protobuf::RawStmt;

use super::frames::{Names, Reach};
use super::scope::Scope;
use super::text::Normal;
use super::tree::inner;
use super::uncertain::{Made, Unsettled};
use super::walk::Walk;
use super::{Control, Options, Refusal, Session, Statement, shape};

/// Why a name after this is not certain.
const ONE_AT_A_TIME: &str = "an earlier statement of the same message changes names; send the statements one at a time, or as a plan (durward plan submit)";

/// Longer names are cut, in bytes.
const LONGEST_NAME: usize = 63;

/// What is in force for the next statement of a message.
pub(super) struct Message<'a> {
    session: &'a Session<'a>,
    options: &'a Options,
    names: Names<'a>,
    unsettled: bool,
    /// What earlier statements made.
    made: Arc<Made>,
    /// Names mean something else than when the message began; what was prepared before that means something else, too.
    moved: bool,
    /// The path was changed up to the end of the transaction only.
    local: bool,
    prepared: HashMap<String, Arc<Statement>>,
    cursors: HashMap<String, Arc<Statement>>,
    /// Code of earlier statements may still run, and finds its names then: triggers at the end, functions of cursors.
    late: bool,
}

impl<'a> Message<'a> {
    pub(super) fn new(session: &'a Session<'a>, options: &'a Options) -> Self {
        Self {
            session,
            options,
            names: Names { path: Cow::Borrowed(session.search_path), reach: Reach::Certain, definer: false },
            unsettled: false,
            made: Arc::default(),
            moved: false,
            local: false,
            prepared: HashMap::new(),
            cursors: HashMap::new(),
            late: false,
        }
    }

    pub(super) fn statement(&mut self, raw: &RawStmt, text: Normal) -> Result<Statement, Refusal> {
        let mut walk = Walk::new(self.session, self.options);
        walk.names = self.names.clone();
        walk.unsettled =
            self.unsettled.then(|| Unsettled { why: ONE_AT_A_TIME, made: Arc::clone(&self.made) });
        walk.moved = self.moved.then(|| ONE_AT_A_TIME.to_owned());
        walk.prepared = std::mem::take(&mut self.prepared);
        walk.cursors = std::mem::take(&mut self.cursors);
        walk.spend(10);
        let node = inner(&raw.stmt);
        let rows = walk.perform(node, &Scope::default());
        if let Some(refusal) = walk.refusal.take() {
            return Err(refusal);
        }
        self.prepared = std::mem::take(&mut walk.prepared);
        self.cursors = std::mem::take(&mut walk.cursors);
        if self.late && (walk.found.moves_path || walk.found.control.iter().any(Control::moves_names)) {
            walk.unknown("it changes names that code of earlier statements is still to find; send it alone, before them");
        }
        let mut statement = shape::finished(walk, node, rows, Some(text));
        self.late |= statement.deferred;
        for control in &mut statement.control {
            let declares = matches!(control, Control::Declare { .. });
            if let Control::Prepare { inner, .. } | Control::Declare { inner, .. } = control {
                // What is prepared is spoken of as it was written.
                let mut with_text = Statement::clone(inner);
                self.late |= with_text.by_path && declares;
                with_text.text.clone_from(&statement.text);
                with_text.literals.clone_from(&statement.literals);
                *inner = Arc::new(with_text);
            }
        }
        for control in &statement.control {
            self.follow(control);
        }
        if statement.fires {
            self.loses();
        }
        if statement.control.iter().any(|control| matches!(control, Control::Ddl | Control::TempObject)) {
            let code = self.session.catalog.event_triggers().iter().any(|_| true)
                || statement.facts.functions.iter().any(|f| f.schema != "pg_catalog");
            Arc::make_mut(&mut self.made).by(node, code);
        }
        Ok(statement)
    }

    fn follow(&mut self, control: &Control) {
        match control {
            Control::Set { name, value, local } if name == "search_path" => {
                self.local |= local;
                match value.as_deref().and_then(|value| self.path_of(value)) {
                    Some(path) => {
                        self.moves();
                        // The role may not be allowed to use all of them.
                        self.names.path = Cow::Owned(path);
                        self.names.reach = Reach::Listed;
                    }
                    None => self.loses(),
                }
            }
            Control::Reset(name) => {
                if name.as_deref().is_none_or(|name| name == "search_path") {
                    self.loses();
                }
            }
            Control::Ddl
            | Control::TempObject
            | Control::ChangesSettings
            | Control::SetRole
            | Control::Discard(_) => self.loses(),
            // What this message moved, the end of the transaction may move back. What was moved before it, the session
            // knows.
            Control::Rollback { .. } | Control::RollbackTo(_) if self.moved => self.loses(),
            Control::Commit { .. } | Control::PrepareTransaction if self.local => self.loses(),
            Control::Rollback { .. } | Control::RollbackTo(_) => (),
            Control::Deallocate(name) => match name {
                Some(name) => {
                    self.prepared.remove(name);
                }
                None => self.prepared.clear(),
            },
            Control::CloseCursor(name) => match name {
                Some(name) => {
                    self.cursors.remove(name);
                }
                None => self.cursors.clear(),
            },
            Control::Commit { .. }
            | Control::Begin { .. }
            | Control::Savepoint(_)
            | Control::Release(_)
            | Control::PrepareTransaction
            | Control::Set { .. }
            | Control::Prepare { .. }
            | Control::Execute { .. }
            | Control::Declare { .. }
            | Control::Fetch { .. }
            | Control::CopyIn
            | Control::CopyOut(_)
            | Control::Listen => (),
        }
    }

    /// Names mean something else from here on.
    fn moves(&mut self) {
        self.moved = true;
        self.prepared.clear();
    }

    /// What names mean from here on is not certain.
    fn loses(&mut self) {
        self.moves();
        self.unsettled = true;
    }

    /// The effective path after `SET search_path`, where it is certain.
    fn path_of(&self, value: &str) -> Option<Vec<String>> {
        let mut named = Vec::new();
        for item in value.split(',') {
            let item = item.trim();
            let name = match item.strip_prefix('"').and_then(|i| i.strip_suffix('"')) {
                Some(inside) if !inside.contains('"') => inside.to_owned(),
                Some(_) => return None,
                None if item.contains('"') => return None,
                // Written by `set_config` as it is.
                None => item.to_ascii_lowercase(),
            };
            if name.len() > LONGEST_NAME {
                return None;
            }
            let name = if name == "$user" { self.session.role.to_owned() } else { name };
            // A schema that is not there or may not be used is passed over; which one is temporary is for the server to say.
            if name == "pg_temp" {
                return None;
            }
            if self.session.catalog.has_schema(&name)
                && self.session.catalog.is_usable(&name, self.session.role)?
            {
                named.push(name);
            }
        }
        let temporary = self.names.path.iter().find(|s| s.starts_with("pg_temp_")).cloned();
        let system = (!named.iter().any(|n| n == "pg_catalog")).then(|| "pg_catalog".to_owned());
        Some(temporary.into_iter().chain(system).chain(named).collect())
    }
}
