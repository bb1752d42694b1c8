//! What this session's statements mean: the catalogue, the names in force here, and what was understood before.

use std::collections::BTreeSet;
use std::sync::Arc;

use masking::Strategy;
use model::{Effect, Tag};
use sql::postgres::catalog::{Catalog, Oid, Type};
use sql::postgres::{
    Analysis, Control, Literal, NoNames, Refusal, Spelled, Statement, Template, Work, template,
};

use super::control::Rows;
use super::expected::Bound;
use super::garbled::Garbled;
use super::meanings::{Meanings, Shared, Way};
use super::names::Names;
use super::operation::Operation;
use super::own;
use super::prepared::{Epoch, Prepared};
use super::reading::{InForce, NotRead, View, prepared_in};
use super::request::Seen;
use super::thinking::{self, Thought, Thoughtful};
use crate::targets::Target;

/// Longer texts are not remembered, in bytes.
const REMEMBERED_TEXT: usize = 4096;

/// How names are resolved in this session, as the server said when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SessionFacts {
    /// The effective schemas, in order, implicit ones included.
    pub search_path: Vec<String>,
    /// The current role.
    pub role: String,
    /// The schema of this session's temporary objects, if it has one.
    pub temporary: Option<String>,
}

/// What a session needs to know of its target.
pub(super) trait Source: Send + Sync {
    /// The shared catalogue and its version.
    fn current(&self) -> (Arc<Catalog>, u64);
    /// The shared catalogue's version alone.
    fn version(&self) -> u64;
    /// What reads the catalogue.
    fn questions(&self) -> Vec<String>;
    /// What the answers say.
    fn build(&self, answers: Vec<Rows>) -> Result<Catalog, String>;
    /// What reads a session's temporary objects alone.
    fn temporary_questions(&self) -> Vec<String>;
    /// A catalogue with those in the answers.
    fn with_temporary(&self, catalogue: &Catalog, answers: &[Rows]) -> Result<Catalog, String>;
    /// What its sessions have understood.
    fn meanings(&self) -> &Shared;
    /// How columns with these tags are masked, where the configuration says so.
    fn strategy(&self, tags: &BTreeSet<Tag>) -> Option<Strategy>;
}

impl Source for Target {
    fn current(&self) -> (Arc<Catalog>, u64) {
        self.catalogue.current()
    }

    fn version(&self) -> u64 {
        self.catalogue.version()
    }

    fn questions(&self) -> Vec<String> {
        self.catalogue.questions()
    }

    fn build(&self, answers: Vec<Rows>) -> Result<Catalog, String> {
        self.catalogue.build(&answers)
    }

    fn temporary_questions(&self) -> Vec<String> {
        self.catalogue.temporary_questions()
    }

    fn with_temporary(&self, catalogue: &Catalog, answers: &[Rows]) -> Result<Catalog, String> {
        self.catalogue.with_temporary(catalogue, answers)
    }

    fn meanings(&self) -> &Shared {
        &self.meanings
    }

    fn strategy(&self, tags: &BTreeSet<Tag>) -> Option<Strategy> {
        Self::strategy(self, tags)
    }
}

/// Turns texts into operations.
pub(super) struct Understanding {
    source: Arc<dyn Source>,
    catalogue: Arc<Catalog>,
    /// The catalogue is as this session alone sees it: with its temporary objects, or DDL that is not committed.
    own_catalogue: bool,
    facts: SessionFacts,
    /// The shared catalogue's version when `facts` were asked for: what moved it may have moved the effective path, too, by a new
    /// schema or by leave to use one.
    facts_of: u64,
    /// That catalogue, or one that shows the same schemas.
    facts_in: Arc<Catalog>,
    epoch: Epoch,
    /// Nothing could be refused or masked on this target for this principal, so names need not be certain.
    indifferent: bool,
    remembered: Meanings,
    ddl: bool,
    /// Whether the server makes transactions read only by itself, as it was when it was asked first.
    read_only: Option<bool>,
    /// What is to be read elsewhere before the client's message can be understood.
    wanted: Option<Thought>,
    /// What was read elsewhere.
    thought: Option<Thoughtful>,
    /// Nobody else waits for the thread: everything is read here.
    unhurried: bool,
    /// The server may keep plans of what this session has sent.
    keeps_plans: bool,
    /// Under which names the oldest of them may have been made.
    plans_of: Epoch,
}

