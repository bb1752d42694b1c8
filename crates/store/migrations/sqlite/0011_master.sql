-- Which master key wraps what is sealed here: one row.
CREATE TABLE master (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL
) STRICT;

-- What was done to the store from outside of a gateway, for the journals of those that run.
CREATE TABLE happened (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
