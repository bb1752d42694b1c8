-- Keys that are made once, sealed.
CREATE TABLE made_key (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- What is configured, without passwords: one row.
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
) STRICT;

-- The targets' passwords, sealed.
CREATE TABLE credential (
    target TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- What is kept instead of the administrator's secret: one row.
CREATE TABLE administrator (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    salt BLOB NOT NULL,
    rounds INTEGER NOT NULL,
    verifier BLOB NOT NULL
) STRICT;

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    verifier TEXT NOT NULL,
    principal TEXT NOT NULL,
    groups TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    purpose TEXT,
    targets TEXT,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE request (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    principal TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    target TEXT NOT NULL,
    session TEXT NOT NULL,
    summary TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    sealed_values BLOB NOT NULL,
    effects TEXT NOT NULL,
    holds TEXT NOT NULL,
    version TEXT NOT NULL,
    filed INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    outcome TEXT
) STRICT;

-- The same operation is never asked twice at a time.
CREATE UNIQUE INDEX request_open ON request (digest) WHERE status IN ('waiting', 'approved');
CREATE INDEX request_by_time ON request (filed);

CREATE TABLE vote (
    request TEXT NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    voter TEXT NOT NULL,
    approve INTEGER NOT NULL,
    words TEXT,
    PRIMARY KEY (request, voter)
) STRICT;
