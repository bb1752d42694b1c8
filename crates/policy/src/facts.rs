//! One effect as a Cedar request: who, what, on what, and what else is known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Context as CedarContext, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression,
};
use model::{Action, Effect, Particulars, Principal, PrincipalKind, Resource, TableName, Tag, Told};

use crate::particular::{Alone, Known};
use crate::{Context, Grant, TargetFacts};

/// What could not be put into Cedar's terms; such a request is denied.
pub(crate) struct Unspeakable;

fn uid(kind: &str, id: &str) -> Result<EntityUid, Unspeakable> {
    let kind = EntityTypeName::from_str(kind).map_err(|_| Unspeakable)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn string(text: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(text.into())
}

fn strings<I: IntoIterator<Item: ToString>>(items: I) -> RestrictedExpression {
    RestrictedExpression::new_set(items.into_iter().map(|i| string(i.to_string())))
}

/// The entities of one request, parents included.
struct Family<'a> {
    target: &'a str,
    all: HashMap<EntityUid, Entity>,
}

impl Family<'_> {
    fn add(
        &mut self,
        uid: EntityUid,
        attributes: &[(&str, &str)],
        parents: impl IntoIterator<Item = EntityUid>,
    ) -> Result<EntityUid, Unspeakable> {
        let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), string(*v))).collect();
        let entity =
            Entity::new(uid.clone(), attributes, parents.into_iter().collect()).map_err(|_| Unspeakable)?;
        self.all.insert(uid.clone(), entity);
        Ok(uid)
    }

    fn tags(&mut self, tags: &BTreeSet<Tag>) -> Result<Vec<EntityUid>, Unspeakable> {
        tags.iter().map(|tag| self.add(uid("Tag", &tag.0)?, &[], [])).collect()
    }

    fn target(&mut self) -> Result<EntityUid, Unspeakable> {
        uid("Target", self.target)
    }

    fn schema(&mut self, name: &str) -> Result<EntityUid, Unspeakable> {
        let target = self.target()?;
        self.add(uid("Schema", &format!("{}/{name}", self.target))?, &[("name", name)], [target])
    }

    fn table(&mut self, table: &TableName, tags: &BTreeSet<Tag>) -> Result<EntityUid, Unspeakable> {
        let mut parents = self.tags(tags)?;
        parents.push(self.schema(&table.schema)?);
        let uid = uid("Table", &format!("{}/{table}", self.target))?;
        self.add(uid, &[("schema", &table.schema), ("name", &table.name)], parents)
    }

    fn resource(&mut self, resource: &Resource, tags: &BTreeSet<Tag>) -> Result<EntityUid, Unspeakable> {
        match resource {
            Resource::Target => self.target(),
            Resource::Schema(name) => self.schema(name),
            Resource::Table(table) => self.table(table, tags),
            Resource::Column(column) => {
                let mut parents = self.tags(tags)?;
                parents.push(self.table(&column.table, &BTreeSet::new())?);
                let attributes = [
                    ("schema", column.table.schema.as_str()),
                    ("table", column.table.name.as_str()),
                    ("name", column.name.as_str()),
                ];
                self.add(uid("Column", &format!("{}/{column}", self.target))?, &attributes, parents)
            }
            Resource::Function(function) => {
                let schema = self.schema(&function.schema)?;
                let uid = uid("Function", &format!("{}/{function}", self.target))?;
                self.add(uid, &[("schema", &function.schema), ("name", &function.name)], [schema])
            }
            Resource::Setting(name) => {
                let target = self.target()?;
                self.add(uid("Setting", name)?, &[("name", name)], [target])
            }
        }
    }
}

/// What is asked of Cedar.
pub(crate) struct Asked {
    pub request: Request,
    pub entities: Entities,
}

pub(crate) fn ask(
    grant: &Grant,
    target: &TargetFacts,
    effect: &Effect,
    known: Known<'_>,
    now: &Context,
    approvals: &BTreeSet<String>,
) -> Result<Asked, Unspeakable> {
    ask_about(grant, grant.principal(), target, effect, known, now, approvals)
}

/// The same of somebody who says something to what another one asks: the chain, whom it is done for and its purpose are theirs who
/// ask.
pub(crate) fn ask_about(
    grant: &Grant,
    asker: &Principal,
    target: &TargetFacts,
    effect: &Effect,
    known: Known<'_>,
    now: &Context,
    approvals: &BTreeSet<String>,
) -> Result<Asked, Unspeakable> {
    let name = grant.target().as_str();
    let mut family = Family { target: name, all: HashMap::new() };
    let tags = family.tags(&target.tags)?;
    let uid_of_target = family.target()?;
    family.add(uid_of_target, &[("name", name)], tags)?;

    let who = grant.principal();
    let kind = match who.id.kind {
        PrincipalKind::User => "User",
        PrincipalKind::Agent => "Agent",
    };
    let mut groups = HashSet::new();
    for group in &who.groups {
        groups.insert(family.add(uid("Group", group)?, &[], [])?);
    }
    let principal = family.add(uid(kind, &who.id.name)?, &[], groups)?;
    let resource = family.resource(&effect.resource, &effect.tags)?;
    let action = uid("Action", effect.action.as_str())?;
    let context = context(grant, asker, effect, known, now, approvals)?;
    let mut entities: Vec<Entity> = family.all.into_values().collect();
    entities.extend(action_group(effect.action)?);
    Ok(Asked {
        request: Request::new(principal, action, resource, context, None).map_err(|_| Unspeakable)?,
        entities: Entities::from_entities(entities, None).map_err(|_| Unspeakable)?,
    })
}

