//! What a statement would come to, for whoever writes policies: it is understood by the target's own catalogue and decided
//! by policies, and nothing of it is sent.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use journal::record;
use model::{Effect, Principal, PrincipalRef, Tag, TargetName};
use policy::{Context, Explanation, Identity, Opinion, Policies, Source, TargetFacts, Word};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::configure::PolicyFile;
use crate::gateway::{Gateway, now};
use crate::protocols::postgres::missing::{self, Told};
use crate::protocols::postgres::{Garbled, foresight};
use crate::requests::{AdminError, parse_principal};
use crate::spine::{Auditable as _, Learned};
use crate::targets::Target;
use crate::tokens::Admitted;

/// Who would do what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who asks, and on which target.
    pub who: Asker,
    /// What would be sent.
    pub statement: String,
    /// Policies to ask instead of those in force.
    #[serde(default)]
    pub policies: Option<Vec<PolicyFile>>,
}

/// Who asks, and on which target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asker {
    /// `agent:NAME` or `user:NAME`.
    pub principal: String,
    /// The principal's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whom it acts for, nearest first.
    #[serde(default)]
    pub on_behalf_of: Vec<String>,
    /// The target.
    pub target: String,
    /// Tags of the target, beside those that it is configured with.
    #[serde(default)]
    pub target_tags: BTreeSet<String>,
    /// Holds that were approved.
    #[serde(default)]
    pub approved: BTreeSet<String>,
}

/// What it would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The statement as the journal would have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// The verdict on the whole.
    pub answer: Answer,
    /// What each effect would come to alone.
    pub effects: Vec<Part>,
    /// Columns of its result that would come masked, with their tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
    /// Why its result would not come, whatever policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// `allow`, `deny` or `hold`.
    pub verdict: String,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// Why it is denied, or for whom it waits.
    pub reason: Option<String>,
    /// What would work instead.
    pub hint: Option<String>,
}

/// One effect, and its own verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// What would be done.
    pub effect: String,
    /// What it would come to alone.
    pub answer: Answer,
}

impl From<Opinion> for Answer {
    fn from(opinion: Opinion) -> Self {
        let Opinion { word, policies, reason, hint } = opinion;
        Self { verdict: word.as_str().to_owned(), policies, reason, hint }
    }
}

impl Answer {
    /// A refusal that no policy gave.
    fn refused(reason: String, hint: Option<String>) -> Self {
        Self { verdict: Word::Deny.as_str().to_owned(), policies: Vec::new(), reason: Some(reason), hint }
    }
}

impl Explained {
    /// A verdict on the whole, where nothing is known of its parts.
    pub fn whole(answer: Answer) -> Self {
        Self { statement: None, answer, effects: Vec::new(), masked: Vec::new(), cut: None }
    }

    /// What policies say of an operation with these effects.
    pub fn new(effects: &[Effect], explanation: Explanation) -> Self {
        let part = |(effect, opinion): (&Effect, Opinion)| Part {
            effect: audit::line(effect),
            answer: opinion.into(),
        };
        let effects = effects.iter().zip(explanation.effects).map(part).collect();
        Self { effects, ..Self::whole(explanation.whole.into()) }
    }
}

impl Asker {
    /// The principal.
    ///
    /// # Errors
    /// It is not written as one.
    pub fn principal(&self) -> Result<Principal, AdminError> {
        let on_behalf_of: Result<Vec<PrincipalRef>, AdminError> =
            self.on_behalf_of.iter().map(|p| parse_principal(p)).collect();
        Ok(Principal {
            id: parse_principal(&self.principal)?,
            groups: self.groups.clone(),
            on_behalf_of: on_behalf_of?,
            purpose: None,
            asserted: Vec::new(),
        })
    }

    /// The target's facts, beside those that are known.
    pub fn facts(&self, known: &TargetFacts) -> TargetFacts {
        let named = self.target_tags.iter().map(|tag| Tag(tag.clone()));
        TargetFacts { tags: known.tags.iter().cloned().chain(named).collect() }
    }
}

/// The facts of a moment that is no session's.
pub fn some_moment() -> Context {
    Context {
        now: now(),
        address: Ipv4Addr::LOCALHOST.into(),
        application: "".into(),
        in_transaction: false,
        encrypted: true,
        read_instructions: false,
    }
}

/// Who asks, and when.
struct Case<'a> {
    identity: Identity,
    facts: TargetFacts,
    moment: Context,
    approved: &'a BTreeSet<String>,
}

