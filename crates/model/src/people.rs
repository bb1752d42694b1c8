//! People in the console, and what is kept of them.

/// Somebody who was invited by an administrator.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Member {
    /// A person's name.
    pub name: String,
    /// What they are in the console.
    pub roles: Vec<String>,
    /// For which groups they answer.
    pub groups: Vec<String>,
    /// Since when, in seconds since 1970.
    pub added: i64,
}

/// The public half of an authenticator's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The authenticator's name for it, in base64url.
    pub id: String,
    /// Whose: `user:alice`.
    pub owner: String,
    /// As it came.
    pub key: Vec<u8>,
    /// How often it said that it had signed.
    pub counter: i64,
    /// What its owner calls it.
    pub label: String,
    /// In seconds since 1970.
    pub added: i64,
    /// When it was used last, in seconds since 1970.
    pub used: Option<i64>,
}

/// Somebody's stay in the console, from sign-in to its end. The secret that shows it is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// What is kept instead of its secret.
    pub mark: String,
    /// Who: `user:alice`.
    pub owner: String,
    /// Whose word that is; nobody's where a passkey showed it.
    pub word: Option<Signed>,
    /// The groups that the issuer said.
    pub groups: Vec<String>,
    /// In seconds since 1970.
    pub began: i64,
    /// When something was last asked in it, in seconds since 1970.
    pub seen: i64,
    /// Until when it lasts, in seconds since 1970.
    pub expires: i64,
}

/// Somebody in a workspace of Slack's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SlackUser {
    /// The workspace's id.
    pub team: String,
    /// The user's id there.
    pub id: String,
    /// What they are called there.
    pub name: String,
}

/// That somebody in Slack is somebody here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackLink {
    /// Who they are there.
    pub user: SlackUser,
    /// Who they are here: `user:alice`.
    pub owner: String,
    /// Since when, in seconds since 1970.
    pub added: i64,
}

/// What an issuer said of who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What it calls the person.
    pub subject: String,
    /// The sign-in there, where it says so.
    pub sid: Option<String>,
    /// When, by its clock, in seconds since 1970.
    pub at: i64,
}
