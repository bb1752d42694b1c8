//! What each message of the client's leads to.

use std::sync::Arc;

use wire::Malformed;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::frontend::{Frontend, Kind};
use wire::postgres::{Frame, build};

use super::in_flight::Found;
use super::unsynced::Ran;
use super::{Conversation, Said, Skipping, ends_block, ends_transaction};
use crate::protocols::postgres::ceiling::{self, Capped};
use crate::protocols::postgres::expected::{Bound, Expected, Run};
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::names::adds_names;
use crate::protocols::postgres::operation::Operation;
use crate::protocols::postgres::own;
use crate::protocols::postgres::prepared::Prepared;
use crate::protocols::postgres::request::{Request, RequestKind};
use crate::protocols::postgres::understanding::depends_on_names;

/// Why names may not be changed now.
const TOO_LATE: &str = "it changes names that open cursors or deferred triggers are still to find; close them or end the transaction first";

/// The first OID that the server gives to what users make.
const FIRST_OWN: u32 = 16_384;

impl Conversation {
    /// What one message of the client's leads to; `rest` is what it has sent behind that. Registers what is relayed.
    pub(in crate::protocols::postgres) fn client(
        &mut self,
        frame: &Frame<'_>,
        rest: &[u8],
    ) -> Result<Said, Malformed> {
        let message = wire::postgres::frontend::frontend(frame)?;
        if self.skipping != Skipping::No {
            return Ok(self.while_skipping(&message));
        }
        if self.copies > 0 && interrupts_copy(&message) {
            return Ok(self.interrupt_copy(frame.kind));
        }
        if self.waits(&message) {
            return Ok(Said::Wait);
        }
        let said = match message {
            Frontend::Query(text) => self.query(frame, text),
            Frontend::Parse(parse) => self.parse(frame, parse.name, parse.sql, &parse.types),
            Frontend::Bind(bind) => {
                self.bind(frame, bind.portal, bind.statement, bind.results.iter().collect())
            }
            Frontend::Execute { portal, .. } => self.execute(frame, portal, rest),
            Frontend::FunctionCall(call) => self.function_call(frame, call.function),
            Frontend::Describe(kind, name) => self.describe(kind, name, rest),
            Frontend::Close(kind, name) => self.close(kind, name, rest),
            Frontend::Sync => self.before_sync().unwrap_or_else(|| self.sync()),
            Frontend::Flush => {
                self.flushed = true;
                Said::Relay
            }
            Frontend::CopyData(_) if self.takes_copy_data() => Said::Relay,
            Frontend::CopyDone | Frontend::CopyFail(_) if self.copies > 0 => {
                self.copies -= 1;
                // Data swallows a Flush.
                self.flushed = false;
                if !std::mem::take(&mut self.copying_in) {
                    self.expected.push_back(Expected::CopyEnd);
                }
                Said::Relay
            }
            // A COPY in a statement that could not be read may wait for it. Else the server ignores it.
            Frontend::CopyDone | Frontend::CopyFail(_) if self.understanding.is_indifferent() => {
                if !self.expected.is_empty() {
                    self.expected.push_back(Expected::CopyEnd);
                }
                Said::Relay
            }
            // What is left of a COPY that failed or was refused: PostgreSQL ignores it, too.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Said::Drop,
            Frontend::Terminate => Said::Quit,
            Frontend::Password(_) => return Err(Malformed("a password after login")),
        };
        Ok(self.understanding.take_wanted().map_or(said, Said::Think))
    }

    /// For any other message within a COPY that has begun, PostgreSQL ends the session. It gets an empty one of the same
    /// kind, which its error names, in the place of one that nobody has decided. Before the COPY has begun, it depends on
    /// answers in flight.
    fn interrupt_copy(&mut self, kind: u8) -> Said {
        if !self.copying_in {
            return Said::Wait;
        }
        self.query_ended();
        self.skipping = Skipping::Upstream;
        Said::Replace(vec![kind, 0, 0, 0, 4])
    }

