//! Types: what a cast to one runs, and what its values must pass.

use pg_query::protobuf::TypeName;

use super::catalog::{Cast, Oid, Type, TypeKind};
use super::scope::{Arguments, Scope};
use super::value::{JSONB, RECORD, UNKNOWN, Value};
use super::walk::{Walk, Within};

/// `json`
const JSON: Oid = Oid(114);

impl<'a> Walk<'a> {
    /// A cast to a type that is named: its checks, and functions of casts that users made. `from` is the type of what is
    /// cast, OID 0 where it is not known, `None` where nothing is cast and values come as texts.
    pub(super) fn cast_to(&mut self, name: &TypeName, from: Option<Oid>) -> Option<Oid> {
        let target = self.type_named(name)?;
        self.coerced(target, from);
        Some(target)
    }

    /// A value of one type becomes one of another.
    pub(super) fn coerced(&mut self, target: Oid, from: Option<Oid>) {
        self.must_pass(target);
        let Some(from) = from.filter(|from| *from != UNKNOWN && *from != target) else { return };
        let targets = self.under(target);
        let sources = self.under(from);
        let casts: Vec<Oid> = self
            .catalog
            .derived()
            .own_casts
            .iter()
            .filter(|cast| {
                targets.contains(&cast.target) && (from == Oid(0) || sources.contains(&cast.source))
            })
            .filter_map(|cast| cast.function)
            .collect();
        for function in casts {
            self.call_oid(function);
        }
    }

    /// A value is assigned to something whose type is not looked at: casts that users made may run.
    pub(super) fn assigns(&mut self, value: &Value) {
        self.assigned_to(value, None);
    }

    /// The same where the type is known: a condition's, a limit's.
    pub(super) fn assigned_to(&mut self, value: &Value, target: Option<Oid>) {
        let sources = value.type_oid.map(|from| self.under(from));
        let runs = |cast: &&Cast| {
            cast.context != 'e'
                && target.is_none_or(|target| cast.target == target)
                && sources.as_ref().is_none_or(|sources| sources.contains(&cast.source))
        };
        let casts = self.catalog.derived().own_casts.iter().filter(runs);
        let functions: Vec<Oid> = casts.filter_map(|cast| cast.function).collect();
        for function in functions {
            self.call_oid(function);
        }
    }

    /// A value becomes JSON. A cast to that which users made for a type is what its values become, however deep inside.
    pub(super) fn shown_as_json(&mut self, value: &Value) {
        let casts: Vec<Cast> = {
            let all = self.catalog.derived().own_casts.iter();
            all.filter(|cast| matches!(cast.target, JSON | JSONB)).cloned().collect()
        };
        if casts.is_empty() {
            return;
        }
        if let Some(row) = &value.row {
            return row.iter().for_each(|column| self.shown_as_json(&column.value));
        }
        let inside = value.type_oid.filter(|t| *t != RECORD).map(|t| self.held_in(t));
        let runs = casts.iter().filter(|cast| inside.as_ref().is_none_or(|all| all.contains(&cast.source)));
        for function in runs.filter_map(|cast| cast.function) {
            self.call_oid(function);
        }
    }

    /// Two values become of one type: what comes out is one or the other.
    pub(super) fn meets(&mut self, a: &Value, b: &Value) {
        if a.type_oid.is_none() || a.type_oid != b.type_oid {
            self.coerces(&[a.clone(), b.clone()]);
        }
    }

    /// Casts that users made and that happen by themselves where a function or an operator takes another type.
    pub(super) fn coerces(&mut self, values: &[Value]) {
        let casts = &self.catalog.derived().own_casts;
        if !casts.iter().any(|cast| cast.context == 'i') {
            return;
        }
        let mut functions = Vec::new();
        for value in values {
            let sources = value.type_oid.map(|t| self.under(t));
            let fits = casts.iter().filter(|cast| {
                cast.context == 'i' && sources.as_ref().is_none_or(|sources| sources.contains(&cast.source))
            });
            functions.extend(fits.filter_map(|cast| cast.function));
        }
        for function in functions {
            self.call_oid(function);
        }
    }

