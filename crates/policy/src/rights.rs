//! What people may see and do in the console, decided by Cedar: by policies of its own, which ship with the gateway, since a
//! policy for statements that permits everything must make nobody an administrator.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use model::{HoldRule, PrincipalRef};

use crate::quorum::{self, ADMINS};

const SCHEMA: &str = r#"
entity Role, Group, Console;
entity Person in [Role, Group];
entity Request { approvers: Set<Group>, askers: Set<Person> };
"#;

const POLICIES: &str = r#"
@id("everybody-has-an-inbox")
permit (principal, action in [Action::"inbox", Action::"own_passkeys", Action::"let_clients_in"], resource is Console);

@id("who-is-asked-sees-and-answers")
permit (principal, action in [Action::"see_request", Action::"answer", Action::"deny"], resource is Request)
when { principal in resource.approvers };

@id("administrators")
permit (principal in Role::"administrator", action, resource);

@id("policy-editors")
permit (
  principal in Role::"policy_editor",
  action in [Action::"see_policies", Action::"change_policies", Action::"see_targets"],
  resource is Console
);

@id("auditors-see-everything")
permit (
  principal in Role::"auditor",
  action in [
    Action::"see_request", Action::"see_sessions", Action::"see_targets", Action::"see_policies", Action::"see_people",
    Action::"see_journal", Action::"see_health"
  ],
  resource
);

@id("some-changes-take-two")
forbid (principal, action, resource is Console)
when { context.takes_two } unless { context.confirmed };

@id("nobody-answers-for-themselves")
forbid (principal, action == Action::"answer", resource is Request)
when { resource.askers.contains(principal) };
"#;

macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for policies, rows and the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What a word means.
            pub fn read(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What somebody is in the console.
    Role {
        /// May see and do everything.
        Administrator = "administrator",
        /// May change policies.
        PolicyEditor = "policy_editor",
        /// Sees everything, and changes nothing.
        Auditor = "auditor",
    }
}

words! {
    /// What a page shows or does.
    Right {
        /// See what one is asked.
        Inbox = "inbox",
        /// See and change one's own passkeys.
        OwnPasskeys = "own_passkeys",
        /// Let a client in that acts for oneself, as policies let agents of people's.
        LetClientsIn = "let_clients_in",
        /// See who is running what, and what ran.
        SeeSessions = "see_sessions",
        /// End sessions, freeze targets.
        EndSessions = "end_sessions",
        /// See targets, and how they are.
        SeeTargets = "see_targets",
        /// Add, change and remove them.
        ChangeTargets = "change_targets",
        /// Read policies.
        SeePolicies = "see_policies",
        /// Change them.
        ChangePolicies = "change_policies",
        /// See who there is.
        SeePeople = "see_people",
        /// Invite and remove people, revoke tokens.
        ChangePeople = "change_people",
        /// Read the journal.
        SeeJournal = "see_journal",
        /// See how the gateway is.
        SeeHealth = "see_health",
    }
}

/// Somebody in the console.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Who.
    pub id: &'a PrincipalRef,
    /// What they are here.
    pub roles: &'a BTreeSet<Role>,
    /// Their groups.
    pub groups: &'a [String],
}

/// Decides. What cannot be decided is denied.
pub struct Rights {
    schema: Schema,
    policies: PolicySet,
}