    fn while_skipping(&mut self, message: &Frontend<'_>) -> Said {
        match message {
            Frontend::Terminate => Said::Quit,
            Frontend::Sync if self.skipping == Skipping::Local => {
                self.skipping = Skipping::No;
                let mut out = Vec::new();
                build::ready(&mut out, self.status);
                Said::Answer(out)
            }
            Frontend::Sync => {
                self.skipping = Skipping::No;
                self.sync()
            }
            Frontend::Query(_)
            | Frontend::Parse(_)
            | Frontend::Bind(_)
            | Frontend::Describe(..)
            | Frontend::Execute { .. }
            | Frontend::Close(..)
            | Frontend::Flush
            | Frontend::FunctionCall(_)
            | Frontend::CopyData(_)
            | Frontend::CopyDone
            | Frontend::CopyFail(_)
            | Frontend::Password(_) => Said::Drop,
        }
    }

    /// Whether names can be resolved now; otherwise what must happen first.
    fn before_names(&mut self) -> Option<Said> {
        if self.understanding.is_indifferent() {
            return None;
        }
        if self.names_moving && !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        self.stale |= self.understanding.is_behind();
        if !self.stale {
            return None;
        }
        // What is in flight may be the end of a failed transaction.
        if !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        // In a failed transaction the server cannot be asked, and does nothing but end it.
        if self.status == TransactionStatus::Failed {
            return None;
        }
        Some(Said::Ask(self.understanding.purpose()))
    }

    /// The same before a text of which nothing is known yet. One that names nothing is not asked for: in a transaction in which
    /// anything was asked it is too late to say how isolated that is to be.
    fn before_text(&mut self, text: &[u8], simple: bool) -> Option<Said> {
        let first = self.before_names()?;
        let plain = matches!(first, Said::Ask(_))
            && may_name_nothing(text)
            && self.understanding.understand(text, &self.names, simple).is_ok_and(|o| o.names_nothing());
        (!plain).then_some(first)
    }

    /// The same before what is understood already.
    fn before_known(&mut self, operation: &Operation) -> Option<Said> {
        self.before_names().filter(|first| !(matches!(first, Said::Ask(_)) && operation.names_nothing()))
    }

    /// The same before something is sent for which the server may use a plan of before.
    fn before_plans(&mut self, uses: bool) -> Option<Said> {
        if !uses || self.understanding.is_indifferent() || !self.understanding.has_old_plans() {
            return None;
        }
        if !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        // There nothing is planned.
        if self.status == TransactionStatus::Failed {
            return None;
        }
        Some(Said::Ask(self.understanding.purpose()))
    }

    /// Whether SQL would keep more under names where the session keeps as much as it may.
    fn adds_too_much(&self, operation: &Operation) -> bool {
        self.names.is_full() && operation.controls().any(adds_names)
    }

    /// Whether a text may speak of prepared statements or cursors while it is not settled which there are.
    fn speaks_of_names_in_flight(&self, text: &[u8]) -> bool {
        !self.understanding.is_indifferent() && self.expected.moves_names() && depends_on_names(text)
    }

    fn query(&mut self, frame: &Frame<'_>, text: &[u8]) -> Said {
        if let Some(first) = self.before_text(text, true) {
            return first;
        }
        if self.speaks_of_names_in_flight(text) {
            return Said::Wait;
        }
        // Also where no block is open: what came by the extended protocol and no Sync behind it is one transaction with this.
        let uncertain = self.touched || self.stale;
        match self.understanding.understand(text, &self.names, true) {
            Err(garbled) => Said::Garbled(garbled),
            Ok(operation) if self.adds_too_much(&operation) => {
                Said::Garbled(Garbled { simple: true, ..too_many() })
            }
            Ok(operation) => {
                let uses_plans = depends_on_names(text) || operation.runs_code();
                let uncertain = uncertain || uses_plans && self.understanding.has_old_plans();
                let operation = if uncertain && ends_block_midway(&operation.statements) {
                    let why = "what follows the end of the transaction in one message; send it alone";
                    Arc::new(Operation::uncertain(why, &operation))
                } else if self.moves_too_late(&operation, Some("")) {
                    // An answer in flight may be the end of what would run late.
                    if !self.expected.is_empty() {
                        return Said::Wait;
                    }
                    Arc::new(Operation::uncertain(TOO_LATE, &operation))
                } else {
                    operation
                };
                if let Some(first) = self.before_plans(uses_plans) {
                    return first;
                }
                if let Some(first) = self.before_block(&operation) {
                    return simply(first);
                }
                if let Some(late) = self.before_late(&operation) {
                    return simply(Said::Garbled(late));
                }
                let under = self.circumstances();
                Said::Request(Request::new(
                    frame.whole.to_vec(),
                    RequestKind::Query,
                    operation,
                    under,
                    self.understanding.seen(),
                ))
            }
        }
    }

