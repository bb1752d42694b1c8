//! An approved operation is sent so that it can be taken back, looked at, and then told to stay or not (`ceiling`); or what was tried
//! of it and is open is committed in its place.

use std::sync::Arc;

use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use super::{Open, put_off};
use crate::audit::Stopped;
use crate::protocols::postgres::ceiling::{
    ANOTHER, Beyond, Capped, Changes, Due, Instead, Limit, Stage, TOO_MANY, Unsent, beyond_at_last,
};
use crate::protocols::postgres::conversation::{Refusing, Running};
use crate::protocols::postgres::own::{BEGIN, CHANGED, COMMIT, ROLLBACK, SETTLE};
use crate::protocols::postgres::preview::trial::Came;
use crate::protocols::postgres::request::RequestKind;
use crate::spine::Stop;

/// The server's answer is none to what it was asked.
const NO_ANSWER: &str = "58000";
/// Whether it was committed is not known (`transaction_resolution_unknown`).
const NOT_KNOWN: &str = "08007";
const LOST: &str = "the target was lost while it committed what was tried and approved";

impl Open {
    /// Goes on with an approved operation as far as it can without another answer of the server's.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        let Some(capped) = self.conversation.capped.take() else { return Ok(()) };
        if self.asking.is_some() || !self.is_due(&capped) {
            self.conversation.capped = Some(capped);
            return Ok(());
        }
        self.step(capped)
    }

    /// Whether everything has come that its next step waits for.
    fn is_due(&mut self, capped: &Capped) -> bool {
        match &capped.stage {
            Stage::Waiting(_) => {
                let due = self.conversation.expected.is_empty();
                if !due && self.conversation.needs_flush() {
                    build::flush(self.pump.upstream.output.tail());
                }
                due
            }
            Stage::Running(_) | Stage::Kept(..) => false,
            Stage::Ran(_) | Stage::Failed => self.conversation.expected.is_empty(),
            Stage::Beginning(_)
            | Stage::Counting(_)
            | Stage::Closing(_)
            | Stage::Committing
            | Stage::Undoing(_) => !self.conversation.has_own(),
        }
    }

    /// One step of an operation, which is put back where it goes on.
    fn step(&mut self, mut capped: Capped) -> Result<(), Stop> {
        let failed = self.answers.own_failed.take();
        if failed.is_some() && capped.simple && self.conversation.is_skipping() {
            self.conversation.resume(self.pump.upstream.output.tail());
        }
        match (std::mem::replace(&mut capped.stage, Stage::Failed), failed) {
            (Stage::Waiting(unsent), _) => self.begin(capped, unsent),
            (Stage::Beginning(unsent), None) => {
                let answers = self.answers.take_results();
                match answers.last().and_then(Changes::read) {
                    Some(before) => self.send(capped, *unsent, before),
                    None => self.unanswered(capped),
                }
            }
            (Stage::Beginning(_), Some(state)) => {
                let error = std::mem::take(&mut self.answers.own_error);
                self.undo(capped, &state, error)
            }
            (Stage::Ran(limit), _) => {
                // In a block of the client's that is for its end: what comes next may be what a constraint waits for.
                let texts =
                    if self.is_settled_at_once(&capped) { vec![SETTLE, CHANGED] } else { vec![CHANGED] };
                capped.stage = Stage::Counting(limit);
                self.ask_for(capped, &texts);
                Ok(())
            }
            (Stage::Counting(limit), None) => {
                let answers = self.answers.take_results();
                match answers.last().and_then(Changes::read) {
                    Some(after) => self.counted(capped, &limit, &after),
                    None => self.unanswered(capped),
                }
            }
            (Stage::Closing(unsent), None) => {
                let answers = self.answers.take_results();
                match (answers.first().and_then(Changes::read), answers.last().and_then(Changes::read)) {
                    (Some(before), Some(after)) => self.close(capped, *unsent, &before, &after),
                    _ => self.unanswered(capped),
                }
            }
            (Stage::Counting(_) | Stage::Closing(_), Some(state)) => {
                let error = std::mem::take(&mut self.answers.own_error);
                self.undo(capped, &state, error)
            }
            (Stage::Failed, _) => {
                capped.stage = Stage::Undoing(None);
                self.ask_for(capped, &[ROLLBACK]);
                Ok(())
            }
            (Stage::Committing, None) => self.stays(capped),
            // Nothing of it is left: its transaction has ended.
            (Stage::Committing, Some(state)) => {
                let error = std::mem::take(&mut self.answers.own_error);
                self.answers.outcomes.push_back(capped.ended(&state, 0, None));
                self.tell(error, capped.simple)
            }
            (Stage::Undoing(None), _) => {
                build::ready(&mut self.answers.released, self.conversation.status);
                Ok(())
            }
            (Stage::Undoing(Some(error)), _) => self.tell(error, capped.simple),
            (Stage::Running(_) | Stage::Kept(..), _) => {
                Err(Stop::Broken("an operation that runs and is settled"))
            }
        }
    }

    /// Asks what has changed before it, in a transaction that it will be part of.
    fn begin(&mut self, mut capped: Capped, mut unsent: Box<Unsent>) -> Result<(), Stop> {
        let status = self.conversation.status;
        if capped.simple
            && status == TransactionStatus::Idle
            && let Some(kept) = unsent.kept.take()
        {
            capped.stage = Stage::Kept(kept, Instead::Message(unsent));
            self.conversation.capped = Some(capped);
            return Ok(());
        }
        // The server looks at nothing before the client's next Sync.
        if self.conversation.is_skipping() {
            self.answers.outcomes.push_back(capped.ended("25P02", 0, None));
            return Ok(());
        }
        let kind = &unsent.request.kind;
        let before = self.conversation.guarded(kind, &unsent.request.operation, &[]);
        self.pump.upstream.output.extend(&before);
        if status == TransactionStatus::Failed {
            // It fails there, whatever it is.
            return self.send_on(&capped, *unsent);
        }
        if unsent.approved.is_none() {
            // A COMMIT that fails has ended its transaction, too.
            capped.ours = capped.simple;
            if !capped.simple {
                self.conversation.stay_open();
            }
            capped.stage = Stage::Closing(unsent);
            self.ask_for(capped, &[CHANGED, SETTLE, CHANGED]);
            return Ok(());
        }
        capped.ours = capped.simple && status == TransactionStatus::Idle;
        let texts = if capped.ours { vec![BEGIN, CHANGED] } else { vec![CHANGED] };
        if !capped.simple {
            self.conversation.stay_open();
        }
        let begins = capped.ours;
        capped.stage = Stage::Beginning(unsent);
        self.ask_for(capped, &texts);
        if begins {
            self.conversation.begun();
        }
        Ok(())
    }

    /// What was tried and is open was to be committed: the client hears what the server said when it was tried, or it runs now.
    pub(super) fn came(&mut self, came: Came) -> Result<(), Stop> {
        let Some(mut capped) = self.conversation.capped.take() else {
            return Err(Stop::Broken("what was tried of nothing"));
        };
        let Stage::Kept(kept, instead) = std::mem::replace(&mut capped.stage, Stage::Failed) else {
            return Err(Stop::Broken("what was tried of something else"));
        };
        if came != Came::Gone {
            self.answering = capped.decision.n;
            match &instead {
                // As the server does with each of these.
                Instead::Message(_) => self.conversation.names.simple_query(),
                // The server's own has not run, and never will.
                Instead::Portal(name, ..) => self.conversation.names.drop_portal(name),
            }
        }
        match (came, instead) {
            (Came::Committed, _) => {
                capped.outcomes.push(capped.done(kept.rows));
                build::command_complete(&mut capped.held, &kept.tag);
                self.stays(capped)
            }
            (Came::Refused(code), _) => {
                self.answers.outcomes.push_back(capped.ended(&code, 0, None));
                self.answers.own_words(Vec::new());
                self.tell(not_committed(&code), capped.simple)
            }
            // It was another connection's: this session goes on.
            (Came::Lost, _) => {
                let outcome = capped.ended(NOT_KNOWN, 0, Some(Stopped::Unknown(LOST)));
                self.answers.outcomes.push_back(outcome);
                self.answers.own_words(Vec::new());
                self.tell(not_known(), capped.simple)
            }
            (Came::Gone, Instead::Message(unsent)) => {
                capped.stage = Stage::Waiting(unsent);
                self.step(capped)
            }
            (Came::Gone, Instead::Portal(name, bound, frame)) => {
                let first = self.conversation.run_portal(&name, bound, &[]);
                self.pump.upstream.output.extend(&first);
                self.pump.upstream.output.extend(&frame);
                Ok(())
            }
        }
    }

    /// Whether what waits for the end of its transaction runs before it is counted.
    fn is_settled_at_once(&self, capped: &Capped) -> bool {
        capped.ours || self.conversation.status == TransactionStatus::Idle
    }

    /// Sends what is not looked at any more.
    fn send_on(&mut self, capped: &Capped, unsent: Unsent) -> Result<(), Stop> {
        let Unsent { mut request, reveal, turn, approved: _, most, kept: _ } = unsent;
        let (decision, text) = (capped.decision.clone(), put_off(&request));
        let running = Running { reveal, decision, turn, limit: None, most, text };
        self.pump.upstream.output.append(&mut request.frame);
        let behind = self.conversation.forward(request.kind, request.operation, running);
        self.pump.upstream.output.extend(&behind);
        Ok(())
    }

    /// What waited for the end of the client's transaction has run: that is sent, where no more was done than was approved.
    fn close(
        &mut self,
        capped: Capped,
        unsent: Unsent,
        before: &Changes,
        after: &Changes,
    ) -> Result<(), Stop> {
        let due = std::mem::take(&mut self.conversation.due);
        let (state, changed, stopped, error) = match beyond_at_last(&due, before, after) {
            None => return self.send_on(&capped, unsent),
            Some((Beyond::TooMany(changed), most)) => {
                (TOO_MANY, changed, Stopped::TooMany(most), too_many_at_last(changed, most))
            }
            Some((Beyond::Another(how), _)) => (ANOTHER, 0, Stopped::Another(how), another()),
        };
        self.answers.outcomes.push_back(capped.ended(state, changed, Some(stopped)));
        self.answers.own_words(Vec::new());
        self.take_back(capped, error)
    }

    /// Sends it.
    fn send(&mut self, mut capped: Capped, unsent: Unsent, before: Changes) -> Result<(), Stop> {
        let Unsent { mut request, reveal, turn, approved, most, kept } = unsent;
        let approved = approved.ok_or(Stop::Broken("an operation that nobody approved and is settled"))?;
        let limit = Arc::new(Limit::from(&approved, before, kept));
        let running = Running {
            reveal,
            decision: capped.decision.clone(),
            turn,
            limit: Some(Arc::clone(&limit)),
            most,
            text: put_off(&request),
        };
        // A portal that is bound runs with the client's Execute.
        if !matches!(request.kind, RequestKind::Bind { .. }) {
            capped.stage = Stage::Running(limit);
            self.conversation.capped = Some(capped);
        }
        self.pump.upstream.output.append(&mut request.frame);
        let behind = self.conversation.forward(request.kind, request.operation, running);
        self.pump.upstream.output.extend(&behind);
        Ok(())
    }

    fn counted(&mut self, mut capped: Capped, limit: &Arc<Limit>, after: &Changes) -> Result<(), Stop> {
        let told = capped.told;
        let settled = self.is_settled_at_once(&capped);
        match limit.beyond(after, told, settled) {
            Some(Beyond::TooMany(changed)) => {
                let outcome = capped.ended(TOO_MANY, changed, Some(Stopped::TooMany(limit.most)));
                self.answers.outcomes.push_back(outcome);
                self.answers.own_words(Vec::new());
                return self.take_back(capped, too_many(changed, limit.most));
            }
            Some(Beyond::Another(how)) => {
                let outcome = capped.ended(ANOTHER, told, Some(Stopped::Another(how)));
                self.answers.outcomes.push_back(outcome);
                self.answers.own_words(Vec::new());
                return self.take_back(capped, another());
            }
            None => (),
        }
        if capped.ours {
            capped.stage = Stage::Committing;
            self.ask_for(capped, &[COMMIT]);
            return Ok(());
        }
        if !settled {
            let changed = limit.changed(after, told);
            self.conversation.due.push(Due { limit: Arc::clone(limit), changed });
        }
        self.stays(capped)
    }

    /// The client hears what the server said of it.
    fn stays(&mut self, mut capped: Capped) -> Result<(), Stop> {
        self.answers.outcomes.extend(capped.outcomes.drain(..));
        self.answers.released.append(&mut capped.held);
        if capped.simple {
            build::ready(&mut self.answers.released, self.conversation.status);
        }
        Ok(())
    }

    /// What has changed cannot be learnt.
    fn unanswered(&mut self, capped: Capped) -> Result<(), Stop> {
        self.answers.own_words(Vec::new());
        self.undo(capped, NO_ANSWER, no_answer())
    }

    fn undo(&mut self, capped: Capped, state: &str, error: Vec<u8>) -> Result<(), Stop> {
        self.answers.outcomes.push_back(capped.ended(state, 0, None));
        self.take_back(capped, error)
    }

    fn take_back(&mut self, mut capped: Capped, error: Vec<u8>) -> Result<(), Stop> {
        if capped.ours && self.conversation.status != TransactionStatus::Idle {
            capped.stage = Stage::Undoing(Some(error));
            self.ask_for(capped, &[ROLLBACK]);
            return Ok(());
        }
        self.tell(error, capped.simple)
    }

    /// Tells the client of a failure in its place. What it happened in fails with it.
    fn tell(&mut self, error: Vec<u8>, simple: bool) -> Result<(), Stop> {
        // What we asked has failed, so that all before the client's next Sync has.
        if !simple && self.conversation.is_skipping() {
            self.answers.released.extend_from_slice(&error);
            return Ok(());
        }
        match self.conversation.refuse(error, simple, false) {
            Refusing::ByOurselves(answer) => self.answers.released.extend_from_slice(&answer),
            Refusing::ByTheServer(stand_in) => self.pump.upstream.output.extend(&stand_in),
        }
        Ok(())
    }

    /// Asks, and goes on when the answer is whole.
    fn ask_for(&mut self, capped: Capped, texts: &[&str]) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        self.answers.ask_begun();
        self.conversation.ask(self.pump.upstream.output.tail(), &texts);
        self.conversation.capped = Some(capped);
    }
}

