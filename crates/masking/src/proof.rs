//! The proof that a response went through its masking plan.

/// Why a result cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The target sent rows that are not what it announced.
    #[error("the target's answer is malformed")]
    Malformed,
    /// A value cannot be masked with certainty.
    #[error("the result cannot be masked with certainty")]
    Uncertain,
}

/// A piece of a response that knows how to apply a plan to itself.
pub trait Maskable: Sized {
    /// What it is rewritten with.
    type Plan;
    /// Replaces what the plan says; fails rather than pass what it cannot read.
    fn rewrite(self, plan: &mut Self::Plan) -> Result<Self, Cut>;
}

/// A piece of a response that went through masking: the only thing a client can be sent.
///
/// ```compile_fail,E0423
/// let forged = masking::Masked("secret");
/// ```
#[must_use]
#[derive(Debug)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// What may be shown.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What may be shown.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Applies a plan. Nothing else makes a [`Masked`].
pub fn apply<C: Maskable>(plan: &mut C::Plan, chunk: C) -> Result<Masked<C>, Cut> {
    chunk.rewrite(plan).map(Masked)
}
