//! `WITH`, recursive or not.

use std::collections::VecDeque;
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, SetOperation, WithClause};

use super::query::{Rows, renamed};
use super::scope::{Cte, Scope};
use super::tree::{inner, kind, string};
use super::value::{Col, Flow, Value};
use super::walk::Walk;

/// How often a recursive expression is read again.
const ROUNDS: usize = 16;

impl<'a> Walk<'a> {
    /// `WITH`: each expression is seen by those after it; of `WITH RECURSIVE` by all, itself included.
    pub(super) fn with(&mut self, with: &WithClause, scope: &mut Scope<'_, 'a>) {
        let mut expressions: VecDeque<&CommonTableExpr> = VecDeque::with_capacity(with.ctes.len());
        for node in &with.ctes {
            match kind(node) {
                Some(NodeEnum::CommonTableExpr(cte)) => expressions.push_back(cte),
                _ => self.unknown("a common table expression that is not understood"),
            }
        }
        if !with.recursive || expressions.len() < 2 {
            expressions.into_iter().for_each(|cte| self.with_one(cte, with.recursive, scope));
            return;
        }
        // Whoever names one that stands further down is read behind it, as the server does.
        let outer = std::mem::take(&mut self.forward);
        scope.ctes.extend(expressions.iter().map(|cte| Cte {
            name: cte.ctename.clone(),
            columns: None,
            flow: Flow::Unknown("a common table expression that is not read yet".to_owned()),
            pending: true,
        }));
        let mut put_off = 0;
        while let Some(cte) = expressions.pop_front() {
            // What was found so far is set aside.
            if !self.spend(self.found.size() + self.called.len() + scope.ctes.len()) {
                return;
            }
            let before = (
                (self.found.clone(), self.called.clone(), self.checked.clone()),
                (self.compared.clone(), self.written.clone()),
            );
            let read = scope.ctes.len();
            self.with_one(cte, true, scope);
            if std::mem::take(&mut self.forward) {
                if put_off < expressions.len() {
                    put_off += 1;
                    ((self.found, self.called, self.checked), (self.compared, self.written)) = before;
                    scope.ctes.truncate(read);
                    expressions.push_back(cte);
                    continue;
                }
                self.unknown("common table expressions that name each other");
            }
            put_off = 0;
        }
        self.forward = outer;
    }

    fn with_one(&mut self, cte: &CommonTableExpr, recursive: bool, scope: &mut Scope<'_, 'a>) {
        if cte.search_clause.is_some() || cte.cycle_clause.is_some() {
            self.needs(14, "SEARCH or CYCLE");
        }
        let rows = if recursive {
            self.recursion(cte, scope)
        } else {
            let aliases: Vec<&str> = cte.aliascolnames.iter().filter_map(string).collect();
            renamed(self.subquery(inner(&cte.ctequery), scope).settled(), &aliases)
        };
        let (columns, flow) = (rows.columns, rows.flow);
        scope.ctes.push(Cte { name: cte.ctename.clone(), columns, flow, pending: false });
    }

    /// The first round sees the expression itself as what its part that is not recursive gives; later ones as what came
    /// out before, too, until nothing more comes.
    fn recursion(&mut self, cte: &CommonTableExpr, scope: &mut Scope<'_, 'a>) -> Rows {
        let aliases: Vec<&str> = cte.aliascolnames.iter().filter_map(string).collect();
        let start = self.recursion_start(inner(&cte.ctequery), scope);
        let is_recursive = start.is_some();
        let mut known = renamed(start.unwrap_or_default().settled(), &aliases);
        self.numbers(cte, &mut known);
        for round in 0..ROUNDS {
            let Rows { columns, flow } = known.clone();
            scope.ctes.push(Cte { name: cte.ctename.clone(), columns, flow, pending: false });
            let mut rows = renamed(self.subquery(inner(&cte.ctequery), scope).settled(), &aliases);
            scope.ctes.pop();
            self.numbers(cte, &mut rows);
            if !is_recursive {
                return rows;
            }
            let mut next = known.clone().joined(rows);
            if next == known {
                return known;
            }
            // What goes from column to column a round at a time may go to any.
            if round >= ROUNDS / 2 {
                next.mix();
            }
            known = next;
        }
        self.unknown("a recursive expression whose columns are not certain");
        Rows {
            columns: None,
            flow: Flow::Unknown("a recursive expression whose columns are not certain".to_owned()),
        }
    }

    /// The columns that `SEARCH` and `CYCLE` add, which hold the values of those that they name. Queries within the one that
    /// the expression belongs to do not see them in `*`.
    fn numbers(&mut self, cte: &CommonTableExpr, rows: &mut Rows) {
        if cte.search_clause.is_none() && cte.cycle_clause.is_none() {
            return;
        }
        let Some(columns) = rows.columns.take() else { return };
        let searched = cte.search_clause.iter().flat_map(|search| &search.search_col_list);
        let cycled = cte.cycle_clause.iter().flat_map(|cycle| &cycle.cycle_col_list);
        let names: Vec<Option<&str>> = searched.chain(cycled).map(string).collect();
        let is_named = |column: &&Col| names.contains(&Some(&*column.name));
        let found = |name: &Option<&str>| name.is_some_and(|name| columns.iter().any(|c| *c.name == *name));
        let named: Arc<[Col]> = if names.iter().all(found) {
            columns.iter().filter(is_named).cloned().collect()
        } else {
            Arc::clone(&columns)
        };
        let of_named = self.consume_flow(&Rows { columns: Some(named), flow: Flow::Clear }.all());
        let mut columns = columns.to_vec();
        let mut add = |name: &str| {
            columns.push(Col { hidden: true, ..Col::new(name, Value::of(of_named.clone())) });
        };
        if let Some(search) = &cte.search_clause {
            add(&search.search_seq_column);
        }
        if let Some(cycle) = &cte.cycle_clause {
            add(&cycle.cycle_mark_column);
            add(&cycle.cycle_path_column);
        }
        rows.columns = Some(columns.into());
    }

    /// The columns of the part of a recursive expression that is not recursive: its left side. `None` for what is not
    /// recursive in truth, and cannot see itself.
    fn recursion_start(&mut self, query: Option<&NodeEnum>, scope: &Scope<'_, 'a>) -> Option<Rows> {
        match query {
            Some(NodeEnum::SelectStmt(select)) if select.op() != SetOperation::SetopNone => {
                // Its own WITH is in sight of both sides.
                let mut level = Scope::below(scope);
                if let Some(with) = &select.with_clause {
                    self.with(with, &mut level);
                }
                select.larg.as_deref().map(|left| self.select(left, &level))
            }
            Some(_) | None => None,
        }
    }
}
