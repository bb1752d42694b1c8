-- Which configuration this is: whoever has another one reads it again.
ALTER TABLE configuration ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
