-- When an issuer said who signed in, by its clock.
ALTER TABLE visit ADD COLUMN said BIGINT;
