//! What a plan would do, statement by statement, before anybody answers: each is understood by what those before it would leave,
//! and asked about by the policy in force. What cannot be foreseen is found where it runs: there it is understood anew, by what
//! the target holds then, and goes no further where it would do what was not approved.

use std::collections::BTreeSet;

use journal::record;
use model::{
    Action, CarriedBy, Ceiling, Circumstances, HoldRule, Inspect, NewRequest, Plan, Preview, Step, TableName,
    Tier, Touched, Weighed,
};
use policy::{Context, Grant, Question, Verdict};
use sql::postgres::pieces::Part;
use sql::postgres::{Control, NoNames, REMOVED, Session, Spelled, overlay};

use super::run::cover;
use super::trying::{ALONE, Held, Trying};
use super::{PlanError, Refused};
use crate::audit::{self, StatementNote, ValueNote};
use crate::gateway::Gateway;
use crate::holds::{self, Countable, Parts};
use crate::protocols::postgres::foresight::Foresight;
use crate::protocols::postgres::missing::{self, Missing, Told};
use crate::protocols::postgres::preview::Seen;
use crate::protocols::postgres::{Request, foresight};
use crate::spine::Auditable;

/// So many statements a plan may have.
const MOST: usize = 200;

/// A plan as it is filed, and what is to be tried of it before.
pub(super) struct Foreseen {
    pub new: NewRequest,
    pub trying: Trying,
}

/// What is asked, before anything is known of it.
pub(super) struct Wanted<'a> {
    pub reason: Option<&'a str>,
    pub by: CarriedBy,
    pub session: &'a str,
    /// Whether it is looked at what its statements would change: not where it is only compared with what was approved.
    pub look: bool,
}

impl Gateway {
    /// What the statements of a plan would do, and what policy says of each.
    pub(super) async fn foresee(
        &self,
        grant: &Grant,
        parts: &[Part],
        wanted: &Wanted<'_>,
        now: &Context,
    ) -> Result<Foreseen, PlanError> {
        let refused = |why: String| PlanError::Refused(Refused::whole(why));
        if parts.len() < 2 {
            return Err(refused("a plan has several statements: send one by itself".to_owned()));
        }
        if parts.len() > MOST {
            return Err(refused(format!(
                "a plan has at most {MOST} statements, and this has {}",
                parts.len()
            )));
        }
        let target = self.target(grant.target()).ok_or_else(|| refused("its target is gone".to_owned()))?;
        let purpose = "how a session begins".to_owned();
        self.note(&record::Body::Gateway { target: target.name.to_string(), purpose })?;
        // It is filed, and claimed, by what is there at this moment.
        if let Err(error) = target.catalogue.version_now().await {
            tracing::warn!(%error, "a plan's target cannot be looked at");
            return Err(refused("the target cannot be looked at".to_owned()));
        }
        let unclear = |why: foresight::Unclear| refused(format!("the target cannot be asked: {why}"));
        let mut foresight =
            foresight::begin(&target, self.allows_everything(grant)).await.map_err(unclear)?;

        let apart = parts.iter().zip(1..).find_map(|(part, n)| {
            part.apart.map(|what| format!("statement {n} is {what}, which runs in no transaction"))
        });
        let now = &Context { in_transaction: apart.is_none(), ..now.clone() };
        let base = std::sync::Arc::clone(foresight.catalogue());
        let mut found = Found { trying: Trying::of(apart.as_deref()), ..Found::default() };
        let mut plan =
            Plan { reason: wanted.reason.map(str::to_owned), apart, by: wanted.by, ..Plan::default() };
        for (part, number) in parts.iter().zip(1..) {
            let of = |refused: Refused| PlanError::Refused(Refused { statement: Some(number), ..refused });
            let request = foresight.of(&part.text).map_err(|garbled| of(garbled.into()))?;
            stands(&request).map_err(|why| of(Refused::whole(why)))?;
            found.take(&request, &base);
            if wanted.look {
                found.trying.take(number, &request, || self.lets_try(grant, &request, &target, now));
            }
            let after = {
                let (search_path, role) = foresight.names();
                let catalog = foresight.catalogue();
                overlay::after(&part.text, &Session { catalog, search_path, role, prepared: &NoNames })
            };
            let step =
                self.step(grant, request, wanted, now, &mut found, &mut foresight).await.map_err(of)?;
            plan.steps.push(Step { text: part.text.clone(), ..step });
            plan.schema
                .extend(after.changes.into_iter().map(|change| model::Change { step: number, ..change }));
            if let Some(why) = after.unforeseen {
                plan.unforeseen.push(format!("statement {number}: {why}"));
            }
            if let Some(catalogue) = after.catalogue {
                foresight.goes_on_with(catalogue);
            }
        }
        if found.holds.is_empty() && wanted.by != model::CarriedBy::Gateway {
            return Err(refused(
                "policy allows each of its statements as it is: there is nothing to approve, send them in a session"
                    .to_owned(),
            ));
        }
        if wanted.by == model::CarriedBy::Session
            && plan.apart.is_some()
            && plan.steps.first().is_some_and(|step| step.holds.is_empty())
        {
            return Err(PlanError::Refused(Refused {
                hint: Some("Leave --in-session out: the gateway sends it then.".to_owned()),
                ..Refused::whole(
                    "its first statement waits for nobody and it can run in no transaction, so that the gateway would not see \
                     where it begins"
                        .to_owned(),
                )
            }));
        }
        let trying = std::mem::take(&mut found.trying);
        Ok(Foreseen { new: found.into_request(grant, plan, wanted), trying })
    }

