//! Types: what a cast to one runs, and what its values must pass.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeName};

use super::catalog::{Cast, Oid, Type, TypeKind};
use super::scope::{Arguments, Scope};
use super::tree::{kind, qualified};
use super::value::{Flow, JSONB, RECORD, TEXT, UNKNOWN, Value, common};
use super::walk::{Walk, Within};

/// `json`
const JSON: Oid = Oid(114);

impl<'a> Walk<'a> {
    /// A cast to a type that is named: its checks, and functions of casts that users made. `value` is `None` where nothing
    /// is cast and values come as texts.
    pub(super) fn cast_to(&mut self, name: &TypeName, value: Option<&Value>) -> Option<Oid> {
        let target = self.type_named(name)?;
        match value {
            Some(value) => self.cast(target, value),
            None => self.must_pass(target),
        }
        Some(target)
    }

    /// A value is cast to a type, as `CAST` does.
    pub(super) fn cast(&mut self, target: Oid, value: &Value) {
        self.must_pass(target);
        if self.catalog.derived().own_casts.is_empty() || value.type_oid == Some(target) {
            return;
        }
        let sources = self.sources(value);
        // A row becomes a composite column by column, each cast to what it becomes.
        let targets = if self.is_of_rows(value) { self.held_in(target) } else { self.catalog.under(target) };
        self.run_casts(sources.as_deref(), |cast| targets.contains(&cast.target));
    }

    /// The same of what is written. A parameter takes the type as its own, and the type of an array is that of what
    /// stands inside `ARRAY[…]`.
    pub(super) fn cast_node(&mut self, node: &Node, target: Option<Oid>, scope: &Scope<'_, 'a>) -> Flow {
        let is_array = |oid: &Oid| self.catalog.type_by_oid(self.base(*oid)).is_some_and(Type::is_array);
        if let Some(NodeEnum::AArrayExpr(array)) = kind(node)
            && let Some(target) = target.filter(is_array)
        {
            self.must_pass(target);
            let elements = array.elements.iter();
            return self.deeper(|walk| {
                elements.fold(Flow::Clear, |flow, node| flow.both(walk.cast_node(node, Some(target), scope)))
            });
        }
        let value = self.value(node, scope);
        match target {
            Some(target) if self.takes_its_type(node, &value) => self.must_pass(target),
            Some(target) => self.cast(target, &value),
            None => (),
        }
        self.consume(&value)
    }

    /// A value of one type, of any where that is not known, becomes one of another.
    pub(super) fn coerced(&mut self, target: Oid, from: Option<Oid>) {
        self.cast(target, &Value::clear(from));
    }

    /// A function or an operator of the server's own writes a value as text by a cast: all but arrays, which it takes
    /// otherwise.
    pub(super) fn written_as_text(&mut self, value: &Value) {
        let is_array = value.type_oid.and_then(|t| self.catalog.type_by_oid(self.base(t)));
        if !is_array.is_some_and(super::catalog::Type::is_array) {
            self.cast(TEXT, value);
        }
    }

    /// A value is assigned to something whose type is not looked at: casts that users made may run.
    pub(super) fn assigns(&mut self, value: &Value) {
        self.assigned_to(value, None);
    }

    /// The same where the type is known: a condition's, a limit's.
    pub(super) fn assigned_to(&mut self, value: &Value, target: Option<Oid>) {
        if self.catalog.derived().own_casts.is_empty() {
            return;
        }
        let sources = self.sources(value);
        self.run_casts(sources.as_deref(), |cast| {
            cast.context != 'e' && target.is_none_or(|target| cast.target == target)
        });
    }

    /// A value may become one of any other type.
    pub(super) fn becomes_anything(&mut self, value: &Value) {
        let sources = self.sources(value);
        self.run_casts(sources.as_deref(), |_| true);
    }