impl Rights {
    /// Parses and validates the policies that ship.
    ///
    /// # Errors
    /// They are wrong, which a test excludes.
    pub fn new() -> Result<Self, String> {
        let schema: Schema = schema_text().parse().map_err(|error| format!("{error}"))?;
        let policies: PolicySet = POLICIES.parse().map_err(|error| format!("{error}"))?;
        let checked = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if !checked.validation_passed() {
            return Err(checked.validation_errors().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        Ok(Self { schema, policies })
    }

    /// Whether somebody may, alone or with somebody else.
    pub fn may(&self, who: Person<'_>, right: Right) -> bool {
        self.may_here(who, right, false, true)
    }

    /// Whether somebody may without a second person, where it is configured whether that takes two.
    pub fn may_alone(&self, who: Person<'_>, right: Right, takes_two: bool) -> bool {
        self.may_here(who, right, takes_two, false)
    }

    fn may_here(&self, who: Person<'_>, right: Right, takes_two: bool, confirmed: bool) -> bool {
        let here = entity("Console", "durward");
        let facts = [("takes_two", takes_two), ("confirmed", confirmed)];
        let facts = facts.map(|(name, value)| (name.to_owned(), RestrictedExpression::new_bool(value)));
        let Ok(context) = Context::from_pairs(facts) else { return false };
        let about = Entity::new_no_attrs(here.clone(), HashSet::new());
        self.decide(who, right.as_str(), here, about, context)
    }

    /// Whether somebody may see a request.
    pub fn may_see(&self, who: Person<'_>, request: &model::Request) -> bool {
        self.of_request(who, "see_request", request)
    }

    /// Whether somebody may see what these rules hold, or answer for it: standing grants that answer them.
    pub fn may_see_held(&self, who: Person<'_>, holds: &[HoldRule]) -> bool {
        self.of_held(who, "see_request", "standing grant", holds, BTreeSet::new())
    }

    /// Whether somebody may answer it.
    pub fn may_answer(&self, who: Person<'_>, request: &model::Request) -> bool {
        self.of_request(who, "answer", request)
    }

    /// Whether somebody may say no to it: whoever is asked, for themselves as well.
    pub fn may_deny(&self, who: Person<'_>, request: &model::Request) -> bool {
        self.of_request(who, "deny", request)
    }

    fn of_request(&self, who: Person<'_>, action: &str, request: &model::Request) -> bool {
        let askers = quorum::barred(&request.principal, &request.on_behalf_of, &request.holds);
        let askers = askers.map(|name| name.to_lowercase()).collect();
        self.of_held(who, action, &request.id, &request.holds, askers)
    }

    fn of_held(
        &self,
        who: Person<'_>,
        action: &str,
        id: &str,
        holds: &[HoldRule],
        askers: BTreeSet<String>,
    ) -> bool {
        let id = entity("Request", id);
        let uids = |all: BTreeSet<&str>, kind: &str| {
            let all = all.into_iter().map(|name| RestrictedExpression::new_entity_uid(entity(kind, name)));
            RestrictedExpression::new_set(all)
        };
        let named = |rule: &'_ HoldRule| rule.approvers.clone();
        let mut approvers: BTreeSet<String> = holds.iter().flat_map(named).collect();
        approvers.insert(ADMINS.to_owned());
        let attributes = [
            ("approvers".to_owned(), uids(approvers.iter().map(String::as_str).collect(), "Group")),
            ("askers".to_owned(), uids(askers.iter().map(String::as_str).collect(), "Person")),
        ];
        let Ok(request) = Entity::new(id.clone(), attributes.into_iter().collect(), HashSet::new()) else {
            return false;
        };
        self.decide(who, action, id, request, Context::empty())
    }

    fn decide(
        &self,
        who: Person<'_>,
        action: &str,
        resource: EntityUid,
        about: Entity,
        context: Context,
    ) -> bool {
        // Names are compared in whatever case they are written.
        let person = entity("Person", &who.id.to_string().to_lowercase());
        let roles = who.roles.iter().map(|role| entity("Role", role.as_str()));
        let groups = who.groups.iter().map(|group| entity("Group", group));
        let person_entity = Entity::new_no_attrs(person.clone(), roles.chain(groups).collect());
        let Ok(entities) = Entities::from_entities([person_entity, about], Some(&self.schema)) else {
            return false;
        };
        let Ok(request) =
            Request::new(person, entity("Action", action), resource, context, Some(&self.schema))
        else {
            return false;
        };
        let answer = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        answer.decision() == Decision::Allow && answer.diagnostics().errors().next().is_none()
    }
}

fn schema_text() -> String {
    let mut text = SCHEMA.to_owned();
    for right in Right::ALL {
        text.push_str(&format!(
            "action \"{}\" appliesTo {{ principal: Person, resource: Console, \
             context: {{ takes_two: Bool, confirmed: Bool }} }};\n",
            right.as_str()
        ));
    }
    text.push_str(
        "action \"see_request\", \"answer\", \"deny\" appliesTo { principal: Person, resource: Request };\n",
    );
    text
}

fn entity(kind: &str, name: &str) -> EntityUid {
    // The kinds are those of the schema, which a test reads.
    #[expect(clippy::unwrap_used, reason = "the word of a kind is an identifier")]
    let kind: EntityTypeName = kind.parse().unwrap();
    EntityUid::from_type_name_and_id(kind, EntityId::new(name))
}

#[cfg(test)]
mod tests;
