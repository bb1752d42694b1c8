//! Cedar decides; this file asks it, effect by effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Effect as CedarEffect, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};
use hashbrown::HashMap;
use model::{
    Action, Effect, Facts, Inspect, Particulars, Principal, PrincipalKind, Resource, Tag, TargetName,
};

use crate::deep;
use crate::load::{self, Problem, Source};
use crate::particular::{Alone, Known, Readers};
use crate::remembered::{Remembered, Said};
use crate::{Caps, Context, Denied, Grant, HoldRule, Identity, Most, Pass, Permit, Record, Verdict, facts};

/// What stands for opening a session where operations have their shape, which are digests.
const CONNECT: [u8; 16] = [0xff; 16];

/// What a policy may ask of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetFacts {
    /// Tags of the target as a whole (`production`).
    pub tags: BTreeSet<Tag>,
}

/// A set of policies that passed validation.
pub struct Policies {
    all: Vec<Policy>,
    holds: BTreeMap<String, HoldRule>,
    /// How sessions are recorded, by the policies that say so.
    records: BTreeMap<String, Record>,
    /// How long things of sessions may last, by the policies that say so.
    caps: BTreeMap<String, Caps>,
    /// How much a statement may return, by the policies that say so.
    mosts: BTreeMap<String, Most>,
    version: Arc<str>,
    /// Whether evaluating them takes more stack than threads have.
    needs_room: bool,
    /// The policies that can apply to an action on a target. Ten thousand for other targets cost nothing.
    slices: Mutex<HashMap<(Action, TargetName), Arc<PolicySet>>>,
    remembered: Remembered,
    /// Those that read what an operation has alone.
    pub(crate) readers: Readers,
    everything: bool,
}

/// Whether it is known yet what an operation has alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// It is.
    Known,
    /// What could be allowed of some values goes on to where they are known.
    Open,
}

/// What Cedar says of one effect.
struct Answer {
    allowed: bool,
    /// What decided: the permits of an allowed effect, the forbids of a denied one.
    policies: Vec<String>,
}

