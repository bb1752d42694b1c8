//! A burst of requests that differ in plain values alone is one question to people: seen together, and answered together by one
//! proof of presence, which is of exactly those that were seen. Each of them is decided by itself.

use model::{HoldRule, Request, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approvers::{Answered, Said, Voter};
use crate::gateway::Gateway;
use crate::people::Guest;
use crate::presence::{Act, Proof};
use crate::requests::AdminError;

/// So many are answered at once, at most.
const MOST: usize = 100;

/// One request of several, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Of everything that makes its operation this one.
    pub digest: String,
}

impl Seen {
    /// Those of a list of requests.
    pub fn of(all: &[Request]) -> Vec<Self> {
        all.iter().map(|one| Self { id: one.id.clone(), digest: one.digest.clone() }).collect()
    }
}

impl Act {
    /// Answering several held operations: exactly these, each with its meaning; what comes later is not among them.
    pub fn answer_all(all: &[Seen], approve: bool, most: Option<u64>) -> Self {
        let most = most.map(|most| most.to_string()).unwrap_or_else(|| "-".to_owned());
        let word = if approve { "approve" } else { "deny" };
        let seen = all.iter().flat_map(|one| [one.id.as_str(), one.digest.as_str()]);
        let parts: Vec<&str> = [word, most.as_str()].into_iter().chain(seen).collect();
        Self::new("answer all", &parts)
    }
}

/// Names exactly these, shortly: whoever answers says it, so that they answer what they have seen.
pub fn mark(all: &[Seen]) -> String {
    Act::answer_all(all, true, None).text().chars().take(16).collect()
}

/// What became of one of several answers.
#[derive(Debug)]
pub struct One {
    /// The request's id.
    pub id: String,
    /// Where it stands, or why it was not answered.
    pub answered: Result<Answered, AdminError>,
}

impl Gateway {
    /// What waits and is alike to a request that waits, that request with it, the oldest first, with their values; as far as
    /// somebody may answer it. That they were seen is on record.
    ///
    /// # Errors
    /// There is no such request for them, or it cannot be read or recorded.
    pub async fn alike(&self, id: &str, voter: &Voter) -> Result<Vec<Request>, AdminError> {
        let found = self.state().request(id).await?.filter(|request| voter.is_asked(request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        self.all_alike(found, &voter.id.to_string(), |request| voter.is_asked(request)).await
    }

    /// The same for somebody who is in the console: what they may see.
    ///
    /// # Errors
    /// There is no such request for them, or it cannot be read or recorded.
    pub async fn alike_seen_by(&self, guest: &Guest, id: &str) -> Result<Vec<Request>, AdminError> {
        let sees = |request: &Request| self.rights().may_see(guest.person(), request);
        let found = self.state().request(id).await?.filter(sees);
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        self.all_alike(found, &guest.id().to_string(), sees).await
    }

    /// How many wait that have the same key as a request, with it.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn count_alike(&self, request: &Request) -> Result<usize, AdminError> {
        match &request.alike {
            Some(key) => Ok(self.state().waiting_alike(key).await?.len()),
            None => Ok(1),
        }
    }

    async fn all_alike(
        &self,
        found: Request,
        by: &str,
        is_theirs: impl Fn(&Request) -> bool,
    ) -> Result<Vec<Request>, AdminError> {
        let mut all = Vec::new();
        match &found.alike {
            Some(key) if found.status == Status::Pending => {
                for id in self.state().waiting_alike(key).await? {
                    all.extend(self.state().request(&id).await?.filter(|one| {
                        one.status == Status::Pending && is_alike(one, &found) && is_theirs(one)
                    }));
                }
                all.truncate(MOST);
            }
            Some(_) | None => all.push(found),
        }
        let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
        self.administered(by, "requests shown", &ids.join(", "))?;
        Ok(all)
    }

    /// Approves several held operations, or denies them: exactly those that were seen, and each by itself. One that has changed
    /// since, or is not open any more, is not answered, and the others are.
    ///
    /// # Errors
    /// There are too many or none, or it was not shown that they mean just these.
    pub async fn answer_all(
        &self,
        all: &[Seen],
        voter: &Voter,
        approve: bool,
        said: &Said,
        proof: Option<Proof>,
    ) -> Result<Vec<One>, AdminError> {
        let refused = |why: String| Err(AdminError::Refused(why));
        if all.is_empty() || all.len() > MOST {
            return refused(format!("from 1 to {MOST} requests are answered at once"));
        }
        let most = said.most.filter(|_| approve);
        let shown = voter.shown(Act::answer_all(all, approve, most), proof);
        if approve && shown.is_none() {
            let why =
                "approving takes your passkey, or a fresh sign-in, for exactly these requests as they are";
            return refused(why.to_owned());
        }
        let shown = shown.map(|how| format!("{how} for {} at once", all.len()));
        let mut answers = Vec::with_capacity(all.len());
        for Seen { id, digest } in all {
            let is_it = |found: &Request| shown.clone().filter(|_| found.digest == *digest);
            let answered = self.answer_shown(id, voter, approve, said.clone(), is_it).await;
            match answered {
                // What cannot be recorded or kept is no matter of this one alone.
                Err(error @ (AdminError::State(_) | AdminError::Journal(_))) => return Err(error),
                answered => answers.push(One { id: id.clone(), answered }),
            }
        }
        Ok(answers)
    }
}

/// Whether two requests differ in plain values alone, and the same is asked of the same people.
pub fn is_alike(one: &Request, other: &Request) -> bool {
    one.alike.is_some() && one.alike == other.alike && HoldRule::differing(&one.holds, &other.holds).is_none()
}
