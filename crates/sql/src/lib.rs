//! What a statement would do, by the grammar of the server it is for. Pure: text and catalogue in, effects out.

pub mod postgres;
