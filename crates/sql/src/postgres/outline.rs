//! The rows that a statement is about to change, as questions that only read. They are made of pieces of the statement's own
//! text, and only where these mean in the question, by the grammar, what they mean in the statement.

mod merge;

use std::fmt::Debug;

use model::TableName;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RangeVar, ScanToken, Token};

use super::catalog::{Catalog, Oid, Relation, RelationKind};
use super::parse::{Parsed, parse, piece};
use super::tree::{inner, kind};
use super::{Analysis, Options, Session, analyse};

pub use merge::Merge;

/// So many columns are shown of a row.
const COLUMNS: usize = 20;
/// What is asked for besides the rows' own names.
const OURS: &str = "durward_rows";
/// Functions of the server's own that say another thing each time.
const RESTLESS: [&str; 9] = [
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
    "setseed",
    "statement_timestamp",
];

/// What is done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// They are added.
    Inserts,
    /// They are changed.
    Updates,
    /// They are removed.
    Deletes,
}

/// Which rows a statement is about to change.
#[derive(Debug, Clone)]
pub struct Outline {
    /// What is done to them.
    pub does: Does,
    /// In which table.
    pub table: TableName,
    /// The same as the server numbers it.
    pub oid: Oid,
    /// Why there may be fewer.
    pub at_most: Option<&'static str>,
    /// So many, where the text says so.
    pub fixed: Option<u64>,
    /// Columns that get new values, with the expression where it can be shown.
    pub assigned: Vec<(String, Option<String>)>,
    /// The statement itself, with values for its parameters.
    pub statement: String,
    /// `WITH …`
    with: String,
    /// `FROM … WHERE …`; of an `INSERT` its query.
    rows: String,
    /// How columns of the table are spoken of.
    alias: String,
    joined: bool,
    columns: Vec<(String, String)>,
    /// Of a `MERGE`.
    pub merge: Option<Merge>,
}

/// A question that shows some of the rows.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The question.
    pub text: String,
    /// How many of its columns show what there is; those behind show what there will be.
    pub before: usize,
    /// The columns' names.
    pub names: Vec<String>,
}

/// Why a statement's rows are not asked for.
const NO_KIND: &str = "it is of no kind that can be counted beforehand";
const NOT_CERTAIN: &str = "its rows cannot be asked for with certainty";

/// Which rows a text is about to change, where parameters have these values, written as SQL.
///
/// # Errors
/// Why it cannot be asked.
pub fn outline(text: &str, session: &Session<'_>, values: &[String]) -> Result<Outline, &'static str> {
    let major = session.catalog.server_version / 10_000;
    let parsed = parse(text, major, &Options::default()).map_err(|_| NO_KIND)?;
    let [raw] = parsed.statements.as_slice() else { return Err("it is more than one statement") };
    let statement = inner(&raw.stmt).ok_or(NO_KIND)?;
    let tokens = meaningful(&parsed);
    // What is compared has its parameters still.
    let plain = Pieces { text, tokens: &tokens, values: &[] };
    let rough = build(&plain, statement, session)?;
    if let NodeEnum::MergeStmt(merge) = statement {
        merge::verify(&rough, merge, major)?;
    } else if rough.fixed.is_none() {
        verify(&rough, statement, major)?;
    }
    build(&Pieces { text, tokens: &tokens, values }, statement, session)
}

/// A text, where parameters have these values, written as SQL; the text itself where it has none.
///
/// # Errors
/// Why it cannot be written.
pub fn written_out(text: &str, catalog: &Catalog, values: &[String]) -> Result<String, &'static str> {
    if values.is_empty() {
        return Ok(text.to_owned());
    }
    let parsed =
        parse(text, catalog.server_version / 10_000, &Options::default()).map_err(|_| NOT_CERTAIN)?;
    if parsed.statements.len() != 1 {
        return Err("it is more than one statement");
    }
    let tokens = meaningful(&parsed);
    Pieces { text, tokens: &tokens, values }.between(0, tokens.len())
}

