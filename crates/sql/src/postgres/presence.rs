//! What it tells that a value is there: nothing, where it is that of a column that always has one.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, FuncCall, Node, NullTest, SelectStmt};

use super::catalog::{Function, RelationKind};
use super::scope::Scope;
use super::tree::{kind, qualified};
use super::value::{Flow, Value};
use super::walk::Walk;

/// Functions that say the same for each row of a statement, whatever they were called for before.
const STEADY: [&str; 10] = [
    "now",
    "transaction_timestamp",
    "date_trunc",
    "make_date",
    "make_interval",
    "make_timestamptz",
    "to_date",
    "to_timestamp",
    "lower",
    "upper",
];

impl<'a> Walk<'a> {
    /// `IS NULL`, `IS NOT NULL`: a use of the value, unless the answer is known without it. A condition is one all the same:
    /// the server may look such rows up by an index of that column, and they come in its order.
    pub(super) fn null_test(&mut self, test: &NullTest, scope: &Scope<'_, 'a>) -> Flow {
        let Some(node) = test.arg.as_deref() else { return Flow::Clear };
        let value = self.value(node, scope);
        if !self.looks_up && self.always_there(node, &value) { Flow::Clear } else { self.consume(&value) }
    }

    /// Whether a query shows nothing of its rows' order: it counts them all, or says the same of each.
    pub(super) fn only_counts(&mut self, select: &SelectStmt, scope: &Scope<'_, 'a>) -> bool {
        // Whoever locks some of them shows others which came first.
        select.group_clause.is_empty()
            && select.locking_clause.is_empty()
            && select.from_clause.iter().all(|source| self.is_plain_source(source, scope))
            && select.where_clause.as_deref().is_none_or(|condition| self.is_plain(condition, scope))
            && select.target_list.iter().all(|target| {
                let Some(NodeEnum::ResTarget(target)) = kind(target) else { return false };
                match target.val.as_deref().and_then(kind) {
                    Some(NodeEnum::AConst(_)) => true,
                    Some(NodeEnum::FuncCall(call)) => {
                        let is_count = qualified(&call.funcname).is_some_and(|q| q.name == "count");
                        is_count
                            && call.over.is_none()
                            && call.args.iter().all(|argument| self.is_plain(argument, scope))
                            && call.agg_filter.as_deref().is_none_or(|filter| self.is_plain(filter, scope))
                            && self.candidates_of(call, scope).iter().all(|function| function.is_builtin())
                    }
                    _ => false,
                }
            })
    }

