-- What somebody gives who approves a request for access, which may be less than is asked for.
ALTER TABLE vote ADD COLUMN access TEXT;
-- Who gave a standing grant beside its giver, where it took several: their names, as a list in JSON.
ALTER TABLE standing_grant ADD COLUMN others TEXT NOT NULL DEFAULT '[]';