/// Whether a function of the server's own says another thing each time.
pub fn is_restless(name: &str) -> bool {
    RESTLESS.contains(&name)
}

fn build(pieces: &Pieces<'_>, statement: &NodeEnum, session: &Session<'_>) -> Result<Outline, &'static str> {
    let (verb, range, with) = parts(statement).ok_or(NO_KIND)?;
    let relation = changed(session, range)?;
    let start = pieces.find(0, verb).ok_or(NOT_CERTAIN)?;
    let with = if with { format!("{} ", pieces.between(0, start)?) } else { String::new() };
    let mut outline = Outline {
        does: Does::Deletes,
        table: relation.table_name(),
        oid: relation.oid,
        at_most: at_most(session.catalog, relation),
        fixed: None,
        assigned: Vec::new(),
        statement: pieces.between(0, pieces.tokens.len())?,
        with,
        rows: String::new(),
        alias: quoted(range.alias.as_ref().map_or(&range.relname, |alias| &alias.aliasname)),
        joined: false,
        columns: columns(session.catalog, relation),
        merge: None,
    };
    if let NodeEnum::MergeStmt(merge) = statement {
        outline = merge::begin(outline);
        merge::merge(pieces, start, merge, &mut outline)?;
        return Ok(outline);
    }
    let end = pieces.tokens.len();
    let returning = pieces.find(start, "returning").unwrap_or(end);
    let filter = |from| pieces.find(from, "where").filter(|at| *at < returning).unwrap_or(returning);
    if let NodeEnum::DeleteStmt(_) = statement {
        let filter = filter(start);
        let using = pieces.find(start, "using").filter(|at| *at < filter);
        let others = using.map(|at| pieces.between(at + 1, filter)).transpose()?;
        // Behind DELETE FROM.
        let table = pieces.between(start + 2, using.unwrap_or(filter))?;
        outline.of(&table, others, &pieces.between(filter, returning)?);
    } else if let NodeEnum::UpdateStmt(update) = statement {
        let set = pieces.find(start, "set").ok_or(NOT_CERTAIN)?;
        let filter = filter(set);
        let from = pieces.others(set).filter(|at| *at < filter);
        let others = from.map(|at| pieces.between(at + 1, filter)).transpose()?;
        let table = pieces.between(start + 1, set)?;
        outline.does = Does::Updates;
        outline.of(&table, others, &pieces.between(filter, returning)?);
        outline.assigned = assigned(pieces, set + 1, from.unwrap_or(filter), &update.target_list)?;
    } else if let NodeEnum::InsertStmt(insert) = statement {
        outline.does = Does::Inserts;
        if insert.on_conflict_clause.is_some() {
            outline.at_most = Some("rows that are there already are dealt with otherwise");
        }
        match inner(&insert.select_stmt) {
            None => outline.fixed = Some(1),
            Some(NodeEnum::SelectStmt(select)) if !select.values_lists.is_empty() => {
                outline.fixed = u64::try_from(select.values_lists.len()).ok();
            }
            Some(_) => {
                let conflict = pieces.conflict(start).filter(|at| *at < returning).unwrap_or(returning);
                let words = ["select", "with", "table"];
                let begins = words.iter().filter_map(|word| pieces.find(start, word)).min();
                outline.rows = pieces.between(begins.ok_or(NOT_CERTAIN)?, conflict)?;
            }
        }
        outline.assigned = named_columns(&insert.cols).into_iter().map(|name| (name, None)).collect();
    }
    Ok(outline)
}

