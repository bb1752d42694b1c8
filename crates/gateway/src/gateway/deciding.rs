//! What the spine asks of policy, and of people.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use journal::record;
use model::{ColumnName, HoldRule, Inspect, Principal, Room, SINCE_IT_WAS, Tag, TargetName, Tier};
use policy::{Context, Denied, Grant, Identity, Question, TargetFacts, Verdict, answering};

use super::{Gateway, now};
use crate::attempts;
use crate::holds::{self, Answer, Asked, Known, Left, MOST_OPEN, Ticket, Within};
use crate::lease;
use crate::metrics::Stage;
use crate::protocols::postgres::estimate::Planned;
use crate::protocols::postgres::preview::trial::Trial;
use crate::protocols::postgres::preview::{Looking, Seen};
use crate::spine::{Auditable, Learned};
use crate::standing::Granted;
use crate::targets::Target;

/// No leave, by policy.
const DENIED: &str = "42501";
/// There is nothing to have leave for.
const MISSING: &str = "3D000";

/// Why somebody may not open a session on a target.
#[derive(Debug)]
pub struct NoLeave {
    /// For the record.
    pub why: Denied,
    /// For them: whoever may not use a target learns neither that there is one nor what policy says of it.
    pub told: Denied,
}

fn no_leave(target: &TargetName, version: &str) -> Denied {
    Denied {
        code: DENIED,
        reason: format!("there is no target \"{target}\" that you may use"),
        hint: Some(
            "The database's name is the target's here: ask the gateway's operator which there are for you, or for a \
             listener of one target (postgres.targets in durward.toml), where it is the database's own."
                .to_owned(),
        ),
        policies: Vec::new(),
        version: version.into(),
    }
}

impl Gateway {
    /// Whether a principal may open a session on a target.
    ///
    /// # Errors
    /// The refusal, as it is for the record: it may tell whether there is such a target, and what policy is. [`Self::admit_to`] says
    /// what is told of it.
    pub fn authorize(&self, identity: Identity, target: &TargetName, now: &Context) -> Result<Grant, Denied> {
        self.is_current()?;
        let in_force = self.in_force.load();
        let facts = in_force.targets.get(target).map(|t| t.facts.clone());
        let grant = in_force.policies.authorize(identity, target, &facts.clone().unwrap_or_default(), now)?;
        match facts {
            Some(_) => Ok(grant),
            None => Err(Denied {
                code: MISSING,
                reason: format!("there is no target \"{target}\""),
                hint: None,
                policies: Vec::new(),
                version: in_force.policies.version().into(),
            }),
        }
    }

    /// The same, with what is told to who has no leave.
    ///
    /// # Errors
    /// Why not, and the words for it.
    pub fn admit_to(
        &self,
        identity: Identity,
        target: &TargetName,
        now: &Context,
    ) -> Result<Grant, Box<NoLeave>> {
        self.authorize(identity.clone(), target, now).map_err(|why| {
            let is_about_target = why.code == DENIED || why.code == MISSING;
            let told = if is_about_target { self.told(identity, target, now) } else { why.clone() };
            Box::new(NoLeave { why, told })
        })
    }

    /// What is told of a target to whoever may not use it, alike where there is none. What policy says to them of every target, in
    /// words that somebody wrote for them, tells nothing of this one.
    pub(crate) fn told(&self, identity: Identity, target: &TargetName, now: &Context) -> Denied {
        let in_force = self.in_force.load();
        // No target is called so, and where nobody wrote words the name is in them.
        let none = TargetName::new("\0");
        match in_force.policies.authorize(identity, &none, &TargetFacts::default(), now) {
            Err(of_all) if !of_all.policies.is_empty() && !of_all.reason.contains('\0') => of_all,
            Err(_) | Ok(_) => no_leave(target, in_force.policies.version()),
        }
    }

    /// What policy says of an operation.
    pub fn decide<M: Inspect + Auditable>(&self, grant: &Grant, message: M, now: &Context) -> Verdict<M> {
        self.decide_with(grant, message, now, &[])
    }

