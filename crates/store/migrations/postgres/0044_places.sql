-- Where tagged columns of targets were found, by relation and number: their tags stay with them when they are renamed.
CREATE TABLE place (
    target TEXT NOT NULL,
    server TEXT NOT NULL,
    column_name TEXT NOT NULL,
    relation BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (target, server, column_name, relation, number)
);
