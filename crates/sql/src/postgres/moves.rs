//! What may change what names mean: later statements are understood anew, and code that is still to run would find others.

use super::{Control, Statement};

impl Statement {
    /// Whether names may mean something else while it runs or after it.
    pub fn moves_names(&self) -> bool {
        self.moves_path || self.control.iter().any(Control::moves_names)
    }
}

impl Control {
    /// Whether names may mean something else after it.
    pub fn moves_names(&self) -> bool {
        match self {
            Self::Set { name, .. } => is_path_or_role(name),
            Self::Reset(name) => name.as_deref().is_none_or(is_path_or_role),
            Self::Ddl | Self::TempObject | Self::ChangesSettings | Self::SetRole | Self::Discard(_) => true,
            Self::Begin { .. }
            | Self::Commit { .. }
            | Self::Rollback { .. }
            | Self::Savepoint(_)
            | Self::RollbackTo(_)
            | Self::Release(_)
            | Self::PrepareTransaction
            | Self::Prepare { .. }
            | Self::Execute { .. }
            | Self::Deallocate(_)
            | Self::Declare { .. }
            | Self::Fetch { .. }
            | Self::CloseCursor(_)
            | Self::CopyIn
            | Self::CopyOut(_)
            | Self::Listen => false,
        }
    }
}

/// Whether a setting decides what names mean.
pub(super) fn is_path_or_role(name: &str) -> bool {
    matches!(name, "search_path" | "role" | "session_authorization")
}
