//! What people do from the console beside answering requests. Each act asks for its right. What forbids more than before is done
//! for whoever is there; what lets more happen, or changes who is there, takes a proof of presence for exactly that act: nobody
//! who merely has a browser's cookie opens anything.

use std::collections::BTreeSet;

use model::TargetName;
use policy::rights::{Right, Role};

use crate::cases::{self, Outcome};
use crate::catalogue::proposals;
use crate::configure::{Applied, ColumnConfig, Configuration, ConfigureError, PolicyFile, TargetConfig};
use crate::denials::{DenialInfo, NewDenial};
use crate::doctor::{Check, Grade};
use crate::drafts::{Added, Changed, Wanted};
use crate::explain::{Asked, Explained};
use crate::freezes::{NewEnd, NewFreeze};
use crate::gateway::Gateway;
use crate::people::{Guest, Invitation, NewMember};
use crate::presence::{Act, Proof};
use crate::requests::AdminError;
use crate::state::Former;

/// A policy's file is not longer, in bytes.
const LONGEST_POLICY: usize = 128 * 1024;

impl Act {
    /// Thawing what is frozen.
    pub fn thaw(id: &str) -> Self {
        Self::new("thaw", &[id])
    }

    /// Lifting a revocation.
    pub fn lift(id: &str) -> Self {
        Self::new("lift", &[id])
    }

    /// Changing a file of policies, as it was seen.
    pub fn policy(edit: &PolicyEdit) -> Self {
        let PolicyEdit { seen, name, text, tests, anyway } = edit;
        let said = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
        let parts =
            [&seen.to_string(), name, &said(text), flag(text.is_some()), &said(tests), flag(tests.is_some())];
        Self::new("policy", &[&parts[..], &[flag(*anyway)]].concat())
    }

    /// Adding a target. Its password is no part of it.
    pub fn target(wanted: &TargetConfig) -> Self {
        Self::new("target", &[&serde_json::to_string(wanted).unwrap_or_default()])
    }

    /// Inviting somebody.
    pub fn invite(wanted: &NewMember) -> Self {
        Self::new("invite", &[&serde_json::to_string(wanted).unwrap_or_default()])
    }

    /// Removing somebody: a person of the console, or an approver with a secret.
    pub fn remove(kind: &str, name: &str) -> Self {
        Self::new("remove", &[kind, name])
    }
}

fn flag(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A file of policies as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEdit {
    /// The version of the configuration that they looked at.
    pub seen: i64,
    /// The file's name.
    pub name: String,
    /// Its text; nothing where it is to go.
    pub text: Option<String>,
    /// The text of the tests beside it; empty where they are to go, nothing where they stay.
    pub tests: Option<String>,
    /// Whether it is wanted although tests fail.
    pub anyway: bool,
}

/// A valid change of policies, and what their tests say.
#[derive(Debug)]
pub struct Checked {
    /// What it would come to.
    pub applied: Applied,
    /// All tests, of the policies as they would be.
    pub tests: Vec<Outcome>,
}

/// A file of policies, or of tests of them, by its name.
pub(crate) fn text_of<'c>(configured: &'c Configuration, name: &str) -> Option<&'c String> {
    let files = if cases::is_one(name) { &configured.tests } else { &configured.policies };
    files.iter().find(|file| file.name == name).map(|file| &file.text)
}

/// Puts a file there, or takes it away; whether anything was there.
fn put(files: &mut Vec<PolicyFile>, name: &str, text: Option<&str>) -> bool {
    let known = files.iter().position(|file| file.name == name);
    match (text, known) {
        (Some(text), Some(at)) => {
            if let Some(file) = files.get_mut(at) {
                text.clone_into(&mut file.text);
            }
        }
        (Some(text), None) => {
            files.push(PolicyFile { name: name.to_owned(), text: text.to_owned() });
            files.sort_by(|a, b| a.name.cmp(&b.name));
        }
        (None, Some(at)) => drop(files.remove(at)),
        (None, None) => (),
    }
    known.is_some()
}

impl PolicyEdit {
    /// Why it is not done by these tests, where it is not.
    pub fn failing(&self, tests: &[Outcome]) -> Option<String> {
        let failing: Vec<&str> = cases::failing(tests).map(|outcome| outcome.name.as_str()).collect();
        if failing.is_empty() || self.anyway {
            return None;
        }
        Some(format!(
            "{} of {} tests would fail ({}): press Check to see why; there you can say that you want it all the same",
            failing.len(),
            tests.len(),
            failing.join("; ")
        ))
    }

