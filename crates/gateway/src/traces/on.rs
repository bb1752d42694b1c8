//! What becomes a span, and when. A session says what happens to it; nothing here waits, and what there is no room for is
//! counted and dropped.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use model::TargetName;

use super::Decided;
use super::collector::Sender;
use super::span::{Ids, Span, Value};
use crate::audit::{DecisionId, Outcome};
use crate::holds::Ticket;
use crate::metrics::Stage;
use crate::spine::Stop;

/// So many operations of a session may be on their way at a time and still get their last stages.
const MOST_RUNNING: usize = 256;

/// Where spans go; nowhere where no collector is configured.
#[derive(Debug, Clone, Default)]
pub struct Traces(pub(super) Option<Sender>);

/// A moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment(Option<Instant>);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self(Some(Instant::now()))
    }
}

/// When an operation's message was begun to be understood, and when it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Understood(Option<(Instant, Instant)>);

impl Understood {
    /// It began then, and is done now.
    pub fn since(begun: Moment) -> Self {
        Self(begun.0.map(|begun| (begun, Instant::now())))
    }
}

/// Time that was spent in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent(Option<(Instant, Instant, Duration)>);

impl Spent {
    /// A piece began then, and is done now.
    pub fn add(&mut self, Moment(begun): Moment) {
        let (Some(begun), now) = (begun, Instant::now()) else { return };
        let (first, _, sum) = self.0.unwrap_or((begun, now, Duration::ZERO));
        self.0 = Some((first, now, sum + (now - begun)));
    }

    /// What was spent so far; it begins anew.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// When a record was waited for.
type Wait = Arc<OnceLock<(Instant, Instant)>>;

/// Who wants to know how long records were waited for.
#[derive(Debug, Default)]
pub struct Waits {
    who: Vec<Wait>,
    begun: Option<Instant>,
}

impl Waits {
    /// These wait, too.
    pub(crate) fn then(&mut self, next: Self) {
        self.who.extend(next.who);
    }

    /// The wait begins.
    pub(crate) fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// The wait is over.
    pub(crate) fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            let now = Instant::now();
            for wait in self.who.drain(..) {
                let _ = wait.set((begun, now));
            }
        }
    }
}

/// An operation whose end is not known yet.
struct Running {
    decision: DecisionId,
    /// The operation itself first, then its stages.
    spans: Vec<Span>,
    wait: Wait,
}

/// An operation that waits for people.
struct Held {
    spans: Vec<Span>,
    decision: String,
    request: String,
    asked: Instant,
    answered: Option<(Instant, &'static str)>,
}

/// The spans of one session.
pub(crate) struct Tracer {
    out: Option<Sender>,
    session: Arc<str>,
    ids: Ids,
    /// Spans of the session's own so far.
    count: u64,
    begun: Instant,
    target: Option<String>,
    held: Option<Held>,
    running: VecDeque<Running>,
}

impl Tracer {
    pub(crate) fn new(traces: &Traces, session: &str) -> Self {
        Self {
            out: traces.0.clone(),
            session: session.into(),
            ids: Ids::of_session(session),
            count: 0,
            begun: Instant::now(),
            target: None,
            held: None,
            running: VecDeque::new(),
        }
    }

    /// A stage of the session itself, which began then and is over now.
    pub(crate) fn stage(&mut self, stage: Stage, Moment(begun): Moment) {
        let (Some(out), Some(begun)) = (&self.out, begun) else { return };
        if !out.takes(&self.ids) {
            return;
        }
        self.count += 1;
        let span = Span {
            ids: self.ids.nth(self.count),
            parent: Some(self.ids.span),
            name: stage.as_str().into(),
            serves: false,
            begun,
            ended: Instant::now(),
            attributes: vec![("durward.session", Value::from(&*self.session))],
            link: None,
            failed: None,
        };
        out.send(vec![span]);
    }

    /// Where the session leads to.
    pub(crate) fn opened(&mut self, target: &TargetName) {
        if self.out.is_some() {
            self.target = Some(target.to_string());
        }
    }

