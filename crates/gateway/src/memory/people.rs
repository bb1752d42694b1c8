//! People in the console, in memory.

use model::{Backing, Member, Passkey, SlackLink, Subject, Visit};

use super::{Kept, Memory};
use crate::state::{People, Reply};

#[derive(Default)]
pub(super) struct Known {
    members: Vec<Member>,
    keys: Vec<Passkey>,
    visits: Vec<Visit>,
    once: Vec<Once>,
    slack: Vec<SlackLink>,
    callbacks: Vec<String>,
}

/// Something that is good once.
struct Once {
    mark: String,
    body: String,
    expires: i64,
    /// Whom an invitation is for.
    about: Option<String>,
}

impl Known {
    fn withdraw(&mut self, name: &str) -> bool {
        let before = self.once.len();
        self.once.retain(|o| !o.about.as_ref().is_some_and(|about| about.eq_ignore_ascii_case(name)));
        self.once.len() < before
    }
}

impl Kept {
    /// Whether what makes somebody one who answers is there.
    pub(super) fn has(&self, backing: &Backing) -> bool {
        let people = &self.people;
        match backing {
            Backing::Approver(id) => self.approvers.iter().any(|approver| approver.id == *id),
            Backing::Member(name) => people.members.iter().any(|m| m.name.eq_ignore_ascii_case(name)),
            Backing::Visit(mark) => people.visits.iter().any(|visit| visit.mark == *mark),
            Backing::Welcome(name) => !self.denials.iter().any(|denial| {
                matches!(&denial.subject, Subject::Principal(who) if who.to_string().eq_ignore_ascii_case(name))
            }),
        }
    }
}

