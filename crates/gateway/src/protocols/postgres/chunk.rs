//! A piece of a response: whole frames, as they were read, that share one masking plan.

use masking::{Cut, Maskable, Plan};
use wire::postgres::copy::CopyRewriter;
use wire::postgres::row::{self, Cell};

/// Frames for the client.
pub struct Chunk {
    /// Whole messages, or a part of one that is passed on untouched.
    pub bytes: Vec<u8>,
    /// How they are read where a plan has something to mask.
    pub kind: ChunkKind,
    /// How many rows begin in it.
    pub rows: u64,
}

/// What the frames of a chunk are.
pub enum ChunkKind {
    /// Messages without rows of the target, or rows of which nothing is masked.
    Frames,
    /// DataRow messages.
    Rows,
    /// CopyData messages of a `COPY … TO STDOUT`.
    Copy,
}

/// What a response is rewritten with.
pub struct RowPlan {
    /// Per column.
    pub plan: Plan,
    /// For COPY: how its rows are read.
    pub copy: Option<CopyRewriter>,
}

impl Chunk {
    /// Frames that hold nothing of the target's data, or nothing to mask.
    pub fn frames(bytes: Vec<u8>, rows: u64) -> Self {
        Self { bytes, kind: ChunkKind::Frames, rows }
    }
}

impl Maskable for Chunk {
    type Plan = RowPlan;

    fn rewrite(self, plan: &mut RowPlan) -> Result<Self, Cut> {
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut rest = self.bytes.as_slice();
        while let Some(frame) = wire::postgres::split(rest, usize::MAX).map_err(|_| Cut::Malformed)? {
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
            match &self.kind {
                ChunkKind::Frames => out.extend_from_slice(frame.whole),
                ChunkKind::Rows => {
                    row::rewrite(frame.body, &mut out, |i, value| cell(&mut plan.plan, i, value))
                        .map_err(|_| Cut::Malformed)?;
                }
                ChunkKind::Copy => {
                    let copy = plan.copy.as_mut().ok_or(Cut::Malformed)?;
                    let columns = &mut plan.plan;
                    copy.row(frame.body, &mut out, |i, value| cell(columns, i, value)).map_err(|_| Cut::Malformed)?;
                }
            }
        }
        Ok(Self { bytes: out, kind: self.kind, rows: self.rows })
    }
}

fn cell<'a>(plan: &'a mut Plan, index: usize, value: Option<&[u8]>) -> Cell<'a> {
    match (plan.column(index), value) {
        (None, _) | (Some(_), None) => Cell::Keep,
        (Some(masker), Some(value)) => masker.mask(value).map_or(Cell::Null, Cell::Value),
    }
}
