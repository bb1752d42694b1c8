//! What a database holds, as far as it decides what a statement does: read once, shared by all sessions of a target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use hashbrown::HashMap;
use model::{ColumnName, FunctionName, TableName, Tag};

mod cells;
mod cleared;
mod derived;
mod load;
mod objects;
mod polled;
mod queries;
mod reach;
mod relations;
#[cfg(test)]
mod sample;

mod tags;
pub mod tells;
#[cfg(test)]
mod tests;
mod texts;
mod touched;
mod when;

pub use cleared::{Cleared, Standing};
pub(crate) use derived::Derived;
pub use load::{
    Questions, Rows, UNREADABLE, from_rows, from_rows_after, proposals, pulse, queries, questions, retagged,
    room, room_in, signature, temporary_queries, version, who, with_temporary,
};
pub(crate) use queries::FIRST_USER_OID;
pub use reach::Reach;
#[cfg(test)]
pub(crate) use sample::shop;
pub use texts::Piece;

/// A PostgreSQL object identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Oid(pub u32);

/// Where configured columns were found, by relation and number of the column, and where else their values are: in children and
/// partitions, in columns that are generated of them or hold whole rows. A tag stays with a column that was renamed, or whose table
/// was renamed, moved, swapped with another, detached or disinherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed(pub(crate) HashMap<ColumnName, BTreeSet<(Oid, i16)>>);

impl Placed {
    /// Adds a place where a column was found.
    pub fn add(&mut self, column: ColumnName, relation: Oid, number: i16) {
        self.0.entry(column).or_default().insert((relation, number));
    }

    /// Adds what others found of the same columns.
    pub fn also(&mut self, others: &Self) {
        for (column, places) in &mut self.0 {
            places.extend(others.0.get(column).into_iter().flatten());
        }
    }

    /// The same columns, with those places alone that others have not found.
    #[must_use]
    pub fn unknown_to(&self, others: &Self) -> Self {
        let unknown = |(column, places): (&ColumnName, &BTreeSet<(Oid, i16)>)| {
            let known = others.0.get(column);
            let places = places.iter().filter(|place| known.is_none_or(|known| !known.contains(*place)));
            (column.clone(), places.copied().collect())
        };
        Self(self.0.iter().map(unknown).collect())
    }

    /// The columns that were looked for.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnName> {
        self.0.keys()
    }

    /// Each place where one was found.
    pub fn places(&self) -> impl Iterator<Item = (&ColumnName, Oid, i16)> {
        self.0
            .iter()
            .flat_map(|(column, places)| places.iter().map(move |(oid, number)| (column, *oid, *number)))
    }
}

/// A server's objects. Rows of dropped columns and toast tables are not in it.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// `server_version_num`, such as 150008.
    pub server_version: u32,
    /// The database it describes.
    pub database: String,
    pub(crate) relations: HashMap<Oid, Relation>,
    pub(crate) types: HashMap<Oid, Type>,
    pub(crate) functions: HashMap<Oid, Function>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) casts: Vec<Cast>,
    pub(crate) event_triggers: Vec<EventTrigger>,
    pub(crate) families: Vec<Family>,
    /// Extensions by name, with the schema that holds their objects.
    pub(crate) extensions: HashMap<String, String>,
    /// Each with whether `reader` may look for names in it (`USAGE`).
    pub(crate) schemas: BTreeMap<String, bool>,
    /// The role that read it.
    pub(crate) reader: String,
    pub(crate) relation_names: HashMap<String, HashMap<String, Oid>>,
    pub(crate) type_names: HashMap<String, HashMap<String, Oid>>,
    /// By name, then every overload in every schema.
    pub(crate) function_names: HashMap<String, Vec<Oid>>,
    /// By name, as indexes into `operators`.
    pub(crate) operator_names: HashMap<String, Vec<usize>>,
    /// Tags of columns: configured ones, proposed ones, those inherited from parents and partitioned tables, and the
    /// built-in ones of system columns. Columns of views are not in it: theirs follow from their definitions.
    pub(crate) column_tags: HashMap<(Oid, i16), BTreeSet<Tag>>,
    /// Where configured columns were found, here and in the catalogues before.
    pub(crate) placed: Placed,
    /// Tags of whole relations: the system's own copies of data (`system.secret`).
    pub(crate) relation_tags: HashMap<Oid, BTreeSet<Tag>>,
    /// What is asked often and follows from the rest.
    pub(crate) derived: OnceLock<Derived>,
    /// Functions that a person has read, by their signatures.
    pub(crate) cleared: HashMap<String, Cleared>,
    /// It stands where there is none, so that anything may be tagged.
    pub(crate) unread: bool,
    /// How many definitions and expressions could not be printed, because somebody locks what they name.
    pub(crate) unreadable: usize,
}

