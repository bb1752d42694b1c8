-- What became of requests, for whoever is told of it elsewhere: a row for each state that a request comes to, made by whatever
-- changes it.
CREATE TABLE news (
    request TEXT NOT NULL,
    status TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (request, status),
    rowid BIGINT GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX news_at ON news (at);

CREATE FUNCTION durward_news() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    EXECUTE pg_catalog.format('INSERT INTO %I.news (request, status, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
    USING NEW.id, NEW.status, CAST(extract(epoch FROM clock_timestamp()) AS BIGINT);
    RETURN NULL;
END $$;

CREATE TRIGGER filed AFTER INSERT ON request FOR EACH ROW EXECUTE FUNCTION durward_news();
CREATE TRIGGER moved AFTER UPDATE OF status ON request FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION durward_news();

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
