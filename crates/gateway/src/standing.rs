//! Standing grants: an approver gives leave for all that is alike to one held operation, for a while, with so many rows each. A
//! grant answers a hold and nothing else: what policy denies stays denied, and whether it covers something is asked anew for
//! each operation, by the rules, rights and objects of that moment.

use std::collections::BTreeSet;

use model::{
    Ceiling, Claim, Given, GrantState, HoldRule, Inspect, Member, NewRequest, PrincipalRef, Request, Room,
    SINCE_IT_WAS, StandingGrant, Status, Used, Vote, covered,
};
use policy::access::{Kept, lifts};
use policy::rights::Role;
use policy::standing::{Uncovered, covers, longest};
use policy::{Context, Denied, Grant, Question, quorum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access;
use crate::approvers::{TAKEN, Voter};
use crate::gateway::{Gateway, now};
use crate::holds::{self, Asked, Countable, Known};
use crate::people::Guest;
use crate::presence::{Act, Proof};
use crate::requests::{AdminError, parse_principal};
use crate::spine::Auditable;
use crate::state::StateError;

/// A grant lasts so long where nobody says otherwise, in seconds.
pub const USUAL_LIFE: u64 = 2 * 3600;
/// So many are in force at a time.
pub(crate) const MOST: i64 = 1000;
/// So many are listed.
const LISTED: i64 = 500;
/// So many uses of one are shown.
const USES: i64 = 100;

/// What an approver wants to give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewGrant {
    /// For how long, in seconds; two hours, or as long as policy lets, where it is not said.
    pub seconds: Option<u64>,
    /// How many rows each may change at most; as many as the request where they were counted or policy says.
    pub most: Option<u64>,
    /// How often it may be used; as often as they like where it is not said.
    pub uses: Option<u64>,
    /// The numbers of values that have to stay as they are.
    pub keep: BTreeSet<u32>,
}

/// What can be given from a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// For how long at most, in seconds.
    pub longest: u64,
    /// How many rows where it is not said.
    pub most: Option<u64>,
    /// The numbers of the values that may be any.
    pub open: BTreeSet<u32>,
}

impl Act {
    /// Giving a standing grant from a request, as it is.
    pub fn give(request: &str, digest: &str, wanted: &NewGrant) -> Self {
        let NewGrant { seconds, most, uses, keep } = wanted;
        let number = |number: &Option<u64>| number.map(|n| n.to_string()).unwrap_or_else(|| "-".to_owned());
        let keep = keep.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        Self::new("standing grant", &[request, digest, &number(seconds), &number(most), &number(uses), &keep])
    }
}

/// Where a standing grant is now.
pub fn stands(grant: &StandingGrant) -> GrantState {
    grant.state(now())
}

/// What comes of looking whether a standing grant covers an operation.
pub(crate) enum Granted {
    /// One does.
    By(Asked),
    /// None does; why one does not that would have, as a clause.
    No(Option<String>),
}

impl Gateway {
    /// What can be given from a request.
    ///
    /// # Errors
    /// Why nothing.
    pub fn offer(&self, request: &Request) -> Result<Offer, String> {
        match request.status {
            Status::Pending
            | Status::Approved
            | Status::Claimed
            | Status::Done
            | Status::Failed
            | Status::OutcomeUnknown
            | Status::Lapsed
            | Status::Expired
            | Status::Withdrawn => (),
            Status::Denied | Status::Superseded | Status::Rescinded => {
                return Err(format!("the request is {}", request.status));
            }
        }
        if request.preview.access.is_some() {
            return Err("it asks for access: approve it, and it becomes one".to_owned());
        }
        let rules = self.rules_in_force(&request.holds)?;
        let longest = longest(&rules)?;
        let Some(likeness) = &request.likeness else {
            return Err("nothing is taken for alike to it: it is no single INSERT, UPDATE or DELETE whose settings are \
                        certain"
                .to_owned());
        };
        let most = match &request.ceiling {
            Ceiling::Rows { most, from, of: _, expected: _ } => (from != "default").then_some(*most),
            Ceiling::None(why) => return Err(format!("its rows cannot be bounded: {why}")),
        };
        let open = likeness.open.iter().map(|open| open.number).collect();
        Ok(Offer { longest, most, open })
    }