/// What kind of relation it is (`pg_class.relkind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// `r`
    Table,
    /// `p`
    Partitioned,
    /// `v`
    View,
    /// `m`
    MaterializedView,
    /// `f`
    Foreign,
    /// `S`
    Sequence,
    /// `c`
    Composite,
    /// `i` and `I`
    Index,
}

/// A table, view, sequence, composite type or index.
#[derive(Debug, Clone)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// By attribute number, ascending; dropped and system columns are not in it.
    pub columns: Vec<Column>,
    /// Of a view or materialized view that `initdb` did not make: its query, with every name qualified that is not in
    /// `pg_catalog` or temporary (a temporary relation hides the system's of the same name). `None` for a view outside
    /// `pg_catalog` and `information_schema` means that it could not be read: nothing is known of it.
    pub definition: Option<String>,
    /// Rules other than a view's own `_RETURN`.
    pub rules: Vec<Rule>,
    /// Triggers that are not internal and are enabled.
    pub triggers: Vec<Trigger>,
    /// Row security is on; the expressions of its policies.
    pub row_security: Option<Vec<String>>,
    /// Expressions of CHECK constraints, as SQL with qualified names.
    pub checks: Vec<String>,
    /// Expressions and predicates of its indexes, as SQL with qualified names.
    pub index_expressions: Vec<String>,
    /// Expressions of which statistics are kept: ANALYZE computes them.
    pub statistics: Vec<String>,
    /// Tables that it inherits from or is a partition of.
    pub parents: Vec<Oid>,
    /// Tables that inherit from it, and its partitions.
    pub children: Vec<Oid>,
    /// Foreign keys of *other* tables that refer to this one.
    pub referenced_by: Vec<ForeignKey>,
    /// Tables that its own foreign keys refer to.
    pub refers_to: Vec<Oid>,
    /// Of an index: its table.
    pub table: Option<Oid>,
    /// A temporary table of some session.
    pub temporary: bool,
    /// A digest of all that belongs to its definition; empty for the system's own.
    pub mark: String,
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: Oid,
    /// `pg_attribute.atttypmod`.
    pub type_modifier: i32,
    /// The default or generation expression, as SQL with qualified names.
    pub default: Option<String>,
    /// Computed from other columns (`GENERATED ALWAYS AS … STORED | VIRTUAL`).
    pub generated: bool,
    /// An identity column: an insert advances its sequence.
    pub identity: bool,
    /// `NOT NULL`, and every row was held against it. Tables below may see that otherwise.
    pub not_null: bool,
}

/// A rewrite rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// `pg_rewrite.rulename`.
    pub name: String,
    /// Which statements it rewrites.
    pub event: Event,
    /// Whether its actions replace the statement (`DO INSTEAD`).
    pub instead: bool,
    /// `pg_get_ruledef`: the whole `CREATE RULE …`, with qualified names.
    pub definition: String,
}

/// What a rule or trigger reacts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `SELECT`
    Select,
    /// `INSERT`
    Insert,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `TRUNCATE`
    Truncate,
}

/// A trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// `pg_trigger.tgname`.
    pub name: String,
    /// What it reacts to.
    pub events: Vec<Event>,
    /// What it calls.
    pub function: Oid,
    /// `WHEN`, as SQL (from `pg_get_triggerdef`), if it has one.
    pub condition: Option<String>,
    /// It may run as late as at the end of the transaction (`DEFERRABLE`).
    pub deferrable: bool,
    /// It runs in place of what it reacts to (`INSTEAD OF`).
    pub instead: bool,
}

/// A foreign key, seen from the table that it refers to.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// The referring table.
    pub table: Oid,
    /// `ON DELETE` does something to the referring rows.
    pub on_delete: Cascade,
    /// `ON UPDATE` does something to the referring rows.
    pub on_update: Cascade,
}

/// What a foreign key does to referring rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cascade {
    /// `NO ACTION`, `RESTRICT`.
    Nothing,
    /// `CASCADE` on delete.
    Delete,
    /// `SET NULL`, `CASCADE` on update.
    Update,
    /// `SET DEFAULT`.
    Default,
}

/// What kind of type it is (`pg_type.typtype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// `b`
    Base,
    /// `e`
    Enum,
    /// `d`
    Domain,
    /// `c`
    Composite,
    /// `r`
    Range,
    /// `m`
    Multirange,
    /// `p`
    Pseudo,
}

