-- A request is pending, approved, denied, expired or withdrawn; an approved one claimed, lapsed or rescinded; a claimed one done,
-- failed, superseded or outcome_unknown. Before, one that waited was called so, and one that was claimed was used.
DROP INDEX request_open;
UPDATE request SET status = 'pending' WHERE status = 'waiting';
UPDATE request SET status = CASE
    WHEN outcome LIKE 'done%' THEN 'done'
    WHEN outcome LIKE 'failed%' THEN 'failed'
    WHEN outcome LIKE 'refused%' THEN 'superseded'
    ELSE 'outcome_unknown' END
WHERE status = 'used';
CREATE UNIQUE INDEX request_open ON request (digest) WHERE status IN ('pending', 'approved');

-- What decides beside text and values what an operation means, as JSON: types of its parameters, settings of its session.
ALTER TABLE request ADD COLUMN circumstances TEXT NOT NULL DEFAULT '{}';
