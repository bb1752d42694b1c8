-- When a gateway last could write here. One row: it does not grow.
CREATE TABLE heartbeat (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    at BIGINT NOT NULL
);
