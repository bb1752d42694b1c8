//! Rows of other tables that follow by their foreign keys.

use model::TableName;
use sql::postgres::outline::{self, Does, quoted};
use sql::postgres::{NoNames, Session};

use super::super::control::{Control, ControlError};
use super::questions::{Questions, attempt};
use super::{COUNTED, DEEPEST, KEYS};

impl Questions {
    /// The rows of other tables that follow by foreign keys, nearest first.
    pub(super) async fn following(&self, control: &mut Control) -> Result<Vec<Follower>, ControlError> {
        let mut all: Vec<Follower> = Vec::new();
        for does in self.outline.does_all() {
            self.referring(control, None, does, &mut all).await?;
        }
        let mut next = 0;
        // What is not counted is followed no further.
        while let Some(above) = all.get(next).cloned() {
            if above.countable && all.len() < KEYS {
                self.referring(control, Some((next, &above)), above.does, &mut all).await?;
            }
            next += 1;
        }
        Ok(all)
    }

    /// Those that follow the statement's own rows, or others that do.
    async fn referring(
        &self,
        control: &mut Control,
        above: Option<(usize, &Follower)>,
        does: Does,
        all: &mut Vec<Follower>,
    ) -> Result<(), ControlError> {
        let own = self.outline.oid.0.to_string();
        let (oid, depth) = above.map_or((&own, 0), |(_, above)| (&above.oid, above.depth));
        if does == Does::Inserts {
            return Ok(());
        }
        for row in control.query(&keys(oid, does)).await? {
            let key = Key::read(&row, does).ok_or_else(|| ControlError::Lost("no key".to_owned()))?;
            // What follows is assigned by its key, too.
            let assigned = |column: &String| match above {
                Some((_, above)) => above.columns.contains(column),
                None => self.outline.assigned.iter().any(|(name, _)| name == column),
            };
            if does == Does::Updates && !key.referred.iter().any(assigned) {
                continue;
            }
            // A key that is set to what it was takes nothing with it.
            let moved = (above.is_none() && does == Does::Updates).then(|| self.outline.moved(&key.referred));
            let stays = matches!(moved, Some(None));
            let keys = match (above, moved.flatten()) {
                (Some((_, above)), _) => above.keys(&key.referred),
                (None, Some(moved)) => moved,
                (None, None) => self.outline.keys(&key.referred),
            };
            // Rows that are reached twice, or too far away, are not told apart.
            let known = key.table == self.outline.table || all.iter().any(|f| f.table == key.table);
            let merges = self.outline.merge.is_some();
            // What sets a key of rows that follow sets others by it, or none.
            let further = above.is_some() && does == Does::Updates;
            let countable = !known && !merges && !further && depth < DEEPEST && all.len() < KEYS;
            let less = if stays {
                Some("those whose key is set to what it was do not follow")
            } else if key.below {
                Some("they refer to a part of its table alone")
            } else {
                let relation = self.catalogue.relation(&key.table.schema, &key.table.name);
                relation.map_or(Some("its table is not known"), |r| outline::at_most(&self.catalogue, r))
            };
            let alias = format!("durward_{}", all.len() + 1);
            let rows = outline::referring(&key.table, &alias, &key.columns, &keys);
            let Key { table, oid, does, columns, referred: _, below: _ } = key;
            let above = above.map(|(at, _)| at);
            let depth = depth + 1;
            all.push(Follower { table, oid, does, depth, alias, rows, columns, countable, less, above });
        }
        Ok(())
    }

    /// The questions how many rows follow; `None` where that cannot be asked.
    pub(super) fn counts(&self, followers: &[Follower]) -> Vec<Option<String>> {
        let (catalog, path, role) = (&*self.catalogue, &self.asker.path, &self.asker.role);
        let session = Session { catalog, search_path: path, role, prepared: &NoNames };
        let more = COUNTED + 1;
        let count = |follower: &Follower| {
            let rows = &follower.rows;
            let count =
                format!("SELECT pg_catalog.count(*) FROM (SELECT 1 {rows} LIMIT {more}) AS durward_rows");
            (follower.countable && outline::harmless(&count, &session).is_ok()).then_some(count)
        };
        followers.iter().map(count).collect()
    }
}

