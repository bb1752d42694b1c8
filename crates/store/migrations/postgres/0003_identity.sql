-- Whose word a token's principal is: issuers, what they call it, since when.
ALTER TABLE token ADD COLUMN asserted TEXT NOT NULL DEFAULT '[]';

-- What may be used once and was, until it would be refused anyway.
CREATE TABLE spent (
    id TEXT PRIMARY KEY,
    until BIGINT NOT NULL
);
CREATE INDEX spent_by_time ON spent (until);
