//! What a `MERGE` is about to do: its arms as a question that only reads.

use pg_query::NodeEnum;
use pg_query::protobuf::{CmdType, MergeMatchKind, MergeStmt, MergeWhenClause, Node};

use super::{Does, NOT_CERTAIN, OURS, Outline, Pieces, named_columns, same};
use crate::postgres::Options;
use crate::postgres::parse::parse;
use crate::postgres::tree::{inner, kind};

/// What marks rows that the source has.
const SOURCE: &str = "durward_source";

/// A `MERGE`'s question: how many rows each kind of arm changes.
#[derive(Debug, Clone)]
pub struct Merge {
    /// `FROM (SELECT … AS arm FROM …)`
    arms: String,
    /// What its arms do, each once.
    pub does: Vec<Does>,
}

/// The number that stands for what an arm does.
fn number(does: Option<Does>) -> u8 {
    match does {
        None => 0,
        Some(Does::Inserts) => 1,
        Some(Does::Updates) => 2,
        Some(Does::Deletes) => 3,
    }
}

impl Merge {
    /// The rows of each number that arms have, one more than `most` in all where there are more.
    pub(super) fn count(&self, with: &str, most: u64) -> String {
        let arms = &self.arms;
        format!(
            "{with}SELECT {OURS}.arm, pg_catalog.count(*) FROM (SELECT {OURS}_0.arm FROM ({arms}) AS {OURS}_0 \
             WHERE {OURS}_0.arm OPERATOR(pg_catalog.>) 0 LIMIT {}) AS {OURS} GROUP BY {OURS}.arm",
            most.saturating_add(1)
        )
    }

    /// How many rows are changed so, by the answer to that.
    pub fn rows(does: Does, answer: &[Vec<Option<String>>]) -> Option<u64> {
        let mark = number(Some(does)).to_string();
        let row = answer.iter().find(|row| row.first().is_some_and(|cell| cell.as_deref() == Some(&mark)));
        row.map_or(Some(0), |row| row.get(1)?.as_deref()?.parse().ok())
    }
}

/// What an arm does, and whether what it does is counted.
fn does(when: &MergeWhenClause) -> Result<Option<Does>, &'static str> {
    match when.command_type() {
        CmdType::CmdInsert => Ok(Some(Does::Inserts)),
        CmdType::CmdUpdate => Ok(Some(Does::Updates)),
        CmdType::CmdDelete => Ok(Some(Does::Deletes)),
        CmdType::CmdNothing => Ok(None),
        CmdType::Undefined
        | CmdType::CmdUnknown
        | CmdType::CmdSelect
        | CmdType::CmdMerge
        | CmdType::CmdUtility => Err(NOT_CERTAIN),
    }
}

fn clauses(merge: &MergeStmt) -> Result<Vec<&MergeWhenClause>, &'static str> {
    let when = |node| {
        if let Some(NodeEnum::MergeWhenClause(when)) = kind(node) { Ok(&**when) } else { Err(NOT_CERTAIN) }
    };
    merge.merge_when_clauses.iter().map(when).collect()
}

