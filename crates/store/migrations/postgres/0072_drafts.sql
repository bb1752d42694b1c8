-- Changes of what is configured that wait for a second person; a target's password is sealed beside.
CREATE TABLE draft (
    id TEXT PRIMARY KEY,
    author TEXT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    status TEXT NOT NULL,
    filed BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    decided_by TEXT
);
CREATE INDEX draft_filed ON draft (filed);
