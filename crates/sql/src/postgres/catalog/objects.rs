//! Types, functions, operators, casts and extensions.

use super::cells::{Cells, rows};
use super::load::{Answers, Rows};
use super::queries::List;
use super::texts::{Text, Texts};
use super::{Cast, Catalog, Family, Function, FunctionKind, Oid, Operator, Type, TypeKind};

/// Functions of the system have lower OIDs.
const FIRST_USER: Oid = Oid(super::queries::FIRST_USER_OID);

/// Reads them, after the relations.
pub(super) fn read(catalog: &mut Catalog, answers: &Answers<'_>) -> Result<(), String> {
    let texts = &answers.texts;
    answers.read(List::Types, |answer| types(catalog, texts, answer))?;
    answers.read(List::Checks, |answer| domain_checks(catalog, texts, answer))?;
    answers.read(List::Functions, |answer| functions(catalog, texts, answer))?;
    answers.read(List::Aggregates, |answer| aggregates(catalog, answer))?;
    answers.read(List::Operators, |answer| operators(catalog, answer))?;
    answers.read(List::Casts, |answer| casts(catalog, answer))?;
    answers.read(List::Families, |answer| families(catalog, answer))?;
    answers.read(List::Extensions, |answer| extensions(catalog, answer))?;
    answers.read(List::Members, |answer| members(catalog, answer))?;
    Ok(())
}

fn types(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    catalog.types.reserve(answer.len());
    for mut row in rows(answer) {
        let (oid, schema, name) = (row.oid()?, row.string()?, row.string()?);
        let kind = type_kind(row.letter()?)?;
        let (element, array, array_type) = (row.oid()?, row.flag()?, row.oid()?);
        let (base, relation, bound) = (row.oid()?, row.oid()?, row.oid()?);
        let mut functions = row.oids()?;
        functions.retain(|function| *function >= FIRST_USER);
        let default = row.flag()?.then(|| catalog.printed(texts.of(Text::Domain, oid, 0)));
        let (checks, extension) = (Vec::new(), None);
        let each = Type {
            oid,
            schema,
            name,
            kind,
            element,
            array,
            array_type,
            base,
            relation,
            bound,
            checks,
            default,
            functions,
            extension,
        };
        catalog.types.insert(oid, each);
    }
    default_by_domain(catalog);
    Ok(())
}

fn type_kind(letter: char) -> Result<TypeKind, String> {
    Ok(match letter {
        'b' => TypeKind::Base,
        'e' => TypeKind::Enum,
        'd' => TypeKind::Domain,
        'c' => TypeKind::Composite,
        'r' => TypeKind::Range,
        'm' => TypeKind::Multirange,
        'p' => TypeKind::Pseudo,
        other => return Err(format!("{other} is no kind of type that is known")),
    })
}

/// A column without a default of its own has its domain's.
fn default_by_domain(catalog: &mut Catalog) {
    let Catalog { relations, types, .. } = catalog;
    for column in relations.values_mut().flat_map(|r| &mut r.columns) {
        if column.default.is_none() {
            column.default = types.get(&column.type_oid).and_then(|domain| domain.default.clone());
        }
    }
}

fn domain_checks(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (check, _relation, domain) = (row.oid()?, row.oid()?, row.oid()?);
        if domain == Oid(0) {
            continue;
        }
        let check = catalog.printed(texts.of(Text::Check, check, 0));
        if let Some(each) = catalog.types.get_mut(&domain) {
            each.checks.push(check);
        }
    }
    Ok(())
}

fn functions(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    catalog.functions.reserve(answer.len());
    for mut row in rows(answer) {
        let function = function(catalog, texts, &mut row)?;
        catalog.functions.insert(function.oid, function);
    }
    Ok(())
}

