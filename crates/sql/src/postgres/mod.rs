//! PostgreSQL: statements as its own grammar reads them, resolved against a catalogue.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ColumnName, Effect, Facts, Tag};

mod absent;
mod alike;
mod assigning;
mod bodies;
mod calling;
mod calls;
mod canonical;
pub mod catalog;
mod choosing;
mod classes;
mod cleared;
mod common_tables;
pub mod copy;
mod copy_statement;
mod declarations;
mod definitions;
mod drops;
mod expression;
mod findings;
mod frames;
mod functions;
mod json;
mod kinds;
mod lexemes;
pub mod locks;
mod machinery;
mod message;
mod modify;
mod moves;
mod named;
mod names;
mod operators;
pub mod outline;
pub mod overlay;
mod parse;
pub mod pieces;
mod plpgsql;
mod presence;
mod proposals;
mod query;
mod records;
mod references;
mod run_text;
mod scope;
mod session;
pub mod settings;
mod shape;
mod sources;
pub mod stored;
mod system;
mod tables;
mod template;
mod text;
mod tree;
mod truth;
mod types;
mod uncertain;
mod utility;
mod value;
pub mod values;
mod views;
mod walk;
mod words;
mod work;

#[cfg(test)]
mod bodies_tests;
#[cfg(test)]
mod definitions_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod resolution_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work_tests;

pub use absent::{Absent, Advice, Way};
pub use alike::{Alike, Open, alike};
pub use canonical::{at_cursor, canonical};
use catalog::Catalog;
pub use cleared::{Unread, unread};
pub use lexemes::{Lexeme, lexemes};
pub use template::{Template, template};
pub use text::REMOVED;
pub use work::Work;

/// Under which names a text is understood.
pub struct Session<'a> {
    /// What the database holds; for a session with temporary objects or uncommitted DDL, as that session sees it.
    pub catalog: &'a Catalog,
    /// The effective schemas, in order, implicit ones included (`current_schemas(true)`).
    pub search_path: &'a [String],
    /// The current role.
    pub role: &'a str,
    /// Prepared statements and cursors.
    pub prepared: &'a dyn Named,
}

/// The session's prepared statements and cursors by name.
pub trait Named {
    /// What `EXECUTE name` would run.
    fn prepared(&self, name: &str) -> Option<Arc<Statement>>;
    /// What `FETCH … FROM name` would return rows of.
    fn cursor(&self, name: &str) -> Option<Arc<Statement>>;
}

/// No statement is prepared, and no cursor is open.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Named for NoNames {
    fn prepared(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }

    fn cursor(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }
}

/// Bounds of the analysis.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest text, in bytes.
    pub longest: usize,
    /// The deepest nesting of the parse tree.
    pub deepest: usize,
    /// The most words and signs of one text: each takes some hundred bytes while it is read.
    pub wordiest: usize,
    /// The work that is left for it.
    pub work: Work,
}

impl Default for Options {
    fn default() -> Self {
        Self { longest: 64 * 1024 * 1024, deepest: 2_000, wordiest: 1_000_000, work: Work::default() }
    }
}

/// What one message means.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// In the order of the text; none for an empty text.
    pub statements: Vec<Arc<Statement>>,
    /// A digest of all that decides a verdict: effects, facts and outputs of all statements.
    pub shape: [u8; 16],
}

/// What one statement means.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What it would do.
    pub effects: Vec<Effect>,
    /// The other facts.
    pub facts: Facts,
    /// Where the columns of its result come from.
    pub outputs: Outputs,
    /// What it does to the session itself.
    pub control: Vec<Control>,
    /// Its text with `$n` or `?` for literals, secrets of DDL removed, for the journal and the approver.
    pub text: String,
    /// The literals that were replaced, in order.
    pub literals: Vec<Literal>,
    /// A digest of all that decides a verdict.
    pub shape: [u8; 16],
    /// A name was not found; the catalogue may be old.
    pub unresolved: bool,
    /// The first name in its own text that was not found, with its place. It decides nothing.
    pub absent: Option<Absent>,
    /// The values of its literals decide what it means: `ORDER BY 1`, `set_config('…')`, `WHERE 1 = 1`. Where they do
    /// not, every text of the same [`Template`] means the same.
    pub depends_on_literals: bool,
    /// Whether an error's or a notice's words could quote a value of a tagged column: it writes a table that has one,
    /// or may run a function or trigger on it, or uses one other than as a plain output.
    pub touches_tagged: bool,
    /// Functions take part whose bodies, and their names, the server finds by the search path, and among the objects, of the
    /// moment when they run: for a cursor that is each `FETCH`.
    pub by_path: bool,
    /// Some of these may run as late as at the transaction's end, as deferrable triggers do.
    pub deferred: bool,
    /// While it runs it may set the search path or the role.
    pub moves_path: bool,
    /// It makes triggers run that were put off, which may define anything: `SET CONSTRAINTS … IMMEDIATE`.
    pub fires: bool,
    /// It is a utility statement: no plan is kept of it, and the server may find its names as late as when it runs.
    pub is_utility: bool,
}

