//! Who signed out, once by each name: what is read again is what came since.

use model::{SignOut, SignedOut};

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::{Store, StoreError};

fn read(row: &Found) -> Result<(i64, SignOut), StoreError> {
    let (kind, issuer, name): (String, String, String) =
        (row.try_get("kind")?, row.try_get("issuer")?, row.try_get("name")?);
    let of = match kind.as_str() {
        "sign-in" => SignedOut::SignIn { issuer, session: name },
        "account" => SignedOut::Account { issuer, subject: name },
        "unbound" => SignedOut::Unbound { issuer, subject: name },
        "all" => SignedOut::All,
        // Left out, it would let in.
        _ => return Err(StoreError::Unreadable("a sign-out")),
    };
    let out = SignOut { of, since: row.try_get("since")?, until: row.try_get("until")? };
    Ok((row.try_get("number")?, out))
}

impl Store {
    /// What was kept or changed behind a number, in its order, each with its own.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn sign_outs(&self, behind: i64) -> Result<Vec<(i64, SignOut)>, StoreError> {
        let kept = query("SELECT * FROM sign_out WHERE number > $1 ORDER BY number")
            .bind(behind)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(read).collect()
    }

    /// Whether what may be used once has been.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn was_spent(&self, id: &str) -> Result<bool, StoreError> {
        let found = query("SELECT 1 FROM spent WHERE id = $1").bind(id);
        Ok(found.fetch_optional(&self.database).await?.is_some())
    }

    /// Keeps who signed out, and uses up what says so: both or neither. Whether it had not been used.
    ///
    /// # Errors
    /// It cannot be written: then it is not used.
    pub async fn sign_out(&self, (id, until): (&str, i64), outs: &[SignOut]) -> Result<bool, StoreError> {
        whole!(self, work => {
            if !spend(&mut work, id, until).await? {
                return Ok(false);
            }
            for out in outs {
                keep(&mut work, out).await?;
            }
            Ok(true)
        })
    }
}

/// Uses up what may be used once; whether it had not been.
pub(crate) async fn spend(work: &mut Work, id: &str, until: i64) -> Result<bool, StoreError> {
    let done = query("INSERT INTO spent (id, until) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
        .bind(id)
        .bind(until)
        .execute(work)
        .await?;
    Ok(done > 0)
}

/// One by each name, with a number behind all others: whoever looks finds it, since numbers are seen in their order.
pub(crate) async fn keep(work: &mut Work, out: &SignOut) -> Result<(), StoreError> {
    let SignOut { of, since, until } = out;
    let (issuer, name) = match of {
        SignedOut::SignIn { issuer, session: name }
        | SignedOut::Account { issuer, subject: name }
        | SignedOut::Unbound { issuer, subject: name } => (issuer.as_str(), name.as_str()),
        SignedOut::All => ("", ""),
    };
    let last: i64 = query("SELECT coalesce(max(number), 0) AS last FROM sign_out")
        .fetch_one(&mut *work)
        .await?
        .try_get("last")?;
    query(
        "INSERT INTO sign_out (kind, issuer, name, since, until, number) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (kind, issuer, name) DO UPDATE SET number = excluded.number, \
         since = CASE WHEN sign_out.since > excluded.since THEN sign_out.since ELSE excluded.since END, \
         until = CASE WHEN sign_out.until > excluded.until THEN sign_out.until ELSE excluded.until END",
    )
    .bind(of.kind())
    .bind(issuer)
    .bind(name)
    .bind(*since)
    .bind(*until)
    .bind(last + 1)
    .execute(work)
    .await?;
    Ok(())
}
