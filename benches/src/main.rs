//! A plain copying relay: the floor that a proxy of this kind can reach.

fn main() {}
