//! All rows of a store as text, one on a line, and back: into an empty store, of either database.

use std::io::{BufRead, Write};

use model::{SignOut, SignedOut};
use serde_json::{Map, Value as Json, json};
use sqlx::migrate::Migrator;

use crate::database::{Database, Work, whole};
use crate::happened::note;
use crate::open::{Location, Locked, OpenError, POSTGRES, SQLITE};
use crate::query::{Found, Value, either, made};
use crate::sign_outs::keep;
use crate::{Store, StoreError};

/// The word for bytes in a line.
const BYTES: &str = "hex";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    Bytes,
    Flag,
}

struct Column {
    name: String,
    kind: Kind,
}

struct Table {
    name: String,
    columns: Vec<Column>,
}

/// What a restored store does not take over, since it may have changed after the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revoked {
    /// Tokens: some may have been revoked meanwhile.
    pub tokens: u64,
    /// Requests that waited or were approved: they may have been withdrawn or used meanwhile.
    pub requests: u64,
    /// One-time codes: they may have been used meanwhile.
    pub codes: u64,
    /// Approvers and people of the console: some may have been removed meanwhile.
    pub approvers: u64,
}

impl Store {
    /// Writes all rows, as of one moment and as they come. What is sealed stays sealed.
    ///
    /// # Errors
    /// They cannot be read or written.
    pub async fn dump(&self, out: &mut (dyn Write + Send)) -> Result<(), StoreError> {
        let mut work = self.database.look().await?;
        write(&self.database, &mut work, out).await?;
        work.commit().await
    }
}

async fn write(database: &Database, work: &mut Work, out: &mut (dyn Write + Send)) -> Result<(), StoreError> {
    let mut line = |line: Json| writeln!(out, "{line}").map_err(|error| StoreError::Copy(error.to_string()));
    let schema = migrations(database).iter().map(|m| m.version).max().unwrap_or(0);
    line(json!({ "schema": schema }))?;
    for Table { name, columns } in tables(work).await? {
        // Other people's secrets, of use as long as tokens are that no restored store takes; what is for a short while, such as
        // standing grants, which may have been ended or used since, and tasks, whose requests were; and who is who elsewhere, some of which may have been taken back.
        if [
            "asked",
            "heartbeat",
            "news",
            "told",
            "carrier",
            "draft",
            "voucher",
            "slack_callback",
            "slack_link",
            "standing_grant",
            "task",
            "waiting",
        ]
        .contains(&name.as_str())
        {
            continue;
        }
        let names: Vec<String> = columns.iter().map(|c| quoted(&c.name)).collect();
        let order = if name == "happened" { "number" } else { order(database, &columns) };
        let rows = made(&format!("SELECT {} FROM {} ORDER BY {order}", names.join(", "), quoted(&name)));
        let one = |row: Found| {
            let mut fields = Map::new();
            for Column { name, kind } in &columns {
                let name_here: &str = name;
                let value = match kind {
                    Kind::Text => row.try_get::<Option<String>, _>(name_here)?.map(Json::from),
                    Kind::Whole => row.try_get::<Option<i64>, _>(name_here)?.map(Json::from),
                    Kind::Flag => row.try_get::<Option<bool>, _>(name_here)?.map(Json::from),
                    Kind::Bytes => {
                        let bytes = row.try_get::<Option<Vec<u8>>, _>(name_here)?;
                        bytes.map(|bytes| json!({ BYTES: hex::encode(bytes) }))
                    }
                };
                fields.insert(name.clone(), value.unwrap_or_default());
            }
            line(json!({ "table": name, "row": fields }))
        };
        rows.each(work, one).await?;
    }
    Ok(())
}

/// The order in which rows came; on a server, tables in which it matters have a column for it.
fn order(database: &Database, columns: &[Column]) -> &'static str {
    match database {
        Database::Sqlite(_) => "rowid",
        Database::Postgres(_) if columns.iter().any(|c| c.name == "rowid") => "rowid",
        Database::Postgres(_) => "1",
    }
}

