//! Relations, and all that hangs on them.

use hashbrown::HashSet;

use super::cells::{number, rows};
use super::load::{Answers, Rows, UNREADABLE};
use super::queries::Question;
use super::{Cascade, Catalog, Column, Event, ForeignKey, Oid, Relation, RelationKind, Rule, Trigger, when};

/// Reads relations. Rows of relations that are not there any more are passed over: the answers were not given at one
/// moment.
pub(super) fn read(catalog: &mut Catalog, answers: &Answers<'_>) -> Result<(), String> {
    answers.read(Question::Relations, |answer| relations(catalog, answer))?;
    answers.read(Question::Columns, |answer| columns(catalog, answer))?;
    answers.read(Question::Defaults, |answer| defaults(catalog, answer))?;
    answers.read(Question::Views, |answer| views(catalog, answer))?;
    answers.read(Question::Rules, |answer| rules(catalog, answer))?;
    answers.read(Question::Triggers, |answer| triggers(catalog, answer))?;
    answers.read(Question::Checks, |answer| checks(catalog, answer))?;
    answers.read(Question::ForeignKeys, |answer| foreign_keys(catalog, answer))?;
    answers.read(Question::Indexes, |answer| indexes(catalog, answer))?;
    answers.read(Question::Policies, |answer| policies(catalog, answer))?;
    answers.read(Question::Inheritance, |answer| inheritance(catalog, answer))?;
    answers.read(Question::PartitionKeys, |answer| partition_keys(catalog, answer))
}

fn relations(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    catalog.relations.reserve(answer.len());
    for mut row in rows(answer) {
        let (oid, schema, name) = (row.oid()?, row.string()?, row.string()?);
        let kind = kind(row.letter()?)?;
        let (temporary, secured) = (row.flag()?, row.flag()?);
        let table = row.oid()?;
        let relation = Relation {
            oid,
            schema,
            name,
            kind,
            columns: Vec::new(),
            definition: None,
            rules: Vec::new(),
            triggers: Vec::new(),
            row_security: secured.then(Vec::new),
            checks: Vec::new(),
            index_expressions: Vec::new(),
            parents: Vec::new(),
            children: Vec::new(),
            referenced_by: Vec::new(),
            refers_to: Vec::new(),
            table: (table != Oid(0)).then_some(table),
            temporary,
        };
        catalog.relations.insert(oid, relation);
    }
    Ok(())
}

fn kind(letter: char) -> Result<RelationKind, String> {
    Ok(match letter {
        'r' => RelationKind::Table,
        'p' => RelationKind::Partitioned,
        'v' => RelationKind::View,
        'm' => RelationKind::MaterializedView,
        'f' => RelationKind::Foreign,
        'S' => RelationKind::Sequence,
        'c' => RelationKind::Composite,
        'i' | 'I' => RelationKind::Index,
        other => return Err(format!("{other} is no kind of relation that is known")),
    })
}

fn columns(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let oid = row.oid()?;
        let mut words = row.text()?.split(' ');
        let mut word = || words.next().ok_or_else(|| "fewer columns than names".to_owned());
        let mut columns = Vec::new();
        for name in row.list()? {
            let (attribute, type_oid) = (number(word()?)?, Oid(number(word()?)?));
            let (type_modifier, how) = (number(word()?)?, word()?);
            columns.push(Column {
                number: attribute,
                name,
                type_oid,
                type_modifier,
                default: None,
                generated: how == "g",
                identity: how == "i",
            });
        }
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.columns = columns;
        }
    }
    Ok(())
}

fn defaults(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, attribute) = (row.oid()?, row.number::<i16>()?);
        let default = catalog.printed(row.maybe()?);
        let relation = catalog.relations.get_mut(&oid);
        if let Some(column) = relation.and_then(|r| r.columns.iter_mut().find(|c| c.number == attribute)) {
            column.default = Some(default);
        }
    }
    Ok(())
}

fn views(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, query) = (row.oid()?, row.maybe()?);
        catalog.unreadable += usize::from(query.is_none());
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.definition = query.map(|query| query.trim().trim_end_matches(';').to_owned());
        }
    }
    Ok(())
}

fn rules(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, name) = (row.oid()?, row.string()?);
        let event = match row.letter()? {
            '1' => Event::Select,
            '2' => Event::Update,
            '3' => Event::Insert,
            '4' => Event::Delete,
            other => return Err(format!("{other} is no event of a rule")),
        };
        let instead = row.flag()?;
        let definition = catalog.printed(row.maybe()?);
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.rules.push(Rule { name, event, instead, definition });
        }
    }
    Ok(())
}

