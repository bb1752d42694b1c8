//! How much an operation returns, where policy bounds it. What only reads ends there with an error, and its target is told to
//! stop. What writes has written, and no error may say otherwise: the rows beyond are left out, and a warning says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::Most;
use sql::postgres::Control;
use sql::postgres::copy::CopyFormat;
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use super::conversation::Conversation;
use super::expected::{Expected, Run};

/// More would be returned than policy lets a statement return.
pub(super) const TOO_MUCH: &str = "ZD010";

/// What a statement, a portal or a cursor has returned, and may.
pub(super) struct Returns {
    most: Arc<Most>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Returns {
    /// Nothing by now.
    pub(super) fn none(most: Arc<Most>) -> Self {
        Self { most, rows: AtomicU64::default(), bytes: AtomicU64::default() }
    }

    /// The same bounds for something else.
    pub(super) fn anew(&self) -> Self {
        Self::none(Arc::clone(&self.most))
    }

    /// These bounds, with what was returned under others.
    pub(super) fn after(&self, old: &Self) -> Self {
        let of = |count: &AtomicU64| AtomicU64::new(count.load(Ordering::Relaxed));
        Self { most: Arc::clone(&self.most), rows: of(&old.rows), bytes: of(&old.bytes) }
    }

    /// Counts what was masked, as it is returned.
    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The next statement of the same message begins.
    fn restart(&self) {
        self.rows.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Counts one more row, if it may be returned. How long a masked value is nobody is told: its bytes are counted once it is masked.
    fn takes(&self, bytes: Option<u64>) -> Option<Over> {
        let rows = self.rows.load(Ordering::Relaxed);
        if let Some(most) = self.most.rows.as_ref().filter(|most| rows >= most.most) {
            return Some(Over::of(most, "rows"));
        }
        let so_far = self.bytes.load(Ordering::Relaxed);
        let next = so_far.saturating_add(bytes.unwrap_or(1));
        if let Some(most) = self.most.bytes.as_ref().filter(|most| next > most.most) {
            return Some(Over::of(most, "bytes"));
        }
        self.rows.store(rows + 1, Ordering::Relaxed);
        self.bytes.store(so_far.saturating_add(bytes.unwrap_or(0)), Ordering::Relaxed);
        None
    }
}

/// Why no more of it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Over {
    most: u64,
    what: &'static str,
    policy: Arc<str>,
}

impl Over {
    fn of(bound: &policy::Bound, what: &'static str) -> Self {
        Self { most: bound.most, what, policy: Arc::clone(&bound.policy) }
    }

    /// Whose bound it is.
    pub(super) fn policy(&self) -> &str {
        &self.policy
    }

    /// For what only reads.
    pub(super) fn error(&self) -> Vec<u8> {
        let Self { most, what, policy } = self;
        let message = format!("the statement returns more than {most} {what}");
        let detail = format!("Policy \"{policy}\" lets one statement return no more.");
        let hint = "Ask for less: name the rows in WHERE, count or sum them, or take them in parts with ORDER BY a key and LIMIT.";
        let mut out = Vec::new();
        build::error(&mut out, &ErrorFields::new(TOO_MUCH, &message).detail(&detail).hint(hint));
        out
    }

    /// For what has done more than read.
    pub(super) fn warning(&self) -> Vec<u8> {
        let Self { most, what, policy } = self;
        let message =
            format!("the statement was carried out, and no more than {most} {what} of its result are shown");
        let detail = format!("Policy \"{policy}\" lets one statement return no more.");
        let mut out = Vec::new();
        build::notice(&mut out, &ErrorFields::warning(TOO_MUCH, &message).detail(&detail));
        out
    }
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is returned.
    Row,
    /// It is left out.
    LeftOut,
    /// It is the first that is left out, and its target may be told to stop.
    Enough,
}

/// Counts a row of the operation that is answered now. `bytes` is `None` where it is yet to be masked.
pub(super) fn counted(c: &mut Conversation, bytes: Option<u64>) -> Next {
    let names = &c.names;
    let Some(Expected::Query(run) | Expected::Execute(run)) = c.expected.front_mut() else {
        return Next::Row;
    };
    if run.over.is_some() {
        return Next::LeftOut;
    }
    let Some(own) = &run.bound.returns else { return Next::Row };
    let cursor = cursor(run).and_then(|name| names.portal(name)).and_then(|bound| bound.returns.clone());
    let over = own.takes(bytes).or_else(|| cursor?.takes(bytes));
    let Some(over) = over else { return Next::Row };
    run.over = Some(over);
    if run.bound.operation.reads() { Next::Enough } else { Next::LeftOut }
}

/// Whether a bound of bytes is in force on what is answered now.
pub(super) fn counts_bytes(c: &Conversation) -> Option<Arc<Returns>> {
    let (Expected::Query(run) | Expected::Execute(run)) = c.expected.front()? else { return None };
    run.bound.returns.clone().filter(|returns| returns.most.bytes.is_some())
}

/// The cursor that a statement fetches from: what it returns counts for the cursor, too.
fn cursor(run: &Run) -> Option<&str> {
    let controls = &run.bound.operation.statements.get(run.current)?.control;
    controls.iter().find_map(|c| if let Control::Fetch { name } = c { Some(name.as_str()) } else { None })
}

/// Whether data of a COPY is no row: the line of names at its beginning, the mark at the end of a binary one.
pub(super) fn is_no_row(run: &Run, body: &[u8]) -> bool {
    let statement = run.bound.operation.statements.get(run.current);
    let format = statement
        .into_iter()
        .flat_map(|s| &s.control)
        .find_map(|control| if let Control::CopyOut(format) = control { Some(format) } else { None });
    match format {
        Some(CopyFormat::Text { header, .. } | CopyFormat::Csv { header, .. }) => *header && run.rows == 0,
        Some(CopyFormat::Binary) => body == [0xff, 0xff],
        None => false,
    }
}

/// Whether what answers now is a read of which no more is shown: its end is told as an error.
pub(super) fn is_over(c: &Conversation) -> bool {
    match c.expected.front() {
        Some(Expected::Query(run) | Expected::Execute(run)) => {
            run.over.is_some() && run.bound.operation.reads()
        }
        _ => false,
    }
}

/// A statement is done, and another one of the same message may begin, which is bounded by itself. Says what is to be said of
/// one that wrote. Of reads the first that is too much ends them all.
pub(super) fn next_statement(run: &mut Run) -> Option<Vec<u8>> {
    if run.over.is_some() && run.bound.operation.reads() {
        return None;
    }
    if let Some(returns) = &run.bound.returns {
        returns.restart();
    }
    run.over.take().map(|over| over.warning())
}

/// What stands for a function's value that is too long, which has been called.
pub(super) fn instead_of_value(run: &Run, bytes: usize) -> Option<Vec<u8>> {
    let over = run.bound.returns.as_ref()?.takes(u64::try_from(bytes).ok())?;
    let mut out = over.warning();
    build::no_function_value(&mut out);
    Some(out)
}