    fn parse(&mut self, frame: &Frame<'_>, name: &[u8], text: &[u8], types: &[u32]) -> Said {
        if let Some(first) = self.before_text(text, false) {
            return first;
        }
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        if !name.is_empty() && self.names.is_full() {
            return Said::Garbled(too_many());
        }
        if self.speaks_of_names_in_flight(text) {
            return Said::Wait;
        }
        match self.understanding.understand(text, &self.names, false) {
            Err(garbled) => Said::Garbled(Garbled { unnamed: name.is_empty(), ..garbled }),
            Ok(operation) => {
                let text = String::from_utf8_lossy(text).into();
                let (declared, under) = (types.into(), self.circumstances());
                // Below are the types that the server comes with.
                let types: Vec<u32> = types.iter().copied().filter(|oid| *oid >= FIRST_OWN).collect();
                let operation = self.understanding.typed(operation, &types);
                let prepared = Prepared {
                    types,
                    declared,
                    ..Prepared::new(Some(text), Arc::clone(&operation), self.understanding.epoch())
                };
                let kind = RequestKind::Parse { name, prepared: Arc::new(prepared) };
                Said::Request(Request::new(
                    frame.whole.to_vec(),
                    kind,
                    operation,
                    under,
                    self.understanding.seen(),
                ))
            }
        }
    }

    fn bind(&mut self, frame: &Frame<'_>, portal: &[u8], statement: &[u8], formats: Vec<i16>) -> Said {
        let (portal, name) = match (own_name(portal), own_name(statement)) {
            (Ok(portal), Ok(name)) => (portal, name),
            (Err(garbled), _) | (_, Err(garbled)) => return Said::Garbled(garbled),
        };
        let first = match self.find_statement(&name) {
            Found::Here(prepared) => self.before_known(&prepared.operation),
            Found::Missing | Found::Ambiguous => self.before_names(),
        };
        if let Some(first) = first {
            return first;
        }
        if !portal.is_empty() && self.names.is_full() {
            return Said::Garbled(too_many());
        }
        let prepared = match self.find_statement(&name) {
            Found::Ambiguous => return Said::Wait,
            Found::Missing => None,
            Found::Here(prepared) => Some(prepared),
        };
        // The statement itself is in flight with its Bind where a driver sends both; what it speaks of is looked at again.
        if prepared.as_ref().is_some_and(|p| self.is_in_flight(&p.operation)) {
            return Said::Wait;
        }
        let prepared = match prepared.map(|p| (self.understanding.again(&p, &self.names), p)) {
            Some((Ok(again), old)) => {
                // What means what it did when it was prepared was planned so, too.
                let moved = !Arc::ptr_eq(&old, &again);
                if let Some(first) = self.before_plans(moved || again.operation.runs_code()) {
                    return first;
                }
                // In a transaction that has failed it cannot be told to, and plans nothing: the statement stays one of before.
                if moved && !self.understanding.has_old_plans() {
                    self.names.renew(&name, &old, &again);
                }
                again
            }
            Some((Err(garbled), _)) => return Said::Garbled(garbled),
            // The server may still have one from before a message that it never saw.
            None if name.is_empty() && !self.understanding.is_indifferent() => {
                return Said::Garbled(Garbled::new(
                    "26000",
                    "unnamed prepared statement does not exist".to_owned(),
                ));
            }
            // Nothing of that name was prepared by this session's own messages. Only who may do the unknown gets
            // through to the server, which knows whether a function prepared it.
            None => Arc::new(Prepared::missing(&name, self.understanding.epoch())),
        };
        if self.adds_too_much(&prepared.operation) {
            return Said::Garbled(too_many());
        }
        let operation = Arc::clone(&prepared.operation);
        if let Some(first) = self.before_block(&operation) {
            return first;
        }
        let kind = RequestKind::Bind { portal, statement: name, prepared, formats };
        let under = self.circumstances();
        Said::Request(Request::new(frame.whole.to_vec(), kind, operation, under, self.understanding.seen()))
    }

