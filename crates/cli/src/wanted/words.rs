//! Words of which a target and its tags are made, as they are typed.

use gateway::configure::{check_name, column_name, tag};
use schemars::JsonSchema;
use serde::Deserialize;

/// 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]{1,63}$"))]
pub(super) struct TargetWord(pub(super) String);

impl TryFrom<String> for TargetWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        check_name(&word).map(|()| Self(word))
    }
}

/// Letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]+$"))]
pub(super) struct TagWord(pub(super) String);

impl TryFrom<String> for TagWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        tag(&word).map(|tag| Self(tag.0))
    }
}

/// `schema.table.column`; a part with a dot in it stands in double quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r#"^("[^"]+"|[^".][^.]*)(\.("[^"]+"|[^".][^.]*)){2}$"#))]
pub(super) struct ColumnWord(pub(super) String);

impl TryFrom<String> for ColumnWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match column_name(&word) {
            Some(_) => Ok(Self(word)),
            None => Err(format!("\"{word}\" is no column: it is written schema.table.column")),
        }
    }
}

/// How the target's TLS is judged, as libpq does.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SslModeWord {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslModeWord {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// How far the server itself refuses to write, where policy lets the principal write.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReadOnlyWord {
    /// While nothing but reads is sent, outside of transaction blocks.
    #[default]
    Usual,
    /// In blocks that begin with a read as well: these stay read only.
    Strict,
}

/// How certain it is that a statement finds what it was judged by.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum FreshnessWord {
    /// The target's definitions are looked at again and again.
    #[default]
    Polled,
    /// They are looked at for each statement, when what it names is locked already.
    Strict,
}

/// How a value is replaced.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StrategyWord {
    /// A constant of the type.
    Redact,
    /// The last four characters of a string of eight or more.
    Partial,
    /// NULL.
    Null,
    /// A keyed hash: equal values have equal masks.
    Hash,
    /// A date becomes the first day of its year.
    Generalize,
}

impl StrategyWord {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Partial => "partial",
            Self::Null => "null",
            Self::Hash => "hash",
            Self::Generalize => "generalize",
        }
    }
}
