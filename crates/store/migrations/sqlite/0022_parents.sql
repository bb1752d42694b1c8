-- The token that a token was minted with: when that one is revoked, so is this.
ALTER TABLE token ADD COLUMN parent TEXT;