impl Understanding {
    pub(super) fn new(source: Arc<dyn Source>, indifferent: bool) -> Self {
        let (catalogue, version) = source.current();
        Self {
            source,
            facts_in: Arc::clone(&catalogue),
            catalogue,
            own_catalogue: false,
            facts: SessionFacts::default(),
            facts_of: version,
            epoch: Epoch { session: 0, catalogue: version },
            indifferent,
            remembered: Meanings::default(),
            ddl: false,
            read_only: None,
            wanted: None,
            thought: None,
            unhurried: false,
            keeps_plans: false,
            plans_of: Epoch { session: 0, catalogue: version },
        }
    }

    /// One whose thread nobody else waits for.
    pub(super) fn unhurried(self) -> Self {
        Self { unhurried: true, ..self }
    }

    /// What must be read elsewhere before the last message can be understood: then it is looked at again.
    pub(super) fn take_wanted(&mut self) -> Option<Thought> {
        self.wanted.take()
    }

    /// Takes what was read elsewhere.
    pub(super) fn thought(&mut self, thought: Thoughtful) {
        self.thought = Some(thought);
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The same, where others may have defined something since it was last looked at.
    pub(super) fn epoch_now(&mut self) -> Epoch {
        self.keep_up();
        self.epoch
    }

    /// Whether the server makes transactions read only by itself, once it was asked.
    pub(super) fn read_only(&self) -> Option<bool> {
        self.read_only
    }

    /// By what it understands.
    pub(super) fn seen(&self) -> Seen {
        Seen { catalogue: Arc::clone(&self.catalogue), version: self.epoch.catalogue }
    }

    /// Whether certainty about names changes nothing for this session.
    pub(super) fn is_indifferent(&self) -> bool {
        self.indifferent
    }

    /// What must be asked over the session's own connection for names to be certain: only this session sees its temporary
    /// objects, and what DDL made before its transaction ends.
    pub(super) fn purpose(&self) -> own::Purpose {
        if self.ddl {
            own::Purpose::SessionCatalogue
        } else if self.facts.temporary.is_some() {
            own::Purpose::TemporaryObjects
        } else {
            own::Purpose::SessionFacts
        }
    }

    /// Whether what moved the shared catalogue since this session asked how its names are resolved may have moved that, too.
    pub(super) fn is_behind(&self) -> bool {
        if self.source.version() == self.facts_of {
            return false;
        }
        let (now, _) = self.source.current();
        self.own_catalogue || !now.shows_as(&self.facts_in, &self.facts.role)
    }

    /// Something is sent of which the server keeps a plan: it goes on with that although another object is found under a name in it by
    /// now.
    pub(super) fn keeps_plans(&mut self) {
        self.keeps_plans = true;
    }

    /// Whether names may have moved since the server was told to forget its plans: what uses one must wait until it was told so.
    pub(super) fn has_old_plans(&mut self) -> bool {
        self.keep_up();
        self.keeps_plans && self.plans_of != self.epoch
    }

    /// DDL was sent: until its transaction ends, only this session sees what it made.
    pub(super) fn ddl_sent(&mut self) {
        self.ddl = true;
    }

    /// Whether DDL of this session waits to be seen by the others.
    pub(super) fn has_ddl(&self) -> bool {
        self.ddl
    }

    /// All that this session defined is seen by the others.
    pub(super) fn forget_ddl(&mut self) {
        self.ddl = false;
    }

    pub(super) fn catalogue(&self) -> &Arc<Catalog> {
        &self.catalogue
    }

    pub(super) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Whether anything could be masked here.
    pub(super) fn may_mask(&self) -> bool {
        !self.indifferent && self.catalogue.any_tags()
    }

    /// Our statements for a purpose, in order: they are sent now.
    pub(super) fn questions(&mut self, purpose: own::Purpose) -> Vec<String> {
        (self.facts_in, self.facts_of) = self.source.current();
        match purpose {
            own::Purpose::SessionFacts => own::facts_anew(),
            own::Purpose::SessionCatalogue => own::session_catalogue(&self.source.questions()),
            own::Purpose::TemporaryObjects => own::session_catalogue(&self.source.temporary_questions()),
        }
    }

    /// Learns from the answers. Says whether names are certain now, or more must be asked.
    pub(super) fn learn(&mut self, purpose: own::Purpose, mut answers: Vec<Rows>) -> Result<bool, String> {
        let (facts, read_only) = own::facts_of(&answers)?;
        self.read_only.get_or_insert(read_only);
        match purpose {
            own::Purpose::SessionFacts => {
                self.learned(facts);
                if self.purpose() != own::Purpose::SessionFacts {
                    return Ok(false);
                }
                self.follow();
            }
            own::Purpose::SessionCatalogue => {
                let version = self.facts_of;
                let catalogue = self.source.build(own::catalogue_of(&mut answers))?;
                self.learned(facts);
                self.take_own(catalogue, version);
            }
            own::Purpose::TemporaryObjects => {
                let (shared, version) = self.source.current();
                let catalogue = self.source.with_temporary(&shared, &own::catalogue_of(&mut answers))?;
                self.learned(facts);
                self.take_own(catalogue, version);
            }
        }
        self.plans_of = self.epoch;
        Ok(true)
    }

    /// Goes on with a catalogue that is this session's alone.
    fn take_own(&mut self, catalogue: Catalog, version: u64) {
        self.catalogue = Arc::new(catalogue);
        self.own_catalogue = true;
        self.epoch = Epoch { session: self.epoch.session + 1, catalogue: version };
        self.remembered.forget();
    }

    /// Goes on as if the target held this.
    pub(super) fn foresee(&mut self, catalogue: Catalog) {
        self.take_own(catalogue, self.epoch.catalogue);
    }

    /// What its meanings depend on beside the texts; `None` where this session sees what others do not.
    fn way(&self) -> Option<Way<'_>> {
        let SessionFacts { search_path, role, temporary } = &self.facts;
        (!self.own_catalogue && !self.ddl && temporary.is_none()).then_some(Way {
            catalogue: self.epoch.catalogue,
            search_path,
            role,
            indifferent: self.indifferent,
        })
    }

