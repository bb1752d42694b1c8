//! One statement on its way: what is in force, what was found, and how names are resolved.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use model::{Action, ColumnName, Effect, FunctionName, Resource, TableName};
use pg_query::protobuf::{RangeVar, TypeName};

use super::absent::Advice;
use super::calling::{Calling, Known};
use super::catalog::{Catalog, Column, Function, Oid, Relation, RelationKind};
use super::findings::Findings;
use super::frames::{Frame, Names, Reach};
use super::uncertain::Unsettled;
use super::value::{Col, Flow, Value};
use super::{Options, Refusal, Session, Source, Statement, tree};

/// What the text that is read now is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Within {
    /// The client's own statement.
    Statement,
    /// The definition of this view: what it computes from tagged columns is its owner's doing, and stays masked.
    View(TableName),
    /// A check, a default, an index expression, a row security policy: the database's own, its values stay inside.
    Internal,
    /// A function's body: whatever it reads could come out in its result or its messages.
    Body(FunctionName),
}

/// How the reason of an effect begins that a function's body has.
pub(super) const IN_FUNCTION: &str = "in function ";

/// Reads one statement.
pub(super) struct Walk<'a> {
    pub session: &'a Session<'a>,
    pub catalog: &'a Catalog,
    pub options: &'a Options,
    /// The server's major version.
    pub major: u32,
    /// The names that are in force.
    pub names: Names<'a>,
    /// Those that are in force while a printed text is read: bodies of functions that it calls run under them.
    pub outside: Option<Names<'a>>,
    /// All under which bodies were read; see [`Walk::frame`].
    pub frames: Vec<Names<'a>>,
    /// Names outside `pg_catalog` are not certain; why.
    pub unsettled: Option<Unsettled>,
    /// What was prepared before this message no longer means what it meant then; why.
    pub moved: Option<String>,
    pub within: Within,
    pub found: Findings,
    /// Statements prepared earlier in the same message.
    pub prepared: HashMap<String, std::sync::Arc<Statement>>,
    /// Cursors declared earlier in the same message.
    pub cursors: HashMap<String, std::sync::Arc<Statement>>,
    /// What is known of functions under the names that their bodies run with.
    pub called: HashMap<(Oid, Frame), Known>,
    /// Where in calls of calls the reading is.
    pub calling: Calling,
    /// Whether what is called now does anything else than read.
    pub acts: bool,
    /// The code that is being read may pass on a variable without a word of which.
    pub passes_on: bool,
    /// Functions that may pass on a row that they were given without a word of it.
    pub opaque: HashSet<Oid>,
    /// Types whose checks were read.
    pub checked: HashSet<(Oid, Frame)>,
    /// Types whose comparisons were read; OID 0 for all.
    pub compared: HashSet<(Oid, Frame)>,
    /// Relations whose machinery was read, by what is done to them.
    pub written: HashSet<(Oid, Action, Frame)>,
    pub depth: usize,
    /// The first thing for which the text must be refused as a whole.
    pub refusal: Option<Refusal>,
    /// The highest `$n`.
    pub parameters: u32,
    /// Views whose definitions are being read.
    pub views: Vec<Oid>,
    /// What the call that was read last could mean.
    pub chosen: Vec<&'a Function>,
    /// What a trigger's function finds in `new` and `old`, where its definition is read.
    pub trigger_row: Option<Value>,
    /// What the `RETURNING` of rules gives in place of a relation's columns.
    pub returned: HashMap<Oid, super::query::Rows>,
    /// How the first column is called of sub-queries that stand as values, by where they are in the tree.
    pub first_names: HashMap<usize, Option<std::sync::Arc<str>>>,
    /// A common table expression was named that stands further down.
    pub forward: bool,
    /// How many names of columns and rows were read.
    pub references: usize,
    /// The statement is run to tell how much memory its rows take at each step.
    pub weighed: bool,
    /// What is read now may decide which rows are looked up, and so by which index and in which order.
    pub looks_up: bool,
    /// In a view's definition: what decided about the rows that are being read.
    pub decided: Flow,
    /// The same of the rows that an aggregate or a window at this place sees.
    pub among: Flow,
}

impl<'a> Walk<'a> {
    pub(super) fn new(session: &'a Session<'a>, options: &'a Options) -> Self {
        Self {
            session,
            catalog: session.catalog,
            options,
            major: session.catalog.server_version / 10_000,
            names: Names { path: Cow::Borrowed(session.search_path), reach: Reach::Certain, definer: false },
            outside: None,
            frames: Vec::new(),
            unsettled: None,
            moved: None,
            within: Within::Statement,
            found: Findings::default(),
            prepared: HashMap::new(),
            cursors: HashMap::new(),
            called: HashMap::new(),
            calling: Calling::default(),
            acts: false,
            passes_on: false,
            opaque: HashSet::new(),
            checked: HashSet::new(),
            compared: HashSet::new(),
            written: HashSet::new(),
            depth: 0,
            refusal: None,
            parameters: 0,
            views: Vec::new(),
            chosen: Vec::new(),
            trigger_row: None,
            returned: HashMap::new(),
            first_names: HashMap::new(),
            forward: false,
            references: 0,
            weighed: false,
            looks_up: false,
            decided: Flow::Clear,
            among: Flow::Clear,
        }
    }

