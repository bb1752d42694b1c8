//! Tokens: whom each is for, and a verifier instead of it.

use std::collections::BTreeSet;

use model::{Asserted, MayAct, Part};

use crate::database::{Work, whole};
use crate::query::{Found, either, query};
use crate::sign_outs::spend;
use crate::{Store, StoreError};

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `dwt_…`.
    pub id: String,
    /// What is kept instead of it, in the text form of its mechanism.
    pub verifier: String,
    /// Whom it is for: `agent:bot`.
    pub principal: String,
    /// The principal's groups.
    pub groups: Vec<String>,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Whose word the principal is.
    pub asserted: Vec<Asserted>,
    /// The targets that it is good for; `None` for all.
    pub targets: Option<BTreeSet<String>>,
    /// The token that it was minted with.
    pub parent: Option<String>,
    /// The token of who acts, where it was minted with that of whom they act for.
    pub actor: Option<String>,
    /// Whom it answers to, where it was made of another.
    pub minted_for: Option<String>,
    /// The one resource that it is for, where it is for one alone.
    pub resource: Option<String>,
    /// Who alone may act for the principal, where its issuer says so.
    pub may_act: Option<MayAct>,
    /// In seconds since 1970.
    pub issued: i64,
    /// In seconds since 1970.
    pub expires: i64,
    /// Whether it was.
    pub revoked: bool,
}

fn read(row: &Found) -> Result<Token, StoreError> {
    let targets: Option<&str> = row.try_get("targets")?;
    let may_act: Option<&str> = row.try_get("may_act")?;
    Ok(Token {
        id: row.try_get("id")?,
        verifier: row.try_get("verifier")?,
        principal: row.try_get("principal")?,
        groups: crate::from_json(row.try_get("groups")?)?,
        on_behalf_of: crate::from_json(row.try_get("on_behalf_of")?)?,
        purpose: row.try_get("purpose")?,
        asserted: crate::from_json(row.try_get("asserted")?)?,
        targets: targets.map(crate::from_json).transpose()?,
        parent: row.try_get("parent")?,
        actor: row.try_get("actor")?,
        minted_for: row.try_get("minted_for")?,
        resource: row.try_get("resource")?,
        may_act: may_act.map(crate::from_json).transpose()?,
        issued: row.try_get("issued")?,
        expires: row.try_get("expires")?,
        revoked: row.try_get("revoked")?,
    })
}

impl Store {
    /// A token by its id.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn token(&self, id: &str) -> Result<Option<Token>, StoreError> {
        let kept = query("SELECT * FROM token WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        kept.as_ref().map(read).transpose()
    }

    /// A part of the tokens, newest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn tokens(&self, part: &Part) -> Result<Vec<Token>, StoreError> {
        let kept = query(
            "SELECT * FROM token WHERE $1 = '' OR (issued, rowid) < (SELECT issued, rowid FROM token WHERE id = $1) \
             ORDER BY issued DESC, rowid DESC LIMIT $2",
        )
        .bind(part.before.as_deref().unwrap_or_default())
        .bind(i64::try_from(part.most).unwrap_or(i64::MAX))
        .fetch_all(&self.database)
        .await?;
        kept.iter().map(read).collect()
    }

    /// Keeps a new token, unless so many are good already that were made for the same. Whether it is kept.
    ///
    /// # Errors
    /// It cannot be written, or there is one of this id.
    pub async fn add_token(&self, token: &Token, most: usize, now: i64) -> Result<bool, StoreError> {
        whole!(self, work => {
        if let Some(whose) = &token.minted_for {
            let good: i64 =
                query("SELECT count(*) FROM token WHERE minted_for = $1 AND expires > $2 AND NOT revoked")
                    .bind(whose)
                    .bind(now)
                    .fetch_one(&mut work)
                    .await?
                    .try_get(0)?;
            if usize::try_from(good).unwrap_or(usize::MAX) >= most {
                return Ok(false);
            }
        }
        insert(&mut work, token).await?;
        Ok(true)
        })
    }

    /// Revokes a token; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let done =
            query("UPDATE token SET revoked = TRUE WHERE id = $1").bind(id).execute(&self.database).await?;
        Ok(done > 0)
    }

    /// Which of these tokens are neither revoked nor expired.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn good_tokens(
        &self,
        ids: &BTreeSet<String>,
        now: i64,
    ) -> Result<BTreeSet<String>, StoreError> {
        let kept = either(
            "SELECT id FROM token WHERE NOT revoked AND expires > $1 AND id IN (SELECT value FROM json_each($2))",
            "SELECT id FROM token WHERE NOT revoked AND expires > $1 \
             AND id IN (SELECT json_array_elements_text($2::json))",
        )
        .bind(now)
        .bind(crate::to_json(ids)?)
        .fetch_all(&self.database)
        .await?;
        kept.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Uses up what may be used once; whether it had not been. It is kept until a moment at which it is refused anyway.
    ///
    /// # Errors
    /// It cannot be written: then it is not used.
    pub async fn spend(&self, id: &str, until: i64) -> Result<bool, StoreError> {
        whole!(self, work => { spend(&mut work, id, until).await })
    }
}

async fn insert(work: &mut Work, token: &Token) -> Result<(), StoreError> {
    let Token {
        id,
        verifier,
        principal,
        groups,
        on_behalf_of,
        purpose,
        asserted,
        targets,
        parent,
        actor,
        minted_for,
        resource,
        may_act,
        issued,
        expires,
        revoked,
    } = token;
    query(
            "INSERT INTO token \
             (id, verifier, principal, groups, on_behalf_of, purpose, asserted, targets, parent, actor, issued, expires, revoked, \
             minted_for, resource, may_act) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(id)
        .bind(verifier)
        .bind(principal)
        .bind(crate::to_json(groups)?)
        .bind(crate::to_json(on_behalf_of)?)
        .bind(purpose)
        .bind(crate::to_json(asserted)?)
        .bind(targets.as_ref().map(crate::to_json).transpose()?)
        .bind(parent)
        .bind(actor)
        .bind(issued)
        .bind(expires)
        .bind(revoked)
        .bind(minted_for)
        .bind(resource)
        .bind(may_act.as_ref().map(crate::to_json).transpose()?)
        .execute(work)
        .await?;
    Ok(())
}
