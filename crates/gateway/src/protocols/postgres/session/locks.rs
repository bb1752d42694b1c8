//! `freshness = "strict"`: what a statement names is locked in the transaction in which it will run, and only then the target's
//! definitions are looked at. Where they are others than those by which it was understood, it is understood again.
//!
//! The lock is what the server's own Parse takes: enough to keep others from altering or dropping a relation, and to let
//! them read and write. Functions and types cannot be locked; for them it is a look right before the statement.

use std::collections::BTreeSet;

use model::{ColumnName, Inspect as _, Resource, TableName};
use sql::postgres::catalog::RelationKind;

use super::garbled_error;
use super::open::Open;
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::own;
use crate::protocols::postgres::request::{Request, RequestKind};

/// So often a statement is understood anew before it is refused: its target changes all the time.
const TRIES: usize = 5;

/// How far the client's next message is looked at.
#[derive(Default)]
pub(super) struct Locks {
    /// What is locked for it.
    held: Option<BTreeSet<TableName>>,
    /// The statement of ours that locks is in flight.
    pub(super) asked: bool,
    /// Its answer came, and the target is to be looked at.
    due: bool,
    /// It could not be locked, and its transaction has failed for that.
    failed: Option<Garbled>,
    /// The version that was found then.
    seen: Option<u64>,
    tries: usize,
}

impl Locks {
    /// Whether the target is to be looked at before anything else, which is done now.
    pub(super) fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    /// Why the client's next message could not be locked.
    pub(super) fn take_failed(&mut self) -> Option<Garbled> {
        self.failed.take()
    }

    /// The target has been looked at.
    pub(super) fn looked(&mut self, version: u64) {
        self.seen = Some(version);
    }
}

/// What comes of a look at a request.
pub(super) enum Judged {
    /// It is what the target holds now.
    Fresh,
    /// Something is awaited before it is looked at again.
    Wait,
    /// It is to be understood again.
    Again,
    /// It cannot be.
    Never(Garbled),
}

impl Open {
    /// Whether a request was understood by what its target holds once that is locked; begins to find out where it is not
    /// known. `whole` is its length.
    pub(super) fn is_fresh(&mut self, request: &Request, whole: usize) -> Judged {
        if !self.strict || !depends_on_definitions(request) || self.conversation.is_failed() {
            return Judged::Fresh;
        }
        if !self.conversation.expected.is_empty() {
            return Judged::Wait;
        }
        let wanted = self.lockable(request);
        let held = self.locks.held.as_ref().is_some_and(|held| wanted.is_subset(held));
        if held && self.locks.seen == Some(request.seen.version) {
            self.locks = Locks::default();
            return Judged::Fresh;
        }
        self.locks.tries += 1;
        if self.locks.tries > TRIES {
            self.locks = Locks::default();
            let hint = Some("Try again when nobody alters the target's tables.".to_owned());
            let why = "the target's definitions change faster than this statement is understood".to_owned();
            let simple = request.is_simple();
            return Judged::Never(Garbled { hint, simple, ..Garbled::new("40001", why) });
        }
        if held || wanted.is_empty() {
            self.locks.held.get_or_insert_default();
            self.locks.due = true;
            return Judged::Again;
        }
        // Before the transaction begins in which it is locked.
        let rest = self.pump.client.input.filled().get(whole..).unwrap_or_default();
        let before = self.conversation.guarded(&request.kind, &request.operation, rest);
        self.pump.upstream.output.extend(&before);
        self.answers.ask_begun();
        self.conversation.lock(self.pump.upstream.output.tail(), &own::lock_tables(&wanted));
        self.locks.held = Some(wanted);
        self.locks.asked = true;
        Judged::Wait
    }

