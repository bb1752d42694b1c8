//! What this session's statements mean: the catalogue, the names in force here, and what was understood before.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Effect;
use sql::postgres::catalog::{Catalog, Oid, Overlay};
use sql::postgres::{Analysis, Control, Named, Options, Refusal, Session, Statement, analyse};

use super::names::Names;
use super::operation::{Epoch, Garbled, Operation, Prepared};
use crate::targets::Target;

/// How many texts are remembered with what they mean.
const REMEMBERED: usize = 512;
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

/// Turns texts into operations.
pub(super) struct Understanding {
    target: Arc<Target>,
    catalogue: Arc<Catalog>,
    /// The catalogue as this session alone sees it, after DDL that is not committed.
    own_catalogue: bool,
    overlay: Option<Overlay>,
    facts: SessionFacts,
    epoch: Epoch,
    /// Nothing could be refused or masked on this target for this principal, so names need not be certain.
    indifferent: bool,
    remembered: HashMap<Box<[u8]>, Arc<Operation>>,
    ddl: bool,
}

impl Understanding {
    pub(super) fn new(target: Arc<Target>, indifferent: bool) -> Self {
        let (catalogue, version) = target.catalogue.current();
        Self {
            target,
            catalogue,
            own_catalogue: false,
            overlay: None,
            facts: SessionFacts::default(),
            epoch: Epoch { session: 0, catalogue: version },
            indifferent,
            remembered: HashMap::new(),
            ddl: false,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether certainty about names changes nothing for this session.
    pub(super) fn is_indifferent(&self) -> bool {
        self.indifferent
    }

    /// Whether the catalogue must be read through the session's own connection.
    pub(super) fn reads_own_catalogue(&self) -> bool {
        self.ddl
    }

    /// DDL was sent: until its transaction ends, only this session sees what it made.
    pub(super) fn ddl_sent(&mut self) {
        self.ddl = true;
    }

    /// Whether DDL of this session waits to be seen by the others.
    pub(super) fn take_ddl(&mut self) -> bool {
        std::mem::take(&mut self.ddl)
    }

    pub(super) fn catalogue(&self) -> &Arc<Catalog> {
        &self.catalogue
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What the server said of how names are resolved now.
    pub(super) fn learned(&mut self, facts: SessionFacts, overlay: Option<Overlay>) {
        if facts != self.facts || overlay.is_some() || self.overlay.is_some() {
            self.epoch.session += 1;
            self.remembered.clear();
        }
        self.facts = facts;
        self.overlay = overlay;
    }

    /// The catalogue as this session alone sees it.
    pub(super) fn learned_catalogue(&mut self, catalogue: Catalog) {
        self.catalogue = Arc::new(catalogue);
        self.own_catalogue = true;
        self.epoch.session += 1;
        self.remembered.clear();
    }

    /// Takes the shared catalogue again, where it has moved or this session had its own.
    pub(super) fn follow(&mut self) {
        let (catalogue, version) = self.target.catalogue.current();
        if self.own_catalogue || version != self.epoch.catalogue {
            self.catalogue = catalogue;
            self.own_catalogue = false;
            self.epoch.catalogue = version;
            self.remembered.clear();
        }
    }

    /// What a text means, or why it cannot be understood.
    pub(super) fn understand(&mut self, text: &[u8], names: &Names, simple: bool) -> Result<Arc<Operation>, Garbled> {
        if !self.own_catalogue {
            self.follow();
        }
        if let Some(known) = self.remembered.get(text) {
            return Ok(Arc::clone(known));
        }
        let utf8 = std::str::from_utf8(text).map_err(|_| Garbled {
            code: "22021",
            message: "the statement is not valid UTF-8".to_owned(),
            hint: Some("Only client_encoding = UTF8 is supported here.".to_owned()),
            position: None,
            simple,
        })?;
        let analysis = self.analyse(utf8, names).map_err(|refusal| garbled(refusal, simple))?;
        let operation = Arc::new(Operation::new(analysis));
        if text.len() <= REMEMBERED_TEXT && !operation.unresolved() && !depends_on_names(&operation) {
            if self.remembered.len() >= REMEMBERED {
                self.remembered.clear();
            }
            self.remembered.insert(text.into(), Arc::clone(&operation));
        }
        Ok(operation)
    }

    /// A prepared statement under the names of this moment: the server analyses it again, too.
    pub(super) fn again(&mut self, prepared: &Arc<Prepared>, names: &Names) -> Result<Arc<Prepared>, Garbled> {
        if !self.own_catalogue {
            self.follow();
        }
        let Some(text) = prepared.text.as_ref().filter(|_| prepared.epoch != self.epoch && !self.indifferent) else {
            return Ok(Arc::clone(prepared));
        };
        let operation = self.understand(text.as_bytes(), names, false)?;
        let fields = std::sync::OnceLock::new();
        if let Some(known) = prepared.fields.get() {
            // The server refuses a cached plan whose result type has changed, so the description stays true.
            let _ = fields.set(Arc::clone(known));
        }
        Ok(Arc::new(Prepared { text: Some(Arc::clone(text)), operation, epoch: self.epoch, fields }))
    }

    /// A call by OID means what `SELECT schema.name(…)` means.
    pub(super) fn function_call(&mut self, oid: u32, names: &Names) -> Arc<Operation> {
        let Some(function) = self.catalogue.function(Oid(oid)) else {
            return self.uncertain("a function that is not in the catalogue");
        };
        let arguments: Vec<String> = (1..=function.arguments.len()).map(|n| format!("${n}")).collect();
        let text = format!("SELECT {}.{}({})", quoted(&function.schema), quoted(&function.name), arguments.join(", "));
        match self.analyse(&text, names) {
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
        self.catalogue.any_tags() && prepared.fields.get().is_none() && returns_rows(&prepared.operation)
    }

    fn analyse(&self, text: &str, names: &dyn Named) -> Result<Analysis, Refusal> {
        let session = Session {
            catalog: &self.catalogue,
            search_path: &self.facts.search_path,
            role: &self.facts.role,
            overlay: self.overlay.as_ref(),
            prepared: names,
        };
        analyse(text, &session, &Options::default())
    }
}

fn returns_rows(operation: &Operation) -> bool {
    operation.statements.iter().any(|s| s.outputs.returns_rows())
}

fn depends_on_names(operation: &Operation) -> bool {
    operation.controls().any(|c| matches!(c, Control::Execute { .. } | Control::Fetch { .. }))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn garbled(refusal: Refusal, simple: bool) -> Garbled {
    let position = refusal.position();
    Garbled { code: refusal.sqlstate(), message: refusal.to_string(), hint: refusal.hint(), position, simple }
}
