-- Where tagged columns of targets were found, by relation and number: their tags stay with them when they are renamed.
CREATE TABLE place (
    target TEXT NOT NULL,
    server TEXT NOT NULL,
    column_name TEXT NOT NULL,
    relation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (target, server, column_name, relation, number)
) STRICT;
