-- Which sessions wait for which requests, and until when at most, at whichever gateway.
CREATE TABLE waiting (
    request TEXT NOT NULL,
    session TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (request, session)
);
CREATE INDEX waiting_until ON waiting (until);