impl Policies {
    /// Parses and validates.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn load(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let problems: Vec<Problem> = sources
            .iter()
            .filter_map(|source| deep::beyond(&source.text).map(|(at, why)| load::problem(source, at, why)))
            .collect();
        if problems.is_empty() { deep::with_room(|| Self::read(sources)) } else { Err(problems) }
    }

    fn read(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let loaded = load::load(sources)?;
        let all = loaded.policies;
        let permits = all.iter().all(|p| p.effect() == CedarEffect::Permit);
        Ok(Self {
            // What is bounded must be understood.
            everything: permits && loaded.mosts.is_empty() && all.iter().any(is_unconditional),
            remembered: Remembered::new(&all),
            readers: Readers::of(&all),
            all,
            holds: loaded.holds,
            records: loaded.records,
            caps: loaded.caps,
            mosts: loaded.mosts,
            version: version(sources).into(),
            needs_room: sources.iter().any(|source| deep::needs_room(&source.text)),
            slices: Mutex::default(),
        })
    }

    pub(crate) fn all(&self) -> &[Policy] {
        &self.all
    }

    /// The rule of an id that holds operations.
    pub fn rule(&self, id: &str) -> Option<&HoldRule> {
        self.holds.get(id)
    }

    /// Whether a rule is in force, and asks the same of the same people.
    pub fn asks(&self, rule: &HoldRule) -> bool {
        self.rule(&rule.id).is_some_and(|now| now.asks_like(rule))
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &HoldRule> {
        self.holds.values()
    }

    /// A digest of all texts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a principal may open a session.
    ///
    /// # Errors
    /// The refusal.
    pub fn authorize(
        &self,
        who: Identity,
        target: &TargetName,
        facts: &TargetFacts,
        now: &Context,
    ) -> Result<Grant, Denied> {
        let grant = Grant::new(who, target.clone());
        let connect = Effect::new(Action::Connect, Resource::Target);
        let none = BTreeSet::new();
        let key = self.remembered.key(&grant, facts, CONNECT, now, &none);
        let known = Known { facts: &Facts::default(), alone: Alone::Told(&Particulars::none()) };
        match key.and_then(|key| self.remembered.get(key)) {
            Some(Said::Allow(permit)) => return Ok(self.recorded(grant, &permit)),
            Some(Said::Deny(denied)) => return Err(denied),
            Some(Said::Hold(_)) | None => (),
        }
        let answer = self.answer(&grant, facts, &connect, known, now, &none);
        let keep = |said: Said| {
            if let Some(key) = key {
                self.remembered.keep(key, said);
            }
        };
        if !answer.allowed {
            let denied = self.denied(&grant, &connect, &answer, 1);
            keep(Said::Deny(denied.clone()));
            return Err(denied);
        }
        let permit = Permit {
            policies: answer.policies.into(),
            version: Arc::clone(&self.version),
            reveal: Arc::default(),
            approved: Vec::new(),
            everything: self.everything,
            most: None,
        };
        keep(Said::Allow(permit.clone()));
        Ok(self.recorded(grant, &permit))
    }

    /// The grant of a session that is recorded, and bounded, as the strictest of those policies wants that allow it.
    fn recorded(&self, grant: Grant, permit: &Permit) -> Grant {
        let words = permit.policies.iter().map(|id| self.records.get(id).copied().unwrap_or_default());
        let record = words.max().unwrap_or_default();
        let caps = permit.policies.iter().filter_map(|id| self.caps.get(id)).copied();
        let most = self.most(permit.policies.iter());
        Grant { record, caps: caps.reduce(Caps::and).unwrap_or_default(), most, ..grant }
    }

    /// How much may be returned where these policies decided: the least that one of them says.
    fn most<'p>(&self, mut ids: impl Iterator<Item = &'p String>) -> Option<Arc<Most>> {
        if self.mosts.is_empty() {
            return None;
        }
        let first = ids.find_map(|id| self.mosts.get(id))?.clone();
        Some(Arc::new(ids.filter_map(|id| self.mosts.get(id)).fold(first, |least, most| least.and(most))))
    }

    /// What policy says of an operation. `approved` names the hold rules whose approvers and quorum are met.
    pub fn decide<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: M,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> Verdict<M> {
        self.decided(grant, facts, message, now, approved, Values::Known)
    }

    /// The same where it may not be known yet what the operation has alone.
    pub(crate) fn decided<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: M,
        now: &Context,
        approved: &BTreeSet<String>,
        values: Values,
    ) -> Verdict<M> {
        let reads = self.reads_particulars(grant, &message);
        let key = self.remembered.key(grant, facts, message.shape(), now, approved).filter(|_| !reads);
        if let Some(said) = key.and_then(|key| self.remembered.get(key)) {
            return said.of(message, &self.version);
        }
        let particulars;
        let alone = match (reads, values) {
            (false, _) => Alone::Unread,
            (true, Values::Open) => Alone::Open,
            (true, Values::Known) => {
                particulars = message.particulars();
                Alone::Told(&particulars)
            }
        };
        let said = self.say(grant, facts, &message, alone, now, approved);
        if let Some(key) = key {
            self.remembered.keep(key, said.clone());
        }
        said.of(message, &self.version)
    }

    fn say<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: &M,
        alone: Alone<'_>,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> Said {
        let known = Known { facts: message.facts(), alone };
        let ask = |effect: &Effect, approvals: &BTreeSet<String>| {
            self.answer(grant, facts, effect, known, now, approvals)
        };
        if let Some(effect) = message.effects().iter().find(|effect| is_the_gateways(effect)) {
            return Said::Deny(self.protected(effect));
        }
        let mut deciding = BTreeSet::new();
        let mut refused: Vec<(&Effect, Answer)> = Vec::new();
        for effect in message.effects() {
            let answer = ask(effect, approved);
            if answer.allowed {
                deciding.extend(answer.policies);
            } else {
                refused.push((effect, answer));
            }
        }
        if refused.is_empty() {
            let reveal = self.revealed_of(grant, facts, message, alone, now, approved);
            let spent: Vec<String> =
                approved.iter().filter(|id| self.holds.contains_key(*id)).cloned().collect();
            return Said::Allow(Permit {
                most: self.most(deciding.iter().chain(&spent)),
                policies: deciding.into_iter().collect(),
                version: Arc::clone(&self.version),
                reveal: Arc::new(reveal),
                approved: spent,
                everything: self.everything,
            });
        }
        // It is held only if nothing but approvals is missing.
        let every_hold: BTreeSet<String> = self.holds.keys().cloned().collect();
        let mut still_denied = refused.iter().map(|(effect, _)| (*effect, ask(effect, &every_hold)));
        if let Some((effect, answer)) = still_denied.find(|(_, answer)| !answer.allowed) {
            // Whoever may not read a table is not told which of its columns decide something.
            let counts = |of: &Effect| of.action == effect.action || of.action != Action::Probe;
            let count = refused.iter().filter(|(of, _)| counts(of)).count();
            return Said::Deny(self.denied(grant, effect, &answer, count));
        }
        let asked: BTreeSet<&String> = refused.iter().flat_map(|(_, a)| &a.policies).collect();
        Said::Hold(asked.into_iter().filter_map(|id| self.holds.get(id)).cloned().collect())
    }

    /// What policy says of an operation before its values are known: what could be held may go on to where they are.
    pub fn decide_shape<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: M,
        now: &Context,
    ) -> Verdict<M> {
        match self.decided(grant, facts, message, now, &BTreeSet::new(), Values::Open) {
            Verdict::Hold(question) => {
                let permit = Permit {
                    policies: question.holds.iter().map(|h| h.id.clone()).collect(),
                    version: Arc::clone(&self.version),
                    reveal: Arc::default(),
                    approved: Vec::new(),
                    everything: false,
                    most: None,
                };
                Verdict::Allow(Pass { message: question.message, permit })
            }
            verdict @ (Verdict::Allow(_) | Verdict::Deny(..)) => verdict,
        }
    }

    /// Whether some policy could allow or hold a write of this principal here, so that its session needs one that writes.
    pub fn could_write(&self, grant: &Grant) -> bool {
        let harmless = [Action::Connect, Action::Select, Action::Listen, Action::Reveal, Action::Probe];
        self.could(grant, |action| !harmless.contains(&action))
    }

    /// Whether some policy could allow or hold that this principal stores a value of its own here, or defines what shows one
    /// among others': whoever does so and sees a keyed hash of it has a dictionary of the hidden ones.
    pub fn could_store(&self, grant: &Grant) -> bool {
        use Action::{Alter, CopyIn, Create, Insert, Merge, RunCode, Unknown, Update};
        self.could(grant, |action| {
            matches!(action, Insert | Update | Merge | CopyIn | Create | Alter | RunCode | Unknown)
        })
    }

    fn could(&self, grant: &Grant, is_meant: impl Fn(Action) -> bool) -> bool {
        let permits = |p: &Policy| p.effect() == CedarEffect::Permit && concerns(p, grant.principal());
        let mut meant = Action::ALL.iter().filter(|action| is_meant(**action));
        meant.any(|action| self.slice(*action, grant.target()).policies().any(permits))
    }

    /// Whether some policy could allow or hold an action on this target, whoever asks.
    pub fn permits(&self, action: Action, target: &TargetName) -> bool {
        self.slice(action, target).policies().any(|p| p.effect() == CedarEffect::Permit)
    }

    /// Whether leave to connect may end by itself, as time goes on.
    pub fn connect_depends_on_time(&self) -> bool {
        self.remembered.reads_time()
    }

    /// Whether everything is allowed whatever it is (`unknown`, `reveal` and `probe` too), so that certainty about names
    /// changes nothing.
    pub fn allows_everything(&self) -> bool {
        self.everything
    }

    pub(crate) fn revealed<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: &M,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> BTreeSet<model::ColumnName> {
        let particulars = self.particulars_of(grant, message);
        self.revealed_of(grant, facts, message, Alone::Told(&particulars), now, approved)
    }

    fn revealed_of<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: &M,
        alone: Alone<'_>,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> BTreeSet<model::ColumnName> {
        let known = Known { facts: message.facts(), alone };
        let mut revealed = BTreeSet::new();
        for (column, tags) in message.tagged_outputs() {
            let effect = Effect {
                tags: tags.clone(),
                ..Effect::new(Action::Reveal, Resource::Column(column.clone()))
            };
            if self.answer(grant, facts, &effect, known, now, approved).allowed {
                revealed.insert(column.clone());
            }
        }
        revealed
    }

    /// A base table behind a view needs no permit of its own, if the view has one; a forbid on the table still wins.
    fn answer(
        &self,
        grant: &Grant,
        target: &TargetFacts,
        effect: &Effect,
        known: Known<'_>,
        now: &Context,
        approvals: &BTreeSet<String>,
    ) -> Answer {
        let own = self.cedar(grant, target, effect, known, now, approvals);
        match &effect.via {
            Some(view) if !own.allowed && own.policies.is_empty() => {
                let through = Effect::new(effect.action, Resource::Table(view.clone()));
                self.cedar(grant, target, &through, known, now, approvals)
            }
            _ => own,
        }
    }

    fn cedar(
        &self,
        grant: &Grant,
        target: &TargetFacts,
        effect: &Effect,
        known: Known<'_>,
        now: &Context,
        approvals: &BTreeSet<String>,
    ) -> Answer {
        let Ok(asked) = facts::ask(grant, target, effect, known, now, approvals) else {
            return Answer { allowed: false, policies: vec!["what could not be asked".to_owned()] };
        };
        self.with_room(|| self.asked(grant, effect.action, known, &asked))
    }

    /// Evaluates policies where there is stack enough for them: Cedar gives up where there is not, and that denies.
    pub(crate) fn with_room<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        if self.needs_room { deep::with_room(evaluate) } else { evaluate() }
    }

    fn asked(&self, grant: &Grant, action: Action, known: Known<'_>, asked: &facts::Asked) -> Answer {
        let mut slice = self.slice(action, grant.target());
        if let Alone::Open = known.alone {
            slice = Arc::new(self.readers.opened(&slice));
        }
        let response = Authorizer::new().is_authorized(&asked.request, &slice, &asked.entities);
        let diagnostics = response.diagnostics();
        let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        // Cedar skips a policy that fails; a forbid that fails would allow.
        let failed = diagnostics.errors().next().is_some();
        if failed {
            policies.push("a policy that could not be evaluated".to_owned());
        }
        Answer { allowed: response.decision() == Decision::Allow && !failed, policies }
    }

    pub(crate) fn slice(&self, action: Action, target: &TargetName) -> Arc<PolicySet> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (action, target.clone());
        if let Some(slice) = slices.get(&key) {
            return Arc::clone(slice);
        }
        let apply = self.all.iter().filter(|p| covers(p, action) && reaches(p, target));
        // Every id is unique, so the set can be made.
        let slice = Arc::new(PolicySet::from_policies(apply.cloned()).unwrap_or_default());
        slices.insert(key, Arc::clone(&slice));
        slice
    }

    /// No policy can allow this: the target could not believe who acts.
    fn protected(&self, effect: &Effect) -> Denied {
        Denied {
            code: "42501",
            reason: format!("{} says who acts here, and is the gateway's to set", effect.resource),
            hint: None,
            policies: Vec::new(),
            version: Arc::clone(&self.version),
        }
    }

    fn denied(&self, grant: &Grant, effect: &Effect, answer: &Answer, count: usize) -> Denied {
        let by = answer.policies.first().and_then(|id| self.all.iter().find(|p| p.id().to_string() == *id));
        let annotated = |name| by.and_then(|p| p.annotation(name)).map(str::to_owned);
        let what = describe(effect);
        let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
        let reason = match annotated("reason") {
            Some(reason) => format!("{what} is not allowed{more}: {reason}"),
            None => format!("{what} is not allowed for {} on {}{more}", grant.principal().id, grant.target()),
        };
        Denied {
            code: "42501",
            reason,
            hint: annotated("hint").or_else(|| hint(effect)),
            policies: answer.policies.clone(),
            version: Arc::clone(&self.version),
        }
    }
}

