//! Statements that are kept under a name.

use std::sync::{Arc, OnceLock};

use model::Effect;
use sql::postgres::Statement;
use wire::postgres::backend::Field;

use super::operation::Operation;

/// A prepared statement, the wire's or SQL's: they share their names.
pub(super) struct Prepared {
    /// The text, so that it can be understood again when names have moved; of SQL's `PREPARE` that statement alone.
    pub(super) text: Option<Arc<str>>,
    /// The types of parameters that its Parse names, where they are not the server's own.
    pub(super) types: Vec<u32>,
    /// All that its Parse says of types, by the parameters' numbers; 0 where it leaves one to the server.
    pub(super) declared: Arc<[u32]>,
    /// The name under which SQL's `PREPARE` made it.
    pub(super) by_sql: Option<String>,
    /// What it means.
    pub(super) operation: Arc<Operation>,
    /// Under which names it was understood.
    pub(super) epoch: Epoch,
    /// Its result as the server described it.
    pub(super) fields: OnceLock<Arc<[Field]>>,
    /// Its parameters' types, likewise.
    pub(super) described: OnceLock<Arc<[u32]>>,
}

impl Prepared {
    /// A statement that nobody has described yet.
    pub(super) fn new(text: Option<Arc<str>>, operation: Arc<Operation>, epoch: Epoch) -> Self {
        let (types, declared) = (Vec::new(), Arc::default());
        let (fields, described) = (OnceLock::new(), OnceLock::new());
        Self { text, types, declared, by_sql: None, operation, epoch, fields, described }
    }

    /// How many bytes it takes to keep it, about.
    pub(super) fn weight(&self) -> usize {
        let texts = self.text.as_ref().map_or(0, |text| text.len());
        128 + texts + 4 * (self.types.len() + self.declared.len()) + self.operation.weight()
    }

    /// What stands for a statement that this session's messages did not prepare.
    pub(super) fn missing(name: &str, epoch: Epoch) -> Self {
        let statement =
            Statement::opaque(Effect::unknown(format!("prepared statement \"{name}\" does not exist")));
        Self::new(None, Arc::new(Operation::single(Arc::new(statement))), epoch)
    }
}

/// Names under which a statement was understood: it is understood again when one of them has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch {
    /// Counts changes of search path, role and temporary schema of this session.
    pub(super) session: u64,
    /// The catalogue's version.
    pub(super) catalogue: u64,
}

impl Epoch {
    /// Of what was understood under names that are in force no more, or were only within its message.
    pub(super) const PAST: Self = Self { session: u64::MAX, catalogue: u64::MAX };
}