impl People for Memory {
    fn members(&self) -> Reply<'_, Vec<Member>> {
        self.with(|kept| kept.people.members.clone())
    }

    fn member<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Member>> {
        self.with(|kept| kept.people.members.iter().find(|m| m.name.eq_ignore_ascii_case(name)).cloned())
    }

    fn admit<'a>(&'a self, member: &'a Member, key: &'a Passkey) -> Reply<'a, bool> {
        self.with(|kept| {
            let people = &mut kept.people;
            if people.keys.iter().any(|k| k.id == key.id) {
                return false;
            }
            people.members.retain(|m| !m.name.eq_ignore_ascii_case(&member.name));
            people.keys.retain(|k| k.owner != key.owner);
            people.visits.retain(|v| v.owner != key.owner);
            people.slack.retain(|l| l.owner != key.owner);
            people.members.push(member.clone());
            people.keys.push(key.clone());
            people.withdraw(&member.name);
            true
        })
    }

    fn remove_member<'a>(&'a self, name: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let (people, owner) = (&mut kept.people, format!("user:{name}"));
            let before = people.members.len();
            people.members.retain(|m| !m.name.eq_ignore_ascii_case(name));
            people.keys.retain(|k| k.owner != owner);
            people.visits.retain(|v| v.owner != owner);
            people.slack.retain(|l| l.owner != owner);
            let is_gone = people.members.len() < before;
            people.withdraw(name) || is_gone
        })
    }

    fn passkeys<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<Passkey>> {
        self.with(|kept| kept.people.keys.iter().filter(|k| k.owner == owner).cloned().collect())
    }

    fn passkey<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Passkey>> {
        self.with(|kept| kept.people.keys.iter().find(|k| k.id == id).cloned())
    }

    fn add_passkey<'a>(&'a self, key: &'a Passkey) -> Reply<'a, bool> {
        self.with(|kept| {
            let new = kept.people.keys.iter().all(|k| k.id != key.id);
            if new {
                kept.people.keys.push(key.clone());
            }
            new
        })
    }

    fn use_passkey<'a>(&'a self, id: &'a str, was: i64, counter: i64) -> Reply<'a, bool> {
        self.with(|kept| {
            let key = kept.people.keys.iter_mut().find(|k| k.id == id && k.counter == was);
            key.map(|key| key.counter = counter).is_some()
        })
    }

    fn remove_passkey<'a>(&'a self, owner: &'a str, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let before = kept.people.keys.len();
            kept.people.keys.retain(|k| k.id != id || k.owner != owner);
            kept.people.keys.len() < before
        })
    }

    fn begin_visit<'a>(&'a self, visit: &'a Visit, before: Option<&'a str>) -> Reply<'a, ()> {
        self.with(|kept| {
            kept.people.visits.retain(|v| Some(v.mark.as_str()) != before);
            kept.people.visits.push(visit.clone());
        })
    }

    fn visit<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Visit>> {
        self.with(|kept| kept.people.visits.iter().find(|v| v.mark == mark).cloned())
    }

    fn see_visit<'a>(&'a self, _mark: &'a str) -> Reply<'a, ()> {
        self.with(|_| ())
    }

    fn end_visit<'a>(&'a self, mark: &'a str) -> Reply<'a, ()> {
        self.with(|kept| kept.people.visits.retain(|v| v.mark != mark))
    }

    fn last_visit<'a>(&'a self, owner: &'a str) -> Reply<'a, Option<Visit>> {
        self.with(|kept| {
            let visits = kept.people.visits.iter().filter(|v| v.owner == owner);
            visits.max_by_key(|v| v.seen).cloned()
        })
    }

    fn link_slack<'a>(&'a self, link: &'a SlackLink) -> Reply<'a, ()> {
        self.with(|kept| {
            let is_same = |l: &SlackLink| l.user.id == link.user.id || l.owner == link.owner;
            kept.people.slack.retain(|l| l.user.team != link.user.team || !is_same(l));
            kept.people.slack.push(link.clone());
        })
    }

    fn slack_owner<'a>(&'a self, team: &'a str, id: &'a str) -> Reply<'a, Option<String>> {
        self.with(|kept| {
            let mut links = kept.people.slack.iter();
            links.find(|l| l.user.team == team && l.user.id == id).map(|l| l.owner.clone())
        })
    }

    fn slack_links<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<SlackLink>> {
        self.with(|kept| kept.people.slack.iter().filter(|l| l.owner == owner).cloned().collect())
    }

    fn unlink_slack<'a>(&'a self, owner: &'a str, team: &'a str, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let before = kept.people.slack.len();
            kept.people.slack.retain(|l| l.owner != owner || l.user.team != team || l.user.id != id);
            kept.people.slack.len() < before
        })
    }

    fn take_callback<'a>(&'a self, mark: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let is_new = kept.people.callbacks.iter().all(|known| known != mark);
            kept.people.callbacks.push(mark.to_owned());
            is_new
        })
    }

    fn keep_once<'a>(&'a self, mark: &'a str, body: &'a str, expires: i64) -> Reply<'a, ()> {
        let once = Once { mark: mark.to_owned(), body: body.to_owned(), expires, about: None };
        self.with(|kept| kept.people.once.push(once))
    }

    fn keep_invitation<'a>(
        &'a self,
        mark: &'a str,
        body: &'a str,
        expires: i64,
        name: &'a str,
    ) -> Reply<'a, ()> {
        let about = Some(name.to_owned());
        let once = Once { mark: mark.to_owned(), body: body.to_owned(), expires, about };
        self.with(|kept| {
            kept.people.withdraw(name);
            kept.people.once.push(once);
        })
    }

    fn invitations(&self) -> Reply<'_, Vec<(String, i64)>> {
        self.with(|kept| {
            let invited = kept.people.once.iter().filter(|o| o.about.is_some());
            invited.map(|o| (o.body.clone(), o.expires)).collect()
        })
    }

    fn take_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>> {
        self.with(|kept| {
            let at = kept.people.once.iter().position(|o| o.mark == mark)?;
            Some(kept.people.once.remove(at).body)
        })
    }

    fn look_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>> {
        self.with(|kept| kept.people.once.iter().find(|o| o.mark == mark).map(|o| o.body.clone()))
    }
}
