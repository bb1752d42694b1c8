//! Results: how their rows are read, and by which plan they are masked.

use std::collections::BTreeSet;
use std::sync::Arc;

use masking::Plan;
use model::ColumnName;
use sql::postgres::Control;
use sql::postgres::copy::CopyFormat as Declared;
use wire::postgres::Frame;
use wire::postgres::backend::{CopyShape, Field, Fields};
use wire::postgres::copy::{CopyFormat, CopyRewriter};

use super::{Answers, Heard, unexpected};
use crate::protocols::postgres::chunk::{ChunkKind, RowPlan};
use crate::protocols::postgres::control::texts;
use crate::protocols::postgres::conversation::Conversation;
use crate::protocols::postgres::expected::{Bound, Expected};
use crate::protocols::postgres::{masks, returned};
use crate::spine::Stop;

impl Answers {
    pub(super) fn row(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        if self.is_own_row(c) {
            let row = texts(frame.body).map_err(|wire::Malformed(why)| Stop::Upstream(why.to_owned()))?;
            if !self.own_left.takes(&row) {
                return Ok(Heard::TooMuch);
            }
            self.own_rows.last_mut().ok_or_else(unexpected)?.push(row);
            return Ok(Heard::Swallow);
        }
        if returned::is_over(c) {
            return Ok(Heard::Swallow);
        }
        if let Err(why) = self.settle(c) {
            return Ok(Heard::Cut(why));
        }
        if self.leaves_out(c, frame.whole.len()) {
            return Ok(Heard::Swallow);
        }
        match c.expected.front_mut() {
            Some(Expected::Query(run) | Expected::Execute(run)) => {
                run.rows += 1;
                Ok(Heard::Row)
            }
            _ => Err(unexpected()),
        }
    }

    /// Before its first row is shown, a result has a plan.
    pub(super) fn settle(&mut self, c: &mut Conversation) -> Result<(), &'static str> {
        // A COPY has its plan from the start.
        if self.kind == Some(ChunkKind::Copy) {
            return Ok(());
        }
        match c.expected.front_mut() {
            Some(Expected::Query(run)) if !run.described => Err("rows without a description"),
            Some(Expected::Execute(run)) => {
                if std::mem::replace(&mut run.described, true) {
                    return Ok(());
                }
                let bound = Arc::clone(&run.bound);
                self.shape = if self.recorded { bound.shape() } else { None };
                self.plan_portal(&bound, c)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn copy_row(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        let counts = match c.expected.front() {
            Some(Expected::Query(run) | Expected::Execute(run)) => !returned::is_no_row(run, frame.body),
            _ => false,
        };
        if returned::is_over(c) || counts && self.leaves_out(c, frame.whole.len()) {
            return Ok(Heard::Swallow);
        }
        match c.expected.front_mut() {
            Some(Expected::Query(run) | Expected::Execute(run)) => {
                run.rows += 1;
                Ok(Heard::Row)
            }
            _ => Err(unexpected()),
        }
    }

    /// The plan of a portal's rows: from what the server said of its statement.
    pub(super) fn plan_portal(&mut self, bound: &Bound, c: &Conversation) -> Result<(), &'static str> {
        if !c.understanding.may_mask() {
            self.set_rows(None, None);
            return Ok(());
        }
        // A cursor's description has its formats in it, a statement's has not: they are the portal's.
        let (fields, formats) = match &bound.prepared {
            Some(prepared) => (prepared.fields.get(), Some(bound.formats.as_slice())),
            None => (bound.fields.get(), None),
        };
        let fields = fields.ok_or("rows of a portal that was never described")?;
        let outputs = bound.operation.statements.first().map(|s| &s.outputs);
        let by =
            |reveal: &BTreeSet<ColumnName>| masks::rows(&self.masks, outputs, fields, formats, reveal, c);
        let (plan, recorded) = self.plans(bound, by)?;
        self.set_rows(plan, recorded);
        Ok(())
    }

    /// The plan by which the client gets what comes, and that by which it is recorded, where they may differ: what is revealed to
    /// one is recorded as nobody else may see it.
    fn plans(
        &self,
        bound: &Bound,
        by: impl Fn(&BTreeSet<ColumnName>) -> Result<Option<Plan>, &'static str>,
    ) -> Result<(Option<Plan>, Option<Plan>), &'static str> {
        let plan = by(&bound.reveal)?;
        let recorded = if self.recorded && !bound.reveal.is_empty() { by(&BTreeSet::new())? } else { None };
        Ok((plan, recorded))
    }