/// Puts into an outline what a `MERGE` does, by its pieces from its first word on.
pub(super) fn merge(
    pieces: &Pieces<'_>,
    start: usize,
    merge: &MergeStmt,
    outline: &mut Outline,
) -> Result<(), &'static str> {
    let end = pieces.tokens.len();
    let using = pieces.find(start, "using").ok_or(NOT_CERTAIN)?;
    let whens = whens(pieces, using);
    let first = *whens.first().ok_or(NOT_CERTAIN)?;
    let on = (using..first)
        .rev()
        .find(|at| pieces.is_outside(*at) && pieces.word(*at).eq_ignore_ascii_case("on"))
        .ok_or(NOT_CERTAIN)?;
    let clauses = clauses(merge)?;
    if clauses.len() != whens.len() {
        return Err(NOT_CERTAIN);
    }
    let mut cases: [Vec<String>; 3] = Default::default();
    for (n, (clause, at)) in clauses.iter().zip(&whens).enumerate() {
        let next = whens.get(n + 1).copied().unwrap_or(end);
        let does = does(clause)?;
        let condition = match condition(pieces, *at, next)? {
            Some(condition) => format!("({condition})"),
            None => "true".to_owned(),
        };
        let [matched, source, target] = &mut cases;
        let case = match clause.match_kind() {
            MergeMatchKind::MergeWhenMatched => matched,
            MergeMatchKind::MergeWhenNotMatchedBySource => source,
            MergeMatchKind::MergeWhenNotMatchedByTarget => target,
            MergeMatchKind::Undefined => return Err(NOT_CERTAIN),
        };
        case.push(format!("WHEN {condition} THEN {}", number(does)));
        if let Some(does) = does.filter(|does| !outline.does_all().contains(does)) {
            outline
                .merge
                .get_or_insert_with(|| Merge { arms: String::new(), does: Vec::new() })
                .does
                .push(does);
        }
        if does == Some(Does::Updates) {
            let assigned = named_columns(&clause.target_list).into_iter().map(|name| (name, None));
            outline.assigned.extend(assigned);
        }
    }
    let join = match &cases {
        [_, source, _] if !source.is_empty() => "FULL JOIN",
        [_, _, target] if !target.is_empty() => "LEFT JOIN",
        [..] => "JOIN",
    };
    let case = |whens: &Vec<String>| match whens.as_slice() {
        [] => "0".to_owned(),
        all => format!("CASE {} ELSE 0 END", all.join(" ")),
    };
    let [matched, source, target] = cases.each_ref().map(case);
    // Behind MERGE INTO.
    let table = pieces.between(start + 2, using)?;
    let rows = pieces.between(using + 1, on)?;
    let condition = pieces.between(on + 1, first)?;
    let alias = &outline.alias;
    let arms = format!(
        "SELECT CASE WHEN {alias}.ctid IS NULL THEN {target} WHEN {SOURCE}.one IS NULL THEN {source} ELSE {matched} END AS arm \
         FROM ({rows} CROSS JOIN (SELECT 1 AS one) AS {SOURCE}) {join} {table} ON {condition}"
    );
    outline.merge.get_or_insert_with(|| Merge { arms: String::new(), does: Vec::new() }).arms = arms;
    Ok(())
}

/// Where arms begin: `WHEN` outside of brackets and of `CASE`.
fn whens(pieces: &Pieces<'_>, from: usize) -> Vec<usize> {
    outside_cases(pieces, from, pieces.tokens.len(), "when")
}

fn outside_cases(pieces: &Pieces<'_>, from: usize, to: usize, word: &str) -> Vec<usize> {
    let mut deep = 0_usize;
    let mut all = Vec::new();
    for at in (from..to).filter(|at| pieces.is_outside(*at)) {
        let found = pieces.word(at);
        if found.eq_ignore_ascii_case("case") {
            deep += 1;
        } else if found.eq_ignore_ascii_case("end") {
            deep = deep.saturating_sub(1);
        } else if deep == 0 && found.eq_ignore_ascii_case(word) {
            all.push(at);
        }
    }
    all
}

