//! A piece of a response: whole frames, as they were read, that share one masking plan.

use masking::{Cut, Maskable, Plan};
use wire::postgres::copy::CopyRewriter;
use wire::postgres::row::{self, Cell, Cells};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl RowPlan {
    /// For what holds nothing to mask.
    pub fn clear() -> Self {
        Self { plan: Plan::new(Vec::new()), copy: None }
    }
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
        if matches!(self.kind, ChunkKind::Frames) {
            return Ok(self);
        }
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let frame = wire::postgres::split(rest, usize::MAX).ok().flatten().ok_or(Cut::Malformed)?;
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
            let mut columns = Columns(&mut plan.plan);
            let rewritten = match &mut plan.copy {
                None => row::rewrite(frame.body, &mut out, &mut columns),
                Some(copy) => copy.row(frame.body, &mut out, &mut columns),
            };
            rewritten.map_err(|_| Cut::Malformed)?;
        }
        Ok(Self { bytes: out, kind: self.kind, rows: self.rows })
    }
}

impl crate::spine::Measured for Chunk {
    fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }
}

struct Columns<'a>(&'a mut Plan);

impl Cells for Columns<'_> {
    fn cell(&mut self, index: usize, value: Option<&[u8]>) -> Cell<'_> {
        match (self.0.column(index), value) {
            (None, _) | (Some(_), None) => Cell::Keep,
            (Some(masker), Some(value)) => masker.mask(value).map_or(Cell::Null, Cell::Value),
        }
    }
}