fn triggers(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, name, bits, function) = (row.oid()?, row.string()?, row.number::<u16>()?, row.oid()?);
        let (conditional, definition) = (row.flag()?, row.maybe()?);
        let condition = conditional.then(|| catalog.printed(definition.and_then(when::condition)));
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.triggers.push(Trigger { name, events: events(bits), function, condition });
        }
    }
    Ok(())
}

/// `TRIGGER_TYPE_INSERT` and the others (`pg_trigger.h`).
fn events(bits: u16) -> Vec<Event> {
    let all = [(4, Event::Insert), (8, Event::Delete), (16, Event::Update), (32, Event::Truncate)];
    all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, event)| event).collect()
}

/// Those of domains are read with the types.
fn checks(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, _domain) = (row.oid()?, row.oid()?);
        if oid == Oid(0) {
            continue;
        }
        let check = catalog.printed(row.maybe()?);
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.checks.push(check);
        }
    }
    Ok(())
}

fn foreign_keys(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (table, referred) = (row.oid()?, row.oid()?);
        let on_delete = match row.letter()? {
            'a' | 'r' => Cascade::Nothing,
            'c' => Cascade::Delete,
            'n' | 'd' => Cascade::Update,
            other => return Err(format!("{other} is nothing that a foreign key does")),
        };
        let on_update = match row.letter()? {
            'a' | 'r' => Cascade::Nothing,
            'c' | 'n' | 'd' => Cascade::Update,
            other => return Err(format!("{other} is nothing that a foreign key does")),
        };
        if let Some(relation) = catalog.relations.get_mut(&referred) {
            relation.referenced_by.push(ForeignKey { table, on_delete, on_update });
        }
        if let Some(relation) = catalog.relations.get_mut(&table) {
            relation.refers_to.push(referred);
        }
    }
    Ok(())
}

fn indexes(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let oid = row.oid()?;
        let mut expressions = Vec::new();
        for _ in ["expressions", "predicate"] {
            let (is_there, text) = (row.flag()?, row.maybe()?);
            if is_there {
                expressions.push(catalog.printed(text));
            }
        }
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.index_expressions.append(&mut expressions);
        }
    }
    Ok(())
}

/// A row that is put into a partition is held against the key's expressions of every partitioned table above it.
fn partition_keys(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let top = row.oid()?;
        let key = catalog.printed(row.maybe()?);
        for oid in catalog.with_descendants(top) {
            if let Some(relation) = catalog.relations.get_mut(&oid) {
                relation.index_expressions.push(key.clone());
            }
        }
    }
    Ok(())
}

fn policies(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let oid = row.oid()?;
        let mut expressions = Vec::new();
        for _ in ["USING", "WITH CHECK"] {
            let (is_there, text) = (row.flag()?, row.maybe()?);
            if is_there {
                expressions.push(catalog.printed(text));
            }
        }
        // Policies of a table whose row security is off are not applied.
        let relation = catalog.relations.get_mut(&oid);
        if let Some(all) = relation.and_then(|r| r.row_security.as_mut()) {
            all.append(&mut expressions);
        }
    }
    Ok(())
}

fn inheritance(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (child, parent) = (row.oid()?, row.oid()?);
        let is_table =
            |oid| catalog.relations.get(oid).is_some_and(|r: &Relation| r.kind != RelationKind::Index);
        if !(is_table(&child) && is_table(&parent)) {
            continue;
        }
        if let Some(relation) = catalog.relations.get_mut(&child) {
            relation.parents.push(parent);
        }
        if let Some(relation) = catalog.relations.get_mut(&parent) {
            relation.children.push(child);
        }
    }
    Ok(())
}

impl Catalog {
    /// What the server printed, or what stands for it where it could not.
    pub(super) fn printed(&mut self, text: Option<&str>) -> String {
        self.unreadable += usize::from(text.is_none());
        text.unwrap_or(UNREADABLE).to_owned()
    }

    /// A table and all that inherit from it or are partitions of it, at any depth.
    pub(super) fn with_descendants(&self, top: Oid) -> Vec<Oid> {
        let mut all = vec![top];
        let mut seen: HashSet<Oid> = [top].into_iter().collect();
        let mut next = 0;
        while let Some(oid) = all.get(next).copied() {
            next += 1;
            let children = self.relations.get(&oid).into_iter().flat_map(|r| &r.children);
            all.extend(children.filter(|child| seen.insert(**child)));
        }
        all
    }
}
