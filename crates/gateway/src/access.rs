//! Access: an agent that was held asks beforehand for leave to do some things to some tables of a target, with a reason and for a
//! while. It is a request like any other until people approve it; then it becomes a standing grant of exactly that, or of less. What
//! nobody can give is said at once, and not filed.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    Access, Action, Ceiling, Circumstances, Effect, Facts, Filed, GIVEN_AS, Given, HoldRule, Leave,
    NewRequest, Preview, Request, Resource, Room, SINCE_IT_WAS, StandingGrant, Status, TargetName, Touched,
    Vote, Weighed,
};
use policy::access::Sought;
use policy::standing::longest;
use policy::{Context, Grant};
use serde::Serialize;
use sql::postgres::catalog::{Catalog, Relation, RelationKind};

use crate::approvers::Voter;
use crate::audit::{self, JournalDown};
use crate::gateway::{Gateway, now};
use crate::holds::{self, MOST_OPEN, Parts};
use crate::plans::{PlanError, Refused};
use crate::presence::Act;
use crate::requests::AdminError;
use crate::standing::{MOST, USUAL_LIFE};
use crate::state::StateError;
use crate::tokens::Admitted;

/// So many actions on tables are asked for at once.
const MOST_LEAVES: usize = 20;
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 2000;
/// A statement may change so many rows where neither policy nor whoever asks says so.
const USUAL_ROWS: u64 = 100;
/// What such requests are called in the store.
const KIND: &str = "access";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// On which target.
    pub target: TargetName,
    /// Actions with the tables that they are for, as `update public.orders`.
    pub leaves: Vec<String>,
    /// How many rows a statement may change at most.
    pub most: Option<u64>,
    /// For how long, in seconds.
    pub seconds: Option<u64>,
    /// What for.
    pub reason: String,
}

/// A request for access as whoever made it sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// On which target.
    pub target: TargetName,
    /// What is asked for; once it is given, what is given.
    pub access: Access,
    /// The standing grant that it became.
    pub grant: Option<String>,
    /// Until when that stands, or the request can be answered, in seconds since 1970.
    pub until: i64,
    /// What approvers said.
    pub said: Option<String>,
    /// What of that which was asked for needs nobody's leave.
    pub free: Vec<String>,
    /// How to answer it.
    pub how: String,
}

impl Act {
    /// Answering a request for access, as it is, by giving just this.
    pub fn answer_access(request: &str, digest: &str, approve: bool, given: &Access) -> Self {
        let Access { leaves, most, seconds } = given;
        let most = most.map(|most| most.to_string()).unwrap_or_else(|| "-".to_owned());
        let seconds = seconds.to_string();
        let word = if approve { "approve" } else { "deny" };
        let leaves: Vec<[&str; 3]> =
            leaves.iter().map(|l| [&*l.action, &*l.table.schema, &*l.table.name]).collect();
        let parts: Vec<&str> = [request, digest, word, &*most, &*seconds]
            .into_iter()
            .chain(leaves.into_iter().flatten())
            .collect();
        Self::new("access", &parts)
    }
}

/// The standing grant that a request became, by what became of it.
pub fn given_as(request: &Request) -> Option<&str> {
    request.preview.access.as_ref()?;
    request.outcome.as_deref()?.strip_prefix(GIVEN_AS)
}

/// What all who approved have given together.
pub fn given_by(asked: &Access, votes: &[Vote]) -> Access {
    let yes = votes.iter().filter(|vote| vote.approve).filter_map(|vote| vote.access.as_ref());
    yes.fold(asked.clone(), |all, one| all.and(one))
}

fn refused(reason: String, hint: &str) -> PlanError {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    PlanError::Refused(Refused { statement: None, code: "42501", reason, hint })
}

fn wrong(reason: String, hint: &str) -> PlanError {
    PlanError::Refused(Refused {
        statement: None,
        code: "22023",
        reason,
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
    })
}