/// Commits what was tried and is open, where that is due, and says what came of it. Cancel-safe.
pub(super) async fn committed(capped: &mut Option<Capped>) -> Came {
    match capped {
        Some(Capped { stage: Stage::Kept(kept, _), .. }) => kept.commit().await,
        Some(_) | None => std::future::pending().await,
    }
}

fn not_known() -> Vec<u8> {
    let mut out = Vec::new();
    let error = ErrorFields::new(NOT_KNOWN, LOST)
        .hint("It may have been committed: look before you send it again, which asks anew.");
    build::error(&mut out, &error);
    out
}

fn not_committed(code: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let error = ErrorFields::new(code, "what was tried and approved could not be committed")
        .hint("Nothing of it is left. The same statement sent again asks anew.");
    build::error(&mut out, &error);
    out
}

fn too_many(changed: u64, most: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let why =
        format!("the statement changed {changed} rows, and {most} were approved: all of it was taken back");
    let error = ErrorFields::new(TOO_MANY, &why).hint(
        "Nothing of it is left. The same statement sent again asks anew; narrow it, or say how many rows it is to change.",
    );
    build::error(&mut out, &error);
    out
}

fn too_many_at_last(changed: u64, most: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let why = format!(
        "with what ran at the end of the transaction {changed} rows were changed, and {most} were approved: nothing of it is committed"
    );
    let error = ErrorFields::new(TOO_MANY, &why).hint(
        "What nobody has to approve counts as well where triggers of its own wait for the end: send that in another transaction.",
    );
    build::error(&mut out, &error);
    out
}

/// What the difference is, the approver sees; whoever asks hears no numbers of rows that they may not read.
fn another() -> Vec<u8> {
    let mut out = Vec::new();
    let why = "the statement did something else than what was seen beforehand and approved: all of it was taken back";
    let error = ErrorFields::new(ANOTHER, why)
        .hint("Nothing of it is left. The same statement sent again asks anew, and is looked at anew.");
    build::error(&mut out, &error);
    out
}

fn no_answer() -> Vec<u8> {
    let mut out = Vec::new();
    let error =
        ErrorFields::new(NO_ANSWER, "the gateway could not learn how many rows the statement changes")
            .hint("Nothing of it is left. The same statement sent again asks anew.");
    build::error(&mut out, &error);
    out
}
