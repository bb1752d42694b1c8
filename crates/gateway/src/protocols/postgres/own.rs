//! The gateway's own statements towards a target: a closed list. Nothing else is ever sent in the gateway's name.
//!
//! They run in the extended protocol under a reserved name, so that the client's unnamed statement and portal stay
//! what they were, and without a Sync where the client's own sequence is not at its end, so that no transaction of the
//! client's is committed by us.

use wire::postgres::build;

/// The name of our statement and portal at the server. Clients may not use it.
pub const RESERVED: &str = "durward_own";

/// Stands in for a message that was refused where PostgreSQL must believe that it failed. No version's grammar accepts
/// it, so it has no effect but to abort what a failed statement aborts.
pub const CERTAIN_FAILURE: &str = "/* durward */ refused by policy";

/// What one of our statements is for. The journal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Search path, role and temporary schema as the server sees them now.
    SessionFacts,
    /// The catalogue as this session sees it: after DDL that is not committed yet.
    SessionCatalogue,
}

impl Purpose {
    /// The journal's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionFacts => "session_facts",
            Self::SessionCatalogue => "session_catalogue",
        }
    }
}

/// Appends one of our statements: parse, bind, execute and close, all under the reserved name.
pub fn ask(out: &mut Vec<u8>, sql: &str) {
    build::parse(out, RESERVED, sql, &[]);
    build::bind(out, RESERVED, RESERVED, &[], &[], &[]);
    build::execute(out, RESERVED, 0);
    build::close_portal(out, RESERVED);
    build::close_statement(out, RESERVED);
}

/// Appends the stand-in for a refused simple Query.
pub fn fail_simple(out: &mut Vec<u8>) {
    build::query(out, CERTAIN_FAILURE);
}

/// Appends the stand-in for a refused message of the extended protocol. It is parsed under the reserved name: a failed
/// Parse of the unnamed statement would drop the client's own.
pub fn fail_extended(out: &mut Vec<u8>) {
    build::parse(out, RESERVED, CERTAIN_FAILURE, &[]);
}
