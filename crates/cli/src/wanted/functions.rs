//! `functions` of a target: code that the gateway cannot read and that a person has read.

use std::collections::BTreeSet;

use gateway::configure::{FunctionConfig, check_digest};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::ColumnWord;

/// What a person has found a function to do. It counts while the function is the one that they read, and where it has a
/// `search_path` of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedFunction {
    /// The digest of what they read, as `durward doctor` says it.
    #[schemars(with = "DigestWord")]
    pub(super) digest: Spanned<DigestWord>,
    /// What it does, each written `ACTION=[KIND:]NAME`, as in tests of policies; none where it only computes.
    effects: BTreeSet<String>,
    /// The tagged columns, by `schema.table.column`, whose values its result and its messages may hold.
    holds: BTreeSet<ColumnWord>,
}

/// `sha256:` and 64 digits.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
pub(super) struct DigestWord(String);

impl TryFrom<String> for DigestWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        check_digest(&word).map(|()| Self(word))
    }
}

impl TypedFunction {
    pub(super) fn config(self) -> FunctionConfig {
        let Self { digest, effects, holds } = self;
        let DigestWord(digest) = digest.into_inner();
        FunctionConfig { digest, effects, holds: holds.into_iter().map(|ColumnWord(name)| name).collect() }
    }
}