    /// Whether a condition only compares what rows hold. What calls a function for each row, casts or calculates shows by what that
    /// does, or by where it fails, in which order the rows came.
    fn is_plain(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> bool {
        match kind(node) {
            Some(NodeEnum::ColumnRef(_)) => true,
            Some(NodeEnum::BoolExpr(expression)) => expression.args.iter().all(|n| self.is_plain(n, scope)),
            Some(NodeEnum::NullTest(test)) => test.arg.as_deref().is_some_and(|n| self.is_plain(n, scope)),
            Some(NodeEnum::BooleanTest(test)) => test.arg.as_deref().is_some_and(|n| self.is_plain(n, scope)),
            Some(NodeEnum::List(list)) => list.items.iter().all(|n| self.is_plain(n, scope)),
            Some(NodeEnum::AExpr(operation)) => {
                let [left, right] = [operation.lexpr.as_deref(), operation.rexpr.as_deref()];
                let compares = match operation.kind() {
                    AExprKind::AexprOp
                    | AExprKind::AexprOpAny
                    | AExprKind::AexprOpAll
                    | AExprKind::AexprIn => qualified(&operation.name)
                        .is_some_and(|q| ["=", "<>", "!=", "<", ">", "<=", ">="].contains(&q.name)),
                    AExprKind::AexprLike | AExprKind::AexprIlike => {
                        right.is_some_and(|n| self.tells_no_row(n, scope))
                    }
                    AExprKind::AexprDistinct
                    | AExprKind::AexprNotDistinct
                    | AExprKind::AexprBetween
                    | AExprKind::AexprNotBetween => true,
                    AExprKind::Undefined
                    | AExprKind::AexprNullif
                    | AExprKind::AexprSimilar
                    | AExprKind::AexprBetweenSym
                    | AExprKind::AexprNotBetweenSym => false,
                };
                compares && left.into_iter().chain(right).all(|n| self.is_plain(n, scope))
                    || self.tells_no_row(node, scope)
            }
            Some(_) => self.tells_no_row(node, scope),
            None => false,
        }
    }

    /// Whether an expression is the same for each row: nothing in it is of a row, is asked of a table or counts how often it is called.
    fn tells_no_row(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> bool {
        match kind(node) {
            Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_)) => true,
            Some(NodeEnum::TypeCast(cast)) => {
                cast.arg.as_deref().is_some_and(|n| self.tells_no_row(n, scope))
            }
            Some(NodeEnum::FuncCall(call)) => {
                qualified(&call.funcname).is_some_and(|q| STEADY.contains(&q.name))
                    && call.over.is_none()
                    && self.candidates_of(call, scope).iter().all(|function| function.is_builtin())
                    && call.args.iter().all(|n| self.tells_no_row(n, scope))
            }
            Some(NodeEnum::AExpr(operation)) => [operation.lexpr.as_deref(), operation.rexpr.as_deref()]
                .into_iter()
                .flatten()
                .all(|n| self.tells_no_row(n, scope)),
            Some(NodeEnum::List(list)) => list.items.iter().all(|n| self.tells_no_row(n, scope)),
            Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().all(|n| self.tells_no_row(n, scope)),
            Some(_) | None => false,
        }
    }

    /// Whether rows come from tables and joins of them by such conditions: what a view or an expression of `WITH` calculates may be
    /// done for each row as well.
    fn is_plain_source(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> bool {
        match kind(node) {
            Some(NodeEnum::RangeVar(range)) => {
                let is_cte = range.schemaname.is_empty() && scope.cte(&range.relname).is_some();
                let stored = |found: &super::catalog::Relation| {
                    matches!(found.kind, RelationKind::Table | RelationKind::Partitioned)
                };
                !is_cte && self.relation(range).is_some_and(stored)
            }
            Some(NodeEnum::JoinExpr(join)) => {
                let sides = [join.larg.as_deref(), join.rarg.as_deref()];
                sides.into_iter().flatten().all(|side| self.is_plain_source(side, scope))
                    && join.quals.as_deref().is_none_or(|quals| self.is_plain(quals, scope))
            }
            Some(_) | None => false,
        }
    }

    /// Whether a call is `count(column)` of such a column, which counts rows.
    pub(super) fn counts_rows(&self, call: &FuncCall, candidates: &[&'a Function], values: &[Value]) -> bool {
        let is_count = qualified(&call.funcname).is_some_and(|q| q.name == "count")
            && !candidates.is_empty()
            && candidates.iter().all(|function| function.is_builtin());
        let plain = !call.agg_distinct && !call.func_variadic && call.agg_order.is_empty();
        match (call.args.as_slice(), values) {
            ([node], [value]) => is_count && plain && self.always_there(node, value),
            _ => false,
        }
    }

    /// Whether an expression is a column alone, and whatever makes it NULL is no value of a tagged column: a row that an
    /// outer join or a sub-query did not find. What decides about that is a use of its own.
    fn always_there(&self, node: &Node, value: &Value) -> bool {
        let alone = matches!(kind(node), Some(NodeEnum::ColumnRef(_))) && value.row.is_none();
        let Flow::Plain(sources) = &value.flow else { return false };
        alone && sources.iter().all(|source| self.never_null(&source.column))
    }

    /// `NOT NULL` holds where it is stored: foreign tables only promise it, and tables below may be without it.
    fn never_null(&self, column: &model::ColumnName) -> bool {
        let table = &column.table;
        let Some(relation) = self.catalog.relation(&table.schema, &table.name) else { return false };
        let holds = |relation: &super::catalog::Relation| {
            matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned)
                && relation.column(&column.name).is_some_and(|c| c.not_null)
        };
        let mut everywhere = holds(relation);
        self.descendants(relation, &mut |child| everywhere &= holds(child));
        everywhere
    }
}

#[cfg(test)]
mod tests {
    use model::{Action, Resource};