/// A literal of a statement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its value as text, as far as its spelling is plain; else its spelling.
    pub value: String,
    /// How it is spelled: `'10'` is another value than `10`.
    pub spelled: Spelled,
}

/// How a literal is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelled {
    /// As digits.
    Number,
    /// In single quotes or between dollars, of which the value is the inside.
    Text,
    /// Otherwise, as the value says: `E'…'`, `U&'…'`, `B'…'`, `X'…'`.
    Otherwise,
}

/// The columns of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outputs {
    /// It returns no rows.
    None,
    /// These columns, in order.
    Columns(Vec<OutputColumn>),
    /// Rows whose columns are not known; the reason.
    Opaque(String),
}

impl Outputs {
    /// Whether rows may come.
    pub fn returns_rows(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// What its values depend on.
    pub lineage: Lineage,
}

/// What the values of an output depend on, as far as it is tagged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lineage {
    /// No tagged column.
    Clear,
    /// The very values of one of these columns.
    Plain(Vec<Source>),
    /// Computed from these columns.
    Derived(Vec<Source>),
    /// Not certain; the reason.
    Unknown(String),
}

/// A tagged column that an output depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which.
    pub column: ColumnName,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// Its type.
    pub type_oid: u32,
    /// Its type's modifier.
    pub type_modifier: i32,
}

/// What a statement does to the session itself.
#[derive(Debug, Clone)]
pub enum Control {
    /// `BEGIN`, `START TRANSACTION`; whether it says `READ ONLY` or `READ WRITE`.
    Begin {
        /// `Some(true)` for `READ ONLY`.
        read_only: Option<bool>,
    },
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `SAVEPOINT`
    Savepoint(String),
    /// `ROLLBACK TO SAVEPOINT`
    RollbackTo(String),
    /// `RELEASE SAVEPOINT`
    Release(String),
    /// `PREPARE TRANSACTION`
    PrepareTransaction,
    /// `SET`, `set_config` with literals.
    Set {
        /// Lower case.
        name: String,
        /// The value where it is a literal; `None` for `DEFAULT` or what is not certain.
        value: Option<String>,
        /// `SET LOCAL`.
        local: bool,
    },
    /// `RESET name`; `None` for `RESET ALL`.
    Reset(Option<String>),
    /// `DISCARD`
    Discard(Discard),
    /// `PREPARE name AS …`
    Prepare {
        /// The name.
        name: String,
        /// What is prepared.
        inner: Arc<Statement>,
        /// This statement's own text, whatever else its message says.
        text: Arc<str>,
    },
    /// `EXECUTE name`
    Execute {
        /// The name.
        name: String,
    },
    /// `DEALLOCATE name`; `None` for `ALL`.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR …`
    Declare {
        /// The name.
        name: String,
        /// Its query.
        inner: Arc<Statement>,
        /// `WITH HOLD`.
        hold: bool,
        /// This statement's own text, whatever else its message says.
        text: Arc<str>,
    },
    /// `FETCH`, `MOVE`
    Fetch {
        /// The cursor.
        name: String,
    },
    /// `CLOSE name`; `None` for `ALL`.
    CloseCursor(Option<String>),
    /// `COPY … FROM STDIN`
    CopyIn,
    /// `COPY … TO STDOUT`
    CopyOut(copy::CopyFormat),
    /// `LISTEN`, `UNLISTEN`
    Listen,
    /// `SET ROLE`, `SET SESSION AUTHORIZATION` and their resets.
    SetRole,
    /// The catalogue changes.
    Ddl,
    /// A temporary object is made, changed or dropped.
    TempObject,
    /// A function or code that may change settings runs.
    ChangesSettings,
}

/// What `DISCARD` drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// `ALL`
    All,
    /// `PLANS`
    Plans,
    /// `SEQUENCES`
    Sequences,
    /// `TEMP`
    Temp,
}

