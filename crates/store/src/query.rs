//! One statement, said once for both databases: `$1` is understood by both. Where their words differ, [`either`] takes both.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Encode, Postgres, Sqlite, Type};

use crate::StoreError;
use crate::database::{Database, ServerWork, Tries, Work};
use crate::server::within;

/// A statement for both databases.
pub(crate) fn query(sql: &'static str) -> Query {
    either(sql, sql)
}

/// A statement in the words of SQLite, and the same in those of PostgreSQL.
pub(crate) fn either(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { sqlite: Cow::Borrowed(sqlite), postgres: Cow::Borrowed(postgres), values: Vec::new() }
}

/// A statement that is put together from the names of our own tables. Never with a value in it: those are bound.
pub(crate) fn made(sql: &str) -> Query {
    let sql: Cow<'static, str> = Cow::Owned(sql.to_owned());
    Query { sqlite: sql.clone(), postgres: sql, values: Vec::new() }
}

/// A statement with its values. It can be sent again.
#[derive(Clone)]
pub(crate) struct Query {
    sqlite: Cow<'static, str>,
    postgres: Cow<'static, str>,
    values: Vec<Value>,
}

/// A value that both databases know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Option<String>),
    Whole(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Flag(Option<bool>),
}

/// Asks a server one thing, in time, and again where another was first.
macro_rules! alone {
    ($server:expr, $open:ident => $ask:expr) => {{
        let mut tries = Tries::default();
        loop {
            let mut $open = $server.acquire().await?;
            let done = within($server.patience(), $ask).await;
            match $server.settle($open, done) {
                Err(error) if tries.again_alone(&error).await => (),
                done => break done,
            }
        }
    }};
}

/// Where a statement is run: by itself, or as a part of something that happens whole or not at all.
pub(crate) enum On<'w> {
    Database(&'w Database),
    Work(&'w mut Work),
}

impl Query {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) async fn fetch_all<'w>(self, on: impl Into<On<'w>>) -> Result<Vec<Found>, StoreError> {
        match on.into() {
            On::Database(Database::Sqlite(pool)) => Ok(of_sqlite(self.sqlite().fetch_all(pool).await?)),
            On::Work(Work::Sqlite(work)) => Ok(of_sqlite(self.sqlite().fetch_all(&mut **work).await?)),
            On::Database(Database::Postgres(server)) => {
                alone!(server, open => self.clone().postgres().fetch_all(&mut *open)).map(of_postgres)
            }
            On::Work(Work::Postgres(ServerWork { open, patience })) => {
                within(*patience, self.postgres().fetch_all(&mut **open)).await.map(of_postgres)
            }
        }
    }

    /// Each row as it comes: of a large table none is kept.
    pub(crate) async fn each(
        self,
        work: &mut Work,
        mut row: impl FnMut(Found) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match work {
            Work::Sqlite(open) => {
                let mut rows = self.sqlite().fetch(&mut **open);
                while let Some(next) = rows.try_next().await? {
                    row(Found::Sqlite(next))?;
                }
            }
            Work::Postgres(ServerWork { open, patience }) => {
                let mut rows = self.postgres().fetch(&mut **open);
                while let Some(next) = within(*patience, rows.try_next()).await? {
                    row(Found::Postgres(next))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn fetch_optional<'w>(self, on: impl Into<On<'w>>) -> Result<Option<Found>, StoreError> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    pub(crate) async fn fetch_one<'w>(self, on: impl Into<On<'w>>) -> Result<Found, StoreError> {
        self.fetch_optional(on).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// How many rows it changed.
    pub(crate) async fn execute<'w>(self, on: impl Into<On<'w>>) -> Result<u64, StoreError> {
        match on.into() {
            On::Database(Database::Sqlite(pool)) => Ok(self.sqlite().execute(pool).await?.rows_affected()),
            On::Work(Work::Sqlite(work)) => Ok(self.sqlite().execute(&mut **work).await?.rows_affected()),
            On::Database(Database::Postgres(server)) => {
                alone!(server, open => self.clone().postgres().execute(&mut *open)).map(|d| d.rows_affected())
            }
            On::Work(Work::Postgres(ServerWork { open, patience })) => {
                within(*patience, self.postgres().execute(&mut **open)).await.map(|d| d.rows_affected())
            }
        }
    }

    fn sqlite(self) -> sqlx::query::Query<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
        built(self.sqlite, self.values)
    }

    fn postgres(self) -> sqlx::query::Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
        built(self.postgres, self.values)
    }
}

fn built<DB: sqlx::Database>(
    sql: Cow<'static, str>,
    values: Vec<Value>,
) -> sqlx::query::Query<'static, DB, DB::Arguments>
where
    Option<String>: Encode<'static, DB> + Type<DB>,
    Option<i64>: Encode<'static, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'static, DB> + Type<DB>,
    Option<bool>: Encode<'static, DB> + Type<DB>,
{
    values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Whole(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Flag(flag) => query.bind(flag),
    })
}

/// A row of either database.
pub(crate) enum Found {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

fn of_sqlite(rows: Vec<SqliteRow>) -> Vec<Found> {
    rows.into_iter().map(Found::Sqlite).collect()
}

fn of_postgres(rows: Vec<PgRow>) -> Vec<Found> {
    rows.into_iter().map(Found::Postgres).collect()
}

impl Found {
    /// A column by its name or its place.
    pub(crate) fn try_get<'r, T, I>(&'r self, index: I) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => sqlx::Row::try_get(row, index),
            Self::Postgres(row) => sqlx::Row::try_get(row, index),
        }
    }
}

impl<'w> From<&'w Database> for On<'w> {
    fn from(database: &'w Database) -> Self {
        Self::Database(database)
    }
}

impl<'w> From<&'w mut Work> for On<'w> {
    fn from(work: &'w mut Work) -> Self {
        Self::Work(work)
    }
}

/// `From` for an owned type, what can be made of it, and options of both.
macro_rules! values {
    ($($kind:ident: $($from:ty => $make:expr),+;)+) => {$($(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let make: fn($from) -> _ = $make;
                Self::$kind(Some(make(value)))
            }
        }

        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                let make: fn($from) -> _ = $make;
                Self::$kind(value.map(make))
            }
        }
    )+)+};
}

values! {
    Text: String => |text| text, &str => str::to_owned, &String => String::clone;
    Whole: i64 => |number| number, &i64 => |number| *number, u32 => i64::from;
    Bytes: Vec<u8> => |bytes| bytes, &[u8] => <[u8]>::to_vec, &Vec<u8> => Vec::clone;
    Flag: bool => |flag| flag, &bool => |flag| *flag;
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&Option<i64>> for Value {
    fn from(number: &Option<i64>) -> Self {
        Self::Whole(*number)
    }
}
