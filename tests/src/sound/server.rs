//! A session on a real server: its catalogue as the gateway reads it, and its own analysis of a statement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use sql::postgres::catalog::{self, Catalog, Questions};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

use super::machinery::{self, Changes};
use super::objects::{Columns, Objects, Views};
use super::script::is_copied_in;
use super::tree;

/// Where the functions are made that hold a statement for a moment.
const SCHEMA: &str = "durward_sound";

/// The first OID of what `initdb` did not make.
pub(super) const FIRST_USER: u32 = 16_384;

/// How much of what the server tells about one statement is kept: loops tell the same again and again.
const MOST_NOTICES: usize = 5_000;

/// A session.
pub(super) struct Server {
    pub(super) client: Client,
    /// What the server told and nobody heard yet.
    told: Arc<Mutex<Vec<DbError>>>,
    config: tokio_postgres::Config,
    version: u32,
    /// What names mean now; `None` where something may have changed.
    known: Option<Known>,
    moved: bool,
}

/// What names mean in a session.
pub(super) struct Known {
    pub(super) catalog: Catalog,
    pub(super) path: Vec<String>,
    pub(super) role: String,
}

/// What the server says of a statement.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Relations by OID with the rights that are needed; in views, checks and bodies none are.
    pub(super) relations: BTreeMap<u32, (String, String, i64)>,
    /// Schema, name.
    pub(super) functions: BTreeSet<(String, String)>,
    /// Columns whose values come out or decide something.
    pub(super) columns: BTreeSet<(u32, i16)>,
}

/// An output: its name, and the table's OID and the column's number behind it.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) table: Option<u32>,
    pub(super) column: Option<i16>,
}

type Rows = Vec<Vec<Option<String>>>;

