-- Which gateway carries out a claimed request, and until when it is believed to, in seconds since 1970.
ALTER TABLE request ADD COLUMN claimed_by TEXT;
ALTER TABLE request ADD COLUMN claimed_until BIGINT;

-- Tokens of issuers that others were made of: their issuers are asked about them as long as those are used.
CREATE TABLE asked (
    id TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL,
    until BIGINT NOT NULL
);