    /// One statement, decided.
    async fn step(
        &self,
        grant: &Grant,
        request: Request,
        wanted: &Wanted<'_>,
        now: &Context,
        found: &mut Found,
        foresight: &mut Foresight,
    ) -> Result<Step, Refused> {
        let mut step = Step {
            kind: request.facts().kind.clone(),
            effects: request.effects().iter().map(audit::line).collect(),
            covers: request.effects().iter().map(cover).collect::<BTreeSet<_>>().into_iter().collect(),
            touched: found.unaltered(&request),
            words: request.outlook(Tier::Static).costs().to_vec(),
            ceiling: Ceiling::None("nobody has to approve it".to_owned()),
            ..Step::default()
        };
        match self.decide(grant, request, now) {
            Verdict::Deny(request, denied) => {
                let mut again = |text: &str| foresight.of(text).ok().map(|request| request.operation);
                let told = if denied.code() == "42501" {
                    missing::told(&request, &mut |rest| self.weigh(grant, rest, now), &mut again)
                } else {
                    None
                };
                let (code, reason, hint) = match told {
                    Some(Told::Missing(Missing { code, message, hint, position: _ })) => {
                        (code, message, hint)
                    }
                    Some(Told::Denied(denied)) => (denied.code, denied.reason, denied.hint),
                    None => (denied.code, denied.reason, denied.hint),
                };
                return Err(Refused { statement: None, code, reason, hint });
            }
            Verdict::Allow(pass) => {
                found.follow(pass.message());
                found.trying.held.push(None);
            }
            Verdict::Hold(question) => {
                let seen = if wanted.look {
                    self.seen(grant, &question, wanted, now, found).await
                } else {
                    Seen::default()
                };
                let counted = question.message().countable();
                if let Countable::Entangled(why) = counted {
                    return Err(Refused::whole(why.to_owned()));
                }
                let held = Held { holds: question.holds().to_vec(), seen, counted };
                held.show(&mut step);
                found.trying.held.push(Some(held));
                step.holds = question.holds().iter().map(|rule| rule.id.clone()).collect();
                found.version = question.version().to_string();
                for rule in question.holds() {
                    if !found.holds.contains(rule) {
                        found.holds.push(rule.clone());
                    }
                }
                found.follow(question.message());
            }
        }
        Ok(step)
    }