    /// Evaluates what the grammar makes of a type of its own, as an assignment would.
    pub(super) fn assigns_node(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Flow {
        let value = self.value(node, scope);
        if !self.takes_its_type(node, &value) {
            self.assigns(&value);
        }
        self.consume(&value)
    }

    /// The functions of casts that users made, from any of these types, or from any at all.
    fn run_casts(&mut self, sources: Option<&[Oid]>, runs: impl Fn(&Cast) -> bool) {
        let casts = self
            .catalog
            .derived()
            .own_casts
            .iter()
            .filter(|cast| runs(cast) && sources.is_none_or(|sources| sources.contains(&cast.source)));
        let functions: Vec<Oid> = casts.filter_map(|cast| cast.function).collect();
        for function in functions {
            self.call_oid(function);
        }
    }

    /// The types that a cast of a value may start from: its own and those under it; of a row also its columns'. `None`
    /// where it could be any.
    fn sources(&self, value: &Value) -> Option<Vec<Oid>> {
        if let (Some(row), Some(RECORD)) = (&value.row, value.type_oid) {
            let mut all = vec![RECORD];
            for column in row.iter() {
                let of_column = self.sources(&column.value)?;
                all.extend(of_column.into_iter().filter(|t| !all.contains(t)).collect::<Vec<_>>());
            }
            return Some(all);
        }
        let all = self.catalog.under(value.type_oid?);
        let is_certain = |oid: &Oid| {
            // A row by itself is none that becomes a composite; those of an array may be.
            matches!(*oid, UNKNOWN | RECORD)
                || self.catalog.type_by_oid(*oid).is_some_and(|t| t.kind != TypeKind::Pseudo)
        };
        let is_array_of_rows = value.type_oid != Some(RECORD) && all.contains(&RECORD);
        (all.iter().all(is_certain) && !is_array_of_rows).then_some(all)
    }

    /// Whether this is a parameter, which takes the type of its place; or one beside literals that are put together. Types
    /// that the client declares are looked at where it does.
    pub(super) fn takes_its_type(&self, node: &Node, value: &Value) -> bool {
        value.type_oid.is_none() && self.is_of_parameters(node)
    }

    fn is_of_parameters(&self, node: &Node) -> bool {
        match kind(node) {
            Some(NodeEnum::ParamRef(_)) => true,
            Some(NodeEnum::AExpr(operation)) => {
                let side = |node: &Option<Box<Node>>| {
                    node.as_deref().is_some_and(|node| {
                        matches!(kind(node), Some(NodeEnum::AConst(_))) || self.is_of_parameters(node)
                    })
                };
                qualified(&operation.name).is_some_and(|q| q.name == "||")
                    && !self.concatenates_otherwise()
                    && side(&operation.lexpr)
                    && side(&operation.rexpr)
            }
            _ => false,
        }
    }

    /// Whether a user made a `||`, which may give anything.
    fn concatenates_otherwise(&self) -> bool {
        let reviewed = |function: Oid| {
            let extension = self.catalog.function(function).and_then(|f| f.extension.as_deref());
            extension.is_some_and(super::functions::is_reviewed)
        };
        self.catalog.operators_named("||").any(|o| o.is_own() && !reviewed(o.function))
    }

    /// Whether a value is a row, or holds rows, of no type of its own.
    fn is_of_rows(&self, value: &Value) -> bool {
        value.type_oid.map_or(value.row.is_some(), |oid| self.catalog.under(oid).contains(&RECORD))
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

    /// One value or another, of the one type that both become; which of them is named first counts.
    pub(super) fn common(&self, first: Value, second: Value) -> Value {
        // Where types differ, a domain is what is under it.
        let bare = |t: Oid| {
            self.catalog.type_by_oid(self.base(t)).map(|t| t.oid).or_else(|| (t == UNKNOWN).then_some(t))
        };
        let type_oid = match (first.type_oid, second.type_oid) {
            (Some(a), Some(b)) if a == b => Some(a),
            (Some(a), Some(b)) => bare(a).zip(bare(b)).and_then(|(a, b)| common(a, b)),
            (Some(_) | None, None) | (None, Some(_)) => None,
        };
        Value { type_oid, ..first.either(second) }
    }

    /// Casts that users made and that happen by themselves where a function or an operator takes another type.
    pub(super) fn coerces(&mut self, values: &[Value]) {
        if !self.catalog.derived().own_casts.iter().any(|cast| cast.context == 'i') {
            return;
        }
        for value in values {
            let sources = self.sources(value);
            self.run_casts(sources.as_deref(), |cast| cast.context == 'i');
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
                "anyarray" | "anycompatiblearray" => {
                    given.is_array() || matches!(given.kind, TypeKind::Domain | TypeKind::Pseudo)
                }
                "record" => {
                    matches!(given.kind, TypeKind::Composite | TypeKind::Domain | TypeKind::Pseudo)
                }
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
        // What becomes of a domain's base becomes of the domain, and is held against its checks.
        if wanted.kind == TypeKind::Domain {
            return self.stands_for(from, self.base(declared));
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

    /// What a polymorphic result is (`anyelement`, `anyarray` and their kin) where declared arguments take values of these
    /// types, if that is certain.
    pub(super) fn polymorphic(&self, result: Oid, declared: &[Oid], given: &[Option<Oid>]) -> Option<Oid> {
        let (result, compatible) = shape_of(result)?;
        let mut all: Vec<(Shape, Oid)> = Vec::new();
        for (declared, given) in declared.iter().zip(given) {
            let Some((shape, family)) = shape_of(*declared) else { continue };
            if family != compatible || *given == Some(UNKNOWN) {
                continue;
            }
            match given {
                Some(given) => all.push((shape, *given)),
                // One of several that become of one type: any.
                None if compatible => return None,
                // All are of one type.
                None => (),
            }
        }
        let element = |(shape, given): &(Shape, Oid)| match shape {
            Shape::Element => Some(*given),
            Shape::Array => {
                self.catalog.type_by_oid(self.base(*given)).filter(|t| t.is_array()).map(|t| t.element)
            }
            Shape::Range | Shape::Multirange => self.catalog.type_by_oid(self.base(*given)).map(|t| t.bound),
        };
        let elements: Option<Vec<Oid>> = all.iter().map(element).collect();
        let elements = elements?;
        let first = elements.first().copied().filter(|t| t.0 != 0)?;
        let is_same = elements.iter().all(|t| *t == first);
        // Where nothing but one of them comes out, they become what they have in common.
        let alone = all.iter().all(|(shape, _)| *shape == Shape::Element) && result == Shape::Element;
        if compatible && alone && !is_same {
            let bases = elements.iter().map(|t| Some(self.base(*t)));
            return bases.reduce(|a, b| a.zip(b).and_then(|(a, b)| common(a, b))).flatten();
        }
        // Of one type alone nothing becomes another, but for domains.
        if !is_same || compatible && self.base(first) != first {
            return None;
        }
        match result {
            Shape::Element => Some(first),
            Shape::Array => self.catalog.type_by_oid(first).map(|t| t.array_type).filter(|t| t.0 != 0),
            Shape::Range | Shape::Multirange => {
                let given =
                    all.iter().find(|(shape, _)| *shape == result).map(|(_, given)| self.base(*given));
                given.or_else(|| self.made_of_ranges(result, all.first()?.1, first))
            }
        }
    }

    /// The multirange of a range, or the range of a multirange. Of the server's own there is one for each type of bounds.
    fn made_of_ranges(&self, result: Shape, given: Oid, bound: Oid) -> Option<Oid> {
        let wanted = if result == Shape::Range { TypeKind::Range } else { TypeKind::Multirange };
        let is_own = |of: &&Type| of.schema == "pg_catalog" && of.bound == bound;
        let given = self.catalog.type_by_oid(self.base(given)).filter(is_own)?;
        let is_range = matches!(given.kind, TypeKind::Range | TypeKind::Multirange);
        self.catalog.types().find(|of| is_range && of.kind == wanted && is_own(of)).map(|of| of.oid)
    }

    /// What a value must pass to be of a type: checks of domains, input functions of types that users made.
    pub(super) fn must_pass(&mut self, oid: Oid) {
        let Some(this) = self.catalog.type_by_oid(oid) else { return };
        if this.schema == "pg_catalog" && this.kind == TypeKind::Base && !this.is_array() {
            return;
        }
        let frame = self.frame();
        if !self.checked.insert((oid, frame)) {
            return;
        }
        self.deeper(|walk| walk.passes(this));
    }

    /// The same of a type that is not known.
    pub(super) fn must_pass_any(&mut self) {
        let catalog = self.catalog;
        let held = catalog.types().filter(|t| !t.checks.is_empty() || !t.functions.is_empty());
        held.for_each(|held| self.must_pass(held.oid));
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
            TypeKind::Range | TypeKind::Multirange => self.must_pass(this.bound),
            TypeKind::Base | TypeKind::Enum | TypeKind::Pseudo => (),
        }
        for function in &this.functions {
            if !self.is_plain_io(*function) {
                self.call_oid(*function);
            }
        }
    }

    /// Input and output of a type in C, or by what the server has in C, by an extension that was reviewed.
    fn is_plain_io(&self, oid: Oid) -> bool {
        self.catalog.function(oid).is_some_and(|f| {
            matches!(f.language.as_str(), "c" | "internal")
                && f.extension.as_deref().is_some_and(super::functions::is_reviewed)
        })
    }
}

/// What a polymorphic type stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Element,
    Array,
    Range,
    Multirange,
}

/// A polymorphic type, and whether it is of those that values become of a common type for (`anycompatible`).
fn shape_of(oid: Oid) -> Option<(Shape, bool)> {
    Some(match oid.0 {
        // anyelement, anynonarray, anyenum
        2283 | 2776 | 3500 => (Shape::Element, false),
        2277 => (Shape::Array, false),
        3831 => (Shape::Range, false),
        4537 => (Shape::Multirange, false),
        // anycompatible, anycompatiblenonarray
        5077 | 5079 => (Shape::Element, true),
        5078 => (Shape::Array, true),
        5080 => (Shape::Range, true),
        4538 => (Shape::Multirange, true),
        _ => return None,
    })
}
