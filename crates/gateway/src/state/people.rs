//! What the gateway asks of whatever keeps it about people in the console.

use model::{Member, Passkey, SlackLink, Visit};

use super::Reply;

/// People in the console. What is good once is used up by one of all who try.
pub trait People: Send + Sync {
    /// Everybody who was invited and came, by name.
    fn members(&self) -> Reply<'_, Vec<Member>>;
    /// The member of a name, in whatever case.
    fn member<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Member>>;
    /// Takes somebody in with their passkey; what they had before is gone. Whether the passkey is new.
    fn admit<'a>(&'a self, member: &'a Member, key: &'a Passkey) -> Reply<'a, bool>;
    /// Removes a member with passkeys, visits, and answers to what still waits, or whoever is invited; whether there was one.
    fn remove_member<'a>(&'a self, name: &'a str) -> Reply<'a, bool>;
    /// Somebody's passkeys, oldest first.
    fn passkeys<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<Passkey>>;
    /// A passkey by its name.
    fn passkey<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Passkey>>;
    /// Keeps a passkey; whether it is new.
    fn add_passkey<'a>(&'a self, key: &'a Passkey) -> Reply<'a, bool>;
    /// Notes that a passkey has signed; whether it was still as it was read.
    fn use_passkey<'a>(&'a self, id: &'a str, was: i64, counter: i64) -> Reply<'a, bool>;
    /// Forgets somebody's passkey; whether there was one.
    fn remove_passkey<'a>(&'a self, owner: &'a str, id: &'a str) -> Reply<'a, bool>;
    /// Begins a visit, and ends the one that the browser had.
    fn begin_visit<'a>(&'a self, visit: &'a Visit, before: Option<&'a str>) -> Reply<'a, ()>;
    /// A visit that lasts still.
    fn visit<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Visit>>;
    /// Notes that something was asked in it now.
    fn see_visit<'a>(&'a self, mark: &'a str) -> Reply<'a, ()>;
    /// Ends a visit.
    fn end_visit<'a>(&'a self, mark: &'a str) -> Reply<'a, ()>;
    /// The visit in which somebody was last seen, where it lasts still.
    fn last_visit<'a>(&'a self, owner: &'a str) -> Reply<'a, Option<Visit>>;
    /// Links a user of Slack's to somebody, and nobody else.
    fn link_slack<'a>(&'a self, link: &'a SlackLink) -> Reply<'a, ()>;
    /// Who a user of Slack's is, by their team and id.
    fn slack_owner<'a>(&'a self, team: &'a str, id: &'a str) -> Reply<'a, Option<String>>;
    /// Somebody's users of Slack's.
    fn slack_links<'a>(&'a self, owner: &'a str) -> Reply<'a, Vec<SlackLink>>;
    /// Forgets that a user of Slack's is somebody; whether they were.
    fn unlink_slack<'a>(&'a self, owner: &'a str, team: &'a str, id: &'a str) -> Reply<'a, bool>;
    /// Notes that a callback of Slack's is taken; whether it was not before.
    fn take_callback<'a>(&'a self, mark: &'a str) -> Reply<'a, bool>;
    /// Keeps something that is good once, until a moment.
    fn keep_once<'a>(&'a self, mark: &'a str, body: &'a str, expires: i64) -> Reply<'a, ()>;
    /// The same of an invitation for somebody, in the place of those that they have: who comes in or is removed has none.
    fn keep_invitation<'a>(
        &'a self,
        mark: &'a str,
        body: &'a str,
        expires: i64,
        name: &'a str,
    ) -> Reply<'a, ()>;
    /// The invitations that are good still, each with its end, by name.
    fn invitations(&self) -> Reply<'_, Vec<(String, i64)>>;
    /// Uses it up.
    fn take_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>>;
    /// What it says, without using it up.
    fn look_once<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<String>>;
}
