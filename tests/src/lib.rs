//! End-to-end tests: see the modules under `tests/`.