/// The word that a statement begins with behind its `WITH`, its table, and whether it has a `WITH`.
fn parts(statement: &NodeEnum) -> Option<(&'static str, &RangeVar, bool)> {
    if let NodeEnum::DeleteStmt(delete) = statement {
        Some(("delete", delete.relation.as_ref()?, delete.with_clause.is_some()))
    } else if let NodeEnum::UpdateStmt(update) = statement {
        Some(("update", update.relation.as_ref()?, update.with_clause.is_some()))
    } else if let NodeEnum::InsertStmt(insert) = statement {
        Some(("insert", insert.relation.as_ref()?, insert.with_clause.is_some()))
    } else if let NodeEnum::MergeStmt(merge) = statement {
        Some(("merge", merge.relation.as_ref()?, merge.with_clause.is_some()))
    } else {
        None
    }
}

/// Whether the question means of the rows what the statement does.
fn verify(outline: &Outline, statement: &NodeEnum, major: u32) -> Result<(), &'static str> {
    let question = if outline.does == Does::Inserts {
        format!("{}SELECT 1 FROM ({}) AS {OURS}", outline.with, outline.rows)
    } else {
        format!("{}SELECT 1 {}", outline.with, outline.rows)
    };
    let parsed = parse(&question, major, &Options::default()).map_err(|_| NOT_CERTAIN)?;
    let [raw] = parsed.statements.as_slice() else { return Err(NOT_CERTAIN) };
    let Some(NodeEnum::SelectStmt(select)) = inner(&raw.stmt) else { return Err(NOT_CERTAIN) };
    let (first, rest) = select.from_clause.split_first().ok_or(NOT_CERTAIN)?;
    let plain = select.group_clause.is_empty()
        && select.having_clause.is_none()
        && select.sort_clause.is_empty()
        && select.limit_count.is_none()
        && select.limit_offset.is_none()
        && select.locking_clause.is_empty()
        && select.window_clause.is_empty()
        && select.larg.is_none();
    let table = |range: &Option<RangeVar>| matches!((kind(first), range), (Some(NodeEnum::RangeVar(first)), Some(range)) if same(first, range));
    let fits = if let NodeEnum::DeleteStmt(delete) = statement {
        table(&delete.relation)
            && same(&rest, &delete.using_clause.as_slice())
            && same(&select.where_clause, &delete.where_clause)
            && same(&select.with_clause, &delete.with_clause)
    } else if let NodeEnum::UpdateStmt(update) = statement {
        table(&update.relation)
            && same(&rest, &update.from_clause.as_slice())
            && same(&select.where_clause, &update.where_clause)
            && same(&select.with_clause, &update.with_clause)
    } else if let NodeEnum::InsertStmt(insert) = statement {
        let Some(NodeEnum::RangeSubselect(rows)) = kind(first) else { return Err(NOT_CERTAIN) };
        rest.is_empty()
            && same(&rows.subquery, &insert.select_stmt)
            && same(&select.with_clause, &insert.with_clause)
    } else {
        false
    };
    if plain && fits { Ok(()) } else { Err(NOT_CERTAIN) }
}

/// Whether two parts of trees are equal but for their places in the text.
fn same<T: Debug, U: Debug>(one: &T, other: &U) -> bool {
    placeless(&format!("{one:?}")) == placeless(&format!("{other:?}"))
}

