-- Who may answer held operations beside the administrator, and what is kept instead of their secrets.
CREATE TABLE approver (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    id TEXT NOT NULL UNIQUE,
    groups TEXT NOT NULL,
    salt BLOB NOT NULL,
    rounds INTEGER NOT NULL,
    verifier BLOB NOT NULL,
    added INTEGER NOT NULL
) STRICT;

-- For which groups a vote counts. Those that are there were the administrator's.
ALTER TABLE vote ADD COLUMN groups TEXT NOT NULL DEFAULT '["admins"]';