/// What has one key: the access of a principal, for the same people on the same target.
pub(crate) fn key(principal: &str, on_behalf_of: &[String], target: &TargetName) -> String {
    let mut key = Parts::default();
    key.take(b"access");
    key.take(principal.as_bytes());
    on_behalf_of.iter().for_each(|person| key.take(person.as_bytes()));
    key.take(b"on");
    key.take(target.as_str().as_bytes());
    key.finish()
}

impl Gateway {
    /// Files a request for access.
    ///
    /// # Errors
    /// Nobody could give it, and why; or it cannot be filed.
    pub async fn ask_access(
        &self,
        admitted: &Admitted,
        wanted: &Wanted,
        moment: &Context,
    ) -> Result<Shown, PlanError> {
        let asked = self.file_access(admitted, wanted, moment).await;
        if let Err(PlanError::Refused(why)) = &asked {
            let who = admitted.principal().id.to_string();
            // The record says what is not told to whoever has no leave.
            let no_leave = self.authorize(admitted.identity(), &wanted.target, moment).err();
            let why = no_leave.map_or_else(|| why.to_string(), |denied| denied.reason);
            let detail = format!("on {}: {}: {why}", wanted.target, wanted.leaves.join(", "));
            self.administered(&who, "access refused", &detail).map_err(|_| JournalDown)?;
        }
        asked
    }

    async fn file_access(
        &self,
        admitted: &Admitted,
        wanted: &Wanted,
        moment: &Context,
    ) -> Result<Shown, PlanError> {
        let Wanted { target, leaves, most, seconds, reason } = wanted;
        if reason.trim().is_empty() || reason.len() > LONGEST_REASON {
            return Err(wrong(format!("a reason has from 1 to {LONGEST_REASON} bytes"), ""));
        }
        if leaves.is_empty() || leaves.len() > MOST_LEAVES {
            return Err(wrong(
                format!("from 1 to {MOST_LEAVES} actions on tables are asked for at once"),
                "",
            ));
        }
        // Whether there is such a target is told to those alone who may use it, as at every login.
        self.may_use(admitted, target, moment)?;
        let grant = self.authorize(admitted.identity(), target, moment)?;
        let known = self.target(target).ok_or_else(|| refused("its target is gone".to_owned(), ""))?;
        known.catalogue.ready().await.map_err(|error| {
            tracing::warn!(%error, "the target of a request for access cannot be read");
            let read = Refused::unread(target, &error, "without which it knows no table");
            PlanError::Refused(Refused { code: "53000", ..read })
        })?;
        let (catalogue, _) = known.catalogue.current();
        let named = leaves.iter().map(|words| effect(&catalogue, words)).collect::<Result<Vec<_>, _>>()?;
        let mut effects = named.clone();
        for one in named.iter().flat_map(|effect| counted_by(&catalogue, effect)) {
            if !effects.contains(&one) {
                effects.push(one);
            }
        }

        let moment = self.suspecting(&grant, moment);
        let (sought, version) = {
            let in_force = self.in_force.load();
            let sought = in_force.policies.sought(&grant, &known.facts, &effects, &moment);
            (sought, in_force.policies.version().to_owned())
        };
        let (held, rules) = match sought {
            Sought::Held { effects, rules } => (effects, rules),
            Sought::Free => {
                let why = "policy lets you do all of this as it is: there is nothing to ask for";
                return Err(PlanError::Refused(Refused {
                    code: holds::UNASKED,
                    hint: Some("Send the statement.".to_owned()),
                    ..Refused::whole(why.to_owned())
                }));
            }
            Sought::Denied(denied) => {
                let why = format!("{}; nobody can give leave for what policy refuses", denied.reason);
                let hint = denied
                    .hint
                    .unwrap_or_else(|| "Do without it, or ask whoever writes policies.".to_owned());
                return Err(refused(why, &hint));
            }
        };
        let longest = longest(&rules).map_err(|why| {
            let hint = "Ask for each statement by itself: send it, and wait for its approval.";
            refused(format!("no access can be given to this: {why}"), hint)
        })?;
        let leaves: BTreeSet<Leave> = held.iter().filter_map(leave).collect();
        let free = named.iter().filter(|effect| !held.contains(effect)).map(audit::line).collect();
        let ceiling = rules.iter().filter_map(|rule| rule.ceiling).min();
        let changes = leaves.iter().any(Leave::changes_rows);
        let rows = most.unwrap_or(USUAL_ROWS).min(ceiling.unwrap_or(u64::MAX));
        let access = Access {
            most: changes.then_some(rows),
            seconds: seconds.unwrap_or(USUAL_LIFE).min(longest),
            leaves,
        };
        if access.seconds == 0 {
            return Err(wrong("access for no time is none".to_owned(), ""));
        }
        let new = new_request(&grant, &catalogue, &held, (rules, version), (&access, reason));
        let id = self.filed_access(&new).await?;
        let found = self.state().request(&id).await?.ok_or_else(|| none(&id))?;
        Ok(Shown { free, ..self.access_shown(found).await? })
    }

