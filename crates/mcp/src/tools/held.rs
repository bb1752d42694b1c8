//! Statements that wait for an answer, kept for whoever waits with them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gateway::gateway::Gateway;
use model::Status;

use super::query::Statement;
use super::{Caller, Tools};

/// Statements are kept so long for their answers.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// So many in all, and so many of one principal's.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 50;
/// So many bytes in all, and so many of one person's, whatever their agents are called.
const BYTES: usize = 256 << 20;
const BYTES_OF_ONE: usize = 8 << 20;
/// What became of their requests is looked at so often,
const LOOK: Duration = Duration::from_secs(5);
/// of so many at a time, those first that were not looked at for longest.
const AT_ONCE: usize = 64;

/// Whose a statement is.
struct Whose {
    /// Who sent it and may send it again.
    name: String,
    /// Who answers for them.
    person: String,
}

struct Kept {
    whose: Whose,
    statement: Statement,
    since: Instant,
    looked: Instant,
}

/// Statements that wait, by their requests. They are sent again by those alone who sent them, and decided anew then.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<String, Kept>>);

impl Held {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one, where there is room for it; whether there is.
    fn keep(&self, request: &str, whose: Whose, statement: Statement) -> bool {
        let mut all = self.all();
        all.retain(|_, kept| kept.since.elapsed() < KEPT);
        all.remove(request);
        let bytes = |kept: &Kept| kept.statement.size();
        let (mine, theirs) = (
            all.values().filter(|kept| kept.whose.name == whose.name).count(),
            all.values().filter(|kept| kept.whose.person == whose.person).map(bytes).sum::<usize>(),
        );
        let size = statement.size();
        let has_room = mine < MOST_OF_ONE
            && all.len() < MOST
            && theirs.saturating_add(size) <= BYTES_OF_ONE
            && all.values().map(bytes).sum::<usize>().saturating_add(size) <= BYTES;
        if has_room {
            let now = Instant::now();
            all.insert(request.to_owned(), Kept { whose, statement, since: now, looked: now });
        }
        has_room
    }

    /// The one of a request, for whoever sent it.
    pub(super) fn find(&self, request: &str, name: &str) -> Option<Statement> {
        let all = self.all();
        let kept = all.get(request).filter(|kept| kept.whose.name == name && kept.since.elapsed() < KEPT)?;
        Some(kept.statement.clone())
    }

    /// Forgets the one of a request.
    pub(super) fn forget(&self, request: &str) {
        self.all().remove(request);
    }

    /// Those whose requests are to be looked at now.
    fn due(&self) -> Vec<String> {
        let mut all = self.all();
        all.retain(|_, kept| kept.since.elapsed() < KEPT);
        let mut due: Vec<_> = all.iter_mut().collect();
        due.sort_by_key(|(_, kept)| kept.looked);
        due.truncate(AT_ONCE);
        let now = Instant::now();
        let look = |(request, kept): (&String, &mut Kept)| {
            kept.looked = now;
            request.clone()
        };
        due.into_iter().map(look).collect()
    }

    /// Forgets the one of a request that runs no more, however it ended and whether or not anybody waits with it.
    fn stands(&self, request: &str, status: Status) {
        match status {
            Status::Pending | Status::Approved | Status::Claimed => {}
            Status::Denied
            | Status::Expired
            | Status::Withdrawn
            | Status::Lapsed
            | Status::Rescinded
            | Status::Superseded
            | Status::Done
            | Status::Failed
            | Status::OutcomeUnknown => self.forget(request),
        }
    }
}

impl Tools {
    /// Keeps a statement for whoever waits for the answer to its request; the way on from there.
    pub(super) fn hold(&self, caller: &Caller, request: &str, statement: Statement) -> String {
        let whose = Whose { name: caller.name(), person: caller.person() };
        if self.held.keep(request, whose, statement) {
            return format!("Call wait with request {request}.");
        }
        // Nothing is lost by it: an approved statement runs by being sent.
        format!(
            "Call wait with request {request}. So much of yours waits that this statement is not kept here: once it is approved, \
             send exactly the same by query."
        )
    }
}

/// Forgets statements whose requests have ended, as long as there are tools.
pub(super) async fn sweep(tools: Weak<Tools>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(tools) = tools.upgrade() else { return };
        look(&tools.gateway, &tools.held).await;
    }
}

async fn look(gateway: &Gateway, held: &Held) {
    for request in held.due() {
        // What cannot be looked up is looked up again.
        if let Ok(status) = gateway.standing_of(&request).await {
            held.stands(&request, status);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Status, TargetName};
    use serde_json::json;

    use super::{BYTES_OF_ONE, Held, MOST_OF_ONE, Statement, Whose};
    use crate::values::Given;

    fn statement(bytes: usize) -> Statement {
        let values = vec![Given::Text("x".repeat(bytes))];
        Statement { target: TargetName::new("shop"), sql: "SELECT $1".to_owned(), values, rows: 1 }
    }

    fn keeps(held: &Held, request: &str, name: &str, person: &str, bytes: usize) -> bool {
        let whose = Whose { name: name.to_owned(), person: person.to_owned() };
        held.keep(request, whose, statement(bytes))
    }

    #[test]
    fn what_one_persons_agents_have_waiting_is_bounded_in_bytes() {
        let held = Held::default();
        let most = BYTES_OF_ONE / 2 - 1000;
        assert!(keeps(&held, "1", "a", "alice", most));
        assert!(keeps(&held, "2", "b", "alice", most));
        assert!(!keeps(&held, "3", "c", "alice", most), "whatever their agents are called");
        assert!(held.find("3", "c").is_none());
        // The same again takes no more room, and somebody else has their own.
        assert!(keeps(&held, "2", "b", "alice", most));
        assert!(keeps(&held, "4", "d", "bob", most));
        assert!(held.find("1", "a").is_some() && held.find("1", "b").is_none());
    }

    #[test]
    fn one_principal_has_so_many_waiting() {
        let held = Held::default();
        for number in 0..MOST_OF_ONE {
            assert!(keeps(&held, &number.to_string(), "a", "alice", 1));
        }
        assert!(!keeps(&held, "more", "a", "alice", 1));
        assert!(keeps(&held, "other", "b", "alice", 1));
    }

    #[test]
    fn what_has_ended_makes_room() {
        let held = Held::default();
        for (status, stays) in [
            (Status::Pending, true),
            (Status::Approved, true),
            (Status::Claimed, true),
            (Status::Denied, false),
            (Status::Expired, false),
            (Status::Withdrawn, false),
            (Status::Done, false),
        ] {
            assert!(keeps(&held, "1", "a", "alice", BYTES_OF_ONE / 2));
            assert_eq!(held.due(), ["1"]);
            held.stands("1", status);
            assert_eq!(held.find("1", "a").is_some(), stays, "{status:?}");
        }
    }

    #[test]
    fn a_value_is_kept_as_text() {
        let list = json!(vec![json!({"": 0}); 1000]);
        let given = Given::from(&list);
        assert!(matches!(&given, Given::List(text) if text.len() == given.size() && given.size() < 10_000));
    }
}