    fn execute(&mut self, frame: &Frame<'_>, portal: &[u8], rest: &[u8]) -> Said {
        let indifferent = self.understanding.is_indifferent();
        if self.names_moving && !self.expected.is_empty() && !indifferent {
            return Said::Wait;
        }
        let name = match own_name(portal) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        let bound = match self.find_portal(&name) {
            Found::Ambiguous => return Said::Wait,
            Found::Here(bound) => bound,
            // A function may have opened it: nothing is known of it, and nothing on this target is to be masked.
            Found::Missing if indifferent => Arc::new(Bound::of(Arc::new(Operation::nothing()))),
            Found::Missing => {
                return Said::Garbled(Garbled::new("34000", format!("portal \"{name}\" does not exist")));
            }
        };
        // What may have become another decision since is asked about again.
        let outdated = bound.turn != self.turn && !indifferent;
        // What ends a transaction is asked about, too, where it is to be looked at what was approved in it.
        let outdated = outdated || !self.due.is_empty() && ceiling::settles(&bound.operation);
        let late = self.runs_under_others(&name, &bound);
        if (bound.operation.speaks_of_names() || outdated || late) && !indifferent {
            if let Some(first) = self.before_known(&bound.operation) {
                return first;
            }
            if self.is_in_flight(&bound.operation) {
                return Said::Wait;
            }
            if !self.still_means(&bound) {
                return Said::Garbled(Garbled {
                    hint: Some("Bind it again; of a cursor that SQL declared, FETCH its rows.".to_owned()),
                    ..Garbled::new(
                        "55000",
                        format!("what portal \"{name}\" names has changed since it was bound"),
                    )
                });
            }
            if let Some(first) = self.before_plans(!bound.operation.names_nothing()) {
                return first;
            }
        }
        if self.moves_too_late(&bound.operation, Some(&name)) {
            if !self.expected.is_empty() {
                return Said::Wait;
            }
            return Said::Garbled(Garbled {
                hint: Some("Close the cursors and portals, or end the transaction, before that.".to_owned()),
                ..Garbled::new("55000", TOO_LATE.to_owned())
            });
        }
        if let Some(first) = self.before_block(&bound.operation) {
            return first;
        }
        if ceiling::settles(&bound.operation)
            && let Some(late) = self.before_late(&bound.operation)
        {
            return Said::Garbled(late);
        }
        if outdated {
            let (operation, under) = (Arc::clone(&bound.operation), self.circumstances());
            let kind = RequestKind::Execute { portal: name, bound };
            let seen = self.understanding.seen();
            return Said::Request(Request::new(frame.whole.to_vec(), kind, operation, under, seen));
        }
        // What was tried is committed in its place, behind all that was sent before it.
        if let Some(kept) = bound.limit.as_ref().and_then(|limit| limit.kept.clone()) {
            if !self.expected.is_empty() {
                return Said::Wait;
            }
            self.capped = Some(Capped::portal(kept, name, bound, frame.whole.to_vec()));
            return Said::Drop;
        }
        relay_behind(self.run_portal(&name, bound, rest))
    }

    /// A portal is run, with `rest` behind it. Returns what goes before that.
    pub(in crate::protocols::postgres) fn run_portal(
        &mut self,
        name: &str,
        bound: Arc<Bound>,
        rest: &[u8],
    ) -> Vec<u8> {
        let mut first = self.guarded_segment(rest);
        first.extend(self.locked_block(&bound.operation));
        self.running(&bound, None);
        self.caps(&bound);
        if bound.prepared.is_none() && self.understanding.wants_fields_of(&bound) {
            own::describe(&mut first, b'P', name);
            self.extended(Expected::DescribePortal { bound: Some(Arc::clone(&bound)), ours: true });
        }
        self.extended(Expected::Execute(Run::new(bound)));
        first
    }

    /// Whether it finds its names, or those of its code, as it runs, and they may be others than when it was bound.
    fn runs_under_others(&mut self, name: &str, bound: &Bound) -> bool {
        let is_utility = bound.operation.statements.iter().any(|statement| statement.is_utility);
        if !is_utility && (!bound.is_late() || self.names.is_made(name)) {
            return false;
        }
        let now = self.understanding.epoch_now();
        bound.understood_under() != Some(now) || self.stale || self.understanding.is_behind()
    }