    async fn filed_access(&self, new: &NewRequest) -> Result<String, PlanError> {
        let limits = self.limits();
        let room = Room { waiting: MOST_OPEN, one: limits.requests_of_one, all: limits.requests_in_all };
        let whole =
            |why: &str| PlanError::Refused(Refused { code: "53400", ..Refused::whole(why.to_owned()) });
        let (id, is_new) = match self.state().file(new, &room).await? {
            Filed::Before(id) => (id, false),
            Filed::Now(id) | Filed::Anew(id, _) => (id, true),
            Filed::TooMany => return Err(whole("too many requests of yours wait already")),
            Filed::NoRoom { .. } => {
                return Err(whole("there is no room for its request: ask the gateway's operator"));
            }
        };
        if is_new {
            let people: String = new.on_behalf_of.iter().map(|person| format!(" for {person}")).collect();
            let reason = new.preview.reason.as_deref().unwrap_or_default();
            let bounds = new.preview.access.as_ref().map(Access::bounds).unwrap_or_default();
            let detail = format!(
                "request {id}, digest {}:{people} on {}, {}, {bounds}; reason: {reason}",
                new.digest, new.target, new.text
            );
            // What is not on record is not asked.
            if self.administered(&new.principal, "access asked for", &detail).is_err() {
                self.state().withdraw(&id).await?;
                return Err(JournalDown.into());
            }
        }
        self.holds().changed();
        Ok(id)
    }