    /// Goes one level deeper, if that is not too deep.
    pub(super) fn deeper<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        if !self.spend(1) {
            return T::default();
        }
        if self.depth >= self.options.deepest {
            self.refuse(Refusal::TooComplex(format!(
                "the statement is nested more than {} levels deep",
                self.options.deepest
            )));
            return T::default();
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Refuses the text as a whole.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// Refuses grammar that the server's version does not have.
    pub(super) fn needs(&mut self, major: u32, what: &str) {
        if self.major < major {
            let has = self.major;
            self.refuse(Refusal::OtherVersion(format!("{what} is not grammar of PostgreSQL {has}")));
        }
    }

    /// Adds an effect on behalf of what is read now.
    pub(super) fn effect(&mut self, mut effect: Effect) {
        match &self.within {
            Within::Statement | Within::Internal => (),
            Within::View(view) => {
                if effect.action == Action::Select {
                    effect.via.get_or_insert_with(|| view.clone());
                }
            }
            Within::Body(function) => {
                effect.why.get_or_insert_with(|| format!("{IN_FUNCTION}{function}"));
            }
        }
        self.acts |= !matches!(effect.action, Action::Select | Action::Probe);
        self.found.effect(effect);
    }

    /// Adds an effect on a thing without tags.
    pub(super) fn does(&mut self, action: Action, resource: Resource) {
        self.effect(Effect::new(action, resource));
    }

    /// Adds an `unknown` effect.
    pub(super) fn unknown(&mut self, why: impl Into<String>) {
        self.acts = true;
        self.found.unknown(why);
    }

    /// A name was not found. The catalogue may be old, so it is read again before this is believed.
    pub(super) fn missing(&mut self, why: String) {
        self.found.unresolved = true;
        self.unknown(why);
    }

    /// Reads with another state of what is in force, and puts that of now back.
    pub(super) fn inside<T>(&mut self, within: Within, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.within, within);
        let value = read(self);
        self.within = before;
        value
    }

