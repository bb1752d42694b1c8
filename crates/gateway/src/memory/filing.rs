//! Requests, in memory: how they are filed and taken back.

use model::{
    CarriedBy, Filed, GrantUse, HoldRule, NewRequest, Request, Room, SINCE_IT_WAS, Status, TakenBack,
    since_request,
};

use super::Kept;

impl Kept {
    pub(super) fn foresee(&self, new: &NewRequest, room: &Room) -> Option<Filed> {
        let same = |r: &Request| HoldRule::differing(&r.holds, &new.holds).is_none();
        let mut filed = self.requests.iter().zip(&self.digests);
        let open = |r: &Request| r.status.is_open();
        if let Some((same, _)) = filed.find(|(r, digest)| **digest == new.digest && open(r) && same(r)) {
            return Some(Filed::Before(same.id.clone()));
        }
        let waiting = |r: &Request| r.status == Status::Pending && r.principal == new.principal;
        let others = self.requests.iter().zip(&self.subjects);
        let others = others.filter(|(r, (subject, _))| waiting(r) && *subject != new.subject);
        (others.count() >= room.waiting).then_some(Filed::TooMany)
    }

    /// Files a request.
    pub(super) fn file(&mut self, new: &NewRequest, room: &Room) -> Filed {
        if let Some(foreseen) = self.foresee(new, room) {
            if let Filed::Before(id) = &foreseen {
                self.enter(id, new);
            }
            return foreseen;
        }
        let open = |r: &Request| r.status.is_open();
        let mut changed = None;
        let former = self.requests.iter_mut().zip(&self.subjects);
        for (former, (_, touched)) in former.filter(|(r, (subject, _))| open(r) && *subject == new.subject) {
            let same = former.digest == new.digest;
            let otherwise = HoldRule::differing(&former.holds, &new.holds).filter(|_| same);
            let altered = otherwise.unwrap_or_else(|| new.altered(touched));
            let since = former.status.since();
            former.status = Status::Superseded;
            former.outcome = Some(format!("{altered}{SINCE_IT_WAS}{since}"));
            changed = Some(format!("{altered} since request {} was {since}", former.id));
        }
        if changed.is_none() {
            let all = self.requests.iter().zip(&self.subjects).rev();
            let mut last = all.filter(|(_, (subject, _))| *subject == new.subject).map(|(r, _)| r);
            changed = last.next().and_then(|r| since_request(r.outcome.as_deref()?, &r.id));
        }
        let status = match &new.preview.ordered {
            Some(plan) if new.holds.is_empty() && plan.by == CarriedBy::Gateway => Status::Approved,
            Some(_) | None => Status::Pending,
        };
        let id = self.keep(new, status, changed.clone(), None);
        self.enter(&id, new);
        match changed {
            Some(changed) => Filed::Anew(id, changed),
            None => Filed::Now(id),
        }
    }

    /// The session that asks waits for it, where it says so: for as long as it does not leave.
    fn enter(&mut self, id: &str, new: &NewRequest) {
        if new.waits > 0 {
            self.waiting.insert((id.to_owned(), new.session.clone()));
        }
    }

    /// A session waits for it no more.
    pub(super) fn leave(&mut self, id: &str, session: &str) -> Option<TakenBack> {
        self.waiting.remove(&(id.to_owned(), session.to_owned()));
        let is_awaited = self.waiting.iter().any(|(request, _)| request == id);
        let request = self.requests.iter_mut().find(|r| r.id == id).expect("a request");
        if is_awaited && request.status.is_open() { None } else { Some(withdraw(request)) }
    }

    /// Keeps a request; its id.
    pub(super) fn keep(
        &mut self,
        new: &NewRequest,
        status: Status,
        changed: Option<String>,
        granted: Option<GrantUse>,
    ) -> String {
        let id = format!("r{}", self.requests.len() + 1);
        self.requests.push(Request {
            id: id.clone(),
            digest: new.digest.clone(),
            status,
            principal: new.principal.clone(),
            on_behalf_of: new.on_behalf_of.clone(),
            target: new.target.clone(),
            session: new.session.clone(),
            summary: new.summary.clone(),
            text: new.text.clone(),
            values: new.values.clone(),
            circumstances: new.circumstances.clone(),
            effects: new.effects.clone(),
            changed,
            holds: new.holds.clone(),
            ceiling: new.ceiling.clone(),
            preview: new.preview.clone(),
            filed: 0,
            expires: i64::MAX,
            votes: Vec::new(),
            outcome: None,
            alike: new.alike.as_ref().map(|alike| alike.key.clone()),
            granted,
            likeness: new.alike.clone(),
            touched: new.touched.clone(),
            weighed: new.weighed.clone(),
            stages: Vec::new(),
        });
        self.digests.push(new.digest.clone());
        self.subjects.push((new.subject.clone(), new.touched.clone()));
        id
    }
}

/// Takes one back that is open.
pub(super) fn withdraw(request: &mut Request) -> TakenBack {
    let open = request.status.is_open();
    if open {
        let waits = request.status == Status::Pending;
        request.status = if waits { Status::Withdrawn } else { Status::Rescinded };
    }
    if open { TakenBack::Now(request.status) } else { TakenBack::TooLate(request.status) }
}