    /// One's own request for access. One that was approved and is not given yet, as where a gateway ended in between, is given now.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn own_access(&self, admitted: &Admitted, id: &str) -> Result<Shown, PlanError> {
        let found = self.own_request(admitted, id).await?.ok_or_else(|| none(id))?;
        if found.preview.access.is_some() && found.status == Status::Approved {
            self.give_access(id).await.map_err(plainly)?;
        }
        let found = self.state().request(id).await?.ok_or_else(|| none(id))?;
        self.access_shown(found).await
    }

    async fn access_shown(&self, request: Request) -> Result<Shown, PlanError> {
        let Some(asked) = request.preview.access.clone() else { return Err(none(&request.id)) };
        let grant = match given_as(&request) {
            Some(id) => self.state().standing_grant(id).await?,
            None => None,
        };
        let page = self.console_place().map(|place| format!(", or {}", place.request(&request.id)));
        let said = request.votes.iter().rev().find_map(|vote| vote.words.clone());
        let (until, access) = match &grant {
            Some(grant) => (grant.expires, grant.access.clone().unwrap_or(asked)),
            None => (request.expires, asked),
        };
        Ok(Shown {
            how: format!("durward requests approve {}{}", request.id, page.unwrap_or_default()),
            id: request.id,
            status: request.status,
            target: request.target,
            access,
            grant: grant.map(|grant| grant.id),
            until,
            said,
            free: Vec::new(),
        })
    }

    /// What is left of the access that a request asks for, where just these actions on tables are given, or for less long.
    ///
    /// # Errors
    /// There is no such request for them, or no such part of it.
    pub async fn narrower(
        &self,
        id: &str,
        voter: &Voter,
        only: &[String],
        seconds: Option<u64>,
    ) -> Result<Access, AdminError> {
        let found = self.state().request(id).await?.filter(|request| voter.is_asked(request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        let Some(asked) = found.preview.access else {
            return Err(AdminError::Refused(format!("request {id} asks for no access, but for a statement")));
        };
        let named = |leave: &&Leave| only.is_empty() || only.iter().any(|one| leave.is_written(one));
        let leaves: BTreeSet<Leave> = asked.leaves.iter().filter(named).cloned().collect();
        if let Some(other) = only.iter().find(|one| !leaves.iter().any(|leave| leave.is_written(one))) {
            let why = format!("\"{}\" is not asked for: {}", crate::visible::line(other), asked.line());
            return Err(AdminError::Refused(why));
        }
        Ok(Access { leaves, seconds: seconds.unwrap_or(asked.seconds), most: asked.most })
    }

    /// Makes a standing grant of what was asked for as access and is approved: what all who approved it gave. Whoever comes second finds
    /// it done.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be stored or recorded.
    pub(crate) async fn give_access(&self, request: &str) -> Result<Option<StandingGrant>, AdminError> {
        let Some(found) = self.state().request(request).await? else { return Ok(None) };
        let Some(asked) = found.preview.access.as_ref().filter(|_| found.status == Status::Approved) else {
            return Ok(None);
        };
        if let Some(changed) = self.outruled(&found.holds) {
            self.state().supersede(request, &format!("{changed}{SINCE_IT_WAS}approved")).await?;
            self.holds().changed();
            return Err(AdminError::Refused(format!("{changed} since request {request} was asked for")));
        }
        let access = given_by(asked, &found.votes);
        let mut givers = found.votes.iter().filter(|vote| vote.approve).cloned();
        let giver = givers.next().filter(|_| !access.leaves.is_empty());
        let Some(giver) = giver else {
            let why = "nothing is left of what each of those who approved it gave";
            self.state().supersede(request, why).await?;
            self.holds().changed();
            return Err(AdminError::Refused(why.to_owned()));
        };
        let mut chance = [0; 5];
        aws_lc_rs::rand::fill(&mut chance)
            .map_err(|_| AdminError::Refused("the system gives no randomness".to_owned()))?;
        let given = now();
        let grant = StandingGrant {
            id: format!("g{}", audit::hex(&chance)),
            request: request.to_owned(),
            key: key(&found.principal, &found.on_behalf_of, &found.target),
            meaning: String::new(),
            touched: found.touched.clone(),
            principal: found.principal.clone(),
            on_behalf_of: found.on_behalf_of.clone(),
            target: found.target.clone(),
            text: access.line(),
            values: Vec::new(),
            circumstances: Circumstances::default(),
            effects: access.leaves.iter().map(ToString::to_string).collect(),
            holds: found.holds.clone(),
            most: access.most.unwrap_or_default(),
            uses: None,
            used: 0,
            giver,
            others: givers.collect(),
            given,
            expires: given.saturating_add(i64::try_from(access.seconds).unwrap_or(i64::MAX)),
            access: Some(access),
            ended: None,
        };
        let people: String = grant.on_behalf_of.iter().map(|person| format!(" for {person}")).collect();
        let by: Vec<String> = grant
            .givers()
            .map(|vote| format!("{} by {}", vote.voter, vote.proof.as_deref().unwrap_or_default()))
            .collect();
        let bounds = grant.access.as_ref().map(Access::bounds).unwrap_or_default();
        let detail = format!(
            "{} from request {request}, digest {}: {}{people} on {}, {}, {bounds}, until {}, given by {}",
            grant.id,
            found.digest,
            grant.principal,
            grant.target,
            grant.text,
            grant.expires,
            by.join(" and ")
        );
        self.administered(&grant.giver.voter, "standing grant given", &detail)?;
        // Who is removed meanwhile takes the approval along.
        match self.state().give(&grant, &[], MOST).await? {
            Given::Now => (),
            Given::Full => {
                let why =
                    format!("{MOST} standing grants are in force: revoke some first, and approve it again");
                return Err(AdminError::Refused(why));
            }
            // Somebody was first.
            Given::Unapproved | Given::Nobody => return Ok(None),
        }
        self.let_go_on(&grant).await?;
        self.holds().changed();
        Ok(Some(grant))
    }

    /// What waits and could be covered is not asked any more: its sessions ask anew, and it is decided then whether it is.
    async fn let_go_on(&self, grant: &StandingGrant) -> Result<(), StateError> {
        let is_known = |rule: &HoldRule| grant.holds.iter().any(|known| known.id == rule.id);
        let is_read = |line: &String| line.starts_with("select ");
        for one in self.state().requests_of(&grant.principal, MOST_OPEN).await? {
            let same = one.status == Status::Pending
                && one.target == grant.target
                && one.on_behalf_of == grant.on_behalf_of
                && one.holds.iter().all(is_known)
                && one.effects.iter().any(|line| grant.effects.contains(line))
                && one.effects.iter().all(|line| is_read(line) || grant.effects.contains(line));
            if !same {
                continue;
            }
            let whole = self.state().request(&one.id).await?.map(|found| found.preview);
            // A plan is approved as a whole, and access becomes a grant of its own.
            if whole.is_some_and(|seen| seen.ordered.is_none() && seen.access.is_none()) {
                let why = format!("the standing grant {} was given{SINCE_IT_WAS}asked for", grant.id);
                self.state().supersede(&one.id, &why).await?;
            }
        }
        Ok(())
    }

    /// A moment, with what somebody has read of late.
    pub(crate) fn suspecting(&self, grant: &Grant, moment: &Context) -> Context {
        let suspected = self.suspicions.is_of(|| crate::attempts::named(grant));
        Context { read_instructions: moment.read_instructions || suspected, ..moment.clone() }
    }
}

fn none(id: &str) -> PlanError {
    PlanError::Refused(Refused {
        code: "42704",
        ..Refused::whole(format!("you have no request {} for access", crate::visible::line(id)))
    })
}

fn plainly(error: AdminError) -> PlanError {
    match error {
        AdminError::State(error) => error.into(),
        AdminError::Journal(down) => down.into(),
        AdminError::Missing(why) | AdminError::Refused(why) | AdminError::Target(why) => refused(why, ""),
    }
}

/// The effect that words ask leave for, on a table that there is.
fn effect(catalogue: &Catalog, words: &str) -> Result<Effect, PlanError> {
    let shown = crate::visible::line(words);
    let Some((action, table)) = Leave::read(words) else {
        let actions: Vec<&str> = Leave::actions().collect();
        return Err(wrong(
            format!("\"{shown}\" is no access that can be asked for"),
            &format!(
                "Write an action and a table, as update schema.table; actions are {}.",
                actions.join(", ")
            ),
        ));
    };
    let mut named = catalogue.relations().filter(|relation| relation.table_name().is_written(table));
    match (named.next(), named.next()) {
        (Some(relation), None) => Ok(Effect {
            tags: catalogue.relation_tags(relation.oid).clone(),
            ..Effect::new(action, Resource::Table(relation.table_name()))
        }),
        (Some(_), Some(_)) => Err(wrong(format!("\"{shown}\" may mean more than one table"), "")),
        (None, _) => Err(wrong(
            format!("there is no table of the name in \"{shown}\""),
            "Tables are written as schema.table.",
        )),
    }
}

/// The sequences by which rows count that are added: who adds them takes their next numbers.
fn counted_by(catalogue: &Catalog, effect: &Effect) -> Vec<Effect> {
    let Resource::Table(table) = &effect.resource else { return Vec::new() };
    if !matches!(effect.action, Action::Insert | Action::Merge) {
        return Vec::new();
    }
    let Some(relation) = catalogue.relation(&table.schema, &table.name) else { return Vec::new() };
    let mut sequences = Vec::new();
    for column in &relation.columns {
        if column.identity {
            sequences.push(relation);
        }
        let by = column.default.as_deref().and_then(|default| default.split_once("nextval('"));
        if let Some((name, _)) = by.and_then(|(_, rest)| rest.split_once('\'')) {
            let name = name.replace('"', "");
            let is_it = |one: &&Relation| {
                one.kind == RelationKind::Sequence
                    && (one.table_name().to_string() == name
                        || one.schema == table.schema && one.name == name)
            };
            sequences.extend(catalogue.relations().find(is_it));
        }
    }
    let effect = |relation: &Relation| Effect {
        tags: catalogue.relation_tags(relation.oid).clone(),
        ..Effect::new(Action::Sequence, Resource::Table(relation.table_name()))
    };
    sequences.into_iter().map(effect).collect()
}

fn leave(effect: &Effect) -> Option<Leave> {
    match &effect.resource {
        Resource::Table(table) => {
            Some(Leave { action: effect.action.as_str().to_owned(), table: table.clone() })
        }
        Resource::Target
        | Resource::Schema(_)
        | Resource::Column(_)
        | Resource::Function(_)
        | Resource::Setting(_) => None,
    }
}

fn new_request(
    grant: &Grant,
    catalogue: &Arc<Catalog>,
    effects: &[Effect],
    (holds, version): (Vec<HoldRule>, String),
    (access, reason): (&Access, &str),
) -> NewRequest {
    let principal = grant.principal();
    let on_behalf_of: Vec<String> = principal.on_behalf_of.iter().map(ToString::to_string).collect();
    let tables = access.leaves.iter().map(|leave| leave.table.clone()).collect();
    let facts = Facts { kind: KIND.to_owned(), tables, ..Facts::default() };
    let touched = catalogue.touched(&facts, &[]);
    let mut subject = Parts::default();
    // No statement has these parts.
    subject.take(b"durward access");
    subject.take(principal.id.to_string().as_bytes());
    on_behalf_of.iter().for_each(|person| subject.take(person.as_bytes()));
    subject.take(b"on");
    subject.take(grant.target().as_str().as_bytes());
    for Leave { action, table } in &access.leaves {
        [action, &table.schema, &table.name].into_iter().for_each(|part| subject.take(part.as_bytes()));
    }
    subject.take(b"within");
    subject.take(format!("{:?} {}", access.most, access.seconds).as_bytes());
    let mut digest = subject.clone();
    for Touched { what, mark } in &touched {
        digest.take(what.as_bytes());
        digest.take(mark.as_bytes());
    }
    let text = access.line();
    NewRequest {
        digest: digest.finish(),
        subject: subject.finish(),
        touched,
        principal: principal.id.to_string(),
        on_behalf_of,
        target: grant.target().clone(),
        session: String::new(),
        waits: 0,
        summary: holds::summary(KIND, &format!("{text}; {}", access.bounds()), &holds),
        kind: KIND.to_owned(),
        text,
        values: Vec::new(),
        circumstances: Circumstances::default(),
        effects: access.leaves.iter().map(ToString::to_string).collect(),
        ceiling: match access.most {
            Some(most) => Ceiling::Rows { most, from: KIND.to_owned(), of: Vec::new(), expected: None },
            None => Ceiling::None("it lets nothing be changed".to_owned()),
        },
        holds,
        preview: Preview {
            reason: Some(reason.to_owned()),
            access: Some(access.clone()),
            ..Preview::default()
        },
        weighed: Weighed::of(&facts, effects),
        version,
        alike: None,
    }
}
