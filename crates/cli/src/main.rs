//! The binary `durward`.

fn main() {}
