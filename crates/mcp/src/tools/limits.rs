//! How much one principal may have under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::answer::Refusal;

/// The calls that are under way, by whose they are.
#[derive(Default)]
pub(super) struct Limits(Arc<Mutex<HashMap<String, usize>>>);

/// A call's place; given back when it is dropped.
pub(super) struct Turn {
    calls: Arc<Mutex<HashMap<String, usize>>>,
    whose: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = calls.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.whose);
            }
        }
    }
}

impl Limits {
    /// A place for one more call, where there may be so many.
    pub(super) fn begin(&self, whose: &str, most: usize) -> Result<Turn, Refusal> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(whose.to_owned()).or_default();
        if *count >= most {
            let why = format!("{most} calls of yours are under way");
            return Err(Refusal::busy(why, "Wait until one is answered."));
        }
        *count += 1;
        Ok(Turn { calls: Arc::clone(&self.0), whose: whose.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn one_principal_has_so_many_calls_at_a_time_and_is_in_nobodys_way() {
        let limits = Limits::default();
        let turns: Vec<_> = (0..3).map(|_| limits.begin("a", 3).expect("a place")).collect();
        assert!(limits.begin("a", 3).is_err());
        assert!(limits.begin("b", 3).is_ok());
        drop(turns);
        assert!(limits.begin("a", 3).is_ok());
    }
}
