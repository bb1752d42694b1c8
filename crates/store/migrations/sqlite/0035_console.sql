-- People whom an administrator has invited to the console: what they are there, and for which groups they answer.
CREATE TABLE member (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    roles TEXT NOT NULL,
    groups TEXT NOT NULL,
    added INTEGER NOT NULL
) STRICT;

-- The public keys of people's authenticators: members' and those who sign in at issuers.
CREATE TABLE passkey (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    public_key BLOB NOT NULL,
    counter INTEGER NOT NULL,
    label TEXT NOT NULL,
    added INTEGER NOT NULL,
    used INTEGER
) STRICT;
CREATE INDEX passkey_owner ON passkey (owner);

-- Who is signed in: what is kept instead of the secret in their browser.
CREATE TABLE visit (
    mark TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    issuer TEXT,
    subject TEXT,
    sid TEXT,
    groups TEXT NOT NULL,
    began INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX visit_owner ON visit (owner);

-- What is good once: invitations, questions to authenticators, sign-ins that are under way.
CREATE TABLE once (
    mark TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

-- How whoever voted has shown that they were there.
ALTER TABLE vote ADD COLUMN proof TEXT;
