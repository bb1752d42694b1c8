//! What waits for somebody's answer, and what they were asked, as pages need it: not all of a thousand requests is read to show
//! some of them, and what depends on few things is decided once for all that are alike in those.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{Part, Request};

use crate::gateway::Gateway;
use crate::people::Guest;
use crate::requests::{AdminError, MOST_LISTED};

/// What waits, as somebody sees it.
#[derive(Debug)]
pub struct Inbox {
    /// How many there are.
    pub count: usize,
    /// Those that have waited longest, in the order in which they came, each with whether it is theirs to answer.
    pub first: Vec<(Request, bool)>,
}

/// What of a request says who may see and answer it.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    askers: Vec<String>,
    approvers: Vec<String>,
}

impl Kind {
    fn of(request: &Request) -> Self {
        let askers = std::iter::once(&request.principal).chain(&request.on_behalf_of).cloned().collect();
        let approvers = request.holds.iter().flat_map(|rule| rule.approvers.clone()).collect();
        Self { askers, approvers }
    }
}

/// Decides once for all requests of a kind.
struct Eyes<'a> {
    gateway: &'a Gateway,
    guest: &'a Guest,
    sees: HashMap<Kind, bool>,
    answers: HashMap<Kind, bool>,
}

impl<'a> Eyes<'a> {
    fn new(gateway: &'a Gateway, guest: &'a Guest) -> Self {
        Self { gateway, guest, sees: HashMap::new(), answers: HashMap::new() }
    }

    fn may_see(&mut self, request: &Request) -> bool {
        let (gateway, guest) = (self.gateway, self.guest);
        let may = || gateway.rights().may_see(guest.person(), request);
        *self.sees.entry(Kind::of(request)).or_insert_with(may)
    }

    fn may_answer(&mut self, request: &Request) -> bool {
        let (gateway, guest) = (self.gateway, self.guest);
        let may = || gateway.may_answer(guest, request);
        *self.answers.entry(Kind::of(request)).or_insert_with(may)
    }
}

impl Gateway {
    /// What waits that somebody may see: how much, and so many of it at most, without values.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn inbox(&self, guest: &Guest, most: usize) -> Result<Inbox, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut brief = self.state().briefs(&Part::newest(MOST_LISTED)).await?;
        brief.retain(|request| eyes.may_see(request));
        let count = brief.len();
        // The newest of those that are not shown: what came before it is.
        let behind =
            count.checked_sub(most + 1).and_then(|at| brief.get(at)).map(|request| request.id.clone());
        let part = Part { most: MOST_LISTED, before: behind };
        let mut first = self.state().requests(false, &part).await?;
        first.retain(|request| eyes.may_see(request));
        first.reverse();
        first.truncate(most);
        let first = first.into_iter().map(|request| (eyes.may_answer(&request), request));
        Ok(Inbox { count, first: first.map(|(mine, request)| (request, mine)).collect() })
    }

    /// Changes whenever what waits does that somebody may see.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn inbox_mark(&self, guest: &Guest) -> Result<u64, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut mark = DefaultHasher::new();
        for request in self.state().briefs(&Part::newest(MOST_LISTED)).await? {
            if eyes.may_see(&request) {
                (request.id, request.status.as_str(), request.votes.len()).hash(&mut mark);
            }
        }
        Ok(mark.finish())
    }

    /// The newest of what was asked and does not wait any more, that somebody may see; so much at most.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn answered_seen_by(&self, guest: &Guest, most: usize) -> Result<Vec<Request>, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let (mut found, mut part) = (Vec::new(), Part::newest(most));
        loop {
            let read = self.state().answered(&part).await?;
            let is_last = read.len() < most;
            part.before = read.last().map(|request| request.id.clone());
            found.extend(read.into_iter().filter(|request| eyes.may_see(request)));
            if is_last || found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// What the principal of a request asked beside it, the newest first, as far as somebody may see it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn asked_beside(
        &self,
        guest: &Guest,
        request: &Request,
        most: usize,
    ) -> Result<Vec<Request>, AdminError> {
        let mut eyes = Eyes::new(self, guest);
        let mut asked = self.state().requests_of(&request.principal, most + 1).await?;
        asked.retain(|other| other.id != request.id && eyes.may_see(other));
        asked.truncate(most);
        Ok(asked)
    }
}