    /// What sessions that resolve names alike have understood.
    fn shared(&self, find: impl FnOnce(&Meanings) -> Option<&Arc<Operation>>) -> Option<Arc<Operation>> {
        self.source.meanings().find(self.way()?, find)
    }

    /// The role that decides about rights, as far as it is known.
    pub(super) fn role(&self) -> &str {
        &self.facts.role
    }

    /// The schemas in which names are found, as far as they are known.
    pub(super) fn path(&self) -> &[String] {
        &self.facts.search_path
    }

    fn learned(&mut self, facts: SessionFacts) {
        if facts != self.facts {
            self.epoch.session += 1;
            self.remembered.forget();
            self.facts = facts;
        }
    }

    /// Takes the shared catalogue again, where it has moved or this session had its own.
    fn follow(&mut self) {
        if !self.own_catalogue && self.source.version() == self.epoch.catalogue {
            return;
        }
        let (catalogue, version) = self.source.current();
        self.epoch.session += u64::from(self.own_catalogue);
        self.own_catalogue = false;
        self.take(catalogue, version);
    }

    /// The same before a text is understood. What is known of the session's names goes with the catalogue that it was asked with.
    fn keep_up(&mut self) {
        if self.own_catalogue || self.source.version() == self.epoch.catalogue {
            return;
        }
        let (catalogue, version) = self.source.current();
        if catalogue.shows_as(&self.facts_in, &self.facts.role) {
            self.facts_of = version;
            self.facts_in = Arc::clone(&catalogue);
        } else if !self.indifferent {
            return;
        }
        self.take(catalogue, version);
    }

    fn take(&mut self, catalogue: Arc<Catalog>, version: u64) {
        self.epoch.catalogue = version;
        self.catalogue = catalogue;
        self.remembered.forget();
    }

