-- Whom an invitation is for: a newer one, their coming and their removal make it good no more.
ALTER TABLE once ADD COLUMN about TEXT;
CREATE INDEX once_about ON once (lower(about));