    pub(crate) fn make(&self, wanted: &mut Configuration) -> Result<(), AdminError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(fine) {
            let why = "a file's name has 1 to 100 letters, digits, `-`, `_`, `.` and `/`";
            return Err(AdminError::Refused(why.to_owned()));
        }
        if [&self.text, &self.tests].into_iter().flatten().any(|text| text.len() > LONGEST_POLICY) {
            let why = format!("a file of policies is not longer than {LONGEST_POLICY} bytes");
            return Err(AdminError::Refused(why));
        }
        let is_of_tests = cases::is_one(&self.name);
        let files = if is_of_tests { &mut wanted.tests } else { &mut wanted.policies };
        if !put(files, &self.name, self.text.as_deref()) && self.text.is_none() {
            return Err(AdminError::Missing(format!("file of policies \"{}\"", self.name)));
        }
        if is_of_tests {
            return Ok(());
        }
        // What is gone has no tests.
        let tests = if self.text.is_none() { Some("") } else { self.tests.as_deref() };
        if let Some(tests) = tests {
            put(&mut wanted.tests, &cases::beside(&self.name), Some(tests).filter(|t| !t.trim().is_empty()));
        }
        Ok(())
    }
}

/// What was found where a target would be.
#[derive(Debug)]
pub struct Tried {
    /// As `doctor` looks at it.
    pub checks: Vec<Check>,
    /// The columns that look like personal data or secrets, with the tags that they would get.
    pub columns: Vec<(String, String)>,
}

impl Tried {
    /// Where there was nothing to look at.
    pub(crate) fn nothing() -> Self {
        Self { checks: Vec::new(), columns: Vec::new() }
    }

    /// Whether the gateway could log in and read what is there.
    pub fn is_usable(&self) -> bool {
        let needed = |check: &&Check| ["reachable", "catalogue", "journal"].contains(&check.what);
        self.checks.iter().filter(needed).all(|check| check.grade != Grade::Bad)
    }
}

impl From<ConfigureError> for AdminError {
    fn from(error: ConfigureError) -> Self {
        match error {
            ConfigureError::State(error) => Self::State(error),
            ConfigureError::Journal(error) => Self::Journal(error),
            ConfigureError::Policies(_)
            | ConfigureError::Tests(_)
            | ConfigureError::Target { .. }
            | ConfigureError::Issuer { .. }
            | ConfigureError::Groups(_)
            | ConfigureError::Raced => Self::Refused(error.to_string()),
        }
    }
}

impl Gateway {
    /// Who does it, where they have the right.
    pub(crate) fn with_right(&self, guest: &Guest, right: Right) -> Result<String, AdminError> {
        if self.may(guest, right) {
            return Ok(guest.id().to_string());
        }
        Err(AdminError::Refused("your roles here do not let you do this".to_owned()))
    }

    /// The same, where they have shown that they mean exactly this. That they did is on record.
    pub(crate) fn meant(
        &self,
        guest: &Guest,
        right: Right,
        act: Act,
        proof: Option<Proof>,
    ) -> Result<String, AdminError> {
        let by = self.with_right(guest, right)?;
        let how = proof.and_then(|proof| proof.of(act, guest.id()));
        let how =
            how.ok_or_else(|| AdminError::Refused("this takes your passkey, for exactly this".to_owned()))?;
        self.administered(&by, "confirmed", &format!("by {how}"))?;
        Ok(by)
    }

    // ------------------------------------------------------------------ sessions, freezes

