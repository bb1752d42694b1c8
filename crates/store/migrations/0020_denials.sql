-- Access that is denied whatever policies say. `name` is a principal, a token's id, a group or an issuer; `issuer` is the
-- group's, where one was named.
CREATE TABLE denial (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    issuer TEXT,
    reason TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
) STRICT;