    /// Whether what is bound still means what it did: the server looks up what `EXECUTE` and `FETCH` name, and what a utility
    /// statement speaks of, when it runs.
    fn still_means(&mut self, bound: &Bound) -> bool {
        let Some(prepared) = &bound.prepared else { return self.understanding.finds_again(bound) };
        self.understanding
            .again(prepared, &self.names)
            .is_ok_and(|again| again.operation.means(&bound.operation))
    }

    fn function_call(&mut self, frame: &Frame<'_>, function: u32) -> Said {
        if let Some(first) = self.before_names() {
            return first;
        }
        let mut operation = self.understanding.function_call(function, &self.names);
        if let Some(first) = self.before_plans(operation.runs_code()) {
            return first;
        }
        if self.moves_too_late(&operation, None) {
            if !self.expected.is_empty() {
                return Said::Wait;
            }
            operation = self.understanding.uncertain(TOO_LATE);
        }
        if let Some(first) = self.before_block(&operation) {
            return simply(first);
        }
        if let Some(late) = self.before_late(&operation) {
            return simply(Said::Garbled(late));
        }
        let under = self.circumstances();
        Said::Request(Request::new(
            frame.whole.to_vec(),
            RequestKind::FunctionCall,
            operation,
            under,
            self.understanding.seen(),
        ))
    }

    fn close(&mut self, kind: Kind, name: &[u8], rest: &[u8]) -> Said {
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        let first = self.guarded_segment(rest);
        self.extended(match kind {
            Kind::Portal => Expected::ClosePortal(name),
            Kind::Statement => Expected::CloseStatement(name),
        });
        relay_behind(first)
    }

    fn sync(&mut self) -> Said {
        // While data of a COPY flows, the server ignores a Sync and does not answer it.
        if !self.copying_in {
            self.expected.push_back(Expected::Sync);
            self.unsynced = false;
            self.within = Ran::Nothing;
            self.implicit_end();
        }
        Said::Relay
    }
}

/// Whether PostgreSQL fails a running COPY for this message.
fn interrupts_copy(message: &Frontend<'_>) -> bool {
    match message {
        Frontend::Query(_)
        | Frontend::Parse(_)
        | Frontend::Bind(_)
        | Frontend::Describe(..)
        | Frontend::Execute { .. }
        | Frontend::Close(..)
        | Frontend::FunctionCall(_) => true,
        Frontend::Flush
        | Frontend::Sync
        | Frontend::CopyData(_)
        | Frontend::CopyDone
        | Frontend::CopyFail(_)
        | Frontend::Terminate
        | Frontend::Password(_) => false,
    }
}

/// Whether a text begins as one that names nothing.
fn may_name_nothing(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 5] = [b"begin", b"start", b"set", b"reset", b"show"];
    let text = text.trim_ascii_start();
    WORDS.iter().any(|word| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)))
}

/// The server cuts names of statements and portals after so many bytes (`NAMEDATALEN`, less one), so that two which differ
/// behind them are one.
const LONGEST_NAME: usize = 63;

/// A name as the server knows it, as text; the gateway's own name is not the client's to use.
pub(super) fn own_name(name: &[u8]) -> Result<String, Garbled> {
    let known = name.get(..LONGEST_NAME).unwrap_or(name);
    let name = std::str::from_utf8(known).map_err(|_| {
        Garbled::new("22021", "a name that is not valid UTF-8 where the server cuts it".to_owned())
    })?;
    if name == own::RESERVED {
        return Err(Garbled::new("42939", "this name is reserved for the gateway".to_owned()));
    }
    Ok(name.to_owned())
}

pub(super) fn relay_behind(first: Vec<u8>) -> Said {
    if first.is_empty() { Said::Relay } else { Said::RelayBehind(first) }
}

/// The same for a message that is answered with a ReadyForQuery.
fn simply(said: Said) -> Said {
    if let Said::Garbled(garbled) = said { Said::Garbled(Garbled { simple: true, ..garbled }) } else { said }
}

fn too_many() -> Garbled {
    Garbled {
        hint: Some("Close those that are not needed any more, or run DEALLOCATE ALL.".to_owned()),
        ..Garbled::new("53400", "this session keeps too many prepared statements or portals".to_owned())
    }
}

/// Whether something follows the end of a transaction in one message.
fn ends_block_midway(statements: &[Arc<sql::postgres::Statement>]) -> bool {
    statements.iter().rev().skip(1).any(|s| s.control.iter().any(|c| ends_block(c) || ends_transaction(c)))
}