impl Gateway {
    /// What a statement would come to, sent by itself in a session that has just begun.
    ///
    /// # Errors
    /// What is asked for is not possible: no such target, policies that are not valid, a catalogue that cannot be read.
    pub async fn explain(&self, asked: &Asked) -> Result<Explained, AdminError> {
        let Asked { who, statement, policies } = asked;
        let name = TargetName::new(who.target.as_str());
        let in_force = self.in_force.load_full();
        let target =
            in_force.targets.get(&name).ok_or_else(|| AdminError::Missing(format!("target \"{name}\"")))?;
        let given = policies.as_deref().map(load).transpose()?;
        let policies = given.as_ref().unwrap_or(&in_force.policies);

        let mut principal = who.principal()?;
        let own = in_force.groups.of(&principal.id, &principal.groups);
        let own: Vec<String> = own.into_iter().map(str::to_owned).collect();
        principal.groups.extend(own);
        let case = Case {
            identity: Identity::verified(principal),
            facts: who.facts(&target.facts),
            moment: some_moment(),
            approved: &who.approved,
        };
        self.explained(target, policies, case, statement).await
    }

    /// What a statement would come to, for somebody who was let in and asks for themselves.
    ///
    /// # Errors
    /// The target cannot be asked.
    pub async fn explain_to(
        &self,
        admitted: &Admitted,
        name: &TargetName,
        statement: &str,
        moment: Context,
    ) -> Result<Explained, AdminError> {
        let in_force = self.in_force.load_full();
        // Whether there is such a target is told to those alone who may use it, as at every login.
        let allowed = self.may_use(admitted, name, &moment);
        let target = match (allowed, in_force.targets.get(name)) {
            (Ok(()), Some(target)) => target,
            (Ok(()), None) => return Err(AdminError::Missing(format!("target \"{name}\""))),
            (Err(told), _) => return Ok(Explained::whole(Answer::refused(told.reason, told.hint))),
        };
        let case = Case {
            identity: admitted.identity(),
            facts: target.facts.clone(),
            moment,
            approved: &BTreeSet::new(),
        };
        self.explained(target, &in_force.policies, case, statement).await
    }

    async fn explained(
        &self,
        target: &Arc<Target>,
        policies: &Policies,
        case: Case<'_>,
        statement: &str,
    ) -> Result<Explained, AdminError> {
        let Case { identity, facts, moment, approved } = case;
        let name = &target.name;
        let grant = match policies.authorize(identity, name, &facts, &moment) {
            Ok(grant) => grant,
            Err(denied) => return Ok(Explained::whole(Opinion::from(denied).into())),
        };
        let unclear = |why: foresight::Unclear| AdminError::Target(format!("the target \"{name}\": {why}"));
        let purpose = "how a session begins".to_owned();
        self.note(&record::Body::Gateway { target: name.to_string(), purpose })?;
        let mut foresight = foresight::begin(target, policies.allows_everything()).await.map_err(unclear)?;
        let mut request = match foresight.of(statement) {
            Ok(request) => request,
            Err(garbled) => return Ok(Explained::whole(garbled.into())),
        };
        if policies.reads_estimate(&grant, &request)
            && policies.could_be_let(&grant, &facts, &request, &moment)
            && let Some(asked) = request.planned()
            && let Some(rows) = self.estimate(&grant, &asked).await
        {
            request.learn(Learned::Estimated(rows));
        }
        let explanation = policies.explain(&grant, &facts, &request, &moment, approved);
        let shown = foresight.result(&request.operation, &explanation.reveal);
        let denied = explanation.whole.word == Word::Deny;
        let mut explained = Explained::new(model::Inspect::effects(&request), explanation);
        explained.statement = Some(request.statement().text.to_owned());
        if denied {
            // The client is told of names that are not there in the server's own words, and not what policy says of the unknown.
            let decide = &mut |rest| policies.decide(&grant, &facts, rest, &moment, approved);
            let again = &mut |text: &str| foresight.of(text).ok().map(|request| request.operation);
            match missing::told(&request, decide, again) {
                Some(Told::Missing(missing)) => {
                    explained.answer.reason = Some(missing.message);
                    explained.answer.hint = missing.hint;
                }
                Some(Told::Denied(denied)) => {
                    let effects = model::Inspect::effects(&request).iter().map(missing::is_missing);
                    let mut missing = effects.collect::<Vec<_>>().into_iter();
                    explained.effects.retain(|_| missing.next() == Some(false));
                    explained.answer = Opinion::from(denied).into();
                }
                None => (),
            }
        } else {
            let tags = |tags: BTreeSet<Tag>| tags.into_iter().map(|t| t.0).collect::<Vec<_>>().join(", ");
            explained.masked =
                shown.masked.into_iter().map(|(column, why)| format!("{column} ({})", tags(why))).collect();
            explained.cut = shown.cut;
        }
        Ok(explained)
    }
}

fn load(files: &[PolicyFile]) -> Result<Policies, AdminError> {
    let sources: Vec<Source> =
        files.iter().map(|f| Source { name: f.name.clone(), text: f.text.clone() }).collect();
    Policies::load(&sources).map_err(|problems| {
        AdminError::Refused(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

impl From<Garbled> for Answer {
    fn from(garbled: Garbled) -> Self {
        let at = garbled.position.map(|at| format!(" at character {at}")).unwrap_or_default();
        Self::refused(format!("{}{at}", garbled.message), garbled.hint)
    }
}
