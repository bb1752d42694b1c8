-- Changes of what is configured that wait for a second person; a target's password is sealed beside.
CREATE TABLE draft (
    id TEXT PRIMARY KEY,
    author TEXT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    sealed BLOB NOT NULL,
    status TEXT NOT NULL,
    filed INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    decided_by TEXT
) STRICT;
CREATE INDEX draft_filed ON draft (filed);