/// Settings with this beginning tell the target who acts.
pub const PROTECTED: &str = "durward.";

fn is_the_gateways(effect: &Effect) -> bool {
    match &effect.resource {
        Resource::Setting(name) => name.starts_with(PROTECTED),
        Resource::Target
        | Resource::Schema(_)
        | Resource::Table(_)
        | Resource::Column(_)
        | Resource::Function(_) => false,
    }
}

fn describe(effect: &Effect) -> String {
    if effect.action == Action::Unknown {
        let why = effect.why.as_deref().unwrap_or("no reason");
        return format!("what is not understood with certainty ({why})");
    }
    if effect.action == Action::Probe {
        return format!("using {} other than as a plain output", effect.resource);
    }
    format!("{} on {}", effect.action.as_str(), effect.resource)
}

fn hint(effect: &Effect) -> Option<String> {
    let hint = if effect.action == Action::Configure {
        "Leave the setting out: the statement runs under the one that the session has."
    } else if effect.action == Action::LockTable {
        "Leave the lock out: a statement takes by itself what it needs."
    } else if effect.action == Action::LockRows {
        "Leave FOR UPDATE or FOR SHARE out: a read needs no lock."
    } else if effect.action == Action::RunCode {
        "Send the statements in it by themselves."
    } else if effect.action == Action::Create && is_temporary(&effect.resource) {
        "Put its query into the statement that uses it, as a common table expression."
    } else if effect.action == Action::Notify {
        "Leave the notification out, or write what others are to know into a table that you may write."
    } else if effect.action == Action::OtherSession {
        "Leave it out: what is of other sessions is for whoever runs the target."
    } else if effect.action == Action::Probe {
        "Select the column plainly (its values are masked), count rows with count(*), or leave it out."
    } else if effect.action == Action::Unknown {
        "Write the statement so that every name in it is certain, and send statements one at a time."
    } else {
        return None;
    };
    Some(hint.to_owned())
}

