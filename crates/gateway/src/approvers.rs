//! Who answers held operations, and how it is known that it is them. The rest of the gateway is handed a [`Voter`] and asks
//! no more; another way to prove oneself makes one here, too.

use model::{
    Access, Approver, Asserted, Backing, Ceiling, Counted, HoldRule, KnownAs, Principal, PrincipalKind,
    PrincipalRef, Request, SINCE_IT_WAS, Status, Vote,
};
use policy::answering::Asked;
use policy::{persons, quorum};
use zeroize::Zeroizing;

use crate::carriers::clicks;
use crate::gateway::{Gateway, now};
use crate::people::Guest;
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
        match self {
            Self::Administrator => Voter::proved(self.id(), vec![quorum::ADMINS.to_owned()], Vec::new()),
            Self::Approver(approver) => {
                let backing = vec![Backing::Approver(approver.id.clone())];
                Voter::proved(self.id(), approver.groups.clone(), backing)
            }
        }
    }
}

/// Somebody who may answer held operations of some groups, and has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    pub(crate) id: PrincipalRef,
    pub(crate) groups: Vec<String>,
    pub(crate) by: By,
    /// What makes them one who answers.
    backing: Vec<Backing>,
    /// Whose word it is who they are and in which groups, where it is an issuer's.
    word: Option<Asserted>,
}

/// What shows that it is them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// A secret that lies in no file, typed or given for this call.
    Secret,
    /// What a browser keeps: good to see, and to say no.
    Visit,
    /// A click in Slack, on a button of exactly this meaning. Whether it is good for a yes, the rules say.
    Slack {
        /// Whose, as records say it.
        how: String,
        /// The request's digest in the button.
        digest: String,
    },
}

impl Voter {
    /// All that makes them one who answers.
    pub(crate) fn backing(&self) -> &[Backing] {
        &self.backing
    }

    /// After somebody has proved who they are, and nowhere else. What they are it by is looked for when their answer is counted.
    pub fn proved(id: PrincipalRef, groups: Vec<String>, backing: Vec<Backing>) -> Self {
        Self { id, groups, by: By::Secret, backing, word: None }
    }

    /// Of somebody who is in the console. Their yes takes a proof of presence.
    pub(crate) fn visiting(guest: &Guest) -> Self {
        Self::of_guest(guest, By::Visit)
    }

    /// Of somebody who clicked in Slack on what has this digest.
    pub(crate) fn by_slack(guest: &Guest, how: String, digest: String) -> Self {
        Self::of_guest(guest, By::Slack { how, digest })
    }

    fn of_guest(guest: &Guest, by: By) -> Self {
        let word = guest.principal().asserted.into_iter().next();
        Self { id: guest.id().clone(), groups: guest.answers_for(), by, backing: guest.backing(), word }
    }

    /// As policy sees them.
    fn principal(&self) -> Principal {
        Principal {
            id: self.id.clone(),
            groups: self.groups.clone(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: self.word.iter().cloned().collect(),
        }
    }

    /// Whether a request is one that they may see and answer.
    pub fn is_asked(&self, request: &Request) -> bool {
        // What nothing holds is still seen by who answers for everything.
        self.groups.iter().any(|group| group == quorum::ADMINS) || self.answers_for(&request.holds)
    }

    /// Whether they answer for one of these rules.
    pub(crate) fn answers_for(&self, rules: &[HoldRule]) -> bool {
        rules.iter().any(|rule| quorum::may_answer(rule, &self.groups))
    }

    /// How they have shown that they mean an act, where they have.
    pub(crate) fn shown(&self, act: Act, proof: Option<Proof>) -> Option<String> {
        match &self.by {
            By::Secret => Some("secret".to_owned()),
            // What was read a moment ago is what is approved: the proof is of its digest.
            By::Visit => proof.and_then(|proof| proof.of(act, &self.id)),
            // A click answers one request, and nothing else.
            By::Slack { .. } => None,
        }
    }
}

/// What somebody says with an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// To whoever asked.
    pub words: Option<String>,
    /// How many rows it may change at most, of a yes.
    pub most: Option<u64>,
    /// What is given, of a yes to a request for access; all that is asked for where it is not said.
    pub access: Option<Access>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Where the request stands now.
    pub status: Status,
    /// For whom it waits still.
    pub waits_for: Vec<String>,
    /// The standing grant that came of it.
    pub grant: Option<String>,
}