    /// Freezes targets.
    ///
    /// # Errors
    /// As [`Gateway::freeze`], or they may not.
    pub async fn freeze_for(
        &self,
        guest: &Guest,
        wanted: &NewFreeze,
    ) -> Result<(DenialInfo, usize), AdminError> {
        let by = self.with_right(guest, Right::EndSessions)?;
        self.freeze(wanted, &by).await
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// As [`Gateway::thaw`], or they may not, or have not shown that they mean it.
    pub async fn thaw_for(&self, guest: &Guest, id: &str, proof: Option<Proof>) -> Result<(), AdminError> {
        let by = self.meant(guest, Right::EndSessions, Act::thaw(id), proof)?;
        self.thaw(id, &by).await
    }

    /// Ends sessions.
    ///
    /// # Errors
    /// As [`Gateway::end_sessions`], or they may not.
    pub async fn end_sessions_for(&self, guest: &Guest, which: &NewEnd) -> Result<usize, AdminError> {
        let by = self.with_right(guest, Right::EndSessions)?;
        self.end_sessions(which, &by).await
    }

    /// Targets and tags that can be frozen, as a scope is written.
    pub fn scopes(&self) -> Vec<String> {
        let in_force = self.in_force.load();
        let targets: BTreeSet<String> =
            in_force.targets.keys().map(|name| format!("target:{name}")).collect();
        let tags: BTreeSet<String> =
            in_force.targets.values().flat_map(|t| &t.facts.tags).map(|tag| format!("tag:{tag}")).collect();
        std::iter::once("all".to_owned()).chain(targets).chain(tags).collect()
    }

    // ------------------------------------------------------------------ targets

    /// Looks at a target that is not configured: whether it can be reached, and which columns would be tagged. Nothing of it is
    /// kept.
    ///
    /// # Errors
    /// They may not, or it makes no sense.
    pub async fn try_target_for(&self, guest: &Guest, wanted: &TargetConfig) -> Result<Tried, AdminError> {
        self.with_right(guest, Right::ChangeTargets)?;
        self.try_target(wanted).await
    }

    async fn try_target(&self, wanted: &TargetConfig) -> Result<Tried, AdminError> {
        let target = self.lone(wanted).map_err(AdminError::Refused)?;
        let checks = self.examine(&target).await;
        let tried = Tried { checks, columns: Vec::new() };
        if !tried.is_usable() {
            return Ok(tried);
        }
        let (catalogue, _) = target.catalogue.current();
        let columns = proposals(&catalogue).into_iter().map(|(column, tag)| (column.to_string(), tag.0));
        Ok(Tried { columns: columns.collect(), ..tried })
    }

    /// Adds a target, once it was looked at; its columns get the tags that are proposed, with it, so that there is no moment at
    /// which they are not masked. One that cannot be reached is not added.
    ///
    /// # Errors
    /// They may not, have not shown that they mean it, there is one of this name, or it makes no sense.
    pub async fn add_target_for(
        &self,
        guest: &Guest,
        mut wanted: TargetConfig,
        proof: Option<Proof>,
    ) -> Result<Added, AdminError> {
        let by = self.meant(guest, Right::ChangeTargets, Act::target(&wanted), proof)?;
        let name = TargetName::new(wanted.name.as_str());
        let taken = || AdminError::Refused(format!("there is a target {name} already: choose another name"));
        if self.target(&name).is_some() {
            return Err(taken());
        }
        let tried = self.try_and_tag(&mut wanted).await?;
        if !tried.is_usable() {
            return Ok(Added { tried, waits: None });
        }
        if self.takes_two(guest, Right::ChangeTargets) {
            let password = wanted.password.take();
            let waits = self.hold(&by, &Wanted::Target(Box::new(wanted)), password.as_ref()).await?;
            return Ok(Added { tried, waits: Some(waits) });
        }
        self.edit(None, &by, |configuration| {
            if configuration.targets.iter().any(|target| target.name == wanted.name) {
                return Err(taken());
            }
            configuration.targets.push(wanted);
            Ok(())
        })
        .await?;
        Ok(Added { tried, waits: None })
    }

    /// Looks at a target that is not configured, and gives its columns the tags that are proposed.
    pub(crate) async fn try_and_tag(&self, wanted: &mut TargetConfig) -> Result<Tried, AdminError> {
        let tried = self.try_target(wanted).await?;
        for (column, tag) in &tried.columns {
            let proposed = ColumnConfig { tags: [tag.clone()].into(), strategy: None, proposed: true };
            wanted.columns.entry(column.clone()).or_insert(proposed);
        }
        Ok(tried)
    }

    // ------------------------------------------------------------------ policies

    /// What a change of a file of policies would come to, and what the tests would say.
    ///
    /// # Errors
    /// They may not, or it is not valid: where, and why.
    pub async fn check_policy_for(&self, guest: &Guest, edit: &PolicyEdit) -> Result<Checked, AdminError> {
        self.with_right(guest, Right::ChangePolicies)?;
        let applied = self.look_at_edit(|wanted| edit.make(wanted)).await?;
        Ok(Checked { applied, tests: self.tested(|wanted| edit.make(wanted)).await? })
    }

    /// What all tests would say, were something changed.
    pub(crate) async fn tested(
        &self,
        change: impl FnOnce(&mut Configuration) -> Result<(), AdminError>,
    ) -> Result<Vec<Outcome>, AdminError> {
        let (_, mut wanted) = self.configured().await?;
        change(&mut wanted)?;
        self.run_tests(&wanted.policies, &wanted.tests).await
    }

    /// Changes a file of policies, or has the change wait for a second person, where that takes two.
    ///
    /// # Errors
    /// They may not, have not shown that they mean it, it is not valid, tests fail and it is not wanted all the same, or somebody
    /// else changed something meanwhile.
    pub async fn change_policy_for(
        &self,
        guest: &Guest,
        edit: &PolicyEdit,
        proof: Option<Proof>,
    ) -> Result<Changed, AdminError> {
        let Checked { applied, tests } = self.check_policy_for(guest, edit).await?;
        if let Some(why) = edit.failing(&tests) {
            return Err(AdminError::Refused(why));
        }
        let by = self.meant(guest, Right::ChangePolicies, Act::policy(edit), proof)?;
        if cases::failing(&tests).next().is_some() {
            let names: Vec<&str> = cases::failing(&tests).map(|outcome| outcome.name.as_str()).collect();
            self.administered(&by, "policies wanted although tests fail", &names.join("; "))?;
        }
        if !self.takes_two(guest, Right::ChangePolicies) {
            return Ok(Changed::Now(self.edit(Some(edit.seen), &by, |wanted| edit.make(wanted)).await?));
        }
        let (version, configured) = self.configured().await?;
        if version != edit.seen {
            return Err(ConfigureError::Raced.into());
        }
        if applied.changes.is_empty() {
            return Ok(Changed::Now(applied));
        }
        let wanted = Wanted::Policy {
            name: edit.name.clone(),
            text: edit.text.clone(),
            before: text_of(&configured, &edit.name).cloned(),
            tests: edit.tests.clone(),
            tests_before: text_of(&configured, &cases::beside(&edit.name)).cloned(),
        };
        Ok(Changed::Waits(self.hold(&by, &wanted, None).await?))
    }

    /// What a statement would come to.
    ///
    /// # Errors
    /// As [`Gateway::explain`], or they may not.
    pub async fn explain_for(&self, guest: &Guest, asked: &Asked) -> Result<Explained, AdminError> {
        self.with_right(guest, Right::SeePolicies)?;
        self.explain(asked).await
    }

    /// What was configured and is, the newest first, as far as it is kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn former(&self) -> Result<Vec<Former>, AdminError> {
        Ok(self.state().former().await?)
    }