fn is_temporary(resource: &Resource) -> bool {
    matches!(resource, Resource::Table(table) if table.schema.starts_with("pg_temp"))
}

pub(crate) fn covers(policy: &Policy, action: Action) -> bool {
    let names = |uid: &cedar_policy::EntityUid| {
        let id = uid.id().unescaped();
        id == action.as_str() || Some(id) == action.group()
    };
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(uids) => uids.iter().any(names),
        ActionConstraint::Eq(uid) => uid.id().unescaped() == action.as_str(),
    }
}

/// Whether a policy's scope leaves this principal in.
fn concerns(policy: &Policy, who: &Principal) -> bool {
    let kind = match who.id.kind {
        PrincipalKind::User => "User",
        PrincipalKind::Agent => "Agent",
    };
    let named = |uid: &cedar_policy::EntityUid| {
        let id = uid.id().unescaped();
        match uid.type_name().to_string().as_str() {
            "Group" => who.groups.iter().any(|group| group == id),
            of => of == kind && id == who.id.name,
        }
    };
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Is(of) => of.to_string() == kind,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) => named(&uid),
        PrincipalConstraint::IsIn(of, uid) => of.to_string() == kind && named(&uid),
    }
}

/// Whether a policy's scope leaves this target in. Ids below a target begin with its name.
fn reaches(policy: &Policy, target: &TargetName) -> bool {
    let uid = match policy.resource_constraint() {
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => uid,
        ResourceConstraint::Any | ResourceConstraint::Is(_) => return true,
    };
    if !["Target", "Schema", "Table", "Column", "Function"].contains(&uid.type_name().to_string().as_str()) {
        return true;
    }
    uid.id().unescaped().split('/').next() == Some(target.as_str())
}

fn is_unconditional(policy: &Policy) -> bool {
    let text = policy.to_string();
    let head = text.rsplit_once(')').map(|(_, tail)| tail.trim() == ";");
    head == Some(true)
        && policy.principal_constraint() == PrincipalConstraint::Any
        && policy.action_constraint() == ActionConstraint::Any
        && policy.resource_constraint() == ResourceConstraint::Any
}

/// FNV-1a over names and texts: it names a version in the journal, and secures nothing.
fn version(sources: &[Source]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in sources.iter().flat_map(|s| s.name.bytes().chain([0]).chain(s.text.bytes()).chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
impl Policies {
    pub(crate) fn remembered(&self) -> usize {
        self.remembered.len()
    }

    pub(crate) fn slice_len(&self, action: Action, target: &TargetName) -> usize {
        self.slice(action, target).policies().count()
    }
}