impl Discard {
    /// Whether everything is dropped.
    pub fn is_all(self) -> bool {
        self == Self::All
    }
}

/// A text that is not understood, in words for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The grammar does not accept it.
    #[error("{message}")]
    Syntax {
        /// As PostgreSQL words it.
        message: String,
        /// From 1, in characters.
        position: Option<u32>,
    },
    /// It is longer or deeper than the gateway takes.
    #[error("{0}")]
    TooComplex(String),
    /// It makes more work than the gateway takes upon itself.
    #[error("the statement is too complex to be understood in reasonable time")]
    TooMuchWork,
    /// A list has more columns than the server takes.
    #[error("{0}")]
    TooManyColumns(String),
    /// It uses grammar that the target's version does not have or reads otherwise.
    #[error("{0}")]
    OtherVersion(String),
}

impl Refusal {
    /// SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "42601",
            Self::TooComplex(_) | Self::TooMuchWork => "54001",
            Self::TooManyColumns(_) => "54011",
            // The server may well read it, in another way: this is a refusal of ours.
            Self::OtherVersion(_) => "42501",
        }
    }

    /// The same in words that may be kept: nothing of the text is in them that could be a value.
    pub fn kept(&self) -> String {
        parse::without_quoted(&self.to_string())
    }

    /// What would help.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } | Self::TooManyColumns(_) => None,
            Self::TooComplex(_) | Self::TooMuchWork => {
                Some("Send the work in smaller statements.".to_owned())
            }
            Self::OtherVersion(_) => {
                Some("Write it in the form that the server's own version documents.".to_owned())
            }
        }
    }

    /// Where in the text, from 1, in characters.
    pub fn position(&self) -> Option<u32> {
        match self {
            Self::Syntax { position, .. } => *position,
            Self::TooComplex(_) | Self::TooMuchWork | Self::TooManyColumns(_) | Self::OtherVersion(_) => None,
        }
    }
}

impl Statement {
    /// The kind of what is not understood.
    pub const UNKNOWN: &str = "unknown";

    /// A statement of which only this effect is known: a call by OID, what follows the end of a transaction.
    pub fn opaque(effect: Effect) -> Self {
        let why = effect.why.clone().unwrap_or_default();
        let (effects, outputs) = (vec![effect], Outputs::Opaque(why));
        let facts = Facts { kind: Self::UNKNOWN.to_owned(), statements: 1, ..Facts::default() };
        Self {
            shape: shape::digest(&effects, &facts, &outputs),
            effects,
            facts,
            outputs,
            control: vec![Control::ChangesSettings],
            text: String::new(),
            literals: Vec::new(),
            unresolved: false,
            absent: None,
            depends_on_literals: true,
            touches_tagged: true,
            by_path: true,
            deferred: true,
            moves_path: true,
            fires: true,
            is_utility: true,
        }
    }

    /// Notes its own text where that is to be understood again by itself.
    fn keep_text(&mut self, own: &str) {
        for control in &mut self.control {
            if let Control::Prepare { text, .. } | Control::Declare { text, .. } = control {
                *text = own.into();
            }
        }
    }
}

/// What a text means in a session.
///
/// # Errors
/// A [`Refusal`] for what cannot be parsed, is too deep or long, or is not of the server's version. A statement that
/// parses but is not understood is *not* an error: it has an effect `unknown`.
pub fn analyse(text: &str, session: &Session<'_>, options: &Options) -> Result<Analysis, Refusal> {
    let major = session.catalog.server_version / 10_000;
    let parsed = parse::parse(text, major, options)?;
    let mut message = message::Message::new(session, options);
    let mut statements = Vec::with_capacity(parsed.statements.len());
    let mut effects = 0;
    for raw in &parsed.statements {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0);
        let end = match usize::try_from(raw.stmt_len) {
            Ok(length) if length > 0 => start + length,
            _ => text.len(),
        };
        let normal = text::normalise(text, &parsed.tokens, start, end);
        let mut statement = message.statement(raw, normal)?;
        statement.keep_text(text.get(start..end).unwrap_or_default());
        effects += statement.effects.len();
        if effects > work::MOST_EFFECTS {
            let most = work::MOST_EFFECTS;
            return Err(Refusal::TooComplex(format!("the statement would do more than {most} things")));
        }
        statements.push(Arc::new(statement));
    }
    let shape = match statements.as_slice() {
        [one] => one.shape,
        several => shape::combined(several.iter().map(|s| &**s)),
    };
    Ok(Analysis { statements, shape })
}