/// A data type.
#[derive(Debug, Clone)]
pub struct Type {
    /// `pg_type.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TypeKind,
    /// `typelem`, 0 for none; see [`Type::is_array`].
    pub element: Oid,
    /// Whether it is a true array type (`typsubscript = array_subscript_handler`, or `typlen = -1` with `typelem` before 14).
    pub array: bool,
    /// The array type over this one, 0 for none.
    pub array_type: Oid,
    /// Of a domain: the type under it.
    pub base: Oid,
    /// Of a composite type or table's row type: the relation.
    pub relation: Oid,
    /// Of a range or multirange: the type of its bounds.
    pub bound: Oid,
    /// Of a domain: its CHECK expressions (`VALUE` stands for the value), as SQL with qualified names.
    pub checks: Vec<String>,
    /// Of a domain: its default, as SQL.
    pub default: Option<String>,
    /// Input, output, receive and send functions, those of the modifier, and a range's canonical form and difference,
    /// where they are not the server's own.
    pub functions: Vec<Oid>,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

impl Type {
    /// Whether values are arrays of `element`.
    pub fn is_array(&self) -> bool {
        self.array
    }
}

/// What kind of function it is (`pg_proc.prokind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// `f`
    Function,
    /// `p`
    Procedure,
    /// `a`
    Aggregate,
    /// `w`
    Window,
}

/// A function, procedure or aggregate.
#[derive(Debug, Clone)]
pub struct Function {
    /// `pg_proc.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FunctionKind,
    /// Input argument types (`proargtypes`).
    pub arguments: Vec<Oid>,
    /// Names of input arguments, as far as they have any.
    pub argument_names: Vec<Option<String>>,
    /// How many of the last arguments have defaults.
    pub defaults: usize,
    /// The default expressions, as SQL.
    pub default_expressions: Option<String>,
    /// Whether the last argument is `VARIADIC`.
    pub variadic: bool,
    /// The result type.
    pub returns: Oid,
    /// Whether it returns a set.
    pub returns_set: bool,
    /// `OUT`, `INOUT` and `TABLE` columns: name and type.
    pub out_columns: Vec<(String, Oid)>,
    /// `sql`, `plpgsql`, `internal`, `c`, …
    pub language: String,
    /// `prosrc`; empty for functions of `pg_catalog`.
    pub source: String,
    /// `pg_get_function_sqlbody` for `BEGIN ATOMIC` bodies, with qualified names.
    pub sql_body: Option<String>,
    /// `proconfig`: settings that hold while it runs, such as (`search_path`, `pg_catalog`).
    pub config: Vec<(String, String)>,
    /// Runs with its owner's rights.
    pub security_definer: bool,
    /// Of an aggregate: its transition, final, combine, serial and moving functions.
    pub parts: Vec<Oid>,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

/// An operator. One that a user made is there again with the functions of its commutator and its negator: the planner may
/// take those in its place.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The left operand's type; 0 for a prefix operator.
    pub left: Oid,
    /// The right operand's type.
    pub right: Oid,
    /// The result's type.
    pub result: Oid,
    /// What it calls.
    pub function: Oid,
}

impl Operator {
    /// Whether it is not the server's own: what users make in `pg_catalog` is theirs.
    pub fn is_own(&self) -> bool {
        self.schema != "pg_catalog" || self.function.0 >= queries::FIRST_USER_OID
    }
}

/// A cast that was made by `CREATE CAST` or ships with the server.
#[derive(Debug, Clone)]
pub struct Cast {
    /// From.
    pub source: Oid,
    /// To.
    pub target: Oid,
    /// The function; `None` for binary-coercible and I/O casts.
    pub function: Option<Oid>,
    /// `i` implicit, `a` in assignments, `e` explicit only.
    pub context: char,
}

/// An operator family in which users have functions. Whoever compares, sorts or hashes values of its types may call them:
/// the planner chooses among all families that an operator is in.
#[derive(Debug, Clone)]
pub struct Family {
    /// What its operators and functions take, and the types of classes that users made in it.
    pub types: Vec<Oid>,
    /// Its functions and its operators' that are not the server's own.
    pub functions: Vec<Oid>,
}

/// An event trigger that is enabled.
#[derive(Debug, Clone)]
pub struct EventTrigger {
    /// Its name.
    pub name: String,
    /// `ddl_command_start`, …
    pub event: String,
    /// What it calls.
    pub function: Oid,
}

impl Catalog {
    /// One that stands where there is none: it finds no name, and may have any tag.
    pub fn unknown() -> Self {
        Self { unread: true, ..Self::default() }
    }

