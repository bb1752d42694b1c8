-- Which master key wraps what is sealed here: one row.
CREATE TABLE master (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL
);

-- What was done to the store from outside of a gateway, for the journals of those that run.
CREATE TABLE happened (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TRIGGER changed AFTER INSERT ON happened FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
