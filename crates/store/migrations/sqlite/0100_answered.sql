-- When somebody answered; to which states a request came and when, as JSON, in their order; and what policy is asked about when
-- somebody answers it, as JSON.
ALTER TABLE vote ADD COLUMN at INTEGER;
ALTER TABLE request ADD COLUMN stages TEXT NOT NULL DEFAULT '[]';
ALTER TABLE request ADD COLUMN weighed TEXT NOT NULL DEFAULT '{}';

-- As with news, whatever changes a request notes it. What its time ended is over since then, whenever that was seen.
CREATE TRIGGER request_staged AFTER UPDATE OF status ON request WHEN NEW.status <> OLD.status BEGIN
    UPDATE request SET stages = json_insert(OLD.stages, '$[#]', json_object('status', NEW.status, 'at',
        CASE WHEN NEW.status IN ('expired', 'lapsed') THEN MIN(OLD.expires, CAST(strftime('%s', 'now') AS INTEGER))
        ELSE CAST(strftime('%s', 'now') AS INTEGER) END))
    WHERE id = NEW.id;
END;
