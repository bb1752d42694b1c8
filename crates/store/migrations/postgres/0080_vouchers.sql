-- The one resource (RFC 8707) that a token is for, where it is for one alone.
ALTER TABLE token ADD COLUMN resource TEXT;

-- Codes and refresh tokens of clients, each good once: a digest of it, and what it is bound to. All that one consent gives is made
-- with one token, whose id is here.
CREATE TABLE voucher (
    mark TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    redirect TEXT NOT NULL,
    challenge TEXT NOT NULL,
    expires BIGINT NOT NULL,
    until BIGINT NOT NULL,
    spent BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX voucher_owner ON voucher (owner);

-- Clients that registered.
CREATE TABLE registered_client (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    redirects TEXT NOT NULL,
    made BIGINT NOT NULL,
    until BIGINT NOT NULL
);