    /// What is seen of a statement that is held. What those before it change is not there to be counted.
    async fn seen(
        &self,
        grant: &Grant,
        question: &Question<Request>,
        wanted: &Wanted<'_>,
        now: &Context,
        found: &mut Found,
    ) -> Seen {
        let message = question.message();
        if message.touched().iter().any(|touched| found.reshaped.contains(&touched.what)) {
            let seen = message.outlook(Tier::Counted);
            return seen.unasked("statements before it make or alter what it changes");
        }
        // What a statement does behind others is not seen by trying it alone.
        let this = format!("{} {:?} {}", wanted.session, message.shape(), found.looks);
        found.looks += 1;
        let mut seen = self.look(grant, question, wanted.session, now, (this, Tier::Counted)).await;
        let moved = found.anything
            || reached(message, seen.follows).iter().any(|table| found.written.contains(table));
        // Rows that stand in its text are as many whatever comes before.
        if seen.rows.is_some() && moved && !message.outlook(Tier::Counted).is_fixed() {
            seen.rows = None;
            seen.preview.exact = false;
            // Behind what was counted, and before what is said of its kind.
            let words = &mut seen.preview.words;
            let at = words.len().saturating_sub(message.outlook(Tier::Static).costs().len());
            words.insert(at, ALONE.to_owned());
        }
        seen
    }
}

/// The tables of which rows are looked at where a statement is counted: its own, and those whose rows follow.
fn reached(request: &Request, follows: bool) -> BTreeSet<TableName> {
    let tables = &request.facts().tables;
    let of = |table| if follows { request.reach(table) } else { request.parts(table) };
    tables.iter().flat_map(of).chain(tables.iter().cloned()).collect()
}

/// Whether a statement leaves rows, and what they are made of, as they were: what is counted behind it is what there is.
fn leaves_rows(request: &Request) -> bool {
    let kinds = ["create index", "comment", "grant", "revoke", "analyze", "vacuum"];
    request.facts().kind.split("; ").all(|kind| kinds.contains(&kind))
}

/// Whether a statement can stand in a plan, whose session is its own.
fn stands(request: &Request) -> Result<(), String> {
    if request.statement().values.iter().any(|value| value.bytes == Some(REMOVED.as_bytes())) {
        return Err(
            "a secret does not go into a plan, where it would be kept: set it in a session".to_owned()
        );
    }
    let why = request.operation.controls().find_map(|control| match control {
        Control::Begin { .. }
        | Control::Commit { .. }
        | Control::Rollback { .. }
        | Control::Savepoint(_)
        | Control::RollbackTo(_)
        | Control::Release(_)
        | Control::PrepareTransaction => {
            Some("a plan is one transaction by itself: leave BEGIN, COMMIT and savepoints out")
        }
        Control::Prepare { .. }
        | Control::Execute { .. }
        | Control::Deallocate(_)
        | Control::Declare { .. }
        | Control::Fetch { .. }
        | Control::CloseCursor(_) => Some("a plan has no prepared statements and no cursors: write them out"),
        Control::CopyIn | Control::CopyOut(_) => {
            Some("a plan's statements are all there is: rows of a COPY cannot come with it")
        }
        Control::Listen => Some("nobody hears notifications in a plan"),
        Control::SetRole => Some("a plan runs as the target's own role"),
        Control::Discard(_) => Some("a plan's session is its own: there is nothing to discard"),
        Control::Set { name, .. } if name == "search_path" => {
            Some("a plan does not change where names are found: write schemas before them")
        }
        Control::Set { .. }
        | Control::Reset(_)
        | Control::Ddl
        | Control::TempObject
        | Control::ChangesSettings => None,
    });
    why.map_or(Ok(()), |why| Err(why.to_owned()))
}

/// What is known of a plan as a whole, so far.
#[derive(Default)]
struct Found {
    exact: Parts,
    shapes: Vec<[u8; 16]>,
    effects: Vec<String>,
    weighed: Weighed,
    /// As they are before the first statement.
    touched: Vec<Touched>,
    /// What statements before make or alter.
    altered: BTreeSet<String>,
    /// The same, of what its rows are made of.
    reshaped: BTreeSet<String>,
    /// Nobody knows what statements before change.
    anything: bool,
    written: BTreeSet<TableName>,
    holds: Vec<HoldRule>,
    texts: Vec<String>,
    values: Vec<Vec<u8>>,
    settings: Vec<(String, String)>,
    version: String,
    /// How many of them were looked at.
    looks: u32,
    trying: Trying,
}

