-- How far plans have come, which are requests of several statements: where each is between its claim and its end, and what came
-- of its statements, sealed.
CREATE TABLE request_plan (
    request TEXT PRIMARY KEY REFERENCES request (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
