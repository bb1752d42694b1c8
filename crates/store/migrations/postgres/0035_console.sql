-- People whom an administrator has invited to the console: what they are there, and for which groups they answer.
CREATE TABLE member (
    name TEXT PRIMARY KEY,
    roles TEXT NOT NULL,
    groups TEXT NOT NULL,
    added BIGINT NOT NULL
);

-- The public keys of people's authenticators: members' and those who sign in at issuers.
CREATE TABLE passkey (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    counter BIGINT NOT NULL,
    label TEXT NOT NULL,
    added BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX passkey_owner ON passkey (owner);

-- Who is signed in: what is kept instead of the secret in their browser.
CREATE TABLE visit (
    mark TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    issuer TEXT,
    subject TEXT,
    sid TEXT,
    groups TEXT NOT NULL,
    began BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX visit_owner ON visit (owner);

-- What is good once: invitations, questions to authenticators, sign-ins that are under way.
CREATE TABLE once (
    mark TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    expires BIGINT NOT NULL
);

-- How whoever voted has shown that they were there.
ALTER TABLE vote ADD COLUMN proof TEXT;