impl Found {
    fn take(&mut self, request: &Request, base: &sql::postgres::catalog::Catalog) {
        // What it is is its text and what decides how that is read: no session's own.
        request.exact("", &mut |part| self.exact.take(part));
        self.exact.take(b"then");
        self.shapes.push(request.shape());
        self.weighed.add(request.effects());
        self.weighed.and(request.facts());
        for line in request.effects().iter().map(audit::line) {
            if !self.effects.contains(&line) {
                self.effects.push(line);
            }
        }
        for touched in base.touched(request.facts(), request.effects()) {
            if !self.touched.contains(&touched) {
                self.touched.push(touched);
            }
        }
        let StatementNote { text, values, phase: _, kind: _, fields: _ } = request.statement();
        self.texts.push(text.to_owned());
        self.values.extend(values.iter().filter_map(|value| value.bytes.map(<[u8]>::to_vec)));
        self.settings = request.circumstances();
    }

    /// What a statement touches and none before it alters.
    fn unaltered(&self, request: &Request) -> Vec<Touched> {
        request.touched().into_iter().filter(|touched| !self.altered.contains(&touched.what)).collect()
    }

    /// The statements behind it find what it leaves.
    fn follow(&mut self, request: &Request) {
        if request.operation.controls().any(|control| matches!(control, Control::Ddl | Control::TempObject)) {
            let touched: Vec<String> = request.touched().into_iter().map(|touched| touched.what).collect();
            if !leaves_rows(request) {
                self.reshaped.extend(touched.iter().cloned());
            }
            self.altered.extend(touched);
        }
        let reads = |action| matches!(action, Action::Select | Action::Probe | Action::Reveal);
        for effect in request.effects().iter().filter(|effect| !reads(effect.action)) {
            self.anything |= matches!(effect.action, Action::Call | Action::RunCode | Action::Unknown);
            let model::Resource::Table(table) = &effect.resource else { continue };
            if matches!(effect.action, Action::Update | Action::Delete | Action::Merge | Action::Truncate) {
                self.written.extend(request.reach(table));
            }
            if !leaves_rows(request) {
                self.written.insert(table.clone());
            }
        }
    }

    fn into_request(self, grant: &Grant, plan: Plan, wanted: &Wanted<'_>) -> NewRequest {
        let principal = grant.principal();
        let on_behalf_of: Vec<String> = principal.on_behalf_of.iter().map(ToString::to_string).collect();
        let mut subject = Parts::default();
        subject.take(b"plan");
        subject.take(principal.id.to_string().as_bytes());
        on_behalf_of.iter().for_each(|p| subject.take(p.as_bytes()));
        subject.take(b"on");
        subject.take(grant.target().as_str().as_bytes());
        subject.take(format!("{:?} {:?}", plan.by, plan.apart).as_bytes());
        subject.take(self.exact.finish().as_bytes());
        let mut digest = subject.clone();
        digest.take(b"as");
        self.shapes.iter().for_each(|shape| digest.take(shape));
        for step in &plan.steps {
            digest.take(b"step");
            step.effects.iter().for_each(|effect| digest.take(effect.as_bytes()));
        }
        for Touched { what, mark } in &self.touched {
            digest.take(what.as_bytes());
            digest.take(mark.as_bytes());
        }
        let text = self.texts.join(";\n");
        let literal = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        let values: Vec<Option<String>> = self.values.iter().map(|value| Some(literal(value))).collect();
        let notes: Vec<ValueNote<'_>> = self
            .values
            .iter()
            .map(|value| ValueNote { bytes: Some(value), form: audit::Form::Literal(Spelled::Text) })
            .collect();
        let kinds: Vec<&str> = plan.steps.iter().map(|step| step.kind.as_str()).collect();
        let first = format!("plan of {} statements: {}", plan.steps.len(), kinds.join("; "));
        NewRequest {
            digest: digest.finish(),
            subject: subject.finish(),
            touched: self.touched,
            principal: principal.id.to_string(),
            on_behalf_of,
            target: grant.target().clone(),
            session: wanted.session.to_owned(),
            waits: 0,
            summary: holds::summary("plan", &first, &self.holds),
            kind: "plan".to_owned(),
            text: holds::numbered(&text, &notes),
            values,
            circumstances: Circumstances { kinds: Vec::new(), settings: self.settings },
            effects: self.effects,
            holds: self.holds,
            ceiling: Ceiling::None("each of its statements has its own".to_owned()),
            preview: Preview { ordered: Some(Box::new(plan)), ..Preview::default() },
            weighed: self.weighed,
            version: self.version,
            alike: None,
        }
    }
}