    /// Reads what decides which rows are looked up, or what is only shown.
    pub(super) fn looking_up<T>(&mut self, looks_up: bool, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.looks_up, looks_up);
        let value = read(self);
        self.looks_up = before;
        value
    }

    /// A relation by the name that is written.
    pub(super) fn relation(&mut self, range: &RangeVar) -> Option<&'a Relation> {
        let name = range.relname.as_str();
        if !range.catalogname.is_empty() && range.catalogname != self.catalog.database {
            self.missing(format!("cross-database references are not implemented: \"{}\"", written(range)));
            return None;
        }
        let found = match range.schemaname.as_str() {
            "" => self.relation_seen(name),
            "pg_temp" => self.temporary().and_then(|schema| self.catalog.relation(schema, name)),
            schema => self.catalog.relation(schema, name),
        };
        self.relation_is_settled(&range.schemaname, name, found);
        if found.is_none() && self.unsettled.is_none() {
            let why = format!("relation \"{}\" does not exist", written(range));
            self.absent(why, range.location, |_| Advice::None);
        }
        found
    }

    /// A type by the name that is written.
    pub(super) fn type_named(&mut self, name: &TypeName) -> Option<Oid> {
        let Some(parts) = tree::type_words(name) else {
            if name.type_oid != 0 {
                return Some(Oid(name.type_oid));
            }
            self.unknown("a type's name that is not understood");
            return None;
        };
        if name.pct_type {
            return None;
        }
        let catalog = self.catalog;
        let found = match parts.schema {
            Some("pg_temp") => self.temporary().and_then(|schema| catalog.type_named(schema, parts.name)),
            Some(schema) => catalog.type_named(schema, parts.name),
            None => self.type_seen(parts.name),
        };
        self.type_is_settled(parts.schema, parts.name, found);
        let Some(found) = found else {
            let why = match parts.schema {
                Some(schema) if !catalog.has_schema(schema) => format!("schema \"{schema}\" does not exist"),
                Some(schema) => format!("type \"{schema}.{}\" does not exist", parts.name),
                None => format!("type \"{}\" does not exist", parts.name),
            };
            self.absent(why, name.location, |_| Advice::None);
            return None;
        };
        if name.array_bounds.is_empty() {
            Some(found.oid)
        } else {
            Some(found.array_type).filter(|t| t.0 != 0)
        }
    }

    /// The column as something to be masked, if it is tagged: by itself, or in a table whose rows are read with it.
    pub(super) fn source(&self, relation: &Relation, column: &Column) -> Option<Source> {
        let mut tags = self.catalog.tags(relation.oid, column.number).clone();
        // What is withheld as a whole is withheld in each of its columns.
        tags.extend(self.catalog.relation_tags(relation.oid).iter().cloned());
        self.descendants(relation, &mut |child| {
            if let Some(same) = child.column(&column.name) {
                tags.extend(self.catalog.tags(child.oid, same.number).iter().cloned());
            }
        });
        if tags.is_empty() {
            return None;
        }
        Some(Source {
            column: ColumnName { table: relation.table_name(), name: column.name.clone() },
            tags,
            type_oid: column.type_oid.0,
            type_modifier: column.type_modifier,
        })
    }

    /// Tables that inherit from a relation, and its partitions, at all depths.
    pub(super) fn descendants(&self, relation: &Relation, see: &mut dyn FnMut(&'a Relation)) {
        for child in &relation.children {
            if let Some(child) = self.catalog.relation_by_oid(*child) {
                see(child);
                self.descendants(child, see);
            }
        }
    }

    /// A table's own column as a value.
    pub(super) fn stored(&self, relation: &Relation, column: &Column) -> Value {
        let flow = self.source(relation, column).map_or(Flow::Clear, |source| Flow::Plain(vec![source]));
        Value { flow, type_oid: Some(column.type_oid), row: None }
    }

    /// All columns of a table.
    pub(super) fn stored_columns(&self, relation: &Relation) -> std::sync::Arc<[Col]> {
        relation
            .columns
            .iter()
            .map(|column| Col::new(column.name.as_str(), self.stored(relation, column)))
            .collect()
    }

    /// Whether a table or one below it has a tagged column.
    pub(super) fn is_tagged(&self, relation: &Relation) -> bool {
        let own = |r: &Relation| {
            !self.catalog.relation_tags(r.oid).is_empty()
                || r.columns.iter().any(|c| !self.catalog.tags(r.oid, c.number).is_empty())
        };
        let mut tagged = own(relation);
        self.descendants(relation, &mut |child| tagged |= own(child));
        tagged
    }

    /// An action on a relation, with its tags.
    pub(super) fn on(&self, action: Action, relation: &Relation) -> Effect {
        Effect {
            tags: self.catalog.relation_tags(relation.oid).clone(),
            ..Effect::new(action, Resource::Table(relation.table_name()))
        }
    }

    /// Rows of a relation are read, and of those below it.
    pub(super) fn reads(&mut self, relation: &'a Relation) {
        self.reads_of(relation, true);
    }

    /// The same, where those below it may be left out (`ONLY`).
    pub(super) fn reads_of(&mut self, relation: &'a Relation, all: bool) {
        self.found.tables.insert(relation.table_name());
        let effect = self.on(Action::Select, relation);
        self.effect(effect);
        if relation.kind == RelationKind::Foreign {
            let why = format!("{} is a foreign table", relation.table_name());
            self.effect(Effect::new(Action::Egress, Resource::Target).because(why));
        }
        let parent = relation.table_name();
        let mut below = Vec::new();
        if all {
            self.descendants(relation, &mut |child| below.push(child));
        }
        for relation in std::iter::once(relation).chain(below.iter().copied()) {
            // What is computed as it is read fails with words of its own.
            let computed = |c: &&Column| c.generated && !self.catalog.tags(relation.oid, c.number).is_empty();
            self.found.touches_tagged |= relation.columns.iter().any(|c| computed(&c));
        }
        self.spend(below.len());
        for child in below {
            let mut effect = self.on(Action::Select, child);
            effect.via = Some(parent.clone());
            self.effect(effect);
            if child.kind == RelationKind::Foreign {
                let why = format!("{}, below {parent}, is a foreign table", child.table_name());
                self.effect(Effect::new(Action::Egress, Resource::Target).because(why));
            }
        }
        for expression in relation.row_security.iter().flatten() {
            self.internal(expression, relation);
        }
    }

    /// Whether a view's definition is being read: nobody is asked for what decides in it, so it stays with what comes of it.
    pub(super) fn defines_view(&self) -> bool {
        matches!(self.within, Within::View(_))
    }

    /// A value decides something, or something is computed from it.
    pub(super) fn consume(&mut self, value: &Value) -> Flow {
        // Rows of rows share what they hold, so that a short text can make many of few.
        if !self.spend(1 + value.flow.sources().len() / 4) {
            return Flow::Clear;
        }
        if let Some(row) = &value.row {
            for column in row.iter() {
                self.consume(&column.value);
            }
        }
        self.consume_flow(&value.flow)
    }

    /// The same of a flow.
    pub(super) fn consume_flow(&mut self, flow: &Flow) -> Flow {
        if let Flow::Unknown(why) = flow {
            self.unknown(why.clone());
        }
        // What a view does with it is the view's to answer for, and an error there tells as much.
        let answered_for = matches!(self.within, Within::View(_) | Within::Internal);
        if self.defines_view() && !flow.sources().is_empty() {
            self.decided = std::mem::take(&mut self.decided).both(flow.clone());
        }
        for source in flow.sources() {
            self.found.touches_tagged = true;
            if !answered_for {
                self.effect(Effect {
                    tags: source.tags.clone(),
                    ..Effect::new(Action::Probe, Resource::Column(source.column.clone()))
                });
            }
        }
        flow.clone().computed()
    }
}

/// A relation's name as it was written.
pub(super) fn written(range: &RangeVar) -> String {
    if range.schemaname.is_empty() {
        range.relname.clone()
    } else {
        format!("{}.{}", range.schemaname, range.relname)
    }
}