    /// An operation that may go on, when its record is written.
    pub(crate) fn allowed(&mut self, decided: &Decided<'_>, runs: bool) -> Waits {
        let Some(out) = &self.out else { return Waits::default() };
        // What was held is always sent, as what is refused is.
        if self.held.is_none() && !out.takes(&Ids::of_operation(decided.decision)) {
            return Waits::default();
        }
        let spans = self.decided(decided, "allow", None);
        if !runs {
            // Nothing comes back of a statement that only gets a name.
            self.send(spans);
            return Waits::default();
        }
        if self.running.len() >= MOST_RUNNING
            && let Some(Running { spans, .. }) = self.running.pop_front()
        {
            self.send(spans);
        }
        let wait = Wait::default();
        let decision = decided.decision.clone();
        self.running.push_back(Running { decision, spans, wait: Arc::clone(&wait) });
        Waits { who: vec![wait], begun: None }
    }

    /// An operation that was refused, with its SQLSTATE.
    pub(crate) fn refused(&mut self, decided: &Decided<'_>, code: &str) {
        if self.out.is_some() {
            let spans = self.decided(decided, "deny", Some(code));
            self.send(spans);
        }
    }

    /// What could not be understood.
    pub(crate) fn unreadable(&mut self, decision: &DecisionId, code: &str) {
        let decided = Decided { decision, kind: "", understood: Understood::default(), policies: &[] };
        self.refused(&decided, code);
    }

    /// An operation that waits for people.
    pub(crate) fn held(&mut self, decided: &Decided<'_>, ticket: &Ticket) {
        let (Some(_), Moment(Some(asked))) = (&self.out, ticket.asked) else { return };
        let mut spans = match self.held.take() {
            // What was approved needs more approvals: it is the same operation.
            Some(held) => self.waited(held),
            None => self.understood(decided),
        };
        let since = spans.last().map_or(asked, |last| last.ended);
        self.child(&mut spans, Stage::Decide.as_str(), since, asked);
        let (decision, request) = (decided.decision.to_string(), ticket.id.clone());
        self.held = Some(Held { spans, decision, request, asked, answered: None });
    }

    /// How it was answered.
    pub(crate) fn answered(&mut self, word: &'static str) {
        if let Some(held) = &mut self.held {
            held.answered = Some((Instant::now(), word));
        }
    }

    /// How an operation ended at the target.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) {
        let Some(at) = self.running.iter().position(|r| r.decision == outcome.decision) else { return };
        let Some(Running { decision: _, mut spans, wait }) = self.running.remove(at) else { return };
        let Outcome {
            decision: _,
            rows,
            duration,
            sqlstate,
            masking: Spent(masking),
            stopped: _,
            instructions: _,
        } = outcome;
        let now = Instant::now();
        if let Some((begun, ended)) = wait.get() {
            self.child(&mut spans, Stage::Journal.as_str(), *begun, *ended);
        }
        let begun = now.checked_sub(*duration).unwrap_or(now);
        self.child(&mut spans, Stage::Answer.as_str(), begun, now);
        if let Some((first, last, spent)) = masking {
            let spent = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
            let mask = self.child(&mut spans, Stage::Mask.as_str(), *first, *last);
            mask.attributes.push(("durward.mask.microseconds", Value::Number(spent)));
        }
        if let Some(whole) = spans.first_mut() {
            whole.ended = now;
            whole.attributes.push(("durward.rows", Value::Number(*rows)));
            if let Some(state) = sqlstate {
                whole.attributes.push(("db.response.status_code", Value::from(&**state)));
                whole.failed = Some(state.clone());
            }
        }
        self.send(spans);
    }

