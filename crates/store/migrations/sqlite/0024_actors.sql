-- The token of who acts, beside that of whom they act for: when either is revoked, so is what was exchanged for both.
ALTER TABLE token ADD COLUMN actor TEXT;
