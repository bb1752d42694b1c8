//! What a response may show: masks that are valid values of their column's type, and the proof that they were applied.

mod constant;
mod generalize;
mod instructions;
mod masker;
mod proof;
mod strategy;
mod types;

pub use instructions::looks_like_instructions;
pub use masker::{ColumnShape, HashKey, Masker, Plan, TypeKind, is_mask};
pub use proof::{Cut, Maskable, Masked, apply};
pub use strategy::{Strategy, UnknownStrategy};

#[cfg(test)]
mod tests;
