-- One-time codes for emergencies: what is kept instead of each, whom it is for, and what became of it.
CREATE TABLE break_glass (
    id TEXT PRIMARY KEY,
    verifier TEXT NOT NULL,
    principal TEXT NOT NULL,
    groups TEXT NOT NULL,
    target TEXT NOT NULL,
    lifetime INTEGER NOT NULL,
    made INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;