impl Gateway {
    /// Who a secret shows somebody to be.
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

    /// The same somebody as they are now, by their secret; `None` where they were removed since, or have another one.
    pub async fn still(&self, caller: Caller, secret: &[u8]) -> Option<Caller> {
        match caller {
            Caller::Administrator => match self.state().is_administrator(secret).await {
                Ok(is) => is.then_some(caller),
                // What it was is good while nobody can be asked: in an incident the store may be what is out of reach.
                Err(error) => {
                    tracing::error!("the administrator's secret cannot be looked up: {error}");
                    Some(caller)
                }
            },
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
        names: &[String],
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
        let others = self.state().approvers().await?;
        for known in names {
            match parse_principal(known) {
                Ok(PrincipalRef { kind: PrincipalKind::User, .. }) => (),
                Ok(_) | Err(_) => {
                    return refused(format!(
                        "\"{known}\" is no person's name at an issuer: it is written user:corp/NAME, with the issuer's prefix"
                    ));
                }
            }
            let has_it =
                |a: &&Approver| a.name != name && all_names(a).any(|n| n.eq_ignore_ascii_case(known));
            if let Some(other) = others.iter().find(has_it) {
                return refused(format!("{known} is {} already: nobody is two approvers", other.name));
            }
        }
        if self.state().member(name).await?.is_some() {
            return refused(format!(
                "there is a person {name} of the console already: two votes would be one person's"
            ));
        }
        let is = if names.is_empty() { String::new() } else { format!(", who is {}", names.join(", ")) };
        self.administered(by, "approver added", &format!("{name} for {}{is}", groups.join(", ")))?;
        match self.state().add_approver(name, groups, names, now()).await? {
            Some(secret) => Ok(secret),
            None => refused(format!(
                "there is an approver {name} already: remove them first, if their secret is lost"
            )),
        }
    }

    /// Removes an approver: their secret is good for nothing any more, and their answers to what waits or is approved and not used
    /// do not count.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be stored or recorded.
    pub async fn remove_approver(&self, name: &str, by: &str) -> Result<(), AdminError> {
        self.administered(by, "approver removed", name)?;
        if self.state().remove_approver(name).await? {
            self.holds().changed();
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
        if self.state().rescind(id, &voter.id.to_string()).await? {
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
    /// It is not open, it is asked for otherwise by now, or this is nobody who may answer it: its own requester, whom it is done
    /// for, an agent, somebody of other groups, or who has answered by another name.
    pub async fn answer_request(
        &self,
        id: &str,
        voter: &Voter,
        approve: bool,
        said: Said,
        proof: Option<Proof>,
    ) -> Result<Answered, AdminError> {
        let most = said.most.filter(|_| approve);
        let access = said.access.clone();
        let shown = |found: &Request| match &voter.by {
            // That it is of this request's digest is looked at before.
            By::Slack { how, digest: _ } => Some(how.clone()),
            By::Secret | By::Visit => {
                let act = match narrowed(found, access.as_ref(), most) {
                    Some(given) => Act::answer_access(id, &found.digest, approve, &given),
                    None => Act::answer(id, &found.digest, approve, most),
                };
                voter.shown(act, proof)
            }
        };
        self.answer_shown(id, voter, approve, said, shown).await
    }

    /// The same, where it is known otherwise how they have shown that they mean this.
    pub(crate) async fn answer_shown(
        &self,
        id: &str,
        voter: &Voter,
        approve: bool,
        said: Said,
        shown: impl FnOnce(&Request) -> Option<String>,
    ) -> Result<Answered, AdminError> {
        let Said { words, most, access } = said;
        let missing = || AdminError::Missing(format!("request {id}"));
        let found = self.state().request(id).await?.ok_or_else(missing)?;
        let name = voter.id.to_string();
        if voter.id.kind != PrincipalKind::User {
            return Err(AdminError::Refused("an agent never answers a request".to_owned()));
        }
        if let Some(changed) = self.outruled(&found.holds).filter(|_| found.status.is_open()) {
            let ended = self.state().supersede(id, &format!("{changed}{SINCE_IT_WAS}asked for")).await?;
            self.holds().changed();
            if ended {
                return Err(AdminError::Refused(format!(
                    "{changed} since request {id} was asked for: it is not answered, and is asked anew under the policies in \
                     force when its statement is sent again"
                )));
            }
        }
        let names = self.names_of(&voter.id).await?;
        if approve {
            // A click in Slack shows nobody's presence: it is not enough for one's own.
            let rules: &[HoldRule] = if matches!(voter.by, By::Slack { .. }) { &[] } else { &found.holds };
            let askers = quorum::barred(&found.principal, &found.on_behalf_of, rules);
            self.check_other_person(&voter.id, &names, askers, &found.votes)?;
        }
        if !voter.is_asked(&found) {
            return Err(AdminError::Refused(format!(
                "request {id} is for {}, and {name} answers for {}",
                quorum::waits_for(&found.holds, &[]).join(", and "),
                voter.groups.join(", ")
            )));
        }
        if let By::Slack { digest, .. } = &voter.by {
            if *digest != found.digest {
                let why = format!("request {id} is not any more what the message showed: look at it");
                return Err(AdminError::Refused(why));
            }
            // What lets more than one statement through takes somebody's presence.
            if approve && (found.preview.access.is_some() || !clicks::may_approve(&found.holds)) {
                let why = format!(
                    "policy does not let request {id} be approved in Slack: it is approved in the console"
                );
                return Err(AdminError::Refused(why));
            }
        }
        if approve {
            self.policy_lets_approve(voter, &found)?;
        }
        let most = most.filter(|_| approve);
        if let (Some(_), Ceiling::None(why)) = (most, &found.ceiling) {
            return Err(AdminError::Refused(format!("no number of rows can be set for request {id}: {why}")));
        }
        let access = narrowed(&found, access.as_ref(), most).filter(|_| approve);
        match (&found.preview.access, &access) {
            (Some(asked), Some(given)) if given.leaves.is_empty() || given.seconds == 0 => {
                return Err(AdminError::Refused(format!(
                    "to give nothing of \"{}\" is to deny it",
                    asked.line()
                )));
            }
            (Some(asked), Some(given)) if !given.is_within(asked) => {
                return Err(AdminError::Refused(format!(
                    "an approval gives at most what is asked for: {}; {}",
                    asked.line(),
                    asked.bounds()
                )));
            }
            (Some(_), _) | (None, None) => (),
            (None, Some(_)) => {
                return Err(AdminError::Refused(format!(
                    "request {id} asks for no access, but for a statement"
                )));
            }
        }
        let proof = shown(&found);
        if approve && proof.is_none() {
            let why =
                "approving takes your passkey, or a fresh sign-in, for exactly this request as it is now";
            return Err(AdminError::Refused(why.to_owned()));
        }
        let by = proof.as_ref().map(|proof| format!(" by {proof}, digest {}", found.digest));
        let most_words = most.map(|most| format!(" for at most {most} rows")).unwrap_or_default();
        let most_words = match &access {
            Some(given) => format!(": {}; {}", given.line(), given.bounds()),
            None => most_words,
        };
        let detail = format!("{id}{most_words}{}", by.unwrap_or_default());
        self.administered(&name, if approve { "request approved" } else { "request denied" }, &detail)?;
        let vote = Vote {
            voter: name,
            groups: voter.groups.clone(),
            approve,
            words,
            proof,
            most,
            access,
            names,
            at: None,
        };
        let counted = self.state().vote(id, (&vote, &voter.backing)).await?;
        self.holds().changed();
        match counted {
            Counted::Now(Status::Approved) if found.preview.access.is_some() => {
                let given = self.give_access(id).await?;
                let now = self.state().request(id).await?.ok_or_else(missing)?;
                Ok(Answered { status: now.status, waits_for: Vec::new(), grant: given.map(|grant| grant.id) })
            }
            Counted::Now(status) => {
                let now = self.state().request(id).await?.ok_or_else(missing)?;
                let waits = status == Status::Pending;
                let waits_for = if waits { quorum::waits_for(&now.holds, &now.votes) } else { Vec::new() };
                Ok(Answered { status, waits_for, grant: None })
            }
            Counted::Nobody => Err(AdminError::Refused(format!(
                "{} does not answer any more, or is not signed in: the answer is not counted",
                voter.id
            ))),
            Counted::TooLate(status) => Err(AdminError::Refused(format!("request {id} is {status} already"))),
        }
    }

    /// Whether policy lets somebody say yes to a request.
    pub(crate) fn policy_lets_approve(&self, voter: &Voter, request: &Request) -> Result<(), AdminError> {
        let asked = Asked {
            principal: &request.principal,
            on_behalf_of: &request.on_behalf_of,
            target: &request.target,
            weighed: &request.weighed,
        };
        self.may_approve(voter.principal(), asked).map_err(AdminError::Refused)
    }

    fn known_as(&self, name: &str) -> KnownAs {
        persons::known_as(name, self.issuers().prefixes())
    }

    /// All names of somebody that are said to be one approver's, their own first.
    pub(crate) async fn names_of(&self, who: &PrincipalRef) -> Result<Vec<KnownAs>, AdminError> {
        let own = who.to_string();
        let mut names = vec![self.known_as(&own)];
        for approver in self.state().approvers().await? {
            if all_names(&approver).any(|name| name.eq_ignore_ascii_case(&own)) {
                names.extend(all_names(&approver).map(|name| self.known_as(&name)));
            }
        }
        Ok(names)
    }

    /// Whoever approves is somebody else than those who ask and may not approve it, and those who have approved.
    pub(crate) fn check_other_person<'n>(
        &self,
        who: &PrincipalRef,
        names: &[KnownAs],
        askers: impl Iterator<Item = &'n String> + Clone,
        votes: &[Vote],
    ) -> Result<(), AdminError> {
        let people = askers.filter(|asker| asker.starts_with("user:"));
        let asks = people.clone().find(|asker| persons::are_one(names, &[self.known_as(asker)]));
        let has_answered = votes.iter().find(|vote| {
            vote.approve
                && !vote.voter.eq_ignore_ascii_case(&who.to_string())
                && persons::are_one(names, &quorum::names(vote))
        });
        let (other, why) = match (asks, has_answered) {
            (Some(asker), _) => (
                asker,
                "nobody approves what they ask for themselves, or, where policy does not let them, what is done for them",
            ),
            (None, Some(vote)) => (&vote.voter, "nobody's answer counts twice"),
            (None, None) => return Ok(()),
        };
        let own = who.to_string();
        if other.eq_ignore_ascii_case(&own) {
            return Err(AdminError::Refused(why.to_owned()));
        }
        Err(AdminError::Refused(format!(
            "{why}: {own} and {other} count as one person. If they are two, say what {} is called where {other} comes from: \
             durward approver add {} --is user:…",
            who.name, who.name
        )))
    }
}

/// What an answer to a request gives of the access that it asks for, where it does; else what was said to be given.
fn narrowed(found: &Request, said: Option<&Access>, most: Option<u64>) -> Option<Access> {
    let given = said.or(found.preview.access.as_ref())?.clone();
    // Fewer rows may be said as of any other request.
    let rows = given.most.map(|own| most.unwrap_or(own));
    Some(Access { most: rows, ..given })
}

/// Every name of an approver, as principals: their own and those at issuers.
fn all_names(approver: &Approver) -> impl Iterator<Item = String> {
    let own = format!("user:{}", approver.name);
    std::iter::once(own).chain(approver.names.iter().cloned())
}
