-- Keys that are made once, sealed.
CREATE TABLE made_key (
    name TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

-- What is configured, without passwords: one row.
CREATE TABLE configuration (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
);

-- The targets' passwords, sealed.
CREATE TABLE credential (
    target TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

-- What is kept instead of the administrator's secret: one row.
CREATE TABLE administrator (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    salt BYTEA NOT NULL,
    rounds BIGINT NOT NULL,
    verifier BYTEA NOT NULL
);

-- `rowid` is SQLite's word for the order in which rows came.
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    verifier TEXT NOT NULL,
    principal TEXT NOT NULL,
    groups TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    purpose TEXT,
    targets TEXT,
    issued BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BOOLEAN NOT NULL DEFAULT FALSE,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY
);

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
    sealed_values BYTEA NOT NULL,
    effects TEXT NOT NULL,
    holds TEXT NOT NULL,
    version TEXT NOT NULL,
    filed BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    outcome TEXT,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY
);

-- The same operation is never asked twice at a time.
CREATE UNIQUE INDEX request_open ON request (digest) WHERE status IN ('waiting', 'approved');
CREATE INDEX request_by_time ON request (filed);

CREATE TABLE vote (
    request TEXT NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    voter TEXT NOT NULL,
    approve BOOLEAN NOT NULL,
    words TEXT,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (request, voter)
);
