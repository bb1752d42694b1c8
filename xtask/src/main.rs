//! The house commands: `cargo xtask demo`, `test`, `acceptance`, `bench`, `conformance`.

fn main() {}