fn migrations(database: &Database) -> &'static Migrator {
    match database {
        Database::Sqlite(_) => &SQLITE,
        Database::Postgres(_) => &POSTGRES,
    }
}

/// Our own tables, by their names: those that others refer to come before these.
async fn tables(work: &mut Work) -> Result<Vec<Table>, StoreError> {
    let columns = either(
        "SELECT m.name AS t, c.name AS c, lower(c.type) AS k FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> '_sqlx_migrations' ORDER BY m.name, c.cid",
        "SELECT table_name::text AS t, column_name::text AS c, data_type::text AS k FROM information_schema.columns \
         WHERE table_schema = current_schema AND table_name <> '_sqlx_migrations' \
         ORDER BY table_name COLLATE \"C\", ordinal_position",
    );
    let mut tables: Vec<Table> = Vec::new();
    for row in columns.fetch_all(work).await? {
        let (table, name, kind): (String, String, String) =
            (row.try_get("t")?, row.try_get("c")?, row.try_get("k")?);
        let kind = match kind.as_str() {
            "text" => Kind::Text,
            "integer" | "bigint" => Kind::Whole,
            "blob" | "bytea" => Kind::Bytes,
            "boolean" => Kind::Flag,
            _ => return Err(StoreError::Unreadable("the type of a column")),
        };
        let column = Column { name, kind };
        match tables.last_mut().filter(|t| t.name == table) {
            Some(known) => known.columns.push(column),
            None => tables.push(Table { name: table, columns: vec![column] }),
        }
    }
    Ok(tables)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Locked {
    /// Makes a store of what [`Store::dump`] wrote, where there is none, and revokes what may have changed since.
    ///
    /// # Errors
    /// There is one already, the copy is of a newer version or not whole, or it cannot be written: then nothing is left.
    pub async fn restore(
        location: &Location,
        dump: &mut (dyn BufRead + Send),
        detail: &str,
        now: i64,
    ) -> Result<(Self, Revoked), OpenError> {
        let name = location.to_string();
        let fault = |error| OpenError::Store(name.clone(), error);
        let mut lines = dump.lines().map(|line| line.map_err(|e| StoreError::Copy(e.to_string())));
        let first = lines.next().unwrap_or_else(|| Err(broken())).map_err(fault)?;
        let first: Json = serde_json::from_str(&first).map_err(|_| fault(broken()))?;
        let schema = first.get("schema").and_then(Json::as_i64).ok_or_else(|| fault(broken()))?;
        if !SQLITE.iter().any(|m| m.version == schema) {
            return Err(OpenError::Newer("the backup".to_owned(), schema));
        }
        // The schema as it was then, its rows, and what came since.
        let this = Self::reach_at(location, Some(schema)).await?;
        if this.is_used().await.map_err(fault)? {
            return Err(fault(StoreError::Copy(
                "there is a store already: restore into an empty place".to_owned(),
            )));
        }
        // Each line as it comes: of a large store none is kept. Nobody else writes here, so that nothing is lost against.
        let taken = async {
            let mut work = this.database.begin().await?;
            let tables = tables(&mut work).await?;
            for line in lines {
                insert(&mut work, &tables, &line?).await?;
            }
            work.commit().await
        };
        taken.await.map_err(fault)?;
        drop(this);
        let this = Self::reach(location).await?;
        let revoked = whole!(this, work => { revoke(&mut work, detail, now).await });
        Ok((this, revoked.map_err(fault)?))
    }

    /// Whether anything was ever kept in it.
    async fn is_used(&self) -> Result<bool, StoreError> {
        let found = either(
            "SELECT count(*) AS n FROM (SELECT 1 FROM made_key UNION ALL SELECT 1 FROM configuration \
             UNION ALL SELECT 1 FROM administrator UNION ALL SELECT 1 FROM token)",
            "SELECT count(*) AS n FROM (SELECT 1 FROM made_key UNION ALL SELECT 1 FROM configuration \
             UNION ALL SELECT 1 FROM administrator UNION ALL SELECT 1 FROM token) AS every",
        );
        Ok(found.fetch_one(&self.database).await?.try_get::<i64, _>("n")? > 0)
    }
}

async fn insert(work: &mut Work, tables: &[Table], line: &str) -> Result<(), StoreError> {
    let line: Json = serde_json::from_str(line).map_err(|_| broken())?;
    let name = line.get("table").and_then(Json::as_str).ok_or_else(broken)?;
    let table = tables.iter().find(|t| t.name == name).ok_or_else(broken)?;
    let fields = line.get("row").and_then(Json::as_object).ok_or_else(broken)?;
    let (mut names, mut places, mut values) = (Vec::new(), Vec::new(), Vec::new());
    // Where the order of rows has a column, they get it anew by coming in order.
    for (field, value) in fields.iter().filter(|(field, _)| *field != "rowid") {
        let column = table.columns.iter().find(|c| c.name == *field).ok_or_else(broken)?;
        names.push(quoted(field));
        values.push(typed(column.kind, value)?);
        places.push(format!("${}", values.len()));
    }
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", quoted(name), names.join(", "), places.join(", "));
    values.into_iter().fold(made(&sql), crate::query::Query::bind).execute(work).await?;
    Ok(())
}

/// The two databases have other words for yes and no.
fn typed(kind: Kind, value: &Json) -> Result<Value, StoreError> {
    let none = value.is_null();
    let wrong = || broken();
    Ok(match kind {
        Kind::Text if none => Value::Text(None),
        Kind::Whole if none => Value::Whole(None),
        Kind::Bytes if none => Value::Bytes(None),
        Kind::Flag if none => Value::Flag(None),
        Kind::Text => Value::Text(Some(value.as_str().ok_or_else(wrong)?.to_owned())),
        Kind::Whole => {
            let number = value.as_i64().or_else(|| value.as_bool().map(i64::from));
            Value::Whole(Some(number.ok_or_else(wrong)?))
        }
        Kind::Flag => {
            let flag = value.as_bool().or_else(|| value.as_i64().map(|number| number != 0));
            Value::Flag(Some(flag.ok_or_else(wrong)?))
        }
        Kind::Bytes => {
            let text = value.get(BYTES).and_then(Json::as_str).ok_or_else(wrong)?;
            Value::Bytes(Some(hex::decode(text).map_err(|_| broken())?))
        }
    })
}

fn broken() -> StoreError {
    StoreError::Copy("it is not whole, or no copy of a store".to_owned())
}

/// What may have been revoked, used or withdrawn after the copy was made must not work again.
async fn revoke(work: &mut Work, detail: &str, now: i64) -> Result<Revoked, StoreError> {
    let revoked = Revoked {
        tokens: made("UPDATE token SET revoked = TRUE WHERE NOT revoked").execute(&mut *work).await?,
        requests: made(
            "UPDATE request SET status = CASE status WHEN 'pending' THEN 'withdrawn' WHEN 'approved' THEN 'rescinded' \
             ELSE 'outcome_unknown' END WHERE status IN ('pending', 'approved', 'claimed')",
        )
        .execute(&mut *work)
        .await?,
        codes: made("UPDATE break_glass SET revoked = TRUE WHERE NOT revoked AND used IS NULL")
            .execute(&mut *work)
            .await?,
        approvers: made("DELETE FROM approver").execute(&mut *work).await?
            + made("DELETE FROM member").execute(&mut *work).await?,
    };
    // Whoever came by these may have been shut out meanwhile; and nobody is told anew of what was told long ago.
    for sql in ["DELETE FROM passkey", "DELETE FROM visit", "DELETE FROM once", "DELETE FROM news"] {
        made(sql).execute(&mut *work).await?;
    }
    // Who signed out meanwhile is not known: what issuers said until now is worth nothing any more.
    keep(work, &SignOut { of: SignedOut::All, since: now, until: i64::MAX }).await?;
    note(work, "restored", detail, now).await?;
    Ok(revoked)
}
