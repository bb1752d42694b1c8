//! From what was found to a statement: its facts, its outputs, and a digest of all that decides a verdict.

use aws_lc_rs::digest::{Context, SHA256};
use model::{Effect, Facts};
use pg_query::NodeEnum;

use super::query::Rows;
use super::text::Normal;
use super::value::Flow;
use super::walk::Walk;
use super::{Lineage, OutputColumn, Outputs, Statement};

/// Puts a statement together.
pub(super) fn finished(
    walk: Walk<'_>,
    node: Option<&NodeEnum>,
    rows: Rows,
    text: Option<Normal>,
) -> Statement {
    let parameters = walk.parameters;
    let mut found = walk.found;
    let outputs = outputs(rows, node);
    if found.by_path && found.moves_path {
        found.unknown("it may set the search path and runs functions whose names the search path decides");
    }
    if found.defines_within && found.uses_what_may_be_redefined() {
        found.unknown("it runs code that defines something while it runs, and what it calls or reads may be another by then");
    }
    if let Outputs::Opaque(why) = &outputs
        && !found.has_unknown()
    {
        // Better refused now than cut off when the rows come.
        found.unknown(why.clone());
    }
    let facts = Facts {
        kind: super::kinds::word(node),
        has_where: !found.unconditional,
        tables: std::mem::take(&mut found.tables),
        functions: std::mem::take(&mut found.functions),
        statements: 1,
        parameters,
    };
    let control = std::mem::take(&mut found.control);
    let absent = found.absent.take();
    let free = matches!(node, Some(NodeEnum::SelectStmt(_) | NodeEnum::InsertStmt(_)));
    let depends_on_literals = !free || found.literals || !control.is_empty();
    let (unresolved, touches_tagged) = (found.unresolved, found.touches_tagged);
    let (by_path, deferred, moves_path) = (found.by_path, found.deferred, found.moves_path);
    let fires = found.fires;
    let is_utility = !is_optimizable(node);
    let effects = found.into_effects();
    let shape = digest(&effects, &facts, &outputs);
    let text = text.unwrap_or(Normal { text: String::new(), literals: Vec::new() });
    Statement {
        effects,
        facts,
        outputs,
        control,
        text: text.text,
        literals: text.literals,
        shape,
        unresolved,
        absent,
        depends_on_literals,
        touches_tagged,
        by_path,
        deferred,
        moves_path,
        fires,
        is_utility,
    }
}

/// Whether PostgreSQL plans it, which it does when a statement is prepared or its portal bound: what it then means it means
/// when it runs.
fn is_optimizable(node: Option<&NodeEnum>) -> bool {
    match node {
        Some(NodeEnum::SelectStmt(select)) => select.into_clause.is_none(),
        Some(
            NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_),
        ) => true,
        Some(_) | None => false,
    }
}

fn outputs(rows: Rows, node: Option<&NodeEnum>) -> Outputs {
    match rows.columns {
        Some(columns) if columns.is_empty() && !is_query(node) => Outputs::None,
        Some(columns) => Outputs::Columns(
            columns
                .iter()
                .map(|column| OutputColumn {
                    name: column.name.to_string(),
                    lineage: Lineage::from(column.value.flow.clone()),
                })
                .collect(),
        ),
        None => Outputs::Opaque(match rows.flow {
            Flow::Unknown(why) => why,
            Flow::Clear | Flow::Plain(_) | Flow::Derived(_) => {
                "the columns of its result are not certain".to_owned()
            }
        }),
    }
}

/// `SELECT` without columns returns rows all the same.
fn is_query(node: Option<&NodeEnum>) -> bool {
    matches!(node, Some(NodeEnum::SelectStmt(select)) if select.into_clause.is_none())
}

/// A digest of all that decides a verdict.
pub(super) fn digest(effects: &[Effect], facts: &Facts, outputs: &Outputs) -> [u8; 16] {
    let mut digest = Digest(Context::new(&SHA256));
    for effect in effects {
        digest.text(effect.action.as_str());
        digest.exact(&effect.resource);
        digest.exact(&effect.tags);
        digest.exact(&effect.via);
        digest.text(effect.why.as_deref().unwrap_or_default());
    }
    digest.text(&facts.kind);
    digest.text(if facts.has_where { "where" } else { "all" });
    digest.exact(&facts.tables);
    digest.exact(&facts.functions);
    digest.exact(&facts.parameters);
    match outputs {
        Outputs::None => digest.text("none"),
        Outputs::Opaque(why) => digest.text(why),
        Outputs::Columns(columns) => {
            for column in columns {
                let (word, sources) = match &column.lineage {
                    Lineage::Clear => ("clear", [].as_slice()),
                    Lineage::Plain(sources) => ("plain", sources.as_slice()),
                    Lineage::Derived(sources) => ("derived", sources.as_slice()),
                    Lineage::Unknown(why) => (why.as_str(), [].as_slice()),
                };
                digest.text(word);
                for source in sources {
                    digest.exact(&source.column);
                    digest.exact(&source.tags);
                }
            }
        }
    }
    digest.finish()
}

/// The shape of several statements.
pub(super) fn combined<'s>(statements: impl Iterator<Item = &'s Statement>) -> [u8; 16] {
    let mut digest = Digest(Context::new(&SHA256));
    statements.for_each(|statement| digest.0.update(&statement.shape));
    digest.finish()
}

struct Digest(Context);

impl Digest {
    /// A text and its length, so that two texts are never taken for another two.
    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    /// A value with all that tells it from others: names with dots in them are shown like others without.
    fn exact(&mut self, value: &impl std::fmt::Debug) {
        self.text(&format!("{value:?}"));
    }

    fn finish(self) -> [u8; 16] {
        let mut shape = [0; 16];
        let digest = self.0.finish();
        for (to, from) in shape.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        shape
    }
}