/// `WHEN [NOT] MATCHED [BY …] [AND condition] THEN`
fn condition(pieces: &Pieces<'_>, at: usize, next: usize) -> Result<Option<String>, &'static str> {
    let is = |at: usize, word: &str| pieces.word(at).eq_ignore_ascii_case(word);
    let then = *outside_cases(pieces, at, next, "then").first().ok_or(NOT_CERTAIN)?;
    let mut behind = at + 1;
    behind += usize::from(is(behind, "not"));
    behind += usize::from(is(behind, "matched"));
    if is(behind, "by") {
        behind += 2;
    }
    if behind == then {
        return Ok(None);
    }
    if !is(behind, "and") {
        return Err(NOT_CERTAIN);
    }
    pieces.between(behind + 1, then).map(Some)
}

/// Whether the question means of the rows what the statement does.
pub(super) fn verify(outline: &Outline, merge: &MergeStmt, major: u32) -> Result<(), &'static str> {
    let Some(Merge { arms, .. }) = &outline.merge else { return Err(NOT_CERTAIN) };
    let parsed =
        parse(&format!("{}{arms}", outline.with), major, &Options::default()).map_err(|_| NOT_CERTAIN)?;
    let [raw] = parsed.statements.as_slice() else { return Err(NOT_CERTAIN) };
    let Some(NodeEnum::SelectStmt(select)) = inner(&raw.stmt) else { return Err(NOT_CERTAIN) };
    let ([NodeEnum::JoinExpr(join)], [NodeEnum::ResTarget(target)]) =
        (&*kinds(&select.from_clause), &*kinds(&select.target_list))
    else {
        return Err(NOT_CERTAIN);
    };
    let Some(NodeEnum::JoinExpr(rows)) = inner(&join.larg) else { return Err(NOT_CERTAIN) };
    let Some(NodeEnum::RangeVar(table)) = inner(&join.rarg) else { return Err(NOT_CERTAIN) };
    let plain = select.where_clause.is_none() && select.group_clause.is_empty() && select.larg.is_none();
    let fits = plain
        && same(&rows.larg, &merge.source_relation)
        && rows.quals.is_none()
        && merge.relation.as_ref().is_some_and(|relation| same(table, relation))
        && same(&join.quals, &merge.join_condition)
        && same(&select.with_clause, &merge.with_clause);
    let Some(NodeEnum::CaseExpr(case)) = inner(&target.val) else { return Err(NOT_CERTAIN) };
    let [NodeEnum::CaseWhen(by_target), NodeEnum::CaseWhen(by_source)] = &*kinds(&case.args) else {
        return Err(NOT_CERTAIN);
    };
    let clauses = clauses(merge)?;
    let of =
        |kind| clauses.iter().copied().filter(move |clause| clause.match_kind() == kind).collect::<Vec<_>>();
    let arms = [
        (&by_target.result, of(MergeMatchKind::MergeWhenNotMatchedByTarget)),
        (&by_source.result, of(MergeMatchKind::MergeWhenNotMatchedBySource)),
        (&case.defresult, of(MergeMatchKind::MergeWhenMatched)),
    ];
    let fits = fits && arms.into_iter().all(|(expression, clauses)| are_these(inner(expression), &clauses));
    if fits { Ok(()) } else { Err(NOT_CERTAIN) }
}

/// Whether an expression tells these arms apart as they do.
fn are_these(expression: Option<&NodeEnum>, clauses: &[&MergeWhenClause]) -> bool {
    match expression {
        Some(NodeEnum::AConst(_)) => clauses.is_empty(),
        Some(NodeEnum::CaseExpr(case)) => {
            let whens = kinds(&case.args);
            case.arg.is_none()
                && whens.len() == clauses.len()
                && whens.iter().zip(clauses).all(|(when, clause)| {
                    let NodeEnum::CaseWhen(when) = when else { return false };
                    match &clause.condition {
                        Some(_) => same(&when.expr, &clause.condition),
                        None => matches!(inner(&when.expr), Some(NodeEnum::AConst(_))),
                    }
                })
        }
        Some(_) | None => false,
    }
}

fn kinds(nodes: &[Node]) -> Vec<&NodeEnum> {
    nodes.iter().filter_map(kind).collect()
}

impl Outline {
    /// What is done to its table's rows, each kind once.
    pub fn does_all(&self) -> Vec<Does> {
        self.merge.as_ref().map_or_else(|| vec![self.does], |merge| merge.does.clone())
    }
}

/// The outline of a `MERGE` before its arms are looked at.
pub(super) fn begin(outline: Outline) -> Outline {
    Outline { does: Does::Updates, merge: Some(Merge { arms: String::new(), does: Vec::new() }), ..outline }
}
