-- Which users of Slack's are which people, as those have said themselves, signed in.
CREATE TABLE slack_link (
    team TEXT NOT NULL,
    member TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (team, member)
);
CREATE INDEX slack_link_owner ON slack_link (owner);

-- Callbacks of Slack's that were taken lately, by their signatures: none is taken twice.
CREATE TABLE slack_callback (
    mark TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
