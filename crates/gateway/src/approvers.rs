//! Who answers held operations, and how it is known that it is them. The rest of the gateway is handed a [`Voter`] and asks
//! no more; another way to prove oneself makes one here, too.

use model::{Approver, Ceiling, Counted, PrincipalKind, PrincipalRef, Request, Status, Vote};
use policy::quorum;
use zeroize::Zeroizing;

use crate::gateway::{Gateway, now};
use crate::presence::{Act, Proof};
use crate::requests::{AdminError, parse_principal};

/// Names that are somebody's already.
pub(crate) const TAKEN: &str = "administrator";

/// Somebody who has proved with a secret who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Whoever has the administrator's secret.
    Administrator,
    /// A named approver.
    Approver(Approver),
}

impl Caller {
    /// As a principal, for records.
    pub fn id(&self) -> PrincipalRef {
        let name = match self {
            Self::Administrator => TAKEN.to_owned(),
            Self::Approver(approver) => approver.name.clone(),
        };
        PrincipalRef { kind: PrincipalKind::User, name }
    }

    /// As somebody who answers.
    pub fn voter(&self) -> Voter {
        let groups = match self {
            Self::Administrator => vec![quorum::ADMINS.to_owned()],
            Self::Approver(approver) => approver.groups.clone(),
        };
        Voter::proved(self.id(), groups)
    }
}

/// Somebody who may answer held operations of some groups, and has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    id: PrincipalRef,
    groups: Vec<String>,
    by: By,
}

/// What shows that it is them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A secret that lies in no file, typed or given for this call.
    Secret,
    /// What a browser keeps: good to see, and to say no.
    Visit,
}

impl Voter {
    /// After somebody has proved who they are, and nowhere else.
    pub fn proved(id: PrincipalRef, groups: Vec<String>) -> Self {
        Self { id, groups, by: By::Secret }
    }

    /// Of somebody who is in the console. Their yes takes a proof of presence.
    pub(crate) fn visiting(id: PrincipalRef, groups: Vec<String>) -> Self {
        Self { id, groups, by: By::Visit }
    }

    /// Whether a request is one that they may see and answer.
    pub fn is_asked(&self, request: &Request) -> bool {
        request.holds.iter().any(|rule| quorum::may_answer(rule, &self.groups))
    }

    /// Whether a name is theirs, in whatever case it is written.
    fn is(&self, principal: &str) -> bool {
        self.id.to_string().to_lowercase() == principal.to_lowercase()
    }
}

/// What somebody says with an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// To whoever asked.
    pub words: Option<String>,
    /// How many rows it may change at most, of a yes.
    pub most: Option<u64>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Where the request stands now.
    pub status: Status,
    /// For whom it waits still.
    pub waits_for: Vec<String>,
}

impl Gateway {
    /// Who a secret shows somebody to be. It takes tens of milliseconds of a processor.
    pub async fn caller(&self, secret: &[u8]) -> Option<Caller> {
        if self.is_administrator(secret).await {
            return Some(Caller::Administrator);
        }
        match self.state().approver_by_secret(secret).await {
            Ok(found) => found.map(Caller::Approver),
            Err(error) => {
                tracing::error!("an approver's secret cannot be checked: {error}");
                None
            }
        }
    }

    /// The same somebody as they are now; `None` where they were removed since.
    pub async fn still(&self, caller: Caller) -> Option<Caller> {
        match caller {
            Caller::Administrator => Some(caller),
            Caller::Approver(approver) => match self.state().approver(&approver.id).await {
                Ok(found) => found.map(Caller::Approver),
                Err(error) => {
                    tracing::error!("an approver cannot be looked up: {error}");
                    None
                }
            },
        }
    }