impl Server {
    pub(super) async fn connect(config: &tokio_postgres::Config) -> Self {
        let (client, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let mut told = telling.lock().unwrap();
                    if told.len() < MOST_NOTICES {
                        told.push(notice);
                    }
                }
            }
        });
        client.batch_execute("SET statement_timeout = '5s'; SET lock_timeout = '2s'").await.unwrap();
        // Whichever role a script takes on must be able to hold a statement.
        let schema = format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}; GRANT ALL ON SCHEMA {SCHEMA} TO public");
        client.batch_execute(&schema).await.unwrap();
        let version = rows(&client, &catalog::who()).await.unwrap();
        let version = catalog::version(&version).unwrap();
        Self { client, told, config: config.clone(), version, known: None, moved: false }
    }

    pub(super) fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// What the server told since this was asked last.
    pub(super) fn hear(&self) -> Vec<DbError> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// Something changed: the catalogue is read again.
    pub(super) fn changed(&mut self) {
        self.known = None;
    }

    /// The search path or the role may be another one.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// Another session in the place of one that is gone.
    pub(super) async fn again(&mut self) {
        *self = Self::connect(&self.config.clone()).await;
    }

    /// Carries a text out, in the session's own state of transaction.
    pub(super) async fn run(&mut self, text: &str) -> Result<(), tokio_postgres::Error> {
        self.client.simple_query(text).await.map(drop)
    }

    /// The one row of a query by its columns' names.
    pub(super) async fn one_row(&mut self, text: &str) -> Vec<(String, String)> {
        let answer = self.client.simple_query(text).await.unwrap_or_default();
        let row = answer
            .iter()
            .find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
        let Some(row) = row else { return Vec::new() };
        let columns = row.columns().iter().enumerate();
        columns
            .map(|(index, c)| (c.name().to_owned(), row.get(index).unwrap_or_default().to_owned()))
            .collect()
    }

    /// Carries a text out, or copies data in by it. Where that fails, the client cannot always go on, so another takes its
    /// place.
    pub(super) async fn carry_out(
        &mut self,
        text: &str,
        data: Option<&str>,
    ) -> Result<(), tokio_postgres::Error> {
        // Who is asked for data must send some, or nobody goes on.
        let Some(data) = data.or(is_copied_in(text).then_some("")) else { return self.run(text).await };
        let done = self.try_copy_in(text, data.to_owned()).await;
        if done.is_err() {
            *self = Self::connect(&self.config.clone()).await;
        }
        done.map(drop)
    }

    async fn try_copy_in(&self, text: &str, data: String) -> Result<u64, tokio_postgres::Error> {
        use futures_util::SinkExt as _;
        let sink = self.client.copy_in::<_, bytes::Bytes>(text).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(data.into()).await?;
        sink.finish().await
    }

    /// What names mean now.
    pub(super) async fn known(&mut self) -> Result<&Known, String> {
        if self.known.is_none() {
            let known = self.read().await?;
            self.known = Some(known);
        } else if self.moved {
            let (role, path) = self.names().await?;
            self.known.iter_mut().for_each(|known| (known.role, known.path) = (role.clone(), path.clone()));
        }
        self.moved = false;
        self.known.as_ref().ok_or_else(|| "the catalogue".to_owned())
    }

    /// The role and the search path.
    async fn names(&self) -> Result<(String, Vec<String>), String> {
        let said = |error: tokio_postgres::Error| words(&error);
        let own = "SELECT current_user, current_schemas(true)::text[]::text";
        let own = rows(&self.client, own).await.map_err(said)?;
        let cell = |index: usize| own.first().and_then(|row| row.get(index).cloned().flatten());
        let role = cell(0).unwrap_or_default();
        let path = cell(1).unwrap_or_default();
        let path = path.trim_matches(['{', '}']).split(',').map(|s| s.trim_matches('"').to_owned());
        Ok((role, path.filter(|s| !s.is_empty()).collect()))
    }

    async fn read(&self) -> Result<Known, String> {
        let said = |error: tokio_postgres::Error| words(&error);
        let (role, path) = self.names().await?;
        let back = self.set_aside().await?;
        let answers = self.answers().await;
        self.client.batch_execute(back).await.map_err(said)?;
        let answers = answers?;

        let bare = catalog::from_rows(self.version, &answers, &[])?;
        // Every column is tagged, so that each use of one shows.
        let tag = model::Tag("seen".to_owned());
        let own = bare.relations().filter(|r| !is_system(&r.schema));
        let tags: Vec<_> = own
            .flat_map(|r| r.columns.iter().map(|c| (r.table_name(), c.name.clone())))
            .map(|(table, name)| (model::ColumnName { table, name }, tag.clone()))
            .collect();
        Ok(Known { catalog: catalog::retagged(&bare, &tags), path, role })
    }

    async fn answers(&self) -> Result<Vec<Rows>, String> {
        let said = |error: tokio_postgres::Error| words(&error);
        // A machine that is busy takes its time.
        let own = "SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = '60s'";
        self.client.batch_execute(own).await.map_err(said)?;
        let Questions { lists, pieces } = catalog::questions(self.version);
        let mut answers = Vec::new();
        for list in lists {
            answers.push(rows(&self.client, &list).await.map_err(said)?);
        }
        let mut left = pieces;
        while let Some(piece) = left.pop() {
            self.client.batch_execute("SAVEPOINT durward_piece").await.map_err(said)?;
            match rows(&self.client, &piece.sql()).await {
                Ok(answer) => answers.push(answer),
                Err(_) => {
                    self.client.batch_execute("ROLLBACK TO durward_piece").await.map_err(said)?;
                    left.extend(piece.halves().into_iter().flatten());
                }
            }
            self.client.batch_execute("RELEASE durward_piece").await.map_err(said)?;
        }
        Ok(answers)
    }

    /// Begins something that is undone by what this returns.
    async fn set_aside(&self) -> Result<&'static str, String> {
        match self.client.batch_execute("SAVEPOINT durward_sound").await {
            Ok(()) => Ok("ROLLBACK TO durward_sound; RELEASE durward_sound"),
            Err(error) if error.code().is_some_and(|c| c.code() == "25P01") => {
                self.client.batch_execute("BEGIN").await.map_err(|e| words(&e))?;
                Ok("ROLLBACK")
            }
            Err(error) => Err(words(&error)),
        }
    }

    /// The outputs that the server describes, and the types of parameters, as they are written.
    pub(super) async fn describe(&self, text: &str) -> Result<(Vec<Described>, Vec<String>), String> {
        let prepared = self.client.prepare(text).await.map_err(|e| words(&e))?;
        let columns = prepared.columns().iter().map(|column| Described {
            name: column.name().to_owned(),
            table: column.table_oid(),
            column: column.column_id(),
        });
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let types = prepared.params().iter().map(|t| format!("{}.{}", quoted(t.schema()), quoted(t.name())));
        Ok((columns.collect(), types.collect()))
    }

    /// The server's own analysis; whether its rows come out.
    ///
    /// # Errors
    /// The server does not accept the statement, or it is none that a function can hold.
    pub(super) async fn analyse(&self, text: &str, types: &[String], rows: bool) -> Result<Said, String> {
        let back = self.set_aside().await?;
        let said = self.resolved(text, types, rows).await;
        self.client.batch_execute(back).await.map_err(|e| words(&e))?;
        said
    }

    async fn resolved(&self, text: &str, types: &[String], rows: bool) -> Result<Said, String> {
        let make = format!(
            "CREATE FUNCTION {SCHEMA}.held({}) RETURNS pg_catalog.void LANGUAGE sql BEGIN ATOMIC {text}\n; END",
            types.join(", ")
        );
        self.client.batch_execute(&make).await.map_err(|e| words(&e))?;
        let body = format!(
            "SELECT p.oid::pg_catalog.text, p.prosqlbody::pg_catalog.text FROM pg_catalog.pg_proc p
             WHERE p.proname = 'held' AND p.pronamespace = '{SCHEMA}'::pg_catalog.regnamespace"
        );
        let body = self.rows(&body).await?;
        let (oid, body) = match body.first().map(Vec::as_slice) {
            Some([Some(oid), Some(body)]) => (oid.clone(), tree::parse(body)),
            _ => return Err("no body".to_owned()),
        };
        let mut objects = Objects::default();
        objects.gather(&body);
        self.depends(&[format!("({}, {oid})", class("pg_proc"))], &mut objects).await?;
        let rights = objects.relations.clone();
        if rows {
            // What is only explained changes nothing.
            let mut changes = Changes::new();
            machinery::changes(&body, &mut changes);
            self.machinery(changes, &mut objects).await?;
        }
        let views = self.close(&mut objects).await?;
        let Columns { found: mut columns, present, .. } = Columns::of(&body, &views, rows);
        columns.extend(self.may_lack(present).await?);
        self.named(&objects, &rights, columns).await
    }

    /// Those of these columns that may be without a value. That one is there tells nothing of the others.
    async fn may_lack(&self, mut columns: BTreeSet<(u32, i16)>) -> Result<BTreeSet<(u32, i16)>, String> {
        if columns.is_empty() {
            return Ok(columns);
        }
        let list: Vec<String> =
            columns.iter().map(|(relation, number)| format!("({relation}, {number})")).collect();
        let text = format!(
            "WITH RECURSIVE below(top, oid) AS (
                 SELECT c.oid, c.oid FROM pg_catalog.pg_class c UNION
                 SELECT b.top, h.inhrelid FROM below b
                 JOIN pg_catalog.pg_inherits h ON h.inhparent OPERATOR(pg_catalog.=) b.oid)
             SELECT a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text FROM pg_catalog.pg_attribute a
             WHERE (a.attrelid, a.attnum) IN ({}) AND NOT EXISTS (SELECT FROM below b
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) b.oid
                 LEFT JOIN pg_catalog.pg_attribute s ON s.attrelid OPERATOR(pg_catalog.=) b.oid
                 AND s.attname OPERATOR(pg_catalog.=) a.attname AND s.attnotnull
                 WHERE b.top OPERATOR(pg_catalog.=) a.attrelid AND (s.attrelid IS NULL OR c.relkind NOT IN ('r', 'p')))",
            list.join(", ")
        );
        for row in self.rows(&text).await? {
            if let [Some(relation), Some(number)] = row.as_slice() {
                columns.remove(&(relation.parse().unwrap(), number.parse().unwrap()));
            }
        }
        Ok(columns)
    }

    pub(super) async fn rows(&self, text: &str) -> Result<Rows, String> {
        rows(&self.client, text).await.map_err(|e| words(&e))
    }

    /// Objects that `pg_depend` has for some: those that `initdb` made are not in it.
    pub(super) async fn depends(&self, of: &[String], objects: &mut Objects) -> Result<(), String> {
        if of.is_empty() {
            return Ok(());
        }
        let text = format!(
            "SELECT DISTINCT d.refclassid::pg_catalog.regclass::pg_catalog.text, d.refobjid::pg_catalog.text
             FROM pg_catalog.pg_depend d WHERE d.deptype OPERATOR(pg_catalog.=) 'n'
             AND (d.classid, d.objid) IN ({})",
            of.join(", ")
        );
        for row in self.rows(&text).await? {
            let [Some(class), Some(oid)] = row.as_slice() else { continue };
            let oid: u32 = oid.parse().unwrap();
            if objects.spoken_of.contains(&oid) {
                continue;
            }
            match class.trim_start_matches("pg_catalog.") {
                "pg_proc" => drop(objects.functions.insert(oid)),
                "pg_operator" => drop(objects.operators.insert(oid)),
                "pg_type" => drop(objects.types.insert(oid)),
                _ => (),
            }
        }
        Ok(())
    }

    /// Follows views, bodies and checks until nothing more comes. Returns the views' queries.
    async fn close(&self, objects: &mut Objects) -> Result<Views, String> {
        let mut views = Views::new();
        let mut followed: BTreeSet<(char, u32)> = BTreeSet::new();
        loop {
            let new = |kind: char, all: &mut dyn Iterator<Item = u32>, followed: &mut BTreeSet<_>| {
                let new: Vec<String> =
                    all.filter(|oid| followed.insert((kind, *oid))).map(|oid| oid.to_string()).collect();
                (!new.is_empty()).then(|| new.join(", "))
            };
            let operators = new('o', &mut objects.operators.clone().into_iter(), &mut followed);
            let functions = new('f', &mut objects.functions.clone().into_iter(), &mut followed);
            let relations = new('r', &mut objects.relations.clone().into_keys(), &mut followed);
            let types = new('t', &mut objects.types.clone().into_iter(), &mut followed);
            if operators.is_none() && functions.is_none() && relations.is_none() && types.is_none() {
                return Ok(views);
            }
            if let Some(operators) = operators {
                // What extensions' families call was reviewed, and is no effect where it does nothing.
                let text = format!(
                    "SELECT o.oprcode::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_operator o WHERE o.oid IN ({operators})
                     UNION ALL SELECT p.amproc::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_amproc p
                     JOIN pg_catalog.pg_amop a ON a.amopfamily OPERATOR(pg_catalog.=) p.amprocfamily
                     WHERE a.amopopr IN ({operators}) AND p.amproc::pg_catalog.oid OPERATOR(pg_catalog.>=) '16384'
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) p.amproc
                     AND d.deptype OPERATOR(pg_catalog.=) 'e')"
                );
                let oids = self.rows(&text).await?;
                objects
                    .functions
                    .extend(oids.iter().flatten().flatten().filter_map(|o| o.parse::<u32>().ok()));
            }
            if let Some(functions) = functions {
                let text = format!(
                    "SELECT p.prosqlbody::pg_catalog.text FROM pg_catalog.pg_proc p
                     WHERE p.oid IN ({functions}) AND p.oid OPERATOR(pg_catalog.>=) '16384'
                     AND p.prosqlbody IS NOT NULL"
                );
                for body in self.rows(&text).await?.iter().flatten().flatten() {
                    bodies(objects, body);
                }
            }
            if let Some(relations) = relations {
                let text = format!(
                    "SELECT r.ev_class::pg_catalog.text, r.ev_action::pg_catalog.text, c.relkind::pg_catalog.text
                     FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.ev_class
                     WHERE r.ev_class IN ({relations}) AND r.ev_class OPERATOR(pg_catalog.>=) '16384'
                     AND r.rulename OPERATOR(pg_catalog.=) '_RETURN'"
                );
                for row in self.rows(&text).await? {
                    let [Some(oid), Some(action), Some(kind)] = row.as_slice() else { continue };
                    if kind == "v" {
                        bodies(objects, action);
                    }
                    views.insert(oid.parse().unwrap(), tree::parse(action));
                }
            }
            if let Some(types) = types {
                let text = format!(
                    "SELECT c.oid::pg_catalog.text FROM pg_catalog.pg_constraint c WHERE c.contypid IN ({types})"
                );
                let checks = self.rows(&text).await?;
                let checks = checks.iter().flatten().flatten();
                let checks: Vec<String> =
                    checks.map(|oid| format!("({}, {oid})", class("pg_constraint"))).collect();
                self.depends(&checks, objects).await?;
                let text = format!(
                    "SELECT t.typinput::pg_catalog.oid::pg_catalog.text, t.typoutput::pg_catalog.oid::pg_catalog.text,
                     t.typbasetype::pg_catalog.text FROM pg_catalog.pg_type t WHERE t.oid IN ({types})"
                );
                for row in self.rows(&text).await? {
                    let oid = |index: usize| -> Option<u32> { row.get(index)?.as_deref()?.parse().ok() };
                    // The server's own read what they read by types whose functions these are.
                    objects
                        .functions
                        .extend([oid(0), oid(1)].into_iter().flatten().filter(|oid| *oid >= 16_384));
                    objects.types.extend(oid(2).filter(|oid| *oid != 0));
                }
            }
        }
    }

    async fn named(
        &self,
        objects: &Objects,
        rights: &BTreeMap<u32, i64>,
        columns: BTreeSet<(u32, i16)>,
    ) -> Result<Said, String> {
        let list = |oids: &mut dyn Iterator<Item = u32>| {
            oids.chain([0]).map(|oid| oid.to_string()).collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "SELECT c.oid::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.oid IN ({})",
            list(&mut objects.relations.keys().copied())
        );
        let mut said = Said { columns, ..Said::default() };
        for row in self.rows(&text).await? {
            let [Some(oid), Some(schema), Some(name)] = row.as_slice() else { continue };
            let oid: u32 = oid.parse().unwrap();
            let rights = rights.get(&oid).copied().unwrap_or_default();
            said.relations.insert(oid, (schema.clone(), name.clone(), rights));
        }
        let text = format!(
            "SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
             WHERE p.oid IN ({})",
            list(&mut objects.functions.iter().copied())
        );
        for row in self.rows(&text).await? {
            if let [Some(schema), Some(name)] = row.as_slice() {
                said.functions.insert((schema.clone(), name.clone()));
            }
        }
        Ok(said)
    }
}

/// What a view or a body uses is used by whoever uses it, but needs no rights of theirs.
pub(super) fn bodies(objects: &mut Objects, text: &str) {
    let mut inside = Objects::default();
    inside.gather(&tree::parse(text));
    for (relation, _) in inside.relations {
        objects.relations.entry(relation).or_default();
    }
    objects.functions.extend(inside.functions);
    objects.operators.extend(inside.operators);
    objects.types.extend(inside.types);
}

pub(super) fn class(name: &str) -> String {
    format!("'pg_catalog.{name}'::pg_catalog.regclass")
}

pub(super) fn is_system(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema" | SCHEMA) || schema.starts_with("pg_toast")
}

/// The server's words.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

async fn rows(client: &Client, text: &str) -> Result<Rows, tokio_postgres::Error> {
    let mut all = Vec::new();
    for message in client.simple_query(text).await? {
        if let SimpleQueryMessage::Row(row) = message {
            all.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
        }
    }
    Ok(all)
}
