//! How far plans have come: what a crash leaves of them, and what came of their statements.

use model::{Progress, Stage, TargetName};
use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::query;
use crate::vault::Row;
use crate::{Store, StoreError};

/// What a claimed request becomes whose gateway was lost: of a plan whose transaction was not told to stay nothing did.
pub(crate) const LOST: &str = "status = CASE WHEN EXISTS (SELECT 1 FROM request_plan p WHERE p.request = request.id \
     AND p.stage IN ('waiting', 'running')) THEN 'failed' ELSE 'outcome_unknown' END, \
     outcome = CASE WHEN EXISTS (SELECT 1 FROM request_plan p WHERE p.request = request.id \
     AND p.stage IN ('waiting', 'running')) THEN $1 || ': it had not committed, so that nothing of it stayed' ELSE $1 END";

impl Store {
    /// Notes how far a plan has come, as long as it is on its way: nobody has given it up. Whether it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn note_plan(&self, id: &str, stage: Stage, progress: &Progress) -> Result<bool, StoreError> {
        let clear =
            Zeroizing::new(serde_json::to_vec(progress).map_err(|_| StoreError::Unreadable("a plan"))?);
        whole!(self, work => {
        let sealed = self.seal(&mut work, row_of(id), &clear).await?;
        let noted = query(
            "INSERT INTO request_plan (request, stage, sealed) SELECT id, $2, $3 FROM request \
             WHERE id = $1 AND status IN ('pending', 'approved', 'claimed') \
             ON CONFLICT (request) DO UPDATE SET stage = excluded.stage, sealed = excluded.sealed",
        )
        .bind(id)
        .bind(stage.as_str())
        .bind(&sealed)
        .execute(&mut work)
        .await?;
        Ok(noted == 1)
        })
    }

    /// How far a plan has come, where that was noted.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn plan(&self, id: &str) -> Result<Option<Progress>, StoreError> {
        let kept = query("SELECT sealed FROM request_plan WHERE request = $1")
            .bind(id)
            .fetch_optional(&self.database)
            .await?;
        let Some(row) = kept else { return Ok(None) };
        let clear = self.vault.open(row_of(id), row.try_get::<&[u8], _>("sealed")?).await?;
        serde_json::from_slice(&clear).map(Some).map_err(|_| StoreError::Unreadable("a plan"))
    }

    /// The plans of a principal on a target that are approved and not used, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn approved_plans(
        &self,
        principal: &str,
        target: &TargetName,
        now: i64,
    ) -> Result<Vec<String>, StoreError> {
        let kept = query(
            "SELECT id FROM request WHERE kind = 'plan' AND status = 'approved' AND principal = $1 AND target = $2 \
             AND expires > $3 ORDER BY filed, id",
        )
        .bind(principal)
        .bind(&target.0)
        .bind(now)
        .fetch_all(&self.database)
        .await?;
        kept.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn row_of(id: &str) -> Row<'_> {
    Row { table: "request_plan", id }
}
