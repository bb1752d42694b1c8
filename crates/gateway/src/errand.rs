//! What an operation is sent for, where it is not simply to run: whoever sends it does not wait for people, or only asks them.

/// What for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errand {
    /// It is only asked for: it does not run, whatever policy says and whoever has approved it.
    pub asks_only: bool,
    /// Why, in the words of whoever asks.
    pub reason: Option<String>,
}