/// Without the schema at hand, Cedar learns an action's group from entities.
fn action_group(action: Action) -> Result<Option<Entity>, Unspeakable> {
    let Some(group) = action.group() else { return Ok(None) };
    let parents = HashSet::from([uid("Action", group)?]);
    Ok(Some(Entity::new_no_attrs(uid("Action", action.as_str())?, parents)))
}

fn context(
    grant: &Grant,
    asker: &Principal,
    effect: &Effect,
    known: Known<'_>,
    now: &Context,
    approvals: &BTreeSet<String>,
) -> Result<CedarContext, Unspeakable> {
    let long = RestrictedExpression::new_long;
    let bool = RestrictedExpression::new_bool;
    let Known { facts, alone } = known;
    let statement = RestrictedExpression::new_record([
        ("kind".to_owned(), string(&facts.kind)),
        ("has_where".to_owned(), bool(facts.has_where)),
        ("statements".to_owned(), long(facts.statements.into())),
        ("parameters".to_owned(), long(facts.parameters.into())),
        ("tables".to_owned(), strings(&facts.tables)),
        // Cedar does not count what is in a set.
        ("table_count".to_owned(), long(i64::try_from(facts.tables.len()).unwrap_or(i64::MAX))),
        ("functions".to_owned(), strings(&facts.functions)),
    ])
    .map_err(|_| Unspeakable)?;
    let who = grant.principal();
    let mut pairs = vec![
        ("statement".to_owned(), statement),
        ("now".to_owned(), long(now.now)),
        ("address".to_owned(), string(now.address.to_string())),
        ("application".to_owned(), string(&*now.application)),
        ("encrypted".to_owned(), bool(now.encrypted)),
        ("in_transaction".to_owned(), bool(now.in_transaction)),
        ("read_instructions".to_owned(), bool(now.read_instructions)),
        ("on_behalf_of".to_owned(), strings(&asker.on_behalf_of)),
        ("break_glass".to_owned(), bool(grant.break_glass)),
        ("chain".to_owned(), chain(asker)?),
        ("approvals".to_owned(), strings(approvals)),
    ];
    pairs.extend(effect.via.as_ref().map(|via| ("via".to_owned(), string(via.to_string()))));
    pairs.extend(effect.why.as_ref().map(|why| ("why".to_owned(), string(why))));
    pairs.extend(who.asserted.first().map(|word| ("issuer".to_owned(), string(&word.issuer))));
    // A clock that is behind the issuer's makes nobody's groups younger than new.
    let age = who.groups_at().map(|at| now.now.saturating_sub(at).max(0));
    pairs.extend(age.map(|age| ("groups_age".to_owned(), long(age))));
    pairs.extend(asker.purpose.as_ref().map(|purpose| ("purpose".to_owned(), string(purpose))));
    match alone {
        Alone::Told(particulars) => pairs.extend(told(particulars)?),
        // Whatever reads them all the same fails, and what fails denies.
        Alone::Unread | Alone::Open => (),
    }
    CedarContext::from_pairs(pairs).map_err(|_| Unspeakable)
}

fn told(
    particulars: &Particulars,
) -> Result<impl Iterator<Item = (String, RestrictedExpression)>, Unspeakable> {
    let Particulars { values, values_certain, literals, estimated_rows, measured_rows } = particulars;
    let value = |Told { column, how, value }: &Told| {
        let pairs = [("column", column), ("how", how), ("value", value)];
        RestrictedExpression::new_record(pairs.map(|(name, text)| (name.to_owned(), string(text))))
    };
    let values = values.iter().map(value).collect::<Result<Vec<_>, _>>().map_err(|_| Unspeakable)?;
    let long = |number: u64| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
    let known = |name: &str, rows: &Option<u64>| rows.map(|rows| (name.to_owned(), long(rows)));
    let always = [
        ("values".to_owned(), RestrictedExpression::new_set(values)),
        ("values_certain".to_owned(), RestrictedExpression::new_bool(*values_certain)),
        ("literals".to_owned(), long(*literals)),
    ];
    let rows = [known("estimated_rows", estimated_rows), known("measured_rows", measured_rows)];
    Ok(always.into_iter().chain(rows.into_iter().flatten()))
}

/// Who acts for whom, from where it all began to who acts now: `user:alice > agent:coder > agent:tester`.
fn chain(who: &Principal) -> Result<RestrictedExpression, Unspeakable> {
    let path: Vec<String> = who.chain().rev().map(ToString::to_string).collect();
    let of = |kind| strings(who.chain().filter(move |link| link.kind == kind).map(|link| &link.name));
    let depth = i64::try_from(path.len()).map_err(|_| Unspeakable)?;
    RestrictedExpression::new_record([
        ("path".to_owned(), string(path.join(" > "))),
        ("depth".to_owned(), RestrictedExpression::new_long(depth)),
        ("root".to_owned(), string(path.first().ok_or(Unspeakable)?)),
        ("users".to_owned(), of(PrincipalKind::User)),
        ("agents".to_owned(), of(PrincipalKind::Agent)),
    ])
    .map_err(|_| Unspeakable)
}
