-- What is asked for again after what it touches was altered has the same subject and another digest.
ALTER TABLE request ADD COLUMN subject TEXT NOT NULL DEFAULT '';

-- The objects that the operation touches, as JSON, each with a digest of what it was.
ALTER TABLE request ADD COLUMN touched TEXT NOT NULL DEFAULT '[]';

-- What was altered since the same was asked for before.
ALTER TABLE request ADD COLUMN changed TEXT;
CREATE INDEX request_subject ON request (subject) WHERE status IN ('pending', 'approved');
