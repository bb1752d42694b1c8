//! Which functions a call could mean: by name, path, number and types of its arguments.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{CoercionForm, FuncCall, Node};

use crate::postgres::absent::{Advice, NO_FUNCTION};
use crate::postgres::catalog::{Function, FunctionKind, Type};
use crate::postgres::functions::{Class, Origin, classify};
use crate::postgres::scope::Scope;
use crate::postgres::tree::{self, Qualified, kind, qualified};
use crate::postgres::value::{TEXT, UNKNOWN, Value};
use crate::postgres::walk::Walk;

impl<'a> Walk<'a> {
    /// Every function that a call could mean.
    pub(in crate::postgres) fn candidates_of(
        &mut self,
        call: &FuncCall,
        scope: &Scope<'_, 'a>,
    ) -> Vec<&'a Function> {
        let Some(name) = qualified(&call.funcname) else { return Vec::new() };
        let count = if call.func_variadic { None } else { Some(call.args.len() + within_group(call)) };
        // Before 16 `json_object(…)` was a call like any other; the grammar of today names the server's own.
        let schema =
            name.schema.filter(|s| !(self.major < 16 && *s == "pg_catalog" && name.name == "json_object"));
        // EXTRACT was another name for `date_part`.
        let extract = self.major < 14
            && (schema, name.name) == (Some("pg_catalog"), "extract")
            && call.funcformat() == CoercionForm::CoerceSqlSyntax;
        let name = if extract { "date_part" } else { name.name };
        let all = self.candidates(schema, name, count, false);
        match count {
            Some(count) if !call.agg_within_group => {
                // Variables of code are parameters to the server.
                let in_code = scope.levels().any(|s| s.arguments.is_some_and(|a| a.variables));
                let open = call.args.iter().filter(|node| may_be_void(node, in_code)).count();
                self.with_fewer(all, (schema, name), count.saturating_sub(open)..count)
            }
            Some(_) | None => all,
        }
    }

    /// Parameters of type `void` are no arguments to the server (`ParseFuncOrColumn`, for JDBC's results): it calls what takes
    /// the others. Which they are is the client's to say, or that of what stands around them, so that each may be one. What is
    /// harmless anyway is looked at only where nothing else is meant.
    fn with_fewer(
        &mut self,
        mut all: Vec<&'a Function>,
        (schema, name): (Option<&str>, &str),
        counts: Range<usize>,
    ) -> Vec<&'a Function> {
        let (major, none) = (self.major, all.is_empty());
        let is_harmless = |f: &Function| {
            let origin = f.extension.as_deref().map_or(Origin::Catalog, Origin::Extension);
            let reviewed = f.is_builtin() || f.extension.is_some() && f.language == "c";
            reviewed && classify(origin, &f.name, major) == Some(Class::Harmless)
        };
        let catalog = self.catalog;
        let is_there = |count: &usize| catalog.functions_named(name).any(|f| takes(f, *count));
        for fewer in counts.rev().filter(is_there) {
            for function in self.candidates(schema, name, Some(fewer), false) {
                let known = all.iter().any(|known| known.oid == function.oid);
                if !known && (none || !is_harmless(function)) {
                    all.push(function);
                }
            }
        }
        all
    }

    /// No function of this name takes so many arguments.
    pub(super) fn no_function(&mut self, name: &Qualified<'_>, location: i32, values: &[Value]) {
        let (why, advice) = match name.schema {
            Some(schema) if schema != "pg_temp" && !self.catalog.has_schema(schema) => {
                (format!("schema \"{schema}\" does not exist"), Advice::None)
            }
            schema => {
                let given = self.given_types(values);
                let schema = schema.map(|schema| format!("{schema}.")).unwrap_or_default();
                let why = format!("function {schema}{}({given}) does not exist", name.name);
                (why, Advice::Words(NO_FUNCTION))
            }
        };
        self.absent(why, location, |_| advice);
    }

    /// The types of arguments, as far as they are known.
    pub(in crate::postgres) fn given_types(&self, values: &[Value]) -> String {
        let known = |v: &Value| v.type_oid.and_then(|t| self.catalog.type_by_oid(t));
        let shown = |v: &Value| known(v).map_or_else(|| "unknown".to_owned(), |of| self.said_type(of));
        values.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// A type's name as the server's messages spell it (`format_type`).
    fn said_type(&self, of: &Type) -> String {
        if of.is_array()
            && let Some(element) = self.catalog.type_by_oid(of.element)
        {
            return format!("{}[]", self.said_type(element));
        }
        let first = self.names.path.iter().find_map(|schema| self.catalog.type_named(schema, &of.name));
        let is_seen = of.schema == "pg_catalog" || first.is_some_and(|first| first.oid == of.oid);
        let schema = if is_seen { String::new() } else { format!("{}.", of.schema) };
        format!("{schema}{}", shown_type(of))
    }

    /// Functions by name that the search path shows and that take so many arguments.
    pub(in crate::postgres) fn candidates(
        &mut self,
        schema: Option<&str>,
        name: &str,
        count: Option<usize>,
        procedures: bool,
    ) -> Vec<&'a Function> {
        let catalog = self.catalog;
        let temporary = self.temporary().map(str::to_owned);
        let schema = if schema == Some("pg_temp") { temporary.as_deref().or(schema) } else { schema };
        let mut found: Vec<&'a Function> = catalog
            .functions_named(name)
            .filter(|f| match schema {
                Some(schema) => f.schema == schema,
                None => self.sees(&f.schema),
            })
            .filter(|f| (f.kind == FunctionKind::Procedure) == procedures)
            .filter(|f| count.is_none_or(|count| takes(f, count)))
            .collect();
        if found.len() > 1 && schema.is_none() {
            // Of two with the same arguments the one in the earlier schema is seen.
            found.sort_by_key(|f| self.rank(&f.schema));
            let mut kept: Vec<&'a Function> = Vec::with_capacity(found.len());
            for function in found {
                let plain = |f: &Function| !f.variadic && f.defaults == 0;
                let hidden = kept.iter().any(|k| {
                    k.schema != function.schema
                        && self.hides(&k.schema)
                        && k.arguments == function.arguments
                        && plain(k)
                        && plain(function)
                });
                if !hidden {
                    kept.push(function);
                }
            }
            found = kept;
        }
        let is_system = !found.is_empty() && found.iter().all(|f| f.is_builtin());
        self.function_is_settled(schema, name, is_system);
        found
    }

    /// The candidates whose declared arguments can take these values; all of them where that leaves none.
    pub(in crate::postgres) fn fitting(
        &self,
        candidates: Vec<&'a Function>,
        values: &[Value],
    ) -> Vec<&'a Function> {
        if candidates.len() < 2 {
            return candidates;
        }
        // A literal alone is text for the server where one of its own functions takes that, and no other is there
        // (`func_select_candidate`: the category of strings first, and in it the preferred type).
        if let [Value { type_oid: Some(UNKNOWN), .. }] = values
            && candidates.iter().all(|f| f.is_builtin())
            && let Some(text) = candidates.iter().find(|f| f.arguments == [TEXT] && !f.variadic)
        {
            return vec![*text];
        }
        let fits = |function: &&'a Function| {
            // Where some are left out, others stand in their places.
            let moved = !function.variadic && function.arguments.len() < values.len();
            moved
                || values.iter().enumerate().all(|(index, value)| {
                    let declared = match function.arguments.get(index) {
                        // What is VARIADIC takes elements or the array.
                        Some(_) if function.variadic && index + 1 >= function.arguments.len() => None,
                        declared => declared,
                    };
                    match (value.type_oid, declared) {
                        (Some(given), Some(declared)) => self.stands_for(given, *declared),
                        _ => true,
                    }
                })
        };
        let fitting: Vec<&'a Function> = candidates.iter().copied().filter(fits).collect();
        if fitting.is_empty() { candidates } else { fitting }
    }
}

