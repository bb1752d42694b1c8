//! A plan is tried where policy wants that and each of its statements may be: in their order, in one transaction that is rolled back,
//! so that each is told of behind those before it. Where one cannot be, all of them are counted, each by itself.

use journal::record;
use model::{Ceiling, HoldRule, Step, Tier};
use policy::{Context, Grant};
use tokio::time::Instant;

use super::foresee::Foreseen;
use crate::gateway::Gateway;
use crate::holds::{self, Countable};
use crate::protocols::postgres::Request;
use crate::protocols::postgres::preview::trial::{Rehearsed, Trial, Tried};
use crate::protocols::postgres::preview::{Seen, rehearse};

/// What is said of a number that was counted alone.
pub(super) const ALONE: &str = "what statements before it change is not in these numbers";
const BEFORE: &str = "the rows that are shown are as they were before the plan";

/// What is known of a plan that may be tried, so far.
#[derive(Default)]
pub(super) struct Trying {
    /// Its statements, or why they are not tried; nothing before the first.
    trial: Option<Result<Trial, String>>,
    /// Of each statement that is held, what was counted of it.
    pub held: Vec<Option<Held>>,
}

/// A statement of a plan that is held.
pub(super) struct Held {
    pub holds: Vec<HoldRule>,
    pub seen: Seen,
    /// What counts of its rows.
    pub counted: Countable,
}

impl Held {
    /// Whoever approves the plan sees this of it.
    pub(super) fn show(&self, step: &mut Step) {
        step.ceiling = match &self.counted {
            Countable::Rows(of) => holds::ceiling_of(&self.holds, &self.seen, of.clone()),
            Countable::Nothing(why) => Ceiling::None(why.clone()),
            Countable::Entangled(why) => Ceiling::None((*why).to_owned()),
        };
        step.preview = self.seen.preview.clone();
        step.preview.unseen.extend(holds::above(&step.ceiling, &self.seen));
        // What it costs others is told by itself.
        step.preview.words.retain(|line| !step.words.contains(line));
    }

    fn wants(&self) -> bool {
        Tier::wanted(&self.holds) >= Tier::Executed
    }
}

impl Trying {
    /// Of a plan whose statements run in one transaction, unless it is said why they do not.
    pub(super) fn of(apart: Option<&str>) -> Self {
        Self { trial: apart.map(|why| Err(why.to_owned())), held: Vec::new() }
    }

    /// Takes one more statement in, where it may be tried.
    pub(super) fn take(&mut self, number: usize, request: &Request, may: impl FnOnce() -> bool) {
        let begun = self.trial.get_or_insert_with(|| Trial::begin(request));
        let Ok(trial) = begun else { return };
        let forbidden = || Err("policy does not let it be looked at beforehand".to_owned());
        if let Err(why) = trial.take(request).and_then(|()| if may() { Ok(()) } else { forbidden() }) {
            *begun = Err(format!("statement {number}: {why}"));
        }
    }
}

impl Gateway {
    /// Tries a plan, if that is wanted, and says of each statement what it did. Before the moment that comes with it whoever asks
    /// hears nothing.
    pub(super) async fn try_plan(
        &self,
        grant: &Grant,
        Foreseen { mut new, trying }: Foreseen,
        now: &Context,
    ) -> (model::NewRequest, Option<Instant>) {
        let Trying { trial, mut held } = trying;
        if !held.iter().flatten().any(Held::wants) {
            return (new, None);
        }
        let trial = trial.unwrap_or_else(|| Err("there is nothing to be tried".to_owned()));
        let (came, not_before) = match trial {
            Ok(trial) => {
                let hide = self.tells_by_its_time(grant, &trial, &new.weighed.facts, now);
                self.rehearse_plan(grant, &trial, &new.session, hide).await
            }
            Err(why) => (Err(why), None),
        };
        if let Some(plan) = new.preview.ordered.as_deref_mut() {
            plan.tried = Some(match came {
                Ok(came) => told(came, &mut held, &mut plan.steps),
                Err(why) => model::Tried::No(why),
            });
        }
        (new, not_before)
    }

    async fn rehearse_plan(
        &self,
        grant: &Grant,
        trial: &Trial,
        session: &str,
        hide: bool,
    ) -> (Result<Rehearsed, String>, Option<Instant>) {
        let who = &grant.principal().id;
        let Some(target) = self.target(grant.target()) else {
            return (Err("its target is gone".to_owned()), None);
        };
        let turn = self.holds().looked().turn_of(&who.to_string()).await;
        let purpose = format!(
            "looks at the plan that {who} submits in session {session}, and tries it in a transaction that is rolled back"
        );
        if self.note(&record::Body::Gateway { target: target.name.to_string(), purpose }).is_err() {
            return (Err("the journal cannot be written".to_owned()), None);
        }
        let (came, not_before) = rehearse(trial, &target, hide).await;
        crate::looked::hold_until(not_before, turn);
        (came, not_before)
    }
}

/// Tells of each statement what it did behind those before it.
fn told(came: Rehearsed, held: &mut [Option<Held>], steps: &mut [Step]) -> model::Tried {
    let Rehearsed { steps: tried, whole: _, late, failed, kept: _ } = came;
    let ran = tried.len();
    for ((step, held), tried) in steps.iter_mut().zip(held.iter_mut()).zip(tried) {
        match held {
            Some(held) if held.wants() => {
                let words = &mut held.seen.preview.words;
                let alone = words.len();
                words.retain(|line| line != ALONE);
                let moved = words.len() < alone && !held.seen.preview.rows.is_empty();
                held.seen.tried(tried);
                held.seen.preview.unseen.extend(moved.then(|| BEFORE.to_owned()));
            }
            Some(_) => (),
            None => {
                let mut seen = Seen::default();
                seen.tried(tried);
                step.preview = seen.preview;
            }
        }
    }
    if let Some(late) = late {
        // It is expected of the last of those that are compared with what was seen: at the commit all of them are, together.
        let counts = |held: &&mut Held| held.wants() && matches!(held.counted, Countable::Rows(_));
        if let Some(last) = held.iter_mut().flatten().rev().find(counts) {
            behind(&mut last.seen, late);
        }
    }
    let all = steps.len();
    let outcome = match failed {
        None => model::Tried::Whole,
        Some((at, why)) if at < all => model::Tried::Failed(format!("statement {} of {all} {why}", at + 1)),
        Some((_, why)) => model::Tried::Failed(format!("what waits for the end of its transaction {why}")),
    };
    if let model::Tried::Failed(why) = &outcome {
        for held in held.iter_mut().skip(ran).flatten().filter(|held| held.wants()) {
            held.seen.preview.unseen.push(format!("it was not tried: {why}"));
        }
    }
    for (step, held) in steps.iter_mut().zip(held.iter()) {
        if let Some(held) = held {
            held.show(step);
        }
    }
    outcome
}

/// What the end of the transaction changes, which is expected with what a statement has changed by itself.
fn behind(seen: &mut Seen, late: Tried) {
    let Tried { words, rows, tables, exact: _ } = late;
    seen.preview.words.extend(words.into_iter().map(|line| format!("at the end of the transaction: {line}")));
    seen.rows = seen.rows.map(|seen| seen.saturating_add(rows));
    let all = seen.tables.get_or_insert_default();
    for more in tables {
        match all.iter_mut().find(|table| (table.relation, &table.table) == (more.relation, &more.table)) {
            Some(table) => table.rows = table.rows.and(more.rows),
            None => all.push(more),
        }
    }
    seen.preview.changes.clone_from(all);
}