fn function(catalog: &mut Catalog, texts: &Texts<'_>, row: &mut Cells<'_>) -> Result<Function, String> {
    let (oid, schema, name) = (row.oid()?, row.string()?, row.string()?);
    let kind = match row.letter()? {
        'f' => FunctionKind::Function,
        'p' => FunctionKind::Procedure,
        'a' => FunctionKind::Aggregate,
        'w' => FunctionKind::Window,
        other => return Err(format!("{other} is no kind of function that is known")),
    };
    let arguments = row.oids()?;
    let (all, modes, names) = (row.oids()?, row.maybe()?.unwrap_or_default(), row.list()?);
    let (argument_names, out_columns) = parameters(arguments.len(), &all, modes, &names);
    Ok(Function {
        oid,
        schema,
        name,
        kind,
        arguments,
        argument_names,
        out_columns,
        defaults: row.number()?,
        default_expressions: row.flag()?.then(|| catalog.printed(texts.of(Text::Arguments, oid, 0))),
        variadic: row.flag()?,
        returns: row.oid()?,
        returns_set: row.flag()?,
        language: row.string()?,
        source: row.maybe()?.unwrap_or_default().to_owned(),
        sql_body: row.flag()?.then(|| catalog.printed(texts.of(Text::Body, oid, 0))),
        config: row
            .list()?
            .iter()
            .filter_map(|s| s.split_once('='))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect(),
        security_definer: row.flag()?,
        parts: Vec::new(),
        extension: None,
    })
}

/// Takes input and output arguments apart. Without modes all are inputs.
fn parameters(
    inputs: usize,
    all: &[Oid],
    modes: &str,
    names: &[String],
) -> (Vec<Option<String>>, Vec<(String, Oid)>) {
    let name = |position: usize| names.get(position).filter(|name| !name.is_empty()).cloned();
    if modes.is_empty() {
        return ((0..inputs).map(name).collect(), Vec::new());
    }
    let (mut argument_names, mut out_columns) = (Vec::new(), Vec::new());
    for (position, (mode, oid)) in modes.chars().zip(all).enumerate() {
        if matches!(mode, 'i' | 'b' | 'v') {
            argument_names.push(name(position));
        }
        if matches!(mode, 'o' | 'b' | 't') {
            let column = name(position).unwrap_or_else(|| format!("column{}", out_columns.len() + 1));
            out_columns.push((column, *oid));
        }
    }
    (argument_names, out_columns)
}

fn aggregates(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, parts) = (row.oid()?, row.oids()?);
        if let Some(function) = catalog.functions.get_mut(&oid) {
            function.parts = parts.into_iter().filter(|part| *part != Oid(0)).collect();
        }
    }
    Ok(())
}

/// The planner may take an operator's commutator, or the negation of its negator, in its place, and believes whoever made
/// them: their functions are candidates of the operator's name, too.
fn operators(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (schema, name) = (row.string()?, row.string()?);
        let (left, right, result, function) = (row.oid()?, row.oid()?, row.oid()?, row.oid()?);
        let others = row.oids()?;
        let operator = Operator { schema, name, left, right, result, function };
        for other in others.into_iter().filter(|other| *other != Oid(0) && *other != function) {
            catalog.operators.push(Operator { function: other, ..operator.clone() });
        }
        catalog.operators.push(operator);
    }
    Ok(())
}

fn casts(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (source, target, function, context) = (row.oid()?, row.oid()?, row.oid()?, row.letter()?);
        let function = (function != Oid(0)).then_some(function);
        catalog.casts.push(Cast { source, target, function, context });
    }
    Ok(())
}

fn families(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (mut types, mut functions) = (row.oids()?, row.oids()?);
        for list in [&mut types, &mut functions] {
            list.sort_unstable();
            list.dedup();
        }
        catalog.families.push(Family { types, functions });
    }
    Ok(())
}

fn extensions(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        catalog.extensions.insert(row.string()?, row.string()?);
    }
    Ok(())
}

fn members(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (is_function, oid, extension) = (row.text()? == "f", row.oid()?, row.string()?);
        if is_function {
            if let Some(function) = catalog.functions.get_mut(&oid) {
                function.extension = Some(extension);
            }
        } else if let Some(each) = catalog.types.get_mut(&oid) {
            each.extension = Some(extension);
        }
    }
    Ok(())
}
