//! Where tagged columns of targets were found.

use std::collections::BTreeSet;

use crate::database::whole;
use crate::query::query;
use crate::{Store, StoreError};

/// Where a column was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The column, as it was configured.
    pub column: String,
    /// The relation's number on its server.
    pub relation: i64,
    /// The column's number in it.
    pub number: i64,
}

impl Store {
    /// Where columns of a target were found on a server.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn places(&self, target: &str, server: &str) -> Result<BTreeSet<Place>, StoreError> {
        let kept = query("SELECT column_name, relation, number FROM place WHERE target = $1 AND server = $2")
            .bind(target)
            .bind(server)
            .fetch_all(&self.database)
            .await?;
        let place = |row: &crate::query::Found| {
            Ok(Place {
                column: row.try_get("column_name")?,
                relation: row.try_get("relation")?,
                number: row.try_get("number")?,
            })
        };
        kept.iter().map(place).collect()
    }

    /// Adds what was found. What others found stays, also on another server, to which a target may go back; of columns that
    /// are not named here nothing does.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_places(
        &self,
        target: &str,
        server: &str,
        columns: &BTreeSet<String>,
        found: &BTreeSet<Place>,
    ) -> Result<(), StoreError> {
        whole!(self, work => {
            let kept = query("SELECT DISTINCT column_name FROM place WHERE target = $1");
            for row in kept.bind(target).fetch_all(&mut work).await? {
                let column: String = row.try_get("column_name")?;
                if !columns.contains(&column) {
                    query("DELETE FROM place WHERE target = $1 AND column_name = $2")
                        .bind(target)
                        .bind(column)
                        .execute(&mut work)
                        .await?;
                }
            }
            for Place { column, relation, number } in found {
                query(
                    "INSERT INTO place (target, server, column_name, relation, number) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(target)
                .bind(server)
                .bind(column)
                .bind(relation)
                .bind(number)
                .execute(&mut work)
                .await?;
            }
            Ok(())
        })
    }
}
