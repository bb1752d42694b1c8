//! Views: what their columns depend on, and what reading them does, from their definitions.

use model::{Action, Effect};
use pg_query::NodeEnum;

use super::catalog::{Relation, RelationKind};
use super::frames::{Names, Reach};
use super::query::Rows;
use super::scope::{Columns, Scope};
use super::tree::inner;
use super::value::{Col, Flow, Value};
use super::walk::{Walk, Within};

impl<'a> Walk<'a> {
    /// The columns of a view. A plain view's tables are read with it; a materialized view holds its own rows.
    pub(super) fn view_columns(&mut self, view: &'a Relation) -> Columns<'a> {
        let Some(definition) = &view.definition else {
            if matches!(view.schema.as_str(), "pg_catalog" | "information_schema")
                || view.schema.starts_with("pg_toast")
            {
                return if self.is_tagged(view) {
                    Columns::Listed(self.stored_columns(view))
                } else {
                    Columns::Untagged(view)
                };
            }
            let why = format!("the definition of view {} is not known", view.table_name());
            self.unknown(why.clone());
            return Columns::Open(Flow::Unknown(why));
        };
        if self.views.contains(&view.oid) {
            self.unknown(format!("view {} is defined by itself", view.table_name()));
            return Columns::Open(Flow::Unknown("a view that is defined by itself".to_owned()));
        }
        let outermost = match &self.within {
            Within::View(outer) => outer.clone(),
            Within::Statement | Within::Internal | Within::Body(_) => view.table_name(),
        };
        self.views.push(view.oid);
        let stored = view.kind == RelationKind::MaterializedView;
        // What filled a materialized view was done long ago: only what its columns depend on is of interest.
        if stored && !self.spend(self.found.size() + self.called.len()) {
            return Columns::Open(Flow::Clear);
        }
        let acts = self.acts;
        let before = stored.then(|| {
            (
                std::mem::take(&mut self.found),
                self.called.clone(),
                self.checked.clone(),
                self.compared.clone(),
            )
        });
        let rows =
            self.inside(Within::View(outermost), |walk| walk.deeper(|walk| walk.defined_by(definition)));
        if let Some(before) = before {
            (self.found, self.called, self.checked, self.compared) = before;
            self.acts = acts;
        }
        self.views.pop();
        let Some(columns) = rows.columns.filter(|c| c.len() == view.columns.len()) else {
            let why = format!("the columns of view {} are not certain", view.table_name());
            return Columns::Open(if rows.flow.is_clear() { Flow::Unknown(why) } else { rows.flow });
        };
        let columns = view.columns.iter().zip(columns.iter()).map(|(own, behind)| {
            let mut flow = behind.value.flow.clone();
            if let Some(source) = self.source(view, own) {
                flow = flow.either(Flow::Plain(vec![source]));
            }
            let value = Value { flow, type_oid: Some(own.type_oid), row: None };
            Col::new(own.name.as_str(), value)
        });
        Columns::Listed(columns.collect())
    }

    /// Whoever locks a view locks what it reads.
    pub(super) fn locks_behind(&mut self, view: &'a Relation) {
        let Some(definition) = &view.definition else {
            return self.unknown(format!("the definition of view {} is not known", view.table_name()));
        };
        // Nothing of it runs.
        let found = std::mem::take(&mut self.found);
        let before = (self.called.clone(), self.checked.clone(), self.compared.clone());
        self.inside(Within::View(view.table_name()), |walk| walk.deeper(|walk| walk.defined_by(definition)));
        let read = std::mem::replace(&mut self.found, found);
        (self.called, self.checked, self.compared) = before;
        if read.unresolved {
            self.unknown(format!("what view {} reads is not known", view.table_name()));
        }
        for name in read.tables {
            let Some(table) = self.catalog.relation(&name.schema, &name.name) else { continue };
            let mut all = vec![table];
            self.descendants(table, &mut |child| all.push(child));
            for table in all {
                let via = Some(view.table_name());
                let effect = Effect { via, ..self.on(Action::LockTable, table) };
                self.effect(effect);
            }
        }
    }

    pub(super) fn defined_by(&mut self, definition: &str) -> Rows {
        if !self.spend(definition.len() / 8) {
            return Rows::default();
        }
        let parsed = pg_query::parse(definition, 0).ok();
        let statement =
            parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::SelectStmt(select)) = statement else {
            self.unknown("a view's definition that cannot be read");
            return Rows::default();
        };
        let unsettled = self.unsettled.take();
        let around = std::mem::take(&mut self.decided);
        let rows = self.as_printed(|walk| walk.select(select, &Scope::default()));
        // Which rows a view gives is its owner's doing, and what another view makes of these is that one's.
        let decided = std::mem::replace(&mut self.decided, around);
        if self.views.len() > 1 {
            self.decided = std::mem::take(&mut self.decided).both(decided);
        }
        self.unsettled = unsettled;
        rows
    }

    /// Reads what the server printed: it names everything with its schema that is not in `pg_catalog` or temporary.
    pub(super) fn as_printed<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let temporary = self.temporary().map(str::to_owned);
        let path: Vec<String> = temporary.into_iter().chain(["pg_catalog".to_owned()]).collect();
        let printed = Names { path: path.into(), reach: Reach::Certain, definer: self.names.definer };
        let before = std::mem::replace(&mut self.names, printed);
        let outside = self.outside.clone();
        self.outside.get_or_insert_with(|| before.clone());
        let value = read(self);
        (self.names, self.outside) = (before, outside);
        value
    }
}
