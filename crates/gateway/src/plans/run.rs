//! Plans that are under way: which session carries out which, and which statement of it may be next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{CarriedBy, Claim, Effect, Finish, HoldRule, Inspect, Plan, Progress, Status, Step, Touched};
use sql::postgres::canonical;

use crate::audit::DecisionId;
use crate::spine::Auditable;

/// A statement of a plan is not what was approved, or not in its turn.
pub(crate) const STOPPED: &str = "ZD007";

/// Settings that decide neither what a statement means nor what it does.
pub(crate) const DECIDE_NOTHING: [&str; 7] = [
    "application_name",
    "client_min_messages",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];

/// The plans that are under way here, by the session that carries each out.
#[derive(Clone, Default)]
pub(crate) struct Plans(Arc<Mutex<HashMap<String, Arc<Run>>>>, Arc<AtomicUsize>);

impl Plans {
    /// A session begins to carry out a plan.
    pub(crate) fn begin(&self, session: &str, run: Arc<Run>) {
        self.1.fetch_add(1, Ordering::AcqRel);
        self.locked().insert(session.to_owned(), run);
    }

    /// It does so no more.
    pub(crate) fn end(&self, session: &str) -> Option<Arc<Run>> {
        let run = self.locked().remove(session)?;
        self.1.fetch_sub(1, Ordering::AcqRel);
        Some(run)
    }

    /// What a session carries out.
    pub(crate) fn of(&self, session: &str) -> Option<Arc<Run>> {
        // Nearly always there is none at all, and each statement of each session asks.
        if self.1.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.locked().get(session).cloned()
    }