/// Without the numbers of `location: 12` and the like. What is compared is of one text, so that constants which look like those
/// are the same in both.
fn placeless(debug: &str) -> String {
    let mut rest = debug;
    let mut out = String::with_capacity(debug.len());
    while let Some((before, after)) = rest.split_once(": ") {
        out.push_str(before);
        let is_place = ["location", "list_start", "list_end", "stmt_len"].iter().any(|w| before.ends_with(w));
        rest =
            if is_place { after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-') } else { after };
    }
    out.push_str(rest);
    out
}

impl Outline {
    fn of(&mut self, table: &str, others: Option<String>, filter: &str) {
        self.joined = others.is_some();
        let others = others.map(|others| format!(", {others}")).unwrap_or_default();
        self.rows = format!("FROM {table}{others} {filter}").trim_end().to_owned();
    }

    /// How many rows there are, one more than `most` where there are more; of a `MERGE` for each kind of its arms
    /// ([`Merge::rows`]).
    pub fn count(&self, most: u64) -> String {
        if let Some(merge) = &self.merge {
            return merge.count(&self.with, most);
        }
        let one_more = most.saturating_add(1);
        let (with, rows, alias) = (&self.with, &self.rows, &self.alias);
        let inside = match self.does {
            Does::Inserts => format!("SELECT 1 FROM ({rows}) AS {OURS}_0"),
            // A row is changed once, however many others it is joined with.
            Does::Updates | Does::Deletes if self.joined => {
                format!("SELECT DISTINCT {alias}.tableoid, {alias}.ctid {rows}")
            }
            Does::Updates | Does::Deletes => format!("SELECT 1 {rows}"),
        };
        format!("{with}SELECT pg_catalog.count(*) FROM ({inside} LIMIT {one_more}) AS {OURS}")
    }

    /// Some of the rows; with `after`, what is to become of them, too.
    pub fn sample(&self, rows: u64, after: bool) -> Option<Sample> {
        if self.fixed.is_some() || self.merge.is_some() {
            return None;
        }
        let (with, from, alias) = (&self.with, &self.rows, &self.alias);
        if self.does == Does::Inserts {
            let text = format!("{with}SELECT * FROM ({from}) AS {OURS} LIMIT {rows}");
            return Some(Sample {
                text,
                before: 0,
                names: self.assigned.iter().map(|(n, _)| n.clone()).collect(),
            });
        }
        let mut shown: Vec<String> =
            self.columns.iter().map(|(name, _)| format!("{alias}.{}", quoted(name))).collect();
        let mut names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let before = shown.len();
        for (name, value) in self.assigned.iter().filter(|_| after) {
            let kind = self.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| kind);
            if let (Some(value), Some(kind)) = (value, kind) {
                shown.push(format!("CAST({value} AS {kind})"));
                names.push(name.clone());
            }
        }
        let text = format!("{with}SELECT {} {from} LIMIT {rows}", shown.join(", "));
        Some(Sample { text, before, names })
    }

    /// The rows as a list of values of these columns of theirs.
    pub fn keys(&self, columns: &[String]) -> String {
        let all: Vec<String> = columns.iter().map(|c| format!("{}.{}", self.alias, quoted(c))).collect();
        format!("{}SELECT {} {}", self.with, all.join(", "), self.rows)
    }

    /// The same of rows in which one of these columns gets another value than it has; `None` where that is not certain.
    pub fn moved(&self, columns: &[String]) -> Option<String> {
        if self.joined || self.merge.is_some() {
            return None;
        }
        let (mut inner, mut old, mut new, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, column) in columns.iter().enumerate() {
            inner.push(format!("{}.{} AS {OURS}_o{n}", self.alias, quoted(column)));
            keys.push(format!("{OURS}.{OURS}_o{n}"));
            let Some((_, value)) = self.assigned.iter().find(|(name, _)| name == column) else { continue };
            let (_, kind) = self.columns.iter().find(|(name, _)| name == column)?;
            inner.push(format!("CAST({} AS {kind}) AS {OURS}_n{n}", value.as_ref()?));
            old.push(format!("{OURS}.{OURS}_o{n}"));
            new.push(format!("{OURS}.{OURS}_n{n}"));
        }
        let differs = old.iter().zip(&new).map(|(old, new)| format!("{old} IS DISTINCT FROM {new}"));
        let differs: Vec<String> = differs.collect();
        Some(format!(
            "{}SELECT {} FROM (SELECT {} {}) AS {OURS} WHERE {}",
            self.with,
            keys.join(", "),
            inner.join(", "),
            self.rows,
            differs.join(" OR ")
        ))
    }
}

