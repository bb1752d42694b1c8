-- Which sessions wait for which requests, and until when at most, at whichever gateway.
CREATE TABLE waiting (
    request TEXT NOT NULL,
    session TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (request, session)
) STRICT;
CREATE INDEX waiting_until ON waiting (until);