    fn rules_in_force(&self, holds: &[HoldRule]) -> Result<Vec<HoldRule>, String> {
        if let Some(changed) = self.outruled(holds) {
            return Err(format!("{changed} since it was asked for"));
        }
        let in_force = self.in_force.load();
        Ok(holds.iter().filter_map(|rule| in_force.policies.rule(&rule.id)).cloned().collect())
    }

    /// Gives a standing grant from a request. Whoever is in the console by a visit shows that they mean exactly this one.
    ///
    /// # Errors
    /// There is no such request, nothing can be given from it, this is nobody who may approve it alone, or it cannot be stored or
    /// recorded.
    pub async fn give(
        &self,
        id: &str,
        voter: &Voter,
        wanted: &NewGrant,
        proof: Option<Proof>,
    ) -> Result<StandingGrant, AdminError> {
        let refused = |why: String| AdminError::Refused(why);
        let found = self.state().request(id).await?.filter(|request| voter.is_asked(request));
        let found = found.ok_or_else(|| AdminError::Missing(format!("request {id}")))?;
        let no = |why: String| refused(format!("no standing grant can be given from request {id}: {why}"));
        let offer = self.offer(&found).map_err(no)?;
        let names = self.names_of(&voter.id).await?;
        if voter.id.kind != model::PrincipalKind::User {
            return Err(refused("an agent never gives a grant".to_owned()));
        }
        let askers = quorum::barred(&found.principal, &found.on_behalf_of, &found.holds);
        self.check_other_person(&voter.id, &names, askers, &[])?;
        self.policy_lets_approve(voter, &found)?;
        let NewGrant { seconds, most, uses, keep } = wanted;
        let seconds = seconds.unwrap_or(USUAL_LIFE.min(offer.longest));
        if seconds == 0 || seconds > offer.longest {
            return Err(refused(format!("policy lets a grant last from 1 to {} seconds", offer.longest)));
        }
        if *uses == Some(0) {
            return Err(refused("a grant that is never used is none".to_owned()));
        }
        let most = most.or(offer.most).ok_or_else(|| {
            refused("nobody has counted its rows: say how many each may change at most".to_owned())
        })?;
        if let Some(number) = keep.iter().find(|number| !offer.open.contains(number)) {
            return Err(refused(format!("${number} is no value that may differ: it stays as it is anyway")));
        }
        let Some(proof) = voter.shown(Act::give(id, &found.digest, wanted), proof) else {
            let why = "giving a grant takes your passkey, or a fresh sign-in, for exactly this grant";
            return Err(refused(why.to_owned()));
        };
        let holds = self.rules_in_force(&found.holds).map_err(no)?;
        let giver = Vote {
            voter: voter.id.to_string(),
            groups: voter.groups.clone(),
            approve: true,
            words: None,
            proof: Some(proof),
            most: Some(most),
            access: None,
            names,
            at: Some(now()),
        };
        if !quorum::is_met(&holds, std::slice::from_ref(&giver)) {
            let waits = quorum::waits_for(&holds, std::slice::from_ref(&giver)).join(", and ");
            return Err(no(format!("it takes {waits} as well")));
        }
        let mut chance = [0; 5];
        aws_lc_rs::rand::fill(&mut chance)
            .map_err(|_| refused("the system gives no randomness".to_owned()))?;
        let likeness = found.likeness.clone().unwrap_or_default();
        let given = now();
        let grant = StandingGrant {
            id: format!("g{}", crate::audit::hex(&chance)),
            request: id.to_owned(),
            values: covered(&found.values, &likeness, keep),
            key: likeness.key,
            meaning: likeness.meaning,
            touched: found.touched.clone(),
            principal: found.principal.clone(),
            on_behalf_of: found.on_behalf_of.clone(),
            target: found.target.clone(),
            text: found.text.clone(),
            circumstances: found.circumstances.clone(),
            effects: found.effects.clone(),
            holds,
            most,
            uses: *uses,
            used: 0,
            giver,
            others: Vec::new(),
            access: None,
            given,
            expires: given.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
            ended: None,
        };
        self.administered(&grant.giver.voter, "standing grant given", &detail(&grant, &found.digest))?;
        match self.state().give(&grant, voter.backing(), MOST).await? {
            Given::Now => (),
            Given::Full => {
                return Err(refused(format!("{MOST} standing grants are in force: revoke some first")));
            }
            Given::Nobody | Given::Unapproved => {
                let why =
                    format!("{} does not answer any more, or is not signed in: nothing is given", voter.id);
                return Err(refused(why));
            }
        }
        self.answer_waiting(&grant).await?;
        self.holds().changed();
        Ok(grant)
    }

