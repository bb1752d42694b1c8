//! Reads a catalogue: what a server is asked, and what its answers say. The connection is the caller's.

use std::sync::OnceLock;

use hashbrown::HashMap;
use model::{ColumnName, Tag};

use super::cells::rows;
use super::queries::{self, List};
use super::texts::{Piece, Texts};
use super::{Catalog, EventTrigger, Oid, Placed, objects, polled, relations, tags};

/// The rows of one answer, as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// Stands for an expression, definition or body that the server could not print when it was asked. No grammar accepts
/// it, so whoever reads it finds that it is not understood.
pub const UNREADABLE: &str = "<not readable>";

/// The majors that are served.
const MAJORS: std::ops::RangeInclusive<u32> = 13..=18;

/// What any server is asked first: which one it is.
pub fn who() -> String {
    List::Server.sql(0)
}

/// How many connections there are at all, for superusers and for others who have reserved some, for this role and for this database
/// (-1 where they are not bounded), with commas between.
pub fn room() -> &'static str {
    "SELECT pg_catalog.concat_ws(',', pg_catalog.current_setting('max_connections'), \
     pg_catalog.current_setting('superuser_reserved_connections'), \
     COALESCE(pg_catalog.current_setting('reserved_connections', true), '0'), \
     (SELECT r.rolconnlimit FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER), \
     (SELECT d.datconnlimit FROM pg_catalog.pg_database AS d \
     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))"
}

/// How many connections the answer to [`room`] leaves for this role.
pub fn room_in(answer: &str) -> Option<usize> {
    let numbers: Vec<i64> = answer.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [all, superusers, others, role, database] = numbers.as_slice() else { return None };
    let left = all.saturating_sub(*superusers).saturating_sub(*others);
    let bounds = [*role, *database].into_iter().filter(|bound| *bound >= 0);
    usize::try_from(bounds.fold(left, i64::min)).ok()
}

/// The version (`server_version_num`) in the answer to [`who`].
///
/// # Errors
/// Why the server is not one that is served.
pub fn version(answer: &Rows) -> Result<u32, String> {
    let mut row = rows(answer).next().ok_or("the server does not say what it is")?;
    let (version, _database) = (row.number()?, row.text()?);
    served(version, row.text()?, row.text()?)?;
    Ok(version)
}

/// What a server is asked.
#[derive(Debug, Clone)]
pub struct Questions {
    /// Each must be answered.
    pub lists: Vec<String>,
    /// A piece that is refused is asked for again by [halves](Piece::halves), and left out where there are none: what it
    /// would have said counts as [`UNREADABLE`]. Its answers follow those of the lists, in any order.
    pub pieces: Vec<Piece>,
}

/// What a server of this version (`server_version_num`) is asked. Each is one statement without parameters, correct under a
/// search path that is empty or `pg_catalog`; where each is a transaction of its own, few locks are held at a time.
pub fn questions(version: u32) -> Questions {
    Questions {
        lists: List::ALL.iter().map(|list| list.sql(version)).collect(),
        pieces: Piece::all(version).collect(),
    }
}

/// All of it in order and in as few statements as can be, for whoever cannot go on after a refusal and keeps all locks until
/// the end anyway: a session that sees what others do not see yet.
pub fn queries(version: u32) -> Vec<String> {
    let lists = List::ALL.iter().map(|list| list.sql(version));
    lists.chain(Piece::whole(version).map(|piece| piece.sql())).collect()
}

/// What a session asks for its own temporary objects alone, of which nobody else knows.
pub fn temporary_queries(version: u32) -> Vec<String> {
    let lists = List::OF_TEMPORARY.iter().map(|list| list.sql(version));
    lists
        .chain(Piece::whole(version).map(|piece| piece.sql()))
        .map(|sql| queries::of_own_schema(&sql))
        .collect()
}

/// The catalogue with the session's temporary objects, by the answers to [`temporary_queries`].
///
/// # Errors
/// An answer is not what was asked for.
pub fn with_temporary(
    catalog: &Catalog,
    answers: &[Rows],
    tags: &[(ColumnName, Tag)],
) -> Result<Catalog, String> {
    let mut catalog = catalog.clone();
    catalog.derived = OnceLock::new();
    add(&mut catalog, &Answers::new(&List::OF_TEMPORARY, answers)?, tags)?;
    Ok(catalog)
}

/// A statement with one row and one column that changes whenever anything that [`queries()`] reads changes.
pub fn signature() -> String {
    polled::signature()
}

/// A statement with one row and one column: NULL while a transaction that may write is under way, and else something that
/// stays the same until one was. Where it is what it was before a [`signature`] was asked for, that still holds.
pub fn pulse() -> &'static str {
    polled::PULSE
}

/// What the answers to [`queries()`] say.
///
/// # Errors
/// The server is not one that is served, or an answer is not what was asked for.
pub fn from_rows(version: u32, answers: &[Rows], tags: &[(ColumnName, Tag)]) -> Result<Catalog, String> {
    from_rows_after(version, answers, tags, Placed::default())
}

/// The same where it is known at which places configured columns were found before.
///
/// # Errors
/// As [`from_rows`].
pub fn from_rows_after(
    version: u32,
    answers: &[Rows],
    tags: &[(ColumnName, Tag)],
    before: Placed,
) -> Result<Catalog, String> {
    let mut catalog = Catalog { server_version: version, placed: before, ..Catalog::default() };
    add(&mut catalog, &Answers::new(&List::ALL, answers)?, tags)?;
    Ok(catalog)
}