    /// What a text means, or why it cannot be understood.
    pub(super) fn understand(
        &mut self,
        text: &[u8],
        names: &Names,
        simple: bool,
    ) -> Result<Arc<Operation>, Garbled> {
        self.keep_up();
        if let Some(known) = self.remembered.text(text) {
            return Ok(Arc::clone(known));
        }
        let short = text.len() <= REMEMBERED_TEXT;
        let mut key = None;
        if short
            && let Ok(utf8) = std::str::from_utf8(text)
            && let Some(Template { key: found, literals }) = template(utf8)
        {
            // It names no statement and no cursor: else it would not have been kept.
            if let Some(known) = self.remembered.template(&found) {
                return Ok(Arc::new(known.with_literals(literals)));
            }
            if let Some(known) = self.shared(|others| others.template(&found)) {
                self.remembered.keep_template(found, &known);
                return Ok(Arc::new(known.with_literals(literals)));
            }
            key = Some(found);
        }
        let short = short && !depends_on_names(text);
        if short && let Some(known) = self.shared(|others| others.text(text)) {
            self.remembered.keep_text(text, &known);
            return Ok(known);
        }
        let analysis = match self.read(text, names) {
            Ok(read) => read,
            Err(not_read) if self.indifferent && self.wanted.is_none() => {
                return Ok(self.not_read(text, &not_read.garbled(simple)));
            }
            Err(not_read) => return Err(not_read.garbled(simple)),
        };
        let operation = Arc::new(Operation::new(analysis));
        if let Some(key) = key.filter(|_| short && operation.is_template()) {
            if let Some(way) = self.way() {
                self.source.meanings().keep(way, |others| others.keep_template(key.clone(), &operation));
            }
            self.remembered.keep_template(key, &operation);
        } else if short && !operation.unresolved() {
            if let Some(way) = self.way() {
                self.source.meanings().keep(way, |others| others.keep_text(text, &operation));
            }
            self.remembered.keep_text(text, &operation);
        }
        Ok(operation)
    }

    /// Reads a text, here if that does not take long.
    fn read(&mut self, text: &[u8], names: &Names) -> Result<Analysis, NotRead> {
        let thought = self.thought.take().and_then(|thought| thought.of(text, self.epoch));
        if let Some(found) = thought {
            return found;
        }
        let here = |work: Work| {
            self.view().read(text, &InForce { view: self.view(), names, work: work.clone() }, work)
        };
        if self.unhurried {
            return here(Work::default());
        }
        if text.len() <= thinking::SHORT {
            match here(Work::of(thinking::FEW)) {
                Err(NotRead::Refused(Refusal::TooMuchWork)) => (),
                read => return read,
            }
        }
        let names = if depends_on_names(text) { names.clone() } else { Names::default() };
        let (catalogue, facts, epoch) = (Arc::clone(&self.catalogue), self.facts.clone(), self.epoch);
        self.wanted = Some(Thought { text: text.into(), catalogue, facts, epoch, names });
        Err(NotRead::Refused(Refusal::TooMuchWork))
    }

