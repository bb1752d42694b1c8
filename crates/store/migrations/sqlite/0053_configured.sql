-- Configurations that were in force, so that it can be seen who changed what: without passwords.
CREATE TABLE configured (
    version INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