fn add(catalog: &mut Catalog, answers: &Answers<'_>, tags: &[(ColumnName, Tag)]) -> Result<(), String> {
    answers.read(List::Server, |answer| server(catalog, answer))?;
    answers.read(List::Schemas, |answer| {
        for mut row in rows(answer) {
            catalog.schemas.insert(row.string()?, row.flag()?);
        }
        Ok(())
    })?;
    relations::read(catalog, answers)?;
    objects::read(catalog, answers)?;
    answers.read(List::EventTriggers, |answer| {
        for mut row in rows(answer) {
            let (name, event, function) = (row.string()?, row.string()?, row.oid()?);
            catalog.event_triggers.push(EventTrigger { name, event, function });
        }
        Ok(())
    })?;
    index(catalog);
    tags::spread(catalog, tags);
    Ok(())
}

/// The same catalogue under other tags.
pub fn retagged(catalog: &Catalog, tags: &[(ColumnName, Tag)]) -> Catalog {
    let mut again = catalog.clone();
    tags::spread(&mut again, tags);
    again
}

/// Tags proposed for columns of tables by their names and types.
pub fn proposals(catalog: &Catalog) -> Vec<(ColumnName, Tag)> {
    tags::propose(catalog)
}

/// The answers by what was asked.
pub(super) struct Answers<'a> {
    asked: &'static [List],
    lists: &'a [Rows],
    /// What was printed.
    pub(super) texts: Texts<'a>,
}

impl<'a> Answers<'a> {
    fn new(asked: &'static [List], answers: &'a [Rows]) -> Result<Self, String> {
        let (lists, pieces) = answers
            .split_at_checked(asked.len())
            .ok_or_else(|| format!("{} answers to {} questions", answers.len(), asked.len()))?;
        let texts = Texts::new(pieces).map_err(|error| format!("the catalogue's texts: {error}"))?;
        Ok(Self { asked, lists, texts })
    }

    /// Reads a list if it was asked for, and says in an error which it was.
    pub(super) fn read(
        &self,
        list: List,
        read: impl FnOnce(&'a Rows) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(position) = self.asked.iter().position(|l| *l == list) else { return Ok(()) };
        read(self.lists.get(position).ok_or("a question without an answer")?)
            .map_err(|error| format!("the catalogue's {list:?}: {error}"))
    }
}

fn server(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    let mut row = rows(answer).next().ok_or("no answer")?;
    let asked = catalog.server_version;
    catalog.server_version = row.number()?;
    if asked / 10_000 != catalog.server_version / 10_000 {
        return Err(format!("asked as version {asked}, answered by version {}", catalog.server_version));
    }
    catalog.database = row.string()?;
    served(catalog.server_version, row.text()?, row.text()?)?;
    let reader = row.string()?;
    // Of temporary objects alone a session asks, whose role may be another by then.
    if catalog.reader.is_empty() {
        catalog.reader = reader;
    }
    Ok(())
}

/// Whether a server is one that is served: forks and other encodings are not, for their grammar, catalogues and functions
/// are not the ones that were tested.
fn served(version: u32, encoding: &str, words: &str) -> Result<(), String> {
    let major = version / 10_000;
    if !MAJORS.contains(&major) {
        let (first, last) = (MAJORS.start(), MAJORS.end());
        return Err(format!("the server is PostgreSQL {major}: only {first} to {last} are served"));
    }
    if encoding != "UTF8" {
        return Err(format!("the database's encoding is {encoding}: only UTF8 is served"));
    }
    if !is_postgres(words) {
        return Err(format!(
            "the server calls itself \"{words}\": forks are not served until they are tested"
        ));
    }
    Ok(())
}

/// `PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by …`; the words in brackets are the
/// packager's, and a fork's where it is one.
fn is_postgres(words: &str) -> bool {
    const PACKAGERS: [&str; 9] =
        ["Debian", "Ubuntu", "Raspbian", "Homebrew", "Postgres.app", "PGDG", "Percona", "Nix", "Alpine"];
    let Some(rest) = words.strip_prefix("PostgreSQL ") else { return false };
    let Some((named, _)) = rest.split_once(" on ") else { return false };
    let (number, packaged) = named.split_once(' ').unwrap_or((named, ""));
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '.').is_empty();
    let packager = packaged.trim_start_matches(['(', '-', ' ']);
    digits && (packaged.is_empty() || PACKAGERS.iter().any(|name| packager.starts_with(name)))
}

/// Builds what is looked up by name.
fn index(catalog: &mut Catalog) {
    let mut relations: HashMap<String, HashMap<String, Oid>> = HashMap::new();
    for relation in catalog.relations.values() {
        relations
            .entry_ref(relation.schema.as_str())
            .or_default()
            .insert(relation.name.clone(), relation.oid);
    }
    let mut types: HashMap<String, HashMap<String, Oid>> = HashMap::new();
    for each in catalog.types.values() {
        types.entry_ref(each.schema.as_str()).or_default().insert(each.name.clone(), each.oid);
    }
    let mut functions: HashMap<String, Vec<Oid>> = HashMap::new();
    for function in catalog.functions.values() {
        functions.entry_ref(function.name.as_str()).or_default().push(function.oid);
    }
    for overloads in functions.values_mut() {
        overloads.sort_unstable();
    }
    let mut operators: HashMap<String, Vec<usize>> = HashMap::new();
    for (position, operator) in catalog.operators.iter().enumerate() {
        operators.entry_ref(operator.name.as_str()).or_default().push(position);
    }
    catalog.relation_names = relations;
    catalog.type_names = types;
    catalog.function_names = functions;
    catalog.operator_names = operators;
}
