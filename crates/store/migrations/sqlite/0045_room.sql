-- What a request takes, in bytes, and who answers for its being asked: what is kept of one is bounded.
ALTER TABLE request ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN asker TEXT NOT NULL DEFAULT '';
UPDATE request SET bytes = length(text) + length(sealed_values) + length(effects) + length(circumstances) + length(touched),
    asker = principal;
CREATE INDEX request_by_asker ON request (asker, filed);
-- What is asked anew is told of what became of the one before.
CREATE INDEX request_by_subject ON request (subject, filed);

-- What approvers are called at issuers, and by what names whoever voted was known, as JSON.
ALTER TABLE approver ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE vote ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