    /// What waits and is covered is not asked any more: its sessions ask anew, and the grant answers.
    async fn answer_waiting(&self, grant: &StandingGrant) -> Result<(), StateError> {
        for id in self.state().waiting_alike(&grant.key).await? {
            let Some(request) = self.state().request(&id).await? else { continue };
            let values = request.likeness.as_ref().is_some_and(|likeness| grant.has_values(likeness));
            if values && request.touched == grant.touched {
                let why = format!("the standing grant {} was given{SINCE_IT_WAS}asked for", grant.id);
                self.state().supersede(&id, &why).await?;
            }
        }
        Ok(())
    }

    /// Looks for a standing grant that covers a held operation, and uses it.
    ///
    /// # Errors
    /// There is no room to note what it is used for.
    pub(crate) async fn granted<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        (session, now_here): (&str, &Context),
        known: &Known,
        room: &Room,
    ) -> Result<Granted, Denied> {
        let countable = question.message().countable();
        if matches!(countable, Countable::Entangled(_)) {
            return Ok(Granted::No(None));
        }
        let asked = holds::describe(grant, question, session);
        let unread = |error: StateError| {
            tracing::error!("standing grants cannot be looked for: {error}");
            Granted::No(None)
        };
        let counts = matches!(countable, Countable::Rows(_));
        let alike = asked.alike.as_ref().filter(|_| counts).map(|likeness| likeness.key.clone());
        let access = access::key(&asked.principal, &asked.on_behalf_of, &asked.target);
        let mut found = Vec::new();
        for key in alike.into_iter().chain([access]) {
            match self.state().grants_alike(&key).await {
                Ok(some) => found.extend(some),
                Err(error) => return Ok(unread(error)),
            }
        }
        if found.is_empty() {
            return Ok(Granted::No(None));
        }
        match known.has_moved().await {
            Ok(true) => return Ok(Granted::By(Asked::Moved)),
            Ok(false) => (),
            Err(error) => {
                tracing::error!(%error, "no standing grant is used: the target cannot be looked at");
                return Ok(Granted::No(None));
            }
        }
        let mut why_not = None;
        for one in found {
            let mut votes = Vec::new();
            for giver in one.givers() {
                match self.groups_of(giver, &asked).await {
                    Ok(groups) => {
                        votes.extend(groups.map(|groups| Vote { groups, ..giver.clone() }));
                    }
                    Err(error) => return Ok(unread(error)),
                }
            }
            let (turn, said) = if one.access.is_some() {
                // What is in force may change meanwhile: then it is looked at anew.
                let turn = self.turn();
                let kept = self.kept(grant, question, now_here);
                let uncounted = !counts && !policy::access::only_reads(&kept);
                let said = match lifts(&one, &asked, &kept, &votes, now()) {
                    Ok(()) if uncounted => Err(Uncovered::Not(
                        "its rows cannot be counted, and it is asked for by itself".to_owned(),
                    )),
                    said => said,
                };
                (Some(turn), said)
            } else {
                let groups = votes.first().map(|vote| &*vote.groups);
                (None, covers(&one, &asked, groups, now()))
            };
            match said {
                Ok(()) => (),
                Err(Uncovered::Other) => continue,
                Err(Uncovered::Not(why)) => {
                    why_not = Some(match one.access {
                        Some(_) => format!("the standing grant {} does not cover it: {why}", one.id),
                        None => format!("{why} since the standing grant {} was given", one.id),
                    });
                    continue;
                }
                Err(Uncovered::Ended(why)) => {
                    why_not = Some(format!("the standing grant {} covers nothing any more: {why}", one.id));
                    if let Err(error) = self.end(&one, &why, "gateway").await {
                        tracing::error!(grant = one.id, "a standing grant cannot be ended: {error}");
                    }
                    continue;
                }
            }
            let lets = one.access.as_ref().map_or(Some(one.most), |access| access.most);
            let ceiling = match (&countable, lets) {
                (Countable::Rows(of), Some(most)) => {
                    Ceiling::Rows { most, from: "grant".to_owned(), of: of.clone(), expected: None }
                }
                (Countable::Rows(_), None) => Ceiling::None(
                    "its standing grant lets nothing be changed that policy does not".to_owned(),
                ),
                (Countable::Nothing(why), _) => Ceiling::None(why.clone()),
                (Countable::Entangled(why), _) => Ceiling::None((*why).to_owned()),
            };
            let used = NewRequest { ceiling: ceiling.clone(), ..asked.clone() };
            match self.state().use_grant(&one.id, &used, room).await {
                Ok(Used::Now(id, used)) => {
                    self.holds().looked().forget();
                    let of = one.uses.map(|most| format!(" of {most}")).unwrap_or_default();
                    let rows = match &ceiling {
                        Ceiling::Rows { most, .. } => format!(", at most {most} rows"),
                        Ceiling::None(_) => String::new(),
                    };
                    let told = format!(
                        "covered by the standing grant {}, use {}{of}: request {id}{rows}",
                        one.id, used.number
                    );
                    // Access answers what asks here, and no other rule that it could answer as well.
                    let rules = if one.access.is_some() { asked.holds.clone() } else { one.holds };
                    let claim = Claim { rules, ceiling, granted: Some(used), under: turn };
                    let ticket = self.holds().admitted(&id, grant.target(), told, known.clone(), claim);
                    return Ok(Granted::By(Asked::Filed(ticket)));
                }
                // Somebody was first.
                Ok(Used::Over) => (),
                Ok(Used::NoRoom { bytes, taken, all }) => {
                    return Err(holds::no_room_for(question, room, bytes, taken, all));
                }
                Err(error) => return Ok(unread(error)),
            }
        }
        Ok(Granted::No(why_not))
    }

    /// What of an operation is held, by the rules in force.
    fn kept<M: Inspect + Auditable>(&self, grant: &Grant, question: &Question<M>, now: &Context) -> Kept {
        let now = self.suspecting(grant, now);
        let in_force = self.in_force.load();
        let Some(target) = in_force.targets.get(grant.target()) else { return Kept::default() };
        in_force.policies.kept(grant, &target.facts, question.message(), &now, question.holds())
    }

    /// For which groups somebody answers now who gave a grant; `None` where they may not answer this any more.
    async fn groups_of(&self, giver: &Vote, asked: &NewRequest) -> Result<Option<Vec<String>>, StateError> {
        let Ok(id) = parse_principal(&giver.voter) else { return Ok(None) };
        let askers = quorum::barred(&asked.principal, &asked.on_behalf_of, &asked.holds);
        let names = match self.names_of(&id).await {
            Ok(names) => names,
            Err(AdminError::State(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        if self.check_other_person(&id, &names, askers, &[]).is_err() {
            return Ok(None);
        }
        let who = model::Principal {
            id: id.clone(),
            groups: giver.groups.clone(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: Vec::new(),
        };
        let question = policy::answering::Asked {
            principal: &asked.principal,
            on_behalf_of: &asked.on_behalf_of,
            target: &asked.target,
            weighed: &asked.weighed,
        };
        if self.may_approve(who, question).is_err() {
            return Ok(None);
        }
        if id.name == TAKEN {
            return Ok(Some(vec![quorum::ADMINS.to_owned()]));
        }
        let is_them = |name: &str| name.eq_ignore_ascii_case(&id.name);
        if giver.proof.as_deref() == Some("secret") {
            let approvers = self.state().approvers().await?;
            return Ok(approvers.into_iter().find(|a| is_them(&a.name)).map(|approver| approver.groups));
        }
        if self.is_denied(&id, &giver.groups) {
            return Ok(None);
        }
        if let Some(Member { roles, mut groups, .. }) = self.state().member(&id.name).await? {
            if roles.iter().any(|role| Role::read(role) == Some(Role::Administrator)) {
                groups.push(quorum::ADMINS.to_owned());
            }
            return Ok(Some(groups));
        }
        // Of those who sign in at an issuer it is known what that said when they did.
        let issuers = self.issuers();
        let from_issuer = issuers.prefixes().any(|prefix| id.name.starts_with(prefix));
        Ok(from_issuer.then(|| giver.groups.clone()))
    }

    fn is_denied(&self, who: &PrincipalRef, groups: &[String]) -> bool {
        let principal = model::Principal {
            id: who.clone(),
            groups: groups.to_vec(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: Vec::new(),
        };
        self.denials().of_principal(&principal, &self.groups(), now()).is_some()
    }

    async fn end(&self, grant: &StandingGrant, why: &str, by: &str) -> Result<bool, AdminError> {
        self.administered(by, "standing grant ended", &format!("{}: {why}", grant.id))?;
        Ok(self.state().end_grant(&grant.id, why).await?)
    }

    /// The standing grants that somebody may answer for, the newest first, without their values.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn grants(&self, voter: &Voter) -> Result<Vec<StandingGrant>, AdminError> {
        let mut all = self.state().standing_grants(LISTED).await?;
        all.retain(|grant| voter.answers_for(&grant.holds));
        Ok(all)
    }

    /// One of them with its values, and the newest of what it was used for. That it was seen is on record.
    ///
    /// # Errors
    /// There is none of this id for them, or it cannot be read or recorded.
    pub async fn grant(&self, id: &str, voter: &Voter) -> Result<(StandingGrant, Vec<Request>), AdminError> {
        let found = self.state().standing_grant(id).await?.filter(|grant| voter.answers_for(&grant.holds));
        self.with_uses(id, found, &voter.id).await
    }

    async fn with_uses(
        &self,
        id: &str,
        found: Option<StandingGrant>,
        by: &PrincipalRef,
    ) -> Result<(StandingGrant, Vec<Request>), AdminError> {
        let found = found.ok_or_else(|| AdminError::Missing(format!("standing grant {id}")))?;
        self.administered(&by.to_string(), "standing grant shown", id)?;
        let mut uses = Vec::new();
        for request in self.state().uses_of(id, USES).await? {
            uses.extend(self.state().request(&request).await?);
        }
        Ok((found, uses))
    }

    /// The same lists for somebody who is in the console: what they may see.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn grants_seen_by(&self, guest: &Guest) -> Result<Vec<StandingGrant>, AdminError> {
        let mut all = self.state().standing_grants(LISTED).await?;
        all.retain(|grant| self.rights().may_see_held(guest.person(), &grant.holds));
        Ok(all)
    }

    /// One that somebody who is in the console may see, with the newest of what it was used for. That it was seen is on record.
    ///
    /// # Errors
    /// There is none that they may see, or it cannot be read or recorded.
    pub async fn grant_seen_by(
        &self,
        guest: &Guest,
        id: &str,
    ) -> Result<(StandingGrant, Vec<Request>), AdminError> {
        let found = self.state().standing_grant(id).await?;
        let found = found.filter(|grant| self.rights().may_see_held(guest.person(), &grant.holds));
        self.with_uses(id, found, guest.id()).await
    }

    /// Revokes a standing grant: from this moment on it covers nothing, on whichever gateway. Whoever may answer what it answers
    /// may revoke it.
    ///
    /// # Errors
    /// There is none of this id for them that is in force, or it cannot be stored or recorded.
    pub async fn revoke_grant(&self, id: &str, voter: &Voter) -> Result<(), AdminError> {
        let found = self.state().standing_grant(id).await?.filter(|grant| voter.answers_for(&grant.holds));
        let found = found.ok_or_else(|| AdminError::Missing(format!("standing grant {id}")))?;
        let by = voter.id.to_string();
        if found.state(now()) == GrantState::InForce
            && self.end(&found, &format!("revoked by {by}"), &by).await?
        {
            return Ok(());
        }
        let stands =
            self.state().standing_grant(id).await?.map_or("gone", |grant| grant.state(now()).as_str());
        Err(AdminError::Refused(format!("the standing grant {id} is {stands}: there is nothing to revoke")))
    }
}

/// What the journal says of a grant: everything that it covers, but no value.
fn detail(grant: &StandingGrant, digest: &str) -> String {
    let people: String = grant.on_behalf_of.iter().map(|person| format!(" for {person}")).collect();
    let kept: Vec<String> =
        (1..).zip(&grant.values).filter(|(_, value)| !value.any).map(|(n, _)| format!("${n}")).collect();
    let kept =
        if kept.is_empty() { "any values".to_owned() } else { format!("{} as they are", kept.join(", ")) };
    let uses = grant.uses.map(|uses| format!(", {uses} times")).unwrap_or_default();
    let proof = grant.giver.proof.as_deref().unwrap_or_default();
    format!(
        "{} from request {}, digest {digest}: {}{people} on {}, {}, with {kept}, at most {} rows each{uses}, until {}, by \
         {proof}",
        grant.id, grant.request, grant.principal, grant.target, grant.text, grant.most, grant.expires
    )
}
