//! What clients of the gateway's own authorization server bring to get tokens, and those clients that said who they are.

/// What a voucher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoucherKind {
    /// What a person's yes gives a client.
    Code,
    /// What a token comes with, to get the next.
    Refresh,
}

impl VoucherKind {
    /// All there are.
    pub const ALL: &'static [Self] = &[Self::Code, Self::Refresh];

    /// The word for rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Refresh => "refresh",
        }
    }

    /// What a word means.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

/// A code or a refresh token as it is kept: good once, for the client that it was made for. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// A digest of it.
    pub mark: String,
    /// A code or a refresh token.
    pub kind: VoucherKind,
    /// The id of the token that stands for what a person said yes to: everything is made with it, and ends with it.
    pub token: String,
    /// Who said yes.
    pub owner: String,
    /// For which client.
    pub client: String,
    /// For which resource.
    pub resource: String,
    /// Where a code was sent.
    pub redirect: String,
    /// What whoever brings a code must meet.
    pub challenge: String,
    /// Until when it is good.
    pub expires: i64,
    /// Until when it is remembered, so that it is known when it comes again.
    pub until: i64,
    /// Whether it was used.
    pub spent: bool,
}

/// A client that registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredClient {
    /// What it was given to call itself.
    pub id: String,
    /// What it calls itself to people.
    pub name: String,
    /// Where it may be answered.
    pub redirects: Vec<String>,
    /// When, in seconds since 1970.
    pub made: i64,
    /// Until when it is kept: longer, where somebody has said yes to it.
    pub until: i64,
}
