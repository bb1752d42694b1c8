//! What can be done, as a closed set. A policy names these words; see `policy::schema` for their groups.

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal in $group:expr;)+) => {
        /// One kind of effect. The words and groups are those of the policy schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Action {
            /// Every action, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in policies and in the journal.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The action group that a policy may name instead, if there is one.
            pub fn group(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $group,)+
                }
            }
        }
    };
}

actions! {
    /// Open a session, and run what has no effect of its own (`BEGIN`, `SELECT 1`).
    Connect = "connect" in None;
    /// Read rows of a relation.
    Select = "select" in Some("read");
    /// Add rows.
    Insert = "insert" in Some("write");
    /// Change rows.
    Update = "update" in Some("write");
    /// Remove rows.
    Delete = "delete" in Some("write");
    /// `MERGE`, beside the actions of its branches.
    Merge = "merge" in Some("write");
    /// Empty a table.
    Truncate = "truncate" in Some("write");
    /// `COPY … FROM STDIN`.
    CopyIn = "copy_in" in Some("write");
    /// `SELECT … FOR UPDATE` and its weaker forms.
    LockRows = "lock_rows" in Some("write");
    /// `LOCK TABLE`, and advisory locks.
    LockTable = "lock_table" in Some("write");
    /// `nextval`, `setval`.
    Sequence = "sequence" in Some("write");
    /// Make, read, write or remove large objects.
    LargeObject = "large_object" in Some("write");
    /// `CREATE` of anything but an index.
    Create = "create" in Some("define");
    /// `ALTER` of anything, `RENAME`, owners, `SECURITY LABEL`.
    Alter = "alter" in Some("define");
    /// `DROP`, `REASSIGN OWNED`.
    Drop = "drop" in Some("define");
    /// `CREATE INDEX`, extended statistics.
    Index = "index" in Some("define");
    /// `COMMENT`.
    Comment = "comment" in Some("define");
    /// `GRANT`, `REVOKE`, roles, default privileges.
    Grant = "grant" in Some("define");
    /// `VACUUM`, `ANALYZE`, `REFRESH`, `REINDEX`, `CLUSTER`, `CHECKPOINT`, statistics resets.
    Maintain = "maintain" in None;
    /// Call a function that is not known to be harmless.
    Call = "call" in None;
    /// `DO`.
    RunCode = "run_code" in None;
    /// Change a setting that is not on the list of harmless ones.
    Configure = "configure" in None;
    /// `LISTEN`.
    Listen = "listen" in None;
    /// `NOTIFY`, `pg_notify`.
    Notify = "notify" in None;
    /// Read or write a file of the server's host.
    ServerFile = "server_file" in None;
    /// Run a program on the server's host.
    Program = "program" in None;
    /// Cancel, end or look into another session.
    OtherSession = "other_session" in None;
    /// Replication, subscriptions, publications, backup mode.
    Replicate = "replicate" in None;
    /// Reach a host that is no target: `dblink`, foreign servers.
    Egress = "egress" in None;
    /// What could not be understood with certainty; its reason is in the effect.
    Unknown = "unknown" in None;
    /// See the clear value of a tagged column.
    Reveal = "reveal" in None;
    /// Use a tagged column where its value decides something.
    Probe = "probe" in None;
    /// Run a statement to see its effect, rolled back.
    Preview = "preview" in None;
    /// Say yes to a held operation.
    Approve = "approve" in None;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Action;

    #[test]
    fn every_word_is_used_once() {
        let words: BTreeSet<_> = Action::ALL.iter().map(|a| a.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
    }
}
