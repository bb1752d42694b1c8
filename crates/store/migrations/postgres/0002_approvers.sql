-- Who may answer held operations beside the administrator, and what is kept instead of their secrets.
CREATE TABLE approver (
    name TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    groups TEXT NOT NULL,
    salt BYTEA NOT NULL,
    rounds BIGINT NOT NULL,
    verifier BYTEA NOT NULL,
    added BIGINT NOT NULL
);
CREATE UNIQUE INDEX approver_name ON approver (lower(name));

-- For which groups a vote counts.
ALTER TABLE vote ADD COLUMN groups TEXT NOT NULL DEFAULT '["admins"]';
