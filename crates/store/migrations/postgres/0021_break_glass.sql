-- One-time codes for emergencies: what is kept instead of each, whom it is for, and what became of it.
CREATE TABLE break_glass (
    id TEXT PRIMARY KEY,
    verifier TEXT NOT NULL,
    principal TEXT NOT NULL,
    groups TEXT NOT NULL,
    target TEXT NOT NULL,
    lifetime BIGINT NOT NULL,
    made BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    used BIGINT,
    revoked BOOLEAN NOT NULL DEFAULT FALSE,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY
);
