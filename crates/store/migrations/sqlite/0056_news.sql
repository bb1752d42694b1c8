-- What became of requests, for whoever is told of it elsewhere: a row for each state that a request comes to, made by whatever
-- changes it.
CREATE TABLE news (
    request TEXT NOT NULL,
    status TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (request, status)
);
CREATE INDEX news_at ON news (at);

CREATE TRIGGER request_filed AFTER INSERT ON request BEGIN
    INSERT INTO news (request, status, at) VALUES (NEW.id, NEW.status, CAST(strftime('%s', 'now') AS INTEGER))
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER request_moved AFTER UPDATE OF status ON request WHEN NEW.status <> OLD.status BEGIN
    INSERT INTO news (request, status, at) VALUES (NEW.id, NEW.status, CAST(strftime('%s', 'now') AS INTEGER))
    ON CONFLICT DO NOTHING;
END;

-- Who is told, and which gateway does it until when.
CREATE TABLE carrier (
    name TEXT PRIMARY KEY,
    gateway TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- What each was told, or will not take; and what it calls the message, where that is changed by what is told later.
CREATE TABLE told (
    carrier TEXT NOT NULL,
    request TEXT NOT NULL,
    status TEXT NOT NULL,
    mark TEXT,
    PRIMARY KEY (carrier, request, status)
);