    /// Who carries out this plan, and in which session.
    pub(crate) fn by_request(&self, request: &str) -> Option<(String, Arc<Run>)> {
        if self.1.load(Ordering::Acquire) == 0 {
            return None;
        }
        let found = self.locked();
        let (session, run) = found.iter().find(|(_, run)| run.request == request)?;
        Some((session.clone(), Arc::clone(run)))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plan that was approved and claimed, and is carried out.
pub(crate) struct Run {
    /// The request that it was approved by.
    pub request: String,
    /// What was approved.
    pub plan: Plan,
    /// Under which settings its statements are read.
    settings: Vec<(String, String)>,
    /// The rules that were satisfied.
    rules: Vec<HoldRule>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The index of the statement whose turn it is.
    next: usize,
    /// Whether it was let through.
    admitted: bool,
    /// The decision on it, where policy allows it as it is.
    running: Option<DecisionId>,
    /// The decision on what ends its transaction, and whether all of it stays then.
    leaving: Option<(DecisionId, bool)>,
    /// It goes no further.
    stopped: bool,
    /// Why the gateway refused what was sent last, if it did.
    refusal: Option<String>,
    progress: Progress,
}

impl Run {
    /// From its first statement on; where whoever asked sends them, from the first that is held: those before it were sent.
    pub(crate) fn new(request: &str, plan: Plan, settings: Vec<(String, String)>, claim: Claim) -> Self {
        let Claim { rules, ceiling: _, granted: _, under: _ } = claim;
        let run = Self { request: request.to_owned(), plan, settings, rules, state: Mutex::default() };
        if run.plan.by == CarriedBy::Session {
            let mut state = run.locked();
            state.next = leading(&run.plan).len();
            let tag = "allowed, and sent before the first that was held".to_owned();
            state.progress.done = vec![model::Done { tag, ..model::Done::default() }; state.next];
            drop(state);
        }
        run
    }

    /// It is the turn of this statement, by its index.
    pub(crate) fn at(&self, index: usize) {
        let mut state = self.locked();
        (state.next, state.admitted, state.refusal) = (index, false, None);
    }

    /// The gateway refuses what was sent for it.
    pub(crate) fn refused(&self, why: &str) {
        self.locked().refusal = Some(why.to_owned());
    }

    /// Why, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.locked().refusal.clone()
    }

    /// Whether all of its statements have run.
    pub(crate) fn is_complete(&self) -> bool {
        self.locked().next >= self.plan.steps.len()
    }

    /// Whether it goes no further.
    pub(crate) fn is_stopped(&self) -> bool {
        self.locked().stopped
    }

    /// Whether this is the text of the statement whose turn it is, which was not let through yet.
    pub(crate) fn is_next<M: Auditable>(&self, message: &M) -> bool {
        let state = self.locked();
        let step = self.plan.steps.get(state.next).filter(|_| !state.admitted);
        step.is_some_and(|step| message.script().is_some_and(|text| is_same(&text, &step.text)))
    }

    /// What is no statement of it, or not in its turn.
    pub(crate) fn astray(&self) -> String {
        let (next, all, id) = (self.locked().next, self.plan.steps.len(), &self.request);
        if next >= all {
            return format!("plan {id} has no statement left: all {all} have run, and COMMIT is due");
        }
        format!("it is not statement {} of {all} of plan {id}, whose turn it is", next + 1)
    }

    /// Its next statement is sent, which policy allows as it is; one that was held was let through before.
    pub(crate) fn sent(&self, decision: DecisionId) {
        let mut state = self.locked();
        if !std::mem::replace(&mut state.admitted, true) {
            state.running = Some(decision);
        }
    }

    /// What ends its transaction is sent. All of it stays then, if that is so.
    pub(crate) fn leaves(&self, decision: DecisionId, stays: bool) {
        self.locked().leaving = Some((decision, stays));
    }

    /// Whether this decision was on its statement that policy allows, which runs.
    pub(crate) fn is_running(&self, decision: &DecisionId) -> bool {
        self.locked().running.as_ref() == Some(decision)
    }

    /// What has come of it, where this decision was on what ends its transaction; with nothing in it where that is known already.
    pub(crate) fn left(&self, decision: &DecisionId, failed: Option<&str>) -> Option<Option<Finish>> {
        let stays = {
            let state = self.locked();
            let (_, stays) = state.leaving.as_ref().filter(|(leaving, _)| leaving == decision)?;
            *stays && !state.stopped
        };
        let Some(state) = failed else {
            let words = "done: its session sent all of it, and committed it".to_owned();
            return Some(stays.then_some(Finish { status: Status::Done, words }));
        };
        Some(self.stop(&format!("it could not be committed (SQLSTATE {state})")))
    }

    /// Its session is over. What has come of it, where that is not known already.
    pub(crate) fn ended(&self) -> Option<Finish> {
        let committing = matches!(&self.locked().leaving, Some((_, true)));
        let stopped = self.stop("its session ended")?;
        let why = "its session ended before the server had said that it was committed";
        Some(if committing { Finish::unknown(why) } else { stopped })
    }

    /// Whether it is the statement whose turn it is, and does nothing but what was approved. What it is in words then; else why it
    /// goes no further.
    ///
    /// # Errors
    /// Why it is not let through.
    pub(crate) fn fits<M: Inspect + Auditable>(&self, message: &M) -> Result<String, String> {
        let state = self.locked();
        let (number, all, id) = (state.next + 1, self.plan.steps.len(), &self.request);
        let Some(step) = self.plan.steps.get(state.next) else {
            return Err(format!("plan {id} has no statement left: all {all} have run"));
        };
        let asked = message.script();
        if asked.as_deref().is_none_or(|text| !is_same(text, &step.text)) {
            return Err(format!("it is not statement {number} of {all} of plan {id}, whose turn it is"));
        }
        if state.admitted {
            return Err(format!("statement {number} of plan {id} was let through already"));
        }
        if self.plan.by == CarriedBy::Session
            && let Some(name) = differing(&self.settings, &message.circumstances())
        {
            return Err(format!("plan {id} was approved under another {name} than this session's"));
        }
        let beyond = beyond(step, message.effects());
        if !beyond.is_empty() {
            return Err(format!(
                "statement {number} of plan {id} would do what was not approved: {}",
                beyond.join(", ")
            ));
        }
        if let Some(altered) = altered(step, &message.touched()) {
            return Err(format!("{altered} was altered since plan {id} was approved"));
        }
        Ok(format!("statement {number} of {all} of plan {id}"))
    }

    /// Lets a statement through that fits and is held, under its own ceiling.
    ///
    /// # Errors
    /// Policy asks for what was not approved.
    pub(crate) fn admit(&self, holds: &[HoldRule]) -> Result<Claim, String> {
        let mut state = self.locked();
        let (number, id) = (state.next + 1, &self.request);
        let asks = |rule: &&HoldRule| !self.rules.iter().any(|known| known.asks_like(rule));
        if let Some(rule) = holds.iter().find(asks) {
            return Err(format!(
                "statement {number} of plan {id} is held by the policy \"{}\", which the plan's approval does not answer",
                rule.id
            ));
        }
        let Some(step) = self.plan.steps.get(state.next) else {
            return Err(format!("plan {id} has no statement left"));
        };
        state.admitted = true;
        Ok(Claim { rules: self.rules.clone(), ceiling: step.ceiling.clone(), granted: None, under: None })
    }

    /// Notes what came of a statement that was let through, where whoever asked sends them. What has come of the plan, where it
    /// goes no further, or has no more of them and no COMMIT to wait for.
    pub(crate) fn stepped(&self, finish: &Finish) -> Option<Finish> {
        if self.plan.by != CarriedBy::Session {
            return None;
        }
        let mut state = self.locked();
        if state.stopped {
            return None;
        }
        let (number, all) = (state.next + 1, self.plan.steps.len());
        let done = finish.status == Status::Done;
        state.progress.done.push(model::Done {
            tag: if done { finish.words.clone() } else { String::new() },
            error: (!done).then(|| finish.words.clone()),
            ..model::Done::default()
        });
        if !done {
            state.stopped = true;
            let words = format!("statement {number} of {all}: {}", finish.words);
            // What was not committed did not stay, whatever became of it.
            let unknown = finish.status == Status::OutcomeUnknown && self.plan.apart.is_none();
            let status = if unknown { Status::Failed } else { finish.status };
            return Some(Finish { status, words: format!("{words}{}", self.nothing_stays()) });
        }
        (state.admitted, state.running) = (false, None);
        state.next += 1;
        (state.next >= all && self.plan.apart.is_some())
            .then(|| Finish { status: Status::Done, words: "done: its session sent all of it".to_owned() })
    }

    /// What came of its statements so far.
    pub(crate) fn progress(&self) -> Progress {
        self.locked().progress.clone()
    }

    /// It goes no further. What has come of it, where that is not known already.
    pub(crate) fn stop(&self, why: &str) -> Option<Finish> {
        let mut state = self.locked();
        if std::mem::replace(&mut state.stopped, true) {
            return None;
        }
        state.progress.stopped = Some(why.to_owned());
        let (next, all) = (state.next, self.plan.steps.len());
        let at = if next >= all {
            "stopped before its COMMIT".to_owned()
        } else {
            format!("stopped before statement {} of {all}", next + 1)
        };
        let words = format!("{at}: {why}{}", self.nothing_stays());
        Some(Finish { status: Status::Failed, words })
    }

    fn nothing_stays(&self) -> &'static str {
        if self.plan.apart.is_none() { "; nothing of the plan stays" } else { "" }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statements of a plan before the first that is held.
pub(super) fn leading(plan: &Plan) -> &[Step] {
    let held = plan.steps.iter().position(|step| !step.holds.is_empty());
    plan.steps.get(..held.unwrap_or(plan.steps.len())).unwrap_or_default()
}

/// Whether two texts differ in comments and white space alone.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let trimmed = |text: &str| Some(canonical(text)?.trim_end_matches([';', ' ']).to_owned());
    one == other || trimmed(one).is_some_and(|one| trimmed(other).is_some_and(|other| one == other))
}

/// Which setting is another one, of those that decide how a statement is read.
fn differing(approved: &[(String, String)], now: &[(String, String)]) -> Option<String> {
    let decides = |line: &&(String, String)| !DECIDE_NOTHING.contains(&line.0.as_str());
    let missing = |all: &[(String, String)], line: &&(String, String)| !all.contains(line);
    let others = now.iter().filter(decides).find(|line| missing(approved, line));
    let gone = approved.iter().filter(decides).find(|line| missing(now, line));
    others.or(gone).map(|(name, _)| name.clone())
}

/// What an effect is, without its reason.
pub(super) fn cover(effect: &Effect) -> String {
    let via = effect.via.as_ref().map(|view| format!(" via {view}")).unwrap_or_default();
    // Of what is not understood the reason is all there is.
    let why = effect.why.as_deref().filter(|_| effect.action == model::Action::Unknown);
    format!(
        "{} {}{via}{}",
        effect.action.as_str(),
        effect.resource,
        why.map(|w| format!(": {w}")).unwrap_or_default()
    )
}

/// What is done that was not approved.
fn beyond(step: &Step, effects: &[Effect]) -> Vec<String> {
    let mut beyond: Vec<String> =
        effects.iter().map(cover).filter(|cover| !step.covers.contains(cover)).collect();
    beyond.dedup();
    beyond
}

/// What was altered of what a statement touches, if something was.
fn altered<'t>(step: &Step, now: &'t [Touched]) -> Option<&'t str> {
    let was = |touched: &&Touched| {
        step.touched.iter().any(|then| then.what == touched.what && then.mark != touched.mark)
    };
    now.iter().find(was).map(|touched| touched.what.as_str())
}