    use crate::postgres::NoNames;
    use crate::postgres::catalog::shop;
    use crate::postgres::tests::under;
    use crate::postgres::{Analysis, Lineage, Options, Outputs, Session, analyse};

    /// The columns that a statement lets decide, and whether an output depends on a tagged column.
    fn uses(analysis: &Analysis) -> (Vec<String>, bool) {
        let effects = analysis.statements.iter().flat_map(|s| &s.effects);
        let probed = effects.filter(|e| e.action == Action::Probe).map(|e| {
            let Resource::Column(column) = &e.resource else { panic!("{} is no column", e.resource) };
            column.name.clone()
        });
        let outputs = analysis.statements.iter().flat_map(|s| match &s.outputs {
            Outputs::Columns(columns) => columns.as_slice(),
            Outputs::None | Outputs::Opaque(_) => &[],
        });
        (probed.collect(), outputs.into_iter().any(|output| output.lineage != Lineage::Clear))
    }

    #[track_caller]
    fn check(text: &str, probed: &[&str], tells: bool) {
        let analysis = under(&["pg_catalog", "shop"], text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(uses(&analysis), (probed.iter().map(|c| (*c).to_owned()).collect(), tells), "{text}");
    }

    #[test]
    fn that_a_value_is_there_tells_nothing_where_one_always_is() {
        check("SELECT count(email), count(c.ssn) FROM customers c", &[], false);
        check("SELECT count(email) OVER (ORDER BY id) FROM customers", &[], false);
        check("SELECT count(email) FILTER (WHERE email IS NOT NULL) FROM customers", &[], false);
        check("SELECT email IS NULL FROM customers", &[], false);
        check("SELECT count(*), count(DISTINCT city) FROM customers WHERE email IS NOT NULL", &[], false);
        check(
            "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM customers WHERE email IS NOT NULL)",
            &[],
            false,
        );
        check(
            "SELECT c.id, count(t.customer_email) FROM customers c LEFT JOIN tickets t USING (id) GROUP BY c.id",
            &[],
            false,
        );
        check("SELECT count(x.e) FROM (SELECT email AS e FROM customers) x", &[], false);
        check(
            "WITH x AS (SELECT email FROM customers UNION ALL SELECT ssn FROM customers) SELECT count(email) FROM x",
            &[],
            false,
        );
    }

    #[test]
    fn what_is_done_for_each_row_shows_in_which_order_they_come() {
        let always = "SELECT count(*) FROM customers WHERE email IS NOT NULL AND";
        for plain in [
            "city = 'x'",
            "id IN (1, 2) OR NOT id BETWEEN 3 AND 4",
            "city LIKE 'A%'",
            "created_at > now() - interval '30 days'",
            "id = ANY (ARRAY[1, 2])",
        ] {
            check(&format!("{always} {plain}"), &[], false);
        }
        for shows in [
            "set_config('search_path', current_setting('search_path') || city, false) IS NOT NULL",
            "city::int > 0",
            "1 / id > 0",
            "(SELECT set_config('search_path', city, false)) IS NOT NULL",
            "CASE WHEN id > 1 THEN city::int > 0 END",
            "city = set_config('a.b', current_setting('a.b') || 'x', false)",
            "id = nextval('s')",
        ] {
            let analysis = under(&["pg_catalog", "shop"], &format!("{always} {shows}")).expect(shows);
            assert!(uses(&analysis).0.contains(&"email".to_owned()), "{shows}");
        }
        for text in [
            "SELECT count(set_config('search_path', city, false)) FROM customers WHERE email IS NOT NULL",
            "WITH x AS (SELECT city::int AS n, email FROM customers) SELECT count(n) FROM x WHERE email IS NOT NULL",
            "WITH orders AS (SELECT city::int AS n, email FROM customers) SELECT count(n) FROM orders WHERE email IS NOT NULL",
            "SELECT 1 FROM customers WHERE email IS NOT NULL LIMIT 1 FOR UPDATE",
            "SELECT count(*) FROM customers c, LATERAL (SELECT set_config('a.b', c.city, false)) s WHERE email IS NOT NULL",
        ] {
            let analysis = under(&["pg_catalog", "shop"], text).expect(text);
            assert!(uses(&analysis).0.contains(&"email".to_owned()), "{text}");
        }
    }

    #[test]
    fn all_else_about_it_tells_something() {
        check("SELECT count(notes) FROM customers", &["notes"], true);
        check("SELECT count(DISTINCT email) FROM customers", &["email"], true);
        check("SELECT count(email ORDER BY email) FROM customers", &["email"], true);
        check("SELECT count(nullif(email, 'x')) FROM customers", &["email"], true);
        check("SELECT nullif(email, 'x') IS NULL FROM customers", &["email"], true);
        check("SELECT count(x.e) FROM (SELECT nullif(email, 'x') AS e FROM customers) x", &["email"], true);
        check("SELECT CASE WHEN email = 'x' THEN ssn END IS NULL FROM customers", &["email", "ssn"], true);
        check(
            "SELECT x.s IS NULL FROM (SELECT CASE WHEN email = 'x' THEN ssn END AS s FROM customers) x",
            &["email", "ssn"],
            true,
        );
        check("SELECT max(email) IS NULL FROM customers", &["email"], true);
        check("SELECT count(email) FILTER (WHERE email = 'x') FROM customers", &["email"], true);
        check("SELECT 1 FROM customers WHERE notes IS NULL", &["notes"], false);
        check("SELECT 1 FROM customers WHERE email ISNULL OR email = 'x'", &["email"], false);
        check(
            "SELECT c.id, t.customer_email IS NULL FROM customers c LEFT JOIN tickets t ON t.customer_email = c.email",
            &["customer_email", "email"],
            false,
        );
    }

    #[test]
    fn rows_that_are_looked_up_by_it_come_in_its_order() {
        for text in [
            "SELECT id FROM customers WHERE email IS NOT NULL",
            "SELECT city, count(*) FROM customers WHERE email IS NOT NULL GROUP BY city",
            "SELECT string_agg(city, ',') FROM customers WHERE NOT email IS NULL",
            "SELECT count(*) OVER (ORDER BY id), id FROM customers WHERE email IS NOT NULL",
            "SELECT id FROM customers GROUP BY id HAVING email IS NOT NULL",
            "SELECT id FROM (SELECT id, email IS NOT NULL AS x FROM customers) c WHERE x",
            "WITH c AS (SELECT id, email IS NOT NULL AS x FROM customers) SELECT id FROM c WHERE x",
            "SELECT o.id FROM orders o JOIN customers c ON email IS NOT NULL",
            "SELECT count(*) FROM (SELECT id FROM customers WHERE email IS NOT NULL LIMIT 3) c",
            "SELECT ARRAY(SELECT id FROM customers WHERE email IS NOT NULL)",
            "UPDATE customers SET city = 'x' WHERE email IS NOT NULL RETURNING id",
            "DELETE FROM customers WHERE email IS NOT NULL RETURNING id",
        ] {
            let (probed, _) = {
                let analysis = under(&["pg_catalog", "shop"], text);
                uses(&analysis.unwrap_or_else(|why| panic!("{text}: {why}")))
            };
            assert_eq!(probed, ["email"], "{text}");
        }
    }

    #[test]
    fn tables_below_may_be_without_the_constraint() {
        let mut catalog = shop();
        let heir =
            catalog.relations.values_mut().find(|r| r.name == "customers_vip").expect("it is in the sample");
        heir.columns.iter_mut().for_each(|column| column.not_null = false);
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let analysis = analyse("SELECT count(email) FROM customers", &session, &Options::default());
        assert_eq!(uses(&analysis.expect("it is understood")), (vec!["email".to_owned()], true));
    }
}