    /// What the target's planner is to be asked of an operation before it is decided: something only where a policy reads that, and
    /// no other policy denies it anyway.
    pub fn to_estimate<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        message: &M,
        now: &Context,
    ) -> Option<Planned> {
        let in_force = self.in_force.load();
        if message.is_shape_only() || !in_force.policies.reads_estimate(grant, message) {
            return None;
        }
        let target = in_force.targets.get(grant.target())?;
        let could_be = in_force.policies.could_be_let(grant, &target.facts, message, now);
        if could_be { message.planned() } else { None }
    }

    /// Asks the target's planner. That is an operation of its own, on record before.
    pub(crate) async fn estimate(&self, grant: &Grant, asked: &Planned) -> Option<u64> {
        let target = self.target(grant.target())?;
        let who = &grant.principal().id;
        let purpose = format!("plans what {who} asks for, which policy wants to know the rows of");
        self.note(&record::Body::Gateway { target: target.name.to_string(), purpose }).ok()?;
        asked.ask(&target).await
    }

    /// What policy says of an operation that was held, now that its answer is known.
    pub fn redecide<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: Question<M>,
        ticket: &Ticket,
        answer: &Answer,
        now: &Context,
    ) -> Verdict<M> {
        let refusal = answer.refusal(&question, &ticket.id);
        let mut message = question.withdraw();
        if let Answer::Approved(claim) = answer {
            claim.counted().into_iter().for_each(|rows| message.learn(Learned::Measured(rows)));
        }
        match (refusal, answer) {
            (Some(denied), _) => Verdict::Deny(message, denied),
            (None, Answer::Approved(claim)) => {
                let verdict = self.decide_with(grant, message, now, &claim.rules);
                // What lets a set of things be done was looked at by what was in force then.
                let is_other = claim.under.is_some_and(|turn| turn != self.turn());
                match verdict {
                    Verdict::Allow(pass) if is_other => self.decide_with(grant, pass.withdraw(), now, &[]),
                    // What was approved is spent: all that policy asks for now is asked for anew, together.
                    Verdict::Hold(question) => self.decide_with(grant, question.withdraw(), now, &[]),
                    verdict @ (Verdict::Allow(_) | Verdict::Deny(..)) => verdict,
                }
            }
            (
                None,
                Answer::Denied(_)
                | Answer::Pending
                | Answer::Expired
                | Answer::Withdrawn(_)
                | Answer::Frozen(_)
                | Answer::Moved,
            ) => self.decide_with(grant, message, now, &[]),
        }
    }

    /// Whether policy lets somebody say yes to what is held.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn may_approve(&self, who: Principal, asked: answering::Asked<'_>) -> Result<(), String> {
        let in_force = self.in_force.load();
        let target = in_force.targets.get(asked.target).map(|target| target.facts.clone());
        // Whoever answers comes by TLS, or on this machine: by the console, its API or Slack.
        let now = Context {
            now: now(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            application: "".into(),
            in_transaction: false,
            encrypted: true,
            read_instructions: false,
        };
        let said = in_force.policies.may_approve(who, asked, &target.unwrap_or_default(), &now);
        said.map_err(|barred| barred.to_string())
    }

    /// What policy would say of something that never runs: what is left of an operation, for the words of its refusal.
    pub(crate) fn weigh<M: Inspect>(&self, grant: &Grant, rest: M, now: &Context) -> Verdict<M> {
        let suspected = self.suspicions.is_of(|| attempts::named(grant));
        let now = Context { read_instructions: suspected || now.read_instructions, ..now.clone() };
        let in_force = self.in_force.load();
        let facts = in_force.targets.get(grant.target()).map(|target| target.facts.clone());
        in_force.policies.decide(grant, &facts.unwrap_or_default(), rest, &now, &BTreeSet::new())
    }

    fn decide_with<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        message: M,
        now: &Context,
        approved: &[HoldRule],
    ) -> Verdict<M> {
        let begun = self.metrics.stages.begin(Stage::Decide);
        if self.lease.is_over(self.limits.load().lease) {
            return Verdict::Deny(message, lease::refusal());
        }
        if let Some(frozen) = self.frozen(grant.target(), &message) {
            return Verdict::Deny(message, frozen);
        }
        let suspected;
        let now = if self.suspicions.is_of(|| attempts::named(grant)) {
            suspected = Context { read_instructions: true, ..now.clone() };
            &suspected
        } else {
            now
        };
        let in_force = self.in_force.load();
        // An answer to a rule that asks something else now, or others, is none.
        let approved: BTreeSet<String> =
            approved.iter().filter(|rule| in_force.policies.asks(rule)).map(|rule| rule.id.clone()).collect();
        let only_asked = !message.is_shape_only() && message.errand().is_some_and(|errand| errand.asks_only);
        let verdict = match in_force.targets.get(grant.target()) {
            // What only gives a statement a name runs nothing: an approval is asked for where its values are known.
            Some(target) if message.is_shape_only() => {
                in_force.policies.decide_shape(grant, &target.facts, message, now)
            }
            Some(target) => in_force.policies.decide(grant, &target.facts, message, now, &approved),
            None => {
                let denied = Denied {
                    code: "42501",
                    reason: format!("the target \"{}\" was removed from the gateway", grant.target()),
                    hint: None,
                    policies: Vec::new(),
                    version: in_force.policies.version().into(),
                };
                Verdict::Deny(message, denied)
            }
        };
        self.metrics.stages.end(Stage::Decide, begun);
        let returns = |message: &M| self.stored_mask(grant, message, now);
        match unless(unless_unshown(verdict), returns) {
            // What is only asked for never runs.
            Verdict::Allow(pass) if only_asked => {
                let version = Arc::clone(&pass.permit().version);
                Verdict::Deny(pass.withdraw(), holds::nothing_to_ask(version))
            }
            verdict @ (Verdict::Allow(_) | Verdict::Deny(..) | Verdict::Hold(_)) => verdict,
        }
    }

    /// Why an operation is refused that would store a mask in the place of what it stands for, and what to do. Whoever sees the
    /// clear value may mean it.
    fn stored_mask<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        message: &M,
        now: &Context,
    ) -> Option<(String, String)> {
        let returned = message.stores_masks();
        let in_force = self.in_force.load();
        let target = in_force.targets.get(grant.target())?;
        let is_hidden = |(column, tags): &(ColumnName, BTreeSet<Tag>)| {
            let reveals = Looking::reveals(column.clone(), tags.clone(), message.facts());
            let said = in_force.policies.decide(grant, &target.facts, reveals, now, &BTreeSet::new());
            !matches!(said, Verdict::Allow(_))
        };
        let (column, _) = returned.into_iter().find(is_hidden)?;
        let reason = format!(
            "what would be stored in {column} is a mask: it would replace the value that it stands for"
        );
        let hint = format!("Leave {} out, so that it stays as it is, or give its true value.", column.name);
        Some((reason, hint))
    }

    /// Files a held operation.
    ///
    /// # Errors
    /// Why it cannot be, as a refusal.
    pub async fn file<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        patience: Duration,
        now: &Context,
    ) -> Result<Asked, Denied> {
        let catalogue = self.target(grant.target()).map(|target| Arc::clone(&target.catalogue));
        let known = Known { catalogue, version: question.message().catalogue() };
        // Most sessions never come here, and need not be as large as it is.
        let only_asked = question.message().errand().is_some_and(|errand| errand.asks_only);
        if !only_asked && let Some(run) = Box::pin(self.plan_under_way(grant, question, session, now)).await?
        {
            return Box::pin(self.admit(&run, grant, question, session, known, now)).await;
        }
        let limits = self.limits();
        let room = Room { waiting: MOST_OPEN, one: limits.requests_of_one, all: limits.requests_in_all };
        let uncovered = if only_asked {
            // It would be spent on what does not run.
            None
        } else {
            match Box::pin(self.granted(grant, question, (session, now), &known, &room)).await? {
                Granted::By(asked) => return Ok(asked),
                Granted::No(why) => why,
            }
        };
        // Where nobody waits for an answer nothing is kept open for it.
        let furthest = if only_asked { Tier::Executed } else { Tier::Hold };
        let look = |digest| self.look(grant, question, session, now, (digest, furthest));
        self.holds.file(grant, question, session, Within { patience, room, uncovered }, known, look).await
    }

    /// Looks at what a held operation would do, no further than this. That is an operation of its own, on record before it runs, which policy can
    /// forbid (`preview`).
    pub(crate) async fn look<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        now: &Context,
        (digest, furthest): (String, Tier),
    ) -> Seen {
        let mut outlook = question.message().outlook(Tier::wanted(question.holds()).min(furthest));
        let Some(target) = self.target(grant.target()) else { return outlook.unseen("its target is gone") };
        let facts = question.message().facts();
        let looking = outlook.looking(question.message().effects(), facts);
        let Some(looking) = looking.filter(|_| outlook.is_to_ask()) else { return outlook.untold() };
        let looking = looking.with_particulars(question.message().particulars());
        let (forbidden, hide) = {
            let policies = &self.in_force.load().policies;
            let ask = |looking| policies.decide(grant, &target.facts, looking, now, &BTreeSet::new());
            // What it reads is not read before somebody has allowed that, where that is what waits.
            let reads =
                Looking::reads(question.message()).is_none_or(|r| matches!(ask(r), Verdict::Allow(_)));
            let forbidden = !reads
                || match ask(looking) {
                    Verdict::Hold(_) => true,
                    // It needs no leave of its own, but for policies that forbid it.
                    Verdict::Deny(_, denied) => !denied.policies.is_empty(),
                    Verdict::Allow(_) => false,
                };
            let may = |reads| matches!(ask(reads), Verdict::Allow(_));
            // How long it takes to try it tells of rows that are not theirs to read.
            let hide = !outlook.tells(facts).is_some_and(may);
            outlook.opens_for(facts, may);
            outlook.is_of(grant.principal().asker());
            (forbidden, hide)
        };
        if forbidden {
            return outlook.unseen("policy does not let it be looked at beforehand");
        }
        let who = &grant.principal().id;
        let of = format!("{digest} {}", outlook.as_seen_from());
        let look = async {
            let tries = outlook.how();
            let purpose = format!("looks at what {who} asks for in session {session}{tries}");
            let body = record::Body::Gateway { target: target.name.to_string(), purpose };
            if self.note(&body).is_err() {
                return outlook.unseen("the journal cannot be written");
            }
            outlook.ask(&target, hide).await
        };
        self.holds.looked().once(&who.to_string(), &of, look).await
    }

    /// Whether policy lets a statement of a plan be tried beforehand: nothing that it reads waits for an answer, and none of its
    /// tables may not be looked at.
    pub(crate) fn lets_try<M: Inspect>(
        &self,
        grant: &Grant,
        message: &M,
        target: &Target,
        now: &Context,
    ) -> bool {
        let policies = &self.in_force.load().policies;
        let ask = |looking| policies.decide(grant, &target.facts, looking, now, &BTreeSet::new());
        let reads = Looking::reads(message).is_none_or(|reads| matches!(ask(reads), Verdict::Allow(_)));
        reads
            && Looking::tables(message).into_iter().all(|looking| match ask(looking) {
                Verdict::Allow(_) => true,
                Verdict::Deny(_, denied) => denied.policies.is_empty(),
                Verdict::Hold(_) => false,
            })
    }

    /// Whether the time that it takes to try a plan tells whoever asks of rows that are not theirs to read.
    pub(crate) fn tells_by_its_time(
        &self,
        grant: &Grant,
        trial: &Trial,
        facts: &model::Facts,
        now: &Context,
    ) -> bool {
        let Some(target) = self.target(grant.target()) else { return true };
        let policies = &self.in_force.load().policies;
        let ask = |looking| policies.decide(grant, &target.facts, looking, now, &BTreeSet::new());
        !trial.tells(facts).is_some_and(|tells| matches!(ask(tells), Verdict::Allow(_)))
    }

    /// The client no longer waits for a held operation.
    pub async fn withdraw(&self, ticket: &Ticket) -> Left {
        self.holds.withdraw(ticket).await
    }

    /// Resolves with the refusal of an operation when a freeze comes that does not let it through. Cancel-safe.
    pub(crate) async fn freeze_comes<M: Inspect>(&self, target: &TargetName, message: &M) -> Denied {
        loop {
            let changed = self.holds.when_changed();
            if let Some(frozen) = self.frozen(target, message) {
                return frozen;
            }
            changed.await;
        }
    }

    /// The answer to a held operation. Cancel-safe.
    pub async fn answer(&self, ticket: &Ticket) -> Answer {
        let asks = |holds: &[HoldRule]| self.outruled(holds).is_none();
        self.holds.answer(ticket, || self.frozen_because(&ticket.target), asks).await
    }

    /// What has changed of the rules that held an operation, as a clause; `None` where all of them are in force.
    pub(crate) fn outruled(&self, holds: &[HoldRule]) -> Option<String> {
        let in_force = self.in_force.load();
        let now: Vec<HoldRule> =
            holds.iter().filter_map(|rule| in_force.policies.rule(&rule.id)).cloned().collect();
        HoldRule::differing(holds, &now)
    }

    /// Ends what waits, or is approved and not used, by rules that are not in force any more: sessions that wait for it ask anew,
    /// and so does whoever sends it again.
    pub(crate) async fn end_outruled(&self) {
        let open = self.state.open_requests().await.unwrap_or_else(|error| {
            tracing::error!("requests cannot be looked at under the new policies: {error}");
            Vec::new()
        });
        for (id, holds) in open {
            let Some(changed) = self.outruled(&holds) else { continue };
            if let Err(error) = self.state.supersede(&id, &format!("{changed}{SINCE_IT_WAS}asked for")).await
            {
                tracing::error!(request = id, "it cannot be ended under the new policies: {error}");
            }
        }
        self.holds.changed();
    }
}