/// Of which followers the asker does not see all rows, nor of those that they follow. A foreign key does not ask whether it does.
pub(super) async fn hidden_from(
    control: &mut Control,
    followers: &[Follower],
) -> Result<Vec<bool>, ControlError> {
    let mut hidden: Vec<bool> = Vec::with_capacity(followers.len());
    for follower in followers {
        let above = follower.above.and_then(|at| hidden.get(at).copied()).unwrap_or(false);
        let question = format!("SELECT pg_catalog.row_security_active({}::pg_catalog.oid)", follower.oid);
        let rows = attempt(control, &question).await?;
        let seen = rows.is_some_and(|rows| rows == [[Some("f".to_owned())]]);
        hidden.push(above || !seen);
    }
    Ok(hidden)
}

/// What the catalogue says of the foreign keys that refer to a table, or to a part of it, and do something to the rows that refer.
fn keys(oid: &str, does: Does) -> String {
    let how = if does == Does::Updates { "confupdtype" } else { "confdeltype" };
    let name = "SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(c.KEY) WITH ORDINALITY k(num, n) \
         JOIN pg_attribute a ON a.attrelid = c.REL AND a.attnum = k.num";
    let of = |key: &str, relation: &str| name.replace("KEY", key).replace("REL", relation);
    let (own, referred) = (of("conkey", "conrelid"), of("confkey", "confrelid"));
    format!(
        "WITH RECURSIVE d AS (SELECT {oid}::oid AS part UNION SELECT i.inhrelid FROM pg_inherits i JOIN d ON i.inhparent = d.part) \
         SELECT n.nspname, r.relname, r.oid::text, c.{how}, ({own}), ({referred}), (c.confrelid <> {oid})::text FROM pg_constraint c \
         JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace \
         WHERE c.contype = 'f' AND c.{how} IN ('c', 'n', 'd') AND c.confrelid IN (SELECT part FROM d) AND NOT EXISTS \
         (SELECT FROM pg_constraint p WHERE p.oid = c.conparentid AND p.confrelid IN (SELECT part FROM d)) ORDER BY c.oid"
    )
}

/// A foreign key by which rows of another table follow.
struct Key {
    table: TableName,
    oid: String,
    columns: Vec<String>,
    referred: Vec<String>,
    does: Does,
    /// It refers to a partition or a child alone.
    below: bool,
}

impl Key {
    fn read(row: &[Option<String>], does: Does) -> Option<Self> {
        let [Some(schema), Some(name), Some(oid), Some(how), Some(columns), Some(referred), Some(below)] =
            row
        else {
            return None;
        };
        let names = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
        let deletes = does == Does::Deletes && how == "c";
        Some(Self {
            table: TableName { schema: schema.clone(), name: name.clone() },
            oid: oid.clone(),
            columns: names(columns)?,
            referred: names(referred)?,
            does: if deletes { Does::Deletes } else { Does::Updates },
            below: below != "false",
        })
    }
}

/// Rows of another table that follow.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) table: TableName,
    oid: String,
    pub(super) does: Does,
    depth: usize,
    alias: String,
    /// `FROM … WHERE …`
    rows: String,
    /// What refers.
    columns: Vec<String>,
    countable: bool,
    /// Why there may be less of them, if so.
    pub(super) less: Option<&'static str>,
    /// Which others they follow, by their place among them.
    above: Option<usize>,
}

impl Follower {
    /// The rows as a list of values of these columns of theirs.
    fn keys(&self, columns: &[String]) -> String {
        let all: Vec<String> = columns.iter().map(|c| format!("{}.{}", self.alias, quoted(c))).collect();
        format!("SELECT {} {}", all.join(", "), self.rows)
    }
}