/// The rows of another table that refer to rows, which are given by their keys: as `FROM … WHERE …`.
pub fn referring(table: &TableName, alias: &str, columns: &[String], keys: &str) -> String {
    let all: Vec<String> = columns.iter().map(|c| format!("{alias}.{}", quoted(c))).collect();
    let table = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
    format!("FROM {table} AS {alias} WHERE ({}) IN ({keys})", all.join(", "))
}

/// A name that is read as it is.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, whatever is in it.
pub fn literal(text: &str) -> String {
    let (quote, escape) = if text.contains('\\') { (" E'", "\\\\") } else { ("'", "\\") };
    format!("{quote}{}'", text.replace('\\', escape).replace('\'', "''"))
}

/// What a question means, where it does nothing but read, and says the same each time.
pub fn harmless(text: &str, session: &Session<'_>) -> Result<Analysis, &'static str> {
    use model::Action::{Connect, Probe, Reveal, Select};
    let analysis = analyse(text, session, &Options::default()).map_err(|_| NOT_CERTAIN)?;
    for statement in &analysis.statements {
        let effects = &statement.effects;
        if !effects.iter().all(|e| matches!(e.action, Select | Connect | Probe | Reveal)) {
            return Err("it calls what may do more than read");
        }
        if statement.facts.functions.iter().any(|f| is_restless(&f.name)) {
            return Err("it calls what says another thing each time");
        }
        if !statement.control.is_empty() {
            return Err("it changes its session");
        }
    }
    Ok(analysis)
}

/// The tokens of a text with their depth in brackets; comments are none.
struct Pieces<'t> {
    text: &'t str,
    tokens: &'t [(ScanToken, usize)],
    /// What stands for `$1`, `$2`, …; nothing where they stay.
    values: &'t [String],
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other token is as deep as what it stands in")]
fn meaningful(parsed: &Parsed) -> Vec<(ScanToken, usize)> {
    let mut depth = 0_usize;
    let mut all = Vec::with_capacity(parsed.tokens.len());
    for token in &parsed.tokens {
        match token.token() {
            Token::SqlComment | Token::CComment => continue,
            // `(` and `[`
            Token::Ascii40 | Token::Ascii91 => {
                all.push((*token, depth));
                depth += 1;
                continue;
            }
            Token::Ascii41 | Token::Ascii93 => depth = depth.saturating_sub(1),
            // A closing semicolon is no part of it.
            Token::Ascii59 if depth == 0 => break,
            _ => (),
        }
        all.push((*token, depth));
    }
    all
}

impl Pieces<'_> {
    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |(token, _)| piece(self.text, token))
    }

    /// Where a word stands outside of brackets, from a place on.
    fn find(&self, from: usize, word: &str) -> Option<usize> {
        (from..self.tokens.len()).find(|at| self.is_outside(*at) && self.word(*at).eq_ignore_ascii_case(word))
    }

    fn is_outside(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|(_, depth)| *depth == 0)
    }

    /// Where the clause `FROM` begins, which is another word than that of `IS DISTINCT FROM`.
    fn others(&self, from: usize) -> Option<usize> {
        let mut next = from;
        loop {
            let at = self.find(next, "from")?;
            let before = at.checked_sub(1).map_or("", |before| self.word(before));
            if !before.eq_ignore_ascii_case("distinct") {
                return Some(at);
            }
            next = at + 1;
        }
    }

    /// Where `ON CONFLICT` begins.
    fn conflict(&self, from: usize) -> Option<usize> {
        let mut next = from;
        loop {
            let at = self.find(next, "on")?;
            if self.word(at + 1).eq_ignore_ascii_case("conflict") {
                return Some(at);
            }
            next = at + 1;
        }
    }

    /// The text of some tokens, with values for parameters.
    fn between(&self, from: usize, to: usize) -> Result<String, &'static str> {
        let mut out = String::new();
        let mut last_end = None;
        for (token, _) in self.tokens.get(from..to).unwrap_or_default() {
            if last_end.is_some_and(|end| token.start > end) {
                out.push(' ');
            }
            last_end = Some(token.end);
            let word = piece(self.text, token);
            if token.token() == Token::Param && !self.values.is_empty() {
                let number = word.get(1..).and_then(|n| n.parse::<usize>().ok());
                let value = number.and_then(|n| self.values.get(n.checked_sub(1)?));
                out.push_str(value.ok_or("a parameter has no value")?);
            } else {
                out.push_str(word);
            }
        }
        Ok(out)
    }
}

