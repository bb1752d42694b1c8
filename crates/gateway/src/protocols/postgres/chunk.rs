//! A piece of a response: whole frames, as they were read, that share one masking plan.

use masking::{Cut, Maskable, Plan};
use recording::Piece;
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
    /// The decision on the operation that its beginning answers; 0 where it answers none.
    pub answers: u64,
    /// What the recording is told beside the bytes, in order.
    pub notes: Vec<Note>,
    /// What is recorded in the place of the bytes: the same rows as somebody without `reveal` would get them.
    pub recorded: Option<Vec<u8>>,
}

/// Something about a chunk's bytes from one of them on. Of rows that are masked all notes stand at their beginning, so that it does
/// not matter where the others move.
pub struct Note {
    /// From which byte on.
    pub at: usize,
    /// What.
    pub what: Noted,
}

/// What a note says.
pub enum Noted {
    /// They answer the operation of another decision.
    Answers(u64),
    /// The rows that follow are to be read by this RowDescription.
    Shape(Vec<u8>),
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
    /// By what the rows are recorded, where that is not as the client gets them: whoever may read recordings may not see what was
    /// revealed to somebody else.
    pub recorded: Option<Box<RowPlan>>,
}

impl RowPlan {
    /// For what holds nothing to mask.
    pub fn clear() -> Self {
        Self { plan: Plan::new(Vec::new()), copy: None, recorded: None }
    }

    /// For the client by one plan, for the recording by another; `None` where neither masks anything.
    pub fn of(
        client: Option<Plan>,
        recorded: Option<Plan>,
        copy: impl Fn() -> Option<CopyRewriter>,
    ) -> Option<Self> {
        let one = |plan| Self { plan, copy: copy(), recorded: None };
        let recorded = recorded.map(|plan| Box::new(one(plan)));
        match client {
            None if recorded.is_none() => None,
            client => Some(Self { recorded, ..client.map_or_else(Self::clear, one) }),
        }
    }

    /// A piece of the rows under it.
    fn rewritten(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Cut> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let frame = wire::postgres::split(rest, usize::MAX).ok().flatten().ok_or(Cut::Malformed)?;
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
            let mut columns = Columns(&mut self.plan);
            let rewritten = match &mut self.copy {
                None => row::rewrite(frame.body, &mut out, &mut columns),
                Some(copy) => copy.row(frame.body, &mut out, &mut columns),
            };
            rewritten.map_err(|_| Cut::Malformed)?;
        }
        Ok(out)
    }
}

impl Chunk {
    /// Frames that hold nothing of the target's data, or nothing to mask.
    pub fn frames(bytes: Vec<u8>, rows: u64) -> Self {
        Self { bytes, kind: ChunkKind::Frames, rows, answers: 0, notes: Vec::new(), recorded: None }
    }

    /// What is appended next answers this operation.
    pub fn turn_to(&mut self, operation: u64) {
        if self.bytes.is_empty() {
            self.answers = operation;
            return;
        }
        let turned = |note: &Note| if let Noted::Answers(n) = note.what { Some(n) } else { None };
        if self.notes.iter().rev().find_map(turned).unwrap_or(self.answers) != operation {
            self.notes.push(Note { at: self.bytes.len(), what: Noted::Answers(operation) });
        }
    }

    /// The rows that are appended next are to be read by this RowDescription.
    pub fn shape(&mut self, description: Vec<u8>) {
        self.notes.push(Note { at: self.bytes.len(), what: Noted::Shape(description) });
    }
}

impl Maskable for Chunk {
    type Plan = RowPlan;

    fn rewrite(self, plan: &mut RowPlan) -> Result<Self, Cut> {
        if matches!(self.kind, ChunkKind::Frames) {
            return Ok(self);
        }
        let recorded = match &mut plan.recorded {
            Some(recorded) => Some(recorded.rewritten(&self.bytes)?),
            None => None,
        };
        let bytes = if plan.plan.is_clear() { self.bytes } else { plan.rewritten(&self.bytes)? };
        Ok(Self { bytes, recorded, ..self })
    }
}

impl crate::spine::Measured for Chunk {
    fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    fn pieces(&self, put: &mut dyn FnMut(&Piece<'_>)) {
        let bytes = self.recorded.as_deref().unwrap_or(&self.bytes);
        let (mut from, mut answers) = (0, self.answers);
        for Note { at, what } in &self.notes {
            match what {
                Noted::Answers(next) => {
                    put(&Piece::Bytes(answers, bytes.get(from..*at).unwrap_or_default()));
                    (from, answers) = (*at, *next);
                }
                Noted::Shape(description) => {
                    put(&Piece::Bytes(answers, bytes.get(from..*at).unwrap_or_default()));
                    put(&Piece::Shape(answers, description));
                    from = *at;
                }
            }
        }
        put(&Piece::Bytes(answers, bytes.get(from..).unwrap_or_default()));
    }
}

struct Columns<'a>(&'a mut Plan);

impl Cells for Columns<'_> {
    fn cell(&mut self, index: usize, value: Option<&[u8]>) -> Cell<'_> {
        match (self.0.column(index), value) {
            (None, _) => Cell::Keep,
            (Some(masker), None) => masker.mask_null().map_or(Cell::Keep, Cell::Value),
            (Some(masker), Some(value)) => masker.mask(value).map_or(Cell::Null, Cell::Value),
        }
    }
}