    /// Whether a value of one type can stand where another is declared, without a cast being written. Where it is not
    /// certain, it can.
    pub(super) fn stands_for(&self, from: Oid, declared: Oid) -> bool {
        if from == declared || from == UNKNOWN {
            return true;
        }
        let (Some(given), Some(wanted)) =
            (self.catalog.type_by_oid(from), self.catalog.type_by_oid(declared))
        else {
            return true;
        };
        if wanted.kind == TypeKind::Pseudo {
            return match wanted.name.as_str() {
                "anyarray" | "anycompatiblearray" => given.is_array() || given.kind != TypeKind::Base,
                "anynonarray" | "anycompatiblenonarray" => !given.is_array(),
                "anyenum" => matches!(given.kind, TypeKind::Enum | TypeKind::Domain),
                "anyrange" | "anycompatiblerange" => matches!(given.kind, TypeKind::Range | TypeKind::Domain),
                "anymultirange" | "anycompatiblemultirange" => {
                    matches!(given.kind, TypeKind::Multirange | TypeKind::Domain)
                }
                "cstring" | "internal" => false,
                _ => true,
            };
        }
        if given.kind == TypeKind::Pseudo {
            return true;
        }
        if self.catalog.derived().is_implicit(from, declared) {
            return true;
        }
        match given.kind {
            TypeKind::Domain => self.stands_for(given.base, declared),
            TypeKind::Composite => wanted.kind == TypeKind::Composite,
            TypeKind::Base if given.is_array() && wanted.is_array() => {
                self.stands_for(given.element, wanted.element)
            }
            TypeKind::Base | TypeKind::Enum | TypeKind::Range | TypeKind::Multirange | TypeKind::Pseudo => {
                false
            }
        }
    }

    /// A type, and those under it: of a domain its base, of an array its element.
    fn under(&self, oid: Oid) -> Vec<Oid> {
        let mut all = vec![oid];
        let mut next = self.catalog.type_by_oid(oid);
        while let Some(this) = next.filter(|_| all.len() < 16) {
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
            all.push(below);
            next = self.catalog.type_by_oid(below);
        }
        all
    }

    /// What a value must pass to be of a type: checks of domains, input functions of types that users made.
    pub(super) fn must_pass(&mut self, oid: Oid) {
        let Some(this) = self.catalog.type_by_oid(oid) else { return };
        if this.schema == "pg_catalog" && this.kind == TypeKind::Base && !this.is_array() {
            return;
        }
        if !self.checked.insert(oid) {
            return;
        }
        self.deeper(|walk| walk.passes(this));
    }

    fn passes(&mut self, this: &'a Type) {
        match this.kind {
            TypeKind::Domain => {
                self.must_pass(this.base);
                for check in &this.checks {
                    let arguments = Arguments {
                        named: vec![(Some("value".to_owned()), Value::clear(Some(this.base)))],
                        ..Arguments::default()
                    };
                    let scope = Scope { arguments: Some(&arguments), ..Scope::default() };
                    self.inside(Within::Internal, |walk| walk.text_expression(check, &scope));
                }
            }
            TypeKind::Composite => {
                let columns = self.catalog.relation_by_oid(this.relation).map(|r| r.columns.as_slice());
                for column in columns.unwrap_or_default() {
                    self.must_pass(column.type_oid);
                }
            }
            TypeKind::Base if this.is_array() => self.must_pass(this.element),
            TypeKind::Base | TypeKind::Enum | TypeKind::Range | TypeKind::Multirange | TypeKind::Pseudo => (),
        }
        for function in &this.functions {
            if !self.is_plain_io(*function) {
                self.call_oid(*function);
            }
        }
    }

    /// Input and output of a type in C, by an extension that was reviewed.
    fn is_plain_io(&self, oid: Oid) -> bool {
        self.catalog.function(oid).is_some_and(|f| {
            f.language == "c" && f.extension.as_deref().is_some_and(super::functions::is_reviewed)
        })
    }
}