    /// A relation by schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(self.relation_names.get(schema)?.get(name)?)
    }

    /// A relation by OID.
    pub fn relation_by_oid(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// All relations, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// The schemas that hold a relation of this name.
    pub(crate) fn schemas_of_relations(&self, name: &str) -> impl Iterator<Item = &str> {
        self.relation_names
            .iter()
            .filter(move |(_, names)| names.contains_key(name))
            .map(|(schema, _)| schema.as_str())
    }

    /// The schemas that hold a type of this name.
    pub(crate) fn schemas_of_types(&self, name: &str) -> impl Iterator<Item = &str> {
        self.type_names
            .iter()
            .filter(move |(_, names)| names.contains_key(name))
            .map(|(schema, _)| schema.as_str())
    }

    /// All types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.values()
    }

    /// A type by schema and name.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<&Type> {
        self.types.get(self.type_names.get(schema)?.get(name)?)
    }

    /// A type by OID.
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Type> {
        self.types.get(&oid)
    }

    /// What casts that users made make of values of a type, or of what is under it: a domain's base, an array's element.
    pub fn own_casts_from(&self, from: &Type) -> impl Iterator<Item = &Type> {
        let mut sources = vec![from.oid];
        let mut next = Some(from);
        while let Some(this) = next.filter(|_| sources.len() < 16) {
            let below = match this.kind {
                TypeKind::Domain => this.base,
                TypeKind::Base if this.is_array() => this.element,
                TypeKind::Base
                | TypeKind::Enum
                | TypeKind::Composite
                | TypeKind::Range
                | TypeKind::Multirange
                | TypeKind::Pseudo => break,
            };
            sources.push(below);
            next = self.type_by_oid(below);
        }
        let casts = self.derived().own_casts.iter().filter(move |cast| sources.contains(&cast.source));
        casts.filter_map(|cast| self.type_by_oid(cast.target))
    }

    /// A function by OID.
    pub fn function(&self, oid: Oid) -> Option<&Function> {
        self.functions.get(&oid)
    }

    /// Every overload of a name, in all schemas.
    pub fn functions_named(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.function_names.get(name).into_iter().flatten().filter_map(|oid| self.functions.get(oid))
    }

    /// Every operator of a name, in all schemas.
    pub fn operators_named(&self, name: &str) -> impl Iterator<Item = &Operator> {
        self.operator_names.get(name).into_iter().flatten().filter_map(|i| self.operators.get(*i))
    }

    /// All casts.
    pub fn casts(&self) -> &[Cast] {
        &self.casts
    }

    pub(crate) fn derived(&self) -> &Derived {
        self.derived.get_or_init(|| Derived::of(self))
    }

    /// Enabled event triggers.
    pub fn event_triggers(&self) -> &[EventTrigger] {
        &self.event_triggers
    }

    /// Whether there is a schema of this name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains_key(name)
    }

    /// Whether a role finds names in a schema that is there, as far as that is known: else it is passed over in a search path.
    pub fn is_usable(&self, schema: &str, role: &str) -> Option<bool> {
        match schema {
            "pg_catalog" => Some(true),
            _ if role != self.reader => None,
            schema => self.schemas.get(schema).copied(),
        }
    }

    /// Whether a search path shows the same schemas to a role as by another reading, as far as that is known.
    pub fn shows_as(&self, other: &Self, role: &str) -> bool {
        let known = !role.is_empty() && role == self.reader && role == other.reader;
        known && self.schemas == other.schemas
    }

    /// Whether any column is tagged: in a database that was read some are, the system's own.
    pub fn any_tags(&self) -> bool {
        self.unread || !self.column_tags.is_empty() || !self.relation_tags.is_empty()
    }

    /// How many definitions and expressions the server could not print when it was asked: views without a definition,
    /// and texts that are [`UNREADABLE`]. While there are any, it is worth reading again.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Where configured columns were found so far.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The tags of a table's column.
    pub fn tags(&self, relation: Oid, number: i16) -> &BTreeSet<Tag> {
        const NONE: &BTreeSet<Tag> = &BTreeSet::new();
        self.column_tags.get(&(relation, number)).unwrap_or(NONE)
    }

    /// The tags of a relation as a whole.
    pub fn relation_tags(&self, relation: Oid) -> &BTreeSet<Tag> {
        const NONE: &BTreeSet<Tag> = &BTreeSet::new();
        self.relation_tags.get(&relation).unwrap_or(NONE)
    }

    /// A column's name by OID and number.
    pub fn column_name(&self, relation: Oid, number: i16) -> Option<ColumnName> {
        let relation = self.relation_by_oid(relation)?;
        let column = relation.columns.iter().find(|c| c.number == number)?;
        Some(ColumnName { table: relation.table_name(), name: column.name.clone() })
    }
}

impl Relation {
    /// Its name as effects carry it.
    pub fn table_name(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl Function {
    /// Whether it is the server's own: made by `initdb`, whose objects have the lowest OIDs. What users make in `pg_catalog` is
    /// theirs all the same.
    pub fn is_builtin(&self) -> bool {
        self.schema == "pg_catalog" && self.oid.0 < queries::FIRST_USER_OID
    }

    /// Its name as effects carry it.
    pub fn function_name(&self) -> FunctionName {
        FunctionName { schema: self.schema.clone(), name: self.name.clone() }
    }
}