/// A type's name as the server's messages spell it, without its schema.
pub(in crate::postgres) fn shown_type(of: &Type) -> &str {
    match of.name.as_str() {
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "bool" => "boolean",
        "float4" => "real",
        "float8" => "double precision",
        "varchar" => "character varying",
        "bpchar" => "character",
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        name => name,
    }
}

/// Whether an argument can be a parameter of type `void`.
fn may_be_void(argument: &Node, in_code: bool) -> bool {
    match kind(argument) {
        Some(NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::ColumnRef(_)) => in_code,
        Some(NodeEnum::TypeCast(cast)) => {
            let of = cast.type_name.as_ref().and_then(tree::type_words);
            of.is_some_and(|of| of.name == "void")
                && cast.arg.as_deref().is_some_and(|inner| may_be_void(inner, false))
        }
        _ => false,
    }
}

/// Ordered-set aggregates take the values of `WITHIN GROUP` as arguments.
fn within_group(call: &FuncCall) -> usize {
    if call.agg_within_group { call.agg_order.len() } else { 0 }
}

/// Whether a function can be called with so many arguments.
fn takes(function: &Function, count: usize) -> bool {
    let all = function.arguments.len();
    if function.variadic {
        return count + 1 >= all.saturating_sub(function.defaults);
    }
    count <= all && count >= all.saturating_sub(function.defaults)
}
