//! How many sessions there is room for at a target, and how many of it one principal may have: its connections are few, and what
//! idles takes as many as what works.

use model::Principal;
use policy::Denied;

use super::Gateway;
use crate::targets::Target;

/// So many of one principal's are let in without asking how many there is room for.
const FEW: usize = 8;
/// So many where the target does not say how many there is room for.
const UNSAID: usize = 64;

/// What one principal has, and all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    /// Of the principal, or of whom it answers to, whichever is more. The one that asks is among them.
    one: usize,
    all: usize,
}

impl Gateway {
    /// Whether there is room for one more session of a principal, which is among the live ones already.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn check_room(&self, target: &Target, who: &Principal) -> Result<(), Denied> {
        let (mut own, mut answers, mut all) = (0, 0, 0);
        self.sessions().for_each(|live| {
            if live.target == target.name {
                all += 1;
                own += usize::from(live.principal.id == who.id);
                answers += usize::from(live.principal.asker() == who.asker());
            }
        });
        let taken = Taken { one: answers.max(own), all };
        let said = self.limits().sessions_of_one;
        let room =
            if taken.one > FEW { target.catalogue.room().await } else { target.catalogue.known_room() };
        let Some(most) = too_many(taken, said, room) else { return Ok(()) };
        Err(Denied {
            code: "53300",
            reason: format!(
                "{} has too many sessions on {}: one may have {most} now, so that there is room for others",
                who.asker(),
                target.name
            ),
            hint: Some(
                "Close some that do nothing, or use a pool of fewer. The gateway's operator can say how many one may have: \
                 sessions_of_one in [limits]."
                    .to_owned(),
            ),
            policies: Vec::new(),
            version: "".into(),
        })
    }
}

/// How many one may have where this is too many. One may have three quarters of all, or what is said; the last sixteenth is for
/// those alone who have few.
fn too_many(taken: Taken, said: Option<usize>, room: Option<usize>) -> Option<usize> {
    let most = said.or(room.map(|room| room - room / 4)).unwrap_or(UNSAID).max(1);
    if taken.one > most {
        return Some(most);
    }
    let room = room?;
    let few = (room / 32).max(2);
    (taken.all > room - room / 16 && taken.one > few).then_some(few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_of_a_target() {
        for (one, all, said, room, expected) in [
            (1, 1, None, Some(97), None),
            (73, 73, None, Some(97), None),
            (74, 74, None, Some(97), Some(73)),
            // Two of them leave some for a third.
            (18, 91, None, Some(97), None),
            (19, 92, None, Some(97), Some(3)),
            (3, 95, None, Some(97), None),
            (1, 97, None, Some(97), None),
            (11, 11, Some(10), Some(97), Some(10)),
            (10, 10, Some(10), Some(97), None),
            (90, 90, Some(200), Some(97), None),
            (92, 92, Some(200), Some(97), Some(3)),
            (64, 300, None, None, None),
            (65, 65, None, None, Some(64)),
            // A small one has at least one for everybody.
            (1, 1, None, Some(1), None),
            (4, 4, None, Some(5), None),
            (5, 5, None, Some(5), Some(4)),
        ] {
            assert_eq!(
                too_many(Taken { one, all }, said, room),
                expected,
                "{one} of {all}, {said:?}, {room:?}"
            );
        }
    }
}