    fn view(&self) -> View<'_> {
        View { catalogue: &self.catalogue, facts: &self.facts, epoch: self.epoch }
    }

    /// A text that cannot be read, of somebody who may do the unknown where nothing is masked: policy decides on that, and
    /// the server says in its own words what is wrong with it, or knows a grammar that we do not. All of it counts as a
    /// literal, since nobody knows what is one.
    fn not_read(&self, text: &[u8], garbled: &Garbled) -> Arc<Operation> {
        let whole =
            Literal { value: String::from_utf8_lossy(text).into_owned(), spelled: Spelled::Otherwise };
        let mut statement = Statement::opaque(Effect::unknown(garbled.message.as_str()));
        statement.text = "$1".to_owned();
        statement.literals.push(whole);
        // It may be DDL of a version that is newer than our grammar.
        statement.control.push(Control::Ddl);
        Arc::new(Operation::single(Arc::new(statement)))
    }

    /// The same with the types that a Parse gives its parameters: values become values of these at Bind.
    pub(super) fn typed(&self, operation: Arc<Operation>, types: &[u32]) -> Arc<Operation> {
        if types.is_empty() || self.indifferent {
            return operation;
        }
        let cast =
            |value: &str, to: &Type| format!("CAST({value} AS {}.{})", quoted(&to.schema), quoted(&to.name));
        let (mut values, mut others) = (Vec::new(), Vec::new());
        for oid in types.iter().collect::<BTreeSet<_>>() {
            let Some(named) = self.catalogue.type_by_oid(Oid(*oid)) else {
                return self.uncertain("a parameter of a type that is not in the catalogue");
            };
            let value = cast("NULL", named);
            others.extend(self.catalogue.own_casts_from(named).map(|target| cast(&value, target)));
            values.push(value);
        }
        // Whatever the statement does with them, they may be compared, and made values of other types.
        let conditions = values.join(" AND ");
        values.append(&mut others);
        let text = format!("SELECT DISTINCT {} WHERE {conditions}", values.join(", "));
        match self.view().analyse(&text, &NoNames, Work::of(thinking::FEW)) {
            Ok(analysis) => Arc::new(operation.with_types(&analysis)),
            Err(_) => self.uncertain("a parameter of a type that cannot be named"),
        }
    }

    /// A prepared statement under the names of this moment: the server analyses it again, too, since it was told to forget its
    /// plans when they moved.
    pub(super) fn again(
        &mut self,
        prepared: &Arc<Prepared>,
        names: &Names,
    ) -> Result<Arc<Prepared>, Garbled> {
        self.keep_up();
        let moved = prepared.epoch != self.epoch || prepared.operation.speaks_of_names();
        let Some(text) = prepared.text.as_ref().filter(|_| moved && !self.indifferent) else {
            return Ok(Arc::clone(prepared));
        };
        let whole = self.understand(text.as_bytes(), names, false)?;
        let operation = match &prepared.by_sql {
            None => self.typed(whole, &prepared.types),
            Some(name) => Arc::new(Operation::single(prepared_in(&whole.statements, name))),
        };
        let again = Prepared {
            by_sql: prepared.by_sql.clone(),
            types: prepared.types.clone(),
            declared: Arc::clone(&prepared.declared),
            ..Prepared::new(Some(Arc::clone(text)), operation, self.epoch)
        };
        if let Some(known) = prepared.fields.get() {
            // The server refuses a cached plan whose result type has changed, so the description stays true.
            let _ = again.fields.set(Arc::clone(known));
        }
        if let Some(known) = prepared.described.get() {
            let _ = again.described.set(Arc::clone(known));
        }
        Ok(Arc::new(again))
    }

    /// Whether the code of a cursor that SQL declared does what it did when that was opened.
    pub(super) fn finds_again(&self, cursor: &Bound) -> bool {
        self.view().finds_again(cursor, Work::of(thinking::FEW))
    }

    /// A call by OID means what `SELECT schema.name(…)` means.
    pub(super) fn function_call(&mut self, oid: u32, names: &Names) -> Arc<Operation> {
        self.keep_up();
        let Some(function) = self.catalogue.function(Oid(oid)) else {
            return self.uncertain("a function that is not in the catalogue");
        };
        let arguments: Vec<String> = (1..=function.arguments.len()).map(|n| format!("${n}")).collect();
        let text = format!(
            "SELECT {}.{}({})",
            quoted(&function.schema),
            quoted(&function.name),
            arguments.join(", ")
        );
        let work = Work::of(thinking::FEW);
        match self.view().analyse(&text, &InForce { view: self.view(), names, work: work.clone() }, work) {
            Ok(analysis) => Arc::new(Operation::new(analysis)),
            Err(_) => self.uncertain("a function call that cannot be written as a statement"),
        }
    }

    /// An operation of which only this is known.
    pub(super) fn uncertain(&self, why: &str) -> Arc<Operation> {
        Arc::new(Operation::single(Arc::new(Statement::opaque(Effect::unknown(why)))))
    }

    /// Whether the columns of a statement must be known before its rows come.
    pub(super) fn wants_fields(&self, prepared: &Prepared) -> bool {
        self.may_mask() && prepared.fields.get().is_none() && returns_rows(&prepared.operation)
    }

    /// The same of a cursor.
    pub(super) fn wants_fields_of(&self, bound: &Bound) -> bool {
        self.may_mask() && bound.fields.get().is_none() && returns_rows(&bound.operation)
    }
}

fn returns_rows(operation: &Operation) -> bool {
    operation.statements.iter().any(|s| s.outputs.returns_rows())
}

/// Whether a text may refer to prepared statements or cursors, whose meaning is not in the text. Too often is no harm.
pub(super) fn depends_on_names(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 3] = [b"execute", b"fetch", b"move"];
    let begins =
        |rest: &[u8], word: &[u8]| rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    (0..text.len()).any(|at| {
        let rest = text.get(at..).unwrap_or_default();
        match rest.first().map(u8::to_ascii_lowercase) {
            Some(b'e' | b'f' | b'm') => WORDS.iter().any(|word| begins(rest, word)),
            // `CURRENT OF`, with anything between the two that separates words.
            Some(b'c') => {
                let behind = rest.get(b"current".len());
                begins(rest, b"current") && behind.is_some_and(|b| !b.is_ascii_alphanumeric() && *b != b'_')
            }
            _ => false,
        }
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
