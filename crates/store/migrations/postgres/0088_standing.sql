-- What is alike to a request has the same key; the rest of its likeness is sealed with its values.
ALTER TABLE request ADD COLUMN alike TEXT;
CREATE INDEX request_alike ON request (alike) WHERE status = 'pending';
-- The standing grant that approved a request, and which use of it that is.
ALTER TABLE request ADD COLUMN granted TEXT;
ALTER TABLE request ADD COLUMN granted_use BIGINT;
CREATE UNIQUE INDEX request_granted ON request (granted, granted_use) WHERE granted IS NOT NULL;

-- Standing grants: leave for all that is alike to one request. What else there is to say is JSON; the values that have to be kept
-- are sealed beside.
CREATE TABLE standing_grant (
    id TEXT PRIMARY KEY,
    alike TEXT NOT NULL,
    giver TEXT NOT NULL,
    principal TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    body TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    most BIGINT NOT NULL,
    uses BIGINT,
    used BIGINT NOT NULL,
    given BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ended TEXT
);
CREATE INDEX standing_grant_alike ON standing_grant (alike);
CREATE INDEX standing_grant_given ON standing_grant (given);
