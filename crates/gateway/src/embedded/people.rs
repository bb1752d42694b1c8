//! People in the console, in a store.

use model::{Member, Passkey, SlackLink, Visit};

use super::Embedded;
use crate::gateway::now;
use crate::state::{People, Reply};

impl People for Embedded {
    fn members(&self) -> Reply<'_, Vec<Member>> {
        Box::pin(async move { Ok(self.0.members().await?) })
    }

    fn member<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Member>> {
        Box::pin(async move { Ok(self.0.member(name).await?) })
    }

    fn admit<'a>(&'a self, member: &'a Member, key: &'a Passkey) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.admit(member, key).await?) })
    }

    fn remove_member<'a>(&'a self, name: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.remove_member(name).await?) })
    }

    fn passkeys<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<Passkey>> {
        Box::pin(async move { Ok(self.0.passkeys(owner).await?) })
    }

    fn passkey<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Passkey>> {
        Box::pin(async move { Ok(self.0.passkey(id).await?) })
    }

    fn add_passkey<'a>(&'a self, key: &'a Passkey) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.add_passkey(key).await?) })
    }

    fn use_passkey<'a>(&'a self, id: &'a str, was: i64, counter: i64) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.use_passkey(id, was, counter, now()).await?) })
    }

    fn remove_passkey<'a>(&'a self, owner: &'a str, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.remove_passkey(owner, id).await?) })
    }

    fn begin_visit<'a>(&'a self, visit: &'a Visit, before: Option<&'a str>) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.begin_visit(visit, before).await?) })
    }

    fn visit<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Visit>> {
        Box::pin(async move { Ok(self.0.visit(mark, now()).await?) })
    }

    fn see_visit<'a>(&'a self, mark: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.see_visit(mark, now()).await?) })
    }

    fn end_visit<'a>(&'a self, mark: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.end_visit(mark).await?) })
    }

    fn last_visit<'a>(&'a self, owner: &'a str) -> Reply<'a, Option<Visit>> {
        Box::pin(async move { Ok(self.0.last_visit(owner, now()).await?) })
    }

    fn link_slack<'a>(&'a self, link: &'a SlackLink) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.link_slack(link).await?) })
    }

    fn slack_owner<'a>(&'a self, team: &'a str, id: &'a str) -> Reply<'a, Option<String>> {
        Box::pin(async move { Ok(self.0.slack_owner(team, id).await?) })
    }

    fn slack_links<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<SlackLink>> {
        Box::pin(async move { Ok(self.0.slack_links(owner).await?) })
    }

    fn unlink_slack<'a>(&'a self, owner: &'a str, team: &'a str, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.unlink_slack(owner, team, id).await?) })
    }

    fn take_callback<'a>(&'a self, mark: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.take_callback(mark, now()).await?) })
    }

    fn keep_once<'a>(&'a self, mark: &'a str, body: &'a str, expires: i64) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.keep_once(mark, body, expires).await?) })
    }

    fn keep_invitation<'a>(
        &'a self,
        mark: &'a str,
        body: &'a str,
        expires: i64,
        name: &'a str,
    ) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.keep_invitation(mark, body, expires, name).await?) })
    }

    fn invitations(&self) -> Reply<'_, Vec<(String, i64)>> {
        Box::pin(async move { Ok(self.0.invitations(now()).await?) })
    }

    fn take_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>> {
        Box::pin(async move { Ok(self.0.take_once(mark, now()).await?) })
    }

    fn look_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>> {
        Box::pin(async move { Ok(self.0.look_once(mark, now()).await?) })
    }
}
