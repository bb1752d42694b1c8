-- Configurations that were in force, so that it can be seen who changed what: without passwords.
CREATE TABLE configured (
    version BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    body TEXT NOT NULL
);