    /// The end of the session.
    pub(crate) fn close(&mut self, stop: &Stop) {
        if self.out.is_none() {
            return;
        }
        for Running { spans, .. } in std::mem::take(&mut self.running) {
            self.send(spans);
        }
        if let Some(held) = self.held.take() {
            let spans = self.waited(held);
            self.send(spans);
        }
        let mut attributes = self.about();
        attributes.push(("durward.end", Value::from(stop.word())));
        let failed = match stop {
            Stop::Done | Stop::Ended(_) => None,
            Stop::Denied(_)
            | Stop::NoLeave(_)
            | Stop::Unopened(_)
            | Stop::Login(_)
            | Stop::Violation(_)
            | Stop::Upstream(_)
            | Stop::Journal
            | Stop::Recording
            | Stop::Broken(_) => Some(stop.word().to_owned()),
        };
        self.send(vec![Span {
            ids: self.ids,
            parent: None,
            name: "session".into(),
            serves: true,
            begun: self.begun,
            ended: Instant::now(),
            attributes,
            link: None,
            failed,
        }]);
    }

    /// What every span of a whole says.
    fn about(&self) -> Vec<(&'static str, Value)> {
        let mut said = vec![
            ("durward.session", Value::from(&*self.session)),
            ("db.system.name", Value::from("postgresql")),
        ];
        said.extend(self.target.as_deref().map(|target| ("durward.target", Value::from(target))));
        said
    }

    /// The operation as a whole, which ends with its last stage, and how long it took to understand it.
    fn understood(&self, decided: &Decided<'_>) -> Vec<Span> {
        let Decided { decision, kind, understood: Understood(understood), policies: _ } = decided;
        let now = Instant::now();
        let (begun, done) = understood.unwrap_or((now, now));
        let mut attributes = self.about();
        if !kind.is_empty() {
            attributes.push(("db.operation.name", Value::from(*kind)));
        }
        let ids = Ids::of_operation(decision);
        let name = if kind.is_empty() { "unreadable".into() } else { kind.to_string().into() };
        let link = Some(self.ids);
        let mut spans = vec![Span {
            ids,
            parent: None,
            name,
            serves: true,
            begun,
            ended: done,
            attributes,
            link,
            failed: None,
        }];
        if understood.is_some() {
            self.child(&mut spans, Stage::Describe.as_str(), begun, done);
        }
        spans
    }

    /// The same with what policy said of it.
    fn decided(&mut self, decided: &Decided<'_>, verdict: &'static str, code: Option<&str>) -> Vec<Span> {
        let mut spans = match self.held.take() {
            Some(held) => self.waited(held),
            None => self.understood(decided),
        };
        let now = Instant::now();
        let since = spans.last().map_or(now, |last| last.ended);
        if decided.understood != Understood::default() {
            self.child(&mut spans, Stage::Decide.as_str(), since, now);
        }
        if let Some(whole) = spans.first_mut() {
            whole.ended = now;
            let said = &mut whole.attributes;
            said.push(("durward.decision", Value::from(&*decided.decision.to_string())));
            said.push(("durward.verdict", Value::from(verdict)));
            said.push(("durward.policies", Value::List(decided.policies.to_vec())));
            if let Some(code) = code {
                said.push(("db.response.status_code", Value::from(code)));
                whole.failed = Some(code.to_owned());
            }
        }
        spans
    }

    /// What was held, with its wait.
    fn waited(&self, held: Held) -> Vec<Span> {
        let Held { mut spans, decision, request, asked, answered } = held;
        let (until, word) = answered.unwrap_or_else(|| (Instant::now(), "withdrawn"));
        let hold = self.child(&mut spans, "hold", asked, until);
        hold.attributes.push(("durward.hold.decision", Value::Text(decision)));
        hold.attributes.push(("durward.request", Value::Text(request)));
        hold.attributes.push(("durward.answer", Value::from(word)));
        spans
    }

    /// A stage of an operation.
    fn child<'s>(
        &self,
        spans: &'s mut Vec<Span>,
        name: &'static str,
        begun: Instant,
        ended: Instant,
    ) -> &'s mut Span {
        let count = spans.len() as u64;
        let first = spans.first().map_or(self.ids, |first| first.ids);
        let span = Span {
            ids: first.nth(count),
            parent: Some(first.span),
            name: name.into(),
            serves: false,
            begun,
            ended: ended.max(begun),
            attributes: Vec::new(),
            link: None,
            failed: None,
        };
        spans.push_mut(span)
    }

    fn send(&self, spans: Vec<Span>) {
        if let Some(out) = &self.out {
            out.send(spans);
        }
    }
}
