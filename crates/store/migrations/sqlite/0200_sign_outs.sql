-- Whose sign-ins an issuer ended, once by each name. `number` grows with each change, so that what came since is found.
CREATE TABLE sign_out (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (kind, issuer, name)
) STRICT;

INSERT INTO sign_out (kind, issuer, name, since, until, number)
SELECT kind, issuer, name, max(since), max(until), row_number() OVER (ORDER BY kind, issuer, name)
FROM denial WHERE kind IN ('sign-in', 'account', 'unbound') AND until IS NOT NULL AND issuer IS NOT NULL
GROUP BY kind, issuer, name;

DELETE FROM denial WHERE kind IN ('sign-in', 'account', 'unbound');

-- Who alone may act for whom a token is of, where the issuer says so.
ALTER TABLE token ADD COLUMN may_act TEXT;
