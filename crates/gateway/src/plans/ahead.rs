//! What a session has sent in the transaction that is open, before a plan begins in it.

use std::sync::{Mutex, PoisonError};

use model::Step;

use super::run::is_same;

/// So many statements are remembered; a plan has no more of them.
const MOST: usize = 200;
/// So many bytes of their texts.
const BYTES: usize = 256 * 1024;

/// What was sent in a transaction so far, as far as a plan could begin with it.
#[derive(Debug, Default)]
pub struct Ahead(Mutex<Sent>);

#[derive(Debug, Default)]
struct Sent {
    statements: Vec<(Option<String>, bool)>,
    bytes: usize,
    /// Something that is no plain read is not remembered.
    lost: bool,
}

impl Ahead {
    /// The transaction is over, and nothing of another one was sent.
    pub(crate) fn clear(&self) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.lost || !sent.statements.is_empty() {
            *sent = Sent::default();
        }
    }

    /// A statement was sent; its text, where that is all there is of it, and whether it changes nothing.
    pub(crate) fn sent(&self, text: Option<String>, reads: bool) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = text.as_ref().map_or(0, String::len);
        if sent.statements.len() >= MOST || sent.bytes.saturating_add(bytes) > BYTES {
            sent.lost |= !reads;
            return;
        }
        sent.bytes += bytes;
        sent.statements.push((text, reads));
    }

    /// Whether these statements were sent in their order and nothing beside them but what changes nothing.
    pub(crate) fn leads_through(&self, steps: &[Step]) -> bool {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut steps = steps.iter().peekable();
        let fits = |(text, reads): &(Option<String>, bool)| {
            let next = |step: &&Step| text.as_deref().is_some_and(|text| is_same(text, &step.text));
            steps.next_if(next).is_some() || *reads
        };
        !sent.lost && sent.statements.iter().all(fits) && steps.peek().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_begins_behind_its_own_statements_and_plain_reads_alone() {
        let (write, read) = (("INSERT INTO log VALUES (1)", false), ("SELECT 1", true));
        let other = ("DELETE FROM log", false);
        let steps = |texts: &[&str]| {
            texts.iter().map(|t| Step { text: (*t).to_owned(), ..Step::default() }).collect::<Vec<_>>()
        };
        let (none, one, both) = (steps(&[]), steps(&[write.0]), steps(&[read.0, write.0]));
        for (sent, steps, begins) in [
            (&[][..], &none, true),
            (&[read, read], &none, true),
            (&[other], &none, false),
            (&[write], &one, true),
            (&[("insert into log  values (1) -- the first", false)], &one, false),
            (&[("INSERT INTO log  VALUES (1) -- the first", false)], &one, true),
            (&[read, write, read], &one, true),
            (&[], &one, false),
            (&[write, write], &one, false),
            (&[other, write], &one, false),
            (&[write, other], &one, false),
            (&[read, write], &both, true),
            (&[write, read], &both, false),
        ] {
            let ahead = Ahead::default();
            sent.iter().for_each(|(text, reads)| ahead.sent(Some((*text).to_owned()), *reads));
            assert_eq!(ahead.leads_through(steps), begins, "{sent:?}");
            ahead.clear();
            assert!(ahead.leads_through(&[]));
        }
        let ahead = Ahead::default();
        (0..=MOST).for_each(|_| ahead.sent(Some("SELECT 1".to_owned()), true));
        assert!(ahead.leads_through(&[]), "reads beyond the bound change nothing either");
        ahead.sent(Some("DELETE FROM log".to_owned()), false);
        assert!(!ahead.leads_through(&[]));
    }
}
