-- Held statements whose clients ask about them later, at whichever gateway; what they say, and then what came of them, is sealed.
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    target TEXT NOT NULL,
    request TEXT NOT NULL,
    asks INTEGER NOT NULL,
    state TEXT NOT NULL,
    made INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    until INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX task_until ON task (until);