    /// Learns that the locks are taken, or not.
    pub(super) fn locked(&mut self) {
        if !self.locks.asked || self.conversation.has_own() {
            return;
        }
        self.locks.asked = false;
        self.locks.due = true;
        let Some(state) = self.answers.own_failed.take() else { return };
        let garbled = not_locked(&state);
        if self.conversation.is_skipping() && !self.is_simple_next() {
            self.locks = Locks::default();
            self.pump.client.output.extend(&garbled_error(&garbled, None));
            return;
        }
        if self.conversation.is_skipping() {
            self.conversation.resume(self.pump.upstream.output.tail());
        }
        self.locks.failed = Some(garbled);
    }

    /// Lets go what was locked for a statement that does not go on now.
    pub(super) fn unlock(&mut self) {
        self.locks = Locks::default();
        self.conversation.unlock(self.pump.upstream.output.tail());
    }

    /// The same for a statement that goes on: what was tried for it counts.
    pub(super) fn unlock_for_now(&mut self) {
        let tries = self.locks.tries;
        self.unlock();
        self.locks.tries = tries;
    }

    /// The relations that a request reads and writes, as far as they can be locked.
    fn lockable(&self, request: &Request) -> BTreeSet<TableName> {
        if !request.operation.statements.iter().all(|s| LOCKED.contains(&s.facts.kind.as_str())) {
            return BTreeSet::new();
        }
        let named = request.effects().iter().filter_map(|effect| match &effect.resource {
            Resource::Table(table) | Resource::Column(ColumnName { table, .. }) => Some(table),
            Resource::Target | Resource::Schema(_) | Resource::Function(_) | Resource::Setting(_) => None,
        });
        let (catalogue, role) = (&request.seen.catalogue, self.conversation.understanding.role());
        // What is reached by a view is locked with that; by a function that runs as its owner, it is as a function is.
        let is_nameable = |table: &TableName| catalogue.is_usable(&table.schema, role) != Some(false);
        let is_lockable = |table: &&TableName| {
            is_nameable(table)
                && catalogue.relation(&table.schema, &table.name).is_some_and(|relation| {
                    match relation.kind {
                        RelationKind::Table
                        | RelationKind::Partitioned
                        | RelationKind::View
                        | RelationKind::MaterializedView
                        | RelationKind::Foreign
                        | RelationKind::Sequence => relation.schema != "pg_catalog",
                        RelationKind::Composite | RelationKind::Index => false,
                    }
                })
        };
        named.chain(&request.facts().tables).filter(is_lockable).cloned().collect()
    }
}

/// Statements whose own locks are no stronger than those of reading and writing, so that two which hold ours do not wait for
/// each other.
const LOCKED: [&str; 13] = [
    "select",
    "select with writes",
    "values",
    "insert",
    "update",
    "delete",
    "merge",
    "copy from",
    "copy to",
    "declare cursor",
    "execute",
    "fetch",
    "explain",
];

/// Whether what a request means can change with what is defined at its target.
fn depends_on_definitions(request: &Request) -> bool {
    let facts = request.facts();
    let means = !request.effects().is_empty() || !facts.tables.is_empty() || !facts.functions.is_empty();
    match request.kind {
        // It is decided again when it is bound.
        RequestKind::Parse { .. } => false,
        RequestKind::Query
        | RequestKind::Bind { .. }
        | RequestKind::FunctionCall
        | RequestKind::Execute { .. } => means,
    }
}

/// Why nothing was locked, as the server's state says: what would have ended the statement has ended the lock.
fn not_locked(state: &str) -> Garbled {
    let (code, why) = match state {
        "57014" => ("57014", "canceling statement due to user request"),
        "55P03" => ("55P03", "canceling statement due to lock timeout"),
        "40P01" => ("40P01", "deadlock detected"),
        "42501" => ("42501", "permission denied for what the statement names"),
        _ => {
            let hint = Some("Send it again.".to_owned());
            let why = "what the statement names was altered or dropped meanwhile";
            return Garbled { hint, ..Garbled::new("40001", why.to_owned()) };
        }
    };
    Garbled::new(code, why.to_owned())
}
