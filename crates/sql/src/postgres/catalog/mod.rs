//! What a database holds, as far as it decides what a statement does: read once, shared by all sessions of a target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use hashbrown::HashMap;
use model::{ColumnName, Tag};

mod cells;
mod cleared;
mod derived;
mod load;
mod lookup;
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
pub(crate) use tags::names_in;
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
