//! Relations, and all that hangs on them.

use hashbrown::HashSet;

use super::cells::{Cells, number, rows};
use super::load::{Answers, Rows, UNREADABLE};
use super::queries::List;
use super::texts::{Printed, Text, Texts};
use super::{Cascade, Catalog, Column, Event, ForeignKey, Oid, Relation, RelationKind, Rule, Trigger, when};

/// Reads relations. Rows of relations that are not there any more are passed over: the answers were not given at one
/// moment.
pub(super) fn read(catalog: &mut Catalog, answers: &Answers<'_>) -> Result<(), String> {
    let texts = &answers.texts;
    answers.read(List::Relations, |answer| relations(catalog, answer))?;
    answers.read(List::Columns, |answer| columns(catalog, texts, answer))?;
    views(catalog, texts);
    answers.read(List::Rules, |answer| rules(catalog, texts, answer))?;
    answers.read(List::Triggers, |answer| triggers(catalog, texts, answer))?;
    answers.read(List::Checks, |answer| checks(catalog, texts, answer))?;
    answers.read(List::ForeignKeys, |answer| foreign_keys(catalog, answer))?;
    answers.read(List::Indexes, |answer| indexes(catalog, texts, answer))?;
    answers.read(List::Statistics, |answer| statistics(catalog, texts, answer))?;
    answers.read(List::Policies, |answer| policies(catalog, texts, answer))?;
    answers.read(List::Inheritance, |answer| inheritance(catalog, answer))?;
    answers.read(List::PartitionKeys, |answer| partition_keys(catalog, texts, answer))?;
    answers.read(List::Marks, |answer| marks(catalog, answer))
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
            statistics: Vec::new(),
            parents: Vec::new(),
            children: Vec::new(),
            referenced_by: Vec::new(),
            refers_to: Vec::new(),
            table: (table != Oid(0)).then_some(table),
            temporary,
            mark: String::new(),
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

fn columns(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let oid = row.oid()?;
        let mut words = row.text()?.split(' ');
        let mut word = || words.next().ok_or_else(|| "fewer columns than names".to_owned());
        let mut columns = Vec::new();
        for name in row.list()? {
            let (attribute, type_oid) = (number::<i16>(word()?)?, Oid(number(word()?)?));
            let (type_modifier, how) = (number(word()?)?, word()?);
            let is = |letter: char| how.contains(letter);
            let has_default = is('g') || is('d');
            let default =
                has_default.then(|| catalog.printed(texts.of(Text::Default, oid, i32::from(attribute))));
            columns.push(Column {
                number: attribute,
                name,
                type_oid,
                type_modifier,
                default,
                generated: is('g'),
                identity: is('i'),
                not_null: is('!'),
            });
        }
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.columns = columns;
        }
    }
    Ok(())
}

/// A view's query that is missing is known to be: a view that `initdb` did not make and that has none is not understood.
fn views(catalog: &mut Catalog, texts: &Texts<'_>) {
    let is_view = |kind| matches!(kind, RelationKind::View | RelationKind::MaterializedView);
    for relation in catalog.relations.values_mut().filter(|r| is_view(r.kind)) {
        match texts.of(Text::View, relation.oid, 0) {
            Printed::Whole(query) => {
                relation.definition = Some(query.trim().trim_end_matches(';').to_owned());
            }
            Printed::Locked => catalog.unreadable += 1,
            Printed::Missing => {}
        }
    }
}

fn rules(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (rule, oid, name) = (row.oid()?, row.oid()?, row.string()?);
        let event = match row.letter()? {
            '1' => Event::Select,
            '2' => Event::Update,
            '3' => Event::Insert,
            '4' => Event::Delete,
            other => return Err(format!("{other} is no event of a rule")),
        };
        let instead = row.flag()?;
        let definition = catalog.printed(texts.of(Text::Rule, rule, 0));
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.rules.push(Rule { name, event, instead, definition });
        }
    }
    Ok(())
}

fn triggers(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (trigger, oid, name) = (row.oid()?, row.oid()?, row.string()?);
        let (bits, function, conditional) = (row.number::<u16>()?, row.oid()?, row.flag()?);
        let deferrable = row.flag()?;
        let condition = conditional.then(|| {
            let definition = catalog.printed(texts.of(Text::Trigger, trigger, 0));
            when::condition(&definition).unwrap_or(UNREADABLE).to_owned()
        });
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            // `TRIGGER_TYPE_INSTEAD`
            let (events, instead) = (events(bits), bits & 64 != 0);
            relation.triggers.push(Trigger { name, events, function, condition, deferrable, instead });
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
fn checks(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (check, oid) = (row.oid()?, row.oid()?);
        if oid == Oid(0) {
            continue;
        }
        let check = catalog.printed(texts.of(Text::Check, check, 0));
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
            'n' => Cascade::Update,
            'd' => Cascade::Default,
            other => return Err(format!("{other} is nothing that a foreign key does")),
        };
        let on_update = match row.letter()? {
            'a' | 'r' => Cascade::Nothing,
            'c' | 'n' => Cascade::Update,
            'd' => Cascade::Default,
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

fn indexes(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (index, oid) = (row.oid()?, row.oid()?);
        let mut expressions = both(catalog, texts, Text::Index, index, &mut row)?;
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.index_expressions.append(&mut expressions);
        }
    }
    Ok(())
}

fn statistics(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (statistics, oid) = (row.oid()?, row.oid()?);
        let expressions = catalog.printed(texts.of(Text::Statistics, statistics, 0));
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.statistics.push(expressions);
        }
    }
    Ok(())
}

/// An object's two texts, as far as it has them.
fn both(
    catalog: &mut Catalog,
    texts: &Texts<'_>,
    text: Text,
    oid: Oid,
    row: &mut Cells<'_>,
) -> Result<Vec<String>, String> {
    let mut both = Vec::new();
    for number in 0..2 {
        if row.flag()? {
            both.push(catalog.printed(texts.of(text, oid, number)));
        }
    }
    Ok(both)
}

/// A row that is put into a partition is held against the key's expressions of every partitioned table above it.
fn partition_keys(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let top = row.oid()?;
        let key = catalog.printed(texts.of(Text::PartitionKey, top, 0));
        for oid in catalog.with_descendants(top) {
            if let Some(relation) = catalog.relations.get_mut(&oid) {
                relation.index_expressions.push(key.clone());
            }
        }
    }
    Ok(())
}

fn policies(catalog: &mut Catalog, texts: &Texts<'_>, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (policy, oid) = (row.oid()?, row.oid()?);
        let mut expressions = both(catalog, texts, Text::Policy, policy, &mut row)?;
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

fn marks(catalog: &mut Catalog, answer: &Rows) -> Result<(), String> {
    for mut row in rows(answer) {
        let (oid, mark) = (row.oid()?, row.string()?);
        if let Some(relation) = catalog.relations.get_mut(&oid) {
            relation.mark = mark;
        }
    }
    Ok(())
}

impl Catalog {
    /// What the server printed, or what stands for it where it did not.
    pub(super) fn printed(&mut self, printed: Printed<'_>) -> String {
        let text = match printed {
            Printed::Whole(text) => text,
            Printed::Locked => {
                self.unreadable += 1;
                UNREADABLE
            }
            Printed::Missing => UNREADABLE,
        };
        text.to_owned()
    }

    /// A table and all that inherit from it or are partitions of it, at any depth.
    pub(in crate::postgres) fn with_descendants(&self, top: Oid) -> Vec<Oid> {
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
