-- How many rows an approved operation may change, as JSON; none is known of what was asked for before.
ALTER TABLE request ADD COLUMN ceiling TEXT;

-- How many rows somebody who approved lets it change at most, where they said so.
ALTER TABLE vote ADD COLUMN most INTEGER;
