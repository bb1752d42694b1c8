//! What a statement would do.