    /// Everybody who may answer beside the administrator.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn approvers(&self) -> Result<Vec<Approver>, AdminError> {
        Ok(self.state().approvers().await?)
    }

    /// Adds an approver. Their secret is seen this once.
    ///
    /// # Errors
    /// The name or a group is none, or somebody's; or it cannot be stored or recorded.
    pub async fn add_approver(
        &self,
        name: &str,
        groups: &[String],
        by: &str,
    ) -> Result<Zeroizing<String>, AdminError> {
        let refused = |why: String| Err(AdminError::Refused(why));
        if parse_principal(&format!("user:{name}")).is_err() || name.contains(':') {
            return refused(format!(
                "\"{name}\" is no person's name: it is written without spaces and colons, as in user:NAME"
            ));
        }
        if name.eq_ignore_ascii_case(TAKEN) {
            return refused(format!(
                "{TAKEN} is whoever has the administrator's secret: choose another name"
            ));
        }
        if groups.is_empty() {
            return refused(
                "an approver answers for at least one group, which policies name in @approvers".to_owned(),
            );
        }
        if let Some(wrong) =
            groups.iter().find(|g| g.trim().is_empty() || g.trim() != g.as_str() || g.contains(','))
        {
            return refused(format!("\"{wrong}\" is no group"));
        }
        if let Some(own) = groups.iter().find(|group| policy::identity::is_local(group)) {
            return refused(format!(
                "\"{own}\" is a group of those who ask, from [[groups]]: approvers are in groups of their own"
            ));
        }
        if self.state().member(name).await?.is_some() {
            return refused(format!(
                "there is a person {name} of the console already: two votes would be one person's"
            ));
        }
        self.administered(by, "approver added", &format!("{name} for {}", groups.join(", ")))?;
        match self.state().add_approver(name, groups, now()).await? {
            Some(secret) => Ok(secret),
            None => refused(format!(
                "there is an approver {name} already: remove them first, if their secret is lost"
            )),
        }
    }

    /// Removes an approver: their secret is good for nothing any more, and their answers to what still waits do not count.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be stored or recorded.
    pub async fn remove_approver(&self, name: &str, by: &str) -> Result<(), AdminError> {
        self.administered(by, "approver removed", name)?;
        if self.state().remove_approver(name).await? {
            return Ok(());
        }
        Err(AdminError::Missing(format!("approver {name}")))
    }

    /// Takes back an approval that is not used: what it was for is asked anew.
    ///
    /// # Errors
    /// There is none, this is nobody who may answer it, or it cannot be stored or recorded.
    pub async fn rescind_request(&self, id: &str, voter: &Voter) -> Result<(), AdminError> {
        let found = self.state().request(id).await?.filter(|request| voter.is_asked(request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        self.administered(&voter.id.to_string(), "approval taken back", id)?;
        if self.state().rescind(id).await? {
            self.holds().changed();
            return Ok(());
        }
        let stands = self.state().request(id).await?.map_or(found.status, |now| now.status);
        Err(AdminError::Refused(format!("request {id} is {stands}: there is no approval to take back")))
    }

    /// Approves a held operation, or denies it. Whoever is in the console by a visit approves with a proof that it is them, and
    /// that they mean this; whoever came by a secret has shown it with that.
    ///
    /// # Errors
    /// It is not open, or this is nobody who may answer it: its own requester, whom it is done for, an agent, or somebody of
    /// other groups.
    pub async fn answer_request(
        &self,
        id: &str,
        voter: &Voter,
        approve: bool,
        said: Said,
        proof: Option<Proof>,
    ) -> Result<Answered, AdminError> {
        let Said { words, most } = said;
        let missing = || AdminError::Missing(format!("request {id}"));
        let found = self.state().request(id).await?.ok_or_else(missing)?;
        let name = voter.id.to_string();
        if voter.id.kind != PrincipalKind::User {
            return Err(AdminError::Refused("an agent never answers a request".to_owned()));
        }
        if approve && (voter.is(&found.principal) || found.on_behalf_of.iter().any(|p| voter.is(p))) {
            let why = "nobody approves what they ask for themselves, or what is done for them".to_owned();
            return Err(AdminError::Refused(why));
        }
        if !voter.is_asked(&found) {
            return Err(AdminError::Refused(format!(
                "request {id} is for {}, and {name} answers for {}",
                quorum::waits_for(&found.holds, &[]).join(", and "),
                voter.groups.join(", ")
            )));
        }
        let most = most.filter(|_| approve);
        if let (Some(_), Ceiling::None(why)) = (most, &found.ceiling) {
            return Err(AdminError::Refused(format!("no number of rows can be set for request {id}: {why}")));
        }
        let proof = match voter.by {
            By::Secret => Some("secret".to_owned()),
            // What was read a moment ago is what is approved: the proof is of its digest.
            By::Visit => {
                proof.and_then(|proof| proof.of(Act::answer(id, &found.digest, approve, most), &voter.id))
            }
        };
        if approve && proof.is_none() {
            let why =
                "approving takes your passkey, or a fresh sign-in, for exactly this request as it is now";
            return Err(AdminError::Refused(why.to_owned()));
        }
        let by = proof.as_ref().map(|proof| format!(" by {proof}, digest {}", found.digest));
        let most_words = most.map(|most| format!(" for at most {most} rows")).unwrap_or_default();
        let detail = format!("{id}{most_words}{}", by.unwrap_or_default());
        self.administered(&name, if approve { "request approved" } else { "request denied" }, &detail)?;
        let vote = Vote { voter: name, groups: voter.groups.clone(), approve, words, proof, most };
        let counted = self.state().vote(id, &vote).await?;
        self.holds().changed();
        match counted {
            Counted::Now(status) => {
                let now = self.state().request(id).await?.ok_or_else(missing)?;
                let waits = status == Status::Pending;
                let waits_for = if waits { quorum::waits_for(&now.holds, &now.votes) } else { Vec::new() };
                Ok(Answered { status, waits_for })
            }
            Counted::TooLate(status) => Err(AdminError::Refused(format!("request {id} is {status} already"))),
        }
    }
}