    fn set_rows(&mut self, plan: Option<Plan>, recorded: Option<Plan>) {
        self.kind = Some(ChunkKind::Rows);
        if let Some(ear) = &self.ear {
            ear.hears(plan.iter().flat_map(Plan::masked).collect());
        }
        self.plan = RowPlan::of(plan, recorded, || None);
    }

    pub(super) fn described(&mut self, c: &mut Conversation, fields: Fields<'_>) -> Result<Heard, Stop> {
        match c.expected.front_mut() {
            Some(Expected::Query(run)) => {
                // A second description within one statement is that of a rule's additional query: nothing is known of it.
                let again = std::mem::replace(&mut run.described, true);
                let (bound, current) = (Arc::clone(&run.bound), run.current);
                let fields: Vec<Field> = fields.iter().collect();
                let outputs = bound.operation.statements.get(current).filter(|_| !again).map(|s| &s.outputs);
                let by = |reveal: &BTreeSet<ColumnName>| {
                    masks::rows(&self.masks, outputs, &fields, None, reveal, c)
                };
                match self.plans(&bound, by) {
                    Ok((plan, recorded)) => {
                        self.set_rows(plan, recorded);
                        Ok(Heard::Pass)
                    }
                    Err(why) => Ok(Heard::Cut(why)),
                }
            }
            Some(Expected::DescribeStatement { .. }) => {
                let Some(Expected::DescribeStatement { prepared, ours }) = c.expected.pop_front() else {
                    return Err(unexpected());
                };
                if let Some(prepared) = prepared {
                    let _ = prepared.fields.set(fields.iter().collect());
                }
                c.settled();
                Ok(if ours { Heard::Swallow } else { Heard::Pass })
            }
            Some(Expected::DescribePortal { .. }) => {
                let Some(Expected::DescribePortal { bound, ours }) = c.expected.pop_front() else {
                    return Err(unexpected());
                };
                if let Some(bound) = bound {
                    let _ = bound.fields.set(fields.iter().collect());
                }
                c.settled();
                Ok(if ours { Heard::Swallow } else { Heard::Pass })
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) fn no_data(&mut self, c: &mut Conversation) -> Result<Heard, Stop> {
        match c.expected.pop_front() {
            Some(Expected::DescribeStatement { ours, .. } | Expected::DescribePortal { ours, .. }) => {
                c.settled();
                Ok(if ours { Heard::Swallow } else { Heard::Pass })
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) fn copy_out(&mut self, c: &mut Conversation, shape: &CopyShape) -> Result<Heard, Stop> {
        let Some(Expected::Query(run) | Expected::Execute(run)) = c.expected.front() else {
            return Err(unexpected());
        };
        let bound = Arc::clone(&run.bound);
        let current = run.current;
        if !c.understanding.may_mask() {
            self.kind = Some(ChunkKind::Copy);
            self.plan = None;
            return Ok(Heard::Pass);
        }
        let Some(statement) = bound.operation.statements.get(current) else { return Err(unexpected()) };
        let columns = usize::from(shape.columns);
        self.kind = Some(ChunkKind::Copy);
        self.plan = None;
        let (outputs, binary) = (&statement.outputs, shape.is_binary());
        let by =
            |reveal: &BTreeSet<ColumnName>| masks::copy(&self.masks, outputs, columns, binary, reveal, c);
        let (plan, recorded) = match self.plans(&bound, by) {
            Ok((None, None)) => return Ok(Heard::Pass),
            Ok(plans) => plans,
            Err(why) => return Ok(Heard::Cut(why)),
        };
        let format = statement.control.iter().find_map(|control| {
            if let Control::CopyOut(format) = control { Some(copy_format(format)) } else { None }
        });
        let Some(format) = format else { return Ok(Heard::Cut("a COPY whose format is not known")) };
        self.plan = RowPlan::of(plan, recorded, || Some(CopyRewriter::new(format.clone(), columns)));
        Ok(Heard::Pass)
    }
}

fn copy_format(declared: &Declared) -> CopyFormat {
    match declared {
        Declared::Text { delimiter, null, header } => {
            CopyFormat::Text { delimiter: *delimiter, null: null.clone(), header: *header }
        }
        Declared::Csv { delimiter, quote, escape, null, header } => CopyFormat::Csv {
            delimiter: *delimiter,
            quote: *quote,
            escape: *escape,
            null: null.clone(),
            header: *header,
        },
        Declared::Binary => CopyFormat::Binary,
    }
}