    /// What is configured, with its version.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn configured(&self) -> Result<(i64, Configuration), AdminError> {
        let configured = self.state().configured().await?;
        Ok((configured.version, configured.configuration))
    }

    // ------------------------------------------------------------------ people and agents

    /// Revokes a token.
    ///
    /// # Errors
    /// As [`Gateway::revoke_token`], or they may not.
    pub async fn revoke_token_for(&self, guest: &Guest, id: &str) -> Result<usize, AdminError> {
        let by = self.with_right(guest, Right::ChangePeople)?;
        self.revoke_token(id, &by).await
    }

    /// Denies access.
    ///
    /// # Errors
    /// As [`Gateway::deny`], or they may not.
    pub async fn deny_for(
        &self,
        guest: &Guest,
        wanted: &NewDenial,
    ) -> Result<(DenialInfo, usize), AdminError> {
        let by = self.with_right(guest, Right::ChangePeople)?;
        self.deny(wanted, &by).await
    }

    /// Lifts a denial.
    ///
    /// # Errors
    /// As [`Gateway::lift_denial`], or they may not, or have not shown that they mean it.
    pub async fn lift_for(&self, guest: &Guest, id: &str, proof: Option<Proof>) -> Result<(), AdminError> {
        let by = self.meant(guest, Right::ChangePeople, Act::lift(id), proof)?;
        self.lift_denial(id, &by).await
    }

    /// Invites somebody.
    ///
    /// # Errors
    /// As [`Gateway::invite`], they may not, have not shown that they mean it, or would invite their own second person.
    pub async fn invite_for(
        &self,
        guest: &Guest,
        wanted: &NewMember,
        proof: Option<Proof>,
    ) -> Result<Invitation, AdminError> {
        let by = self.meant(guest, Right::ChangePeople, Act::invite(wanted), proof)?;
        let roles: Vec<Role> = wanted.roles.iter().filter_map(|role| Role::read(role)).collect();
        if self.makes_a_second(&roles) {
            return Err(AdminError::Refused(format!(
                "what is changed here takes two people, and whoever invited the second would be both: whoever keeps the gateway's host \
                 invites them, by durward people invite {} --role {}",
                wanted.name,
                wanted.roles.join(" --role ")
            )));
        }
        self.invite(wanted, &by).await
    }

    /// Removes a person of the console, or an approver with a secret.
    ///
    /// # Errors
    /// There is none, they may not, or have not shown that they mean it.
    pub async fn remove_for(
        &self,
        guest: &Guest,
        kind: &str,
        name: &str,
        proof: Option<Proof>,
    ) -> Result<(), AdminError> {
        let by = self.meant(guest, Right::ChangePeople, Act::remove(kind, name), proof)?;
        match kind {
            "person" => self.remove_member(name, &by).await,
            "approver" => self.remove_approver(name, &by).await,
            other => Err(AdminError::Missing(format!("kind {other}"))),
        }
    }
}