/// Assignments of an `UPDATE`, in order.
fn assigned(
    pieces: &Pieces<'_>,
    from: usize,
    to: usize,
    targets: &[Node],
) -> Result<Vec<(String, Option<String>)>, &'static str> {
    let mut parts = Vec::new();
    let mut begins = from;
    for at in from..=to {
        if at == to || pieces.is_outside(at) && pieces.word(at) == "," {
            parts.push((begins, at));
            begins = at + 1;
        }
    }
    let mut all = Vec::new();
    for (n, target) in targets.iter().enumerate() {
        let Some(NodeEnum::ResTarget(target)) = kind(target) else { continue };
        let value = match (inner(&target.val), parts.get(n)) {
            // Where each has one, they are in the same order.
            (Some(value), Some((begins, ends))) if parts.len() == targets.len() => {
                let plain = !matches!(value, NodeEnum::MultiAssignRef(_) | NodeEnum::SetToDefault(_));
                let equals = pieces.find(*begins, "=").filter(|at| at < ends && plain);
                equals
                    .filter(|_| target.indirection.is_empty())
                    .map(|at| pieces.between(at + 1, *ends))
                    .transpose()?
            }
            _ => None,
        };
        all.push((target.name.clone(), value));
    }
    Ok(all)
}

fn named_columns(columns: &[Node]) -> Vec<String> {
    let name = |node: &Node| {
        if let Some(NodeEnum::ResTarget(target)) = kind(node) { Some(target.name.clone()) } else { None }
    };
    columns.iter().filter_map(name).collect()
}

fn columns(catalog: &Catalog, relation: &Relation) -> Vec<(String, String)> {
    let kind = |oid| catalog.type_by_oid(oid).map(|t| format!("{}.{}", quoted(&t.schema), quoted(&t.name)));
    let columns = relation.columns.iter().take(COLUMNS);
    columns.filter_map(|column| Some((column.name.clone(), kind(column.type_oid)?))).collect()
}

/// Why a statement, or a foreign key, may do something else to the rows of a table than is asked, if so.
pub fn at_most(catalog: &Catalog, relation: &Relation) -> Option<&'static str> {
    if relation.row_security.is_some() {
        return Some("row security may leave some out");
    }
    let below = catalog.with_descendants(relation.oid);
    let mut all = below.iter().filter_map(|oid| catalog.relation_by_oid(*oid)).chain([relation]);
    if all.clone().any(|relation| !relation.triggers.is_empty()) {
        return Some("triggers may leave some out");
    }
    all.any(|relation| !relation.rules.is_empty()).then_some("its rules do something beside")
}

/// The table that a statement changes.
fn changed<'a>(session: &Session<'a>, range: &RangeVar) -> Result<&'a Relation, &'static str> {
    let mut schemas = session.search_path.iter();
    let relation = if range.schemaname.is_empty() {
        schemas.find_map(|schema| session.catalog.relation(schema, &range.relname))
    } else {
        session.catalog.relation(&range.schemaname, &range.relname)
    };
    let relation = relation.ok_or("its table is not known")?;
    if !matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned) {
        return Err("what it changes is no table");
    }
    if relation.temporary {
        return Err("its table is of its session alone");
    }
    if relation.rules.iter().any(|rule| rule.instead) {
        return Err("a rule does something else instead");
    }
    Ok(relation)
}

#[cfg(test)]
mod tests;
