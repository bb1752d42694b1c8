-- Held statements whose clients ask about them later, at whichever gateway; what they say, and then what came of them, is sealed.
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    target TEXT NOT NULL,
    request TEXT NOT NULL,
    asks BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    made BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    until BIGINT NOT NULL,
    sealed BYTEA NOT NULL
);
CREATE INDEX task_until ON task (until);
