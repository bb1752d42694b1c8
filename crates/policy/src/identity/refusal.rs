//! Why a token was not taken. The words are for the journal and the log; whoever brought it hears that it is not valid.

/// Why a token proves nothing. None of these words has anything of the token in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It is longer than a token may be.
    #[error("it is too long")]
    TooLong,
    /// It is no signed token in compact form, or not written as the standard says.
    #[error("it is not written as a signed token is")]
    Malformed,
    /// Its header asks for what is not done here: `crit`, `b64`, `zip`, encryption, a token within a token.
    #[error("its header asks for what is not supported")]
    Header,
    /// Its type says that it is for something else.
    #[error("it is a token for another use")]
    Type,
    /// Its algorithm is not one that this issuer, or its key, may use.
    #[error("its algorithm is not allowed for its issuer and key")]
    Algorithm,
    /// Nobody configured has its `iss`.
    #[error("its issuer is not configured")]
    Issuer,
    /// The same, while the keys of one that is configured cannot be fetched: which of the two it is a stranger does not hear.
    #[error("its issuer is not configured")]
    Stranger,
    /// The issuer has no key of this name.
    #[error("its key is not one of its issuer's")]
    Key,
    /// The issuer's keys could not be fetched.
    #[error("its issuer's keys cannot be fetched")]
    Unreachable,
    /// It could not be asked whether it is still good, or what was answered makes no sense.
    #[error("its issuer cannot be asked about it")]
    Unasked,
    /// Its issuer says that it is not good any more, or never was.
    #[error("its issuer says that it is not active")]
    Inactive,
    /// The signature is not by that key.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or is not of its type.
    #[error("a claim is missing or is not of its type")]
    Claims,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It has ended.
    #[error("it has expired")]
    Expired,
    /// It has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// It was issued too long ago, or lives longer than it may.
    #[error("it was issued too long ago")]
    TooOld,
    /// No condition of its issuer's fits it.
    #[error("no condition of its issuer fits it")]
    Condition,
    /// What it says makes no principal's name or groups.
    #[error("it names no principal")]
    Principal,
    /// Its chain of actors is too long, goes in a circle, or may not be.
    #[error("its chain of actors is not allowed")]
    Chain,
    /// It was used before, and may be used once.
    #[error("it was used before")]
    Replayed,
}

impl Refusal {
    /// Whether whoever brought the token hears nothing against it: its issuer could not be asked, or may be such a one.
    pub fn is_unanswered(self) -> bool {
        match self {
            Self::Unreachable | Self::Unasked | Self::Stranger => true,
            Self::TooLong
            | Self::Malformed
            | Self::Header
            | Self::Type
            | Self::Algorithm
            | Self::Issuer
            | Self::Key
            | Self::Inactive
            | Self::Signature
            | Self::Claims
            | Self::Audience
            | Self::Expired
            | Self::NotYet
            | Self::TooOld
            | Self::Condition
            | Self::Principal
            | Self::Chain
            | Self::Replayed => false,
        }
    }

    /// A word for the journal and for counting.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "jwt_long",
            Self::Malformed => "jwt_malformed",
            Self::Header => "jwt_header",
            Self::Type => "jwt_type",
            Self::Algorithm => "jwt_algorithm",
            Self::Issuer | Self::Stranger => "jwt_issuer",
            Self::Key => "jwt_key",
            Self::Unreachable => "jwt_unreachable",
            Self::Unasked => "jwt_unasked",
            Self::Inactive => "jwt_inactive",
            Self::Signature => "jwt_signature",
            Self::Claims => "jwt_claims",
            Self::Audience => "jwt_audience",
            Self::Expired => "jwt_expired",
            Self::NotYet => "jwt_not_yet",
            Self::TooOld => "jwt_old",
            Self::Condition => "jwt_condition",
            Self::Principal => "jwt_principal",
            Self::Chain => "jwt_chain",
            Self::Replayed => "jwt_replayed",
        }
    }
}
