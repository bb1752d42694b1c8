-- Whose sign-ins an issuer ended, once by each name. `number` grows with each change, so that what came since is found.
CREATE TABLE sign_out (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    number BIGINT NOT NULL UNIQUE,
    PRIMARY KEY (kind, issuer, name)
);

INSERT INTO sign_out (kind, issuer, name, since, until, number)
SELECT kind, issuer, name, max(since), max(until), row_number() OVER (ORDER BY kind, issuer, name)
FROM denial WHERE kind IN ('sign-in', 'account', 'unbound') AND until IS NOT NULL AND issuer IS NOT NULL
GROUP BY kind, issuer, name;

DELETE FROM denial WHERE kind IN ('sign-in', 'account', 'unbound');

-- Who alone may act for whom a token is of, where the issuer says so.
ALTER TABLE token ADD COLUMN may_act TEXT;

CREATE TRIGGER changed AFTER INSERT OR UPDATE ON sign_out FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