/// What would run and show nothing of its result is refused before: it would leave its effects, and end the session.
fn unless_unshown<M: Auditable>(verdict: Verdict<M>) -> Verdict<M> {
    const HINT: &str = "Send each statement by itself, and name the columns that are needed, without the one that this is about.";
    unless(verdict, |message| {
        let why = message.unshown()?;
        Some((
            format!("its result cannot be masked with certainty, so that it did not run: {why}"),
            HINT.to_owned(),
        ))
    })
}

/// Refuses what policy lets run or holds, whatever it says, for a reason and with a hint. Nothing is masked where everything is
/// allowed.
fn unless<M>(verdict: Verdict<M>, why: impl FnOnce(&M) -> Option<(String, String)>) -> Verdict<M> {
    let (message, version) = match &verdict {
        Verdict::Allow(pass) if !pass.permit().everything => (pass.message(), &pass.permit().version),
        Verdict::Hold(question) => (question.message(), question.version()),
        Verdict::Allow(_) | Verdict::Deny(..) => return verdict,
    };
    let Some((reason, hint)) = why(message) else { return verdict };
    let version = Arc::clone(version);
    let denied = Denied { code: DENIED, reason, hint: Some(hint), policies: Vec::new(), version };
    match verdict {
        Verdict::Allow(pass) => Verdict::Deny(pass.withdraw(), denied),
        Verdict::Hold(question) => Verdict::Deny(question.withdraw(), denied),
        Verdict::Deny(..) => verdict,
    }
}
