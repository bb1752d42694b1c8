-- Whom a token answers to that was made of another: how many are good at a time is bounded, and it is forgotten soon after its end.
ALTER TABLE token ADD COLUMN minted_for TEXT;
CREATE INDEX token_minted ON token (minted_for, expires);
