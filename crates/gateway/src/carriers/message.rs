//! What a carrier is told of a request: where, by whom, the rule, the shape. Values only where every rule that holds it says
//! `@carry("values")`. What approvers have said is theirs, and what became of it may quote a row: neither is told.

use model::{HoldRule, News, Request, Vote};
use serde_json::{Value, json};

use crate::presence::Place;

/// One message: that a request has come to a state.
pub(super) struct Message<'a> {
    pub news: &'a News,
    pub request: &'a Request,
    pub place: Option<&'a Place>,
}

impl<'a> Message<'a> {
    pub(super) fn of(news: &'a News, request: &'a Request, place: Option<&'a Place>) -> Self {
        Self { news, request, place }
    }

    /// `r1234567890.approved`: the same one has the same id whenever it is sent.
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.request.id, self.news.status.as_str())
    }

    /// Whether policy shows its text and values elsewhere.
    pub(super) fn carries_values(&self) -> bool {
        let holds = &self.request.holds;
        !holds.is_empty() && holds.iter().all(|hold| hold.carry)
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        let word = self.news.status.as_str();
        let body = json!({ "type": format!("request.{word}"), "timestamp": time(self.news.at), "data": self.data() });
        body.to_string()
    }

    fn data(&self) -> Value {
        let Request {
            id,
            digest,
            status,
            principal,
            on_behalf_of,
            target,
            session,
            summary,
            text,
            values,
            circumstances: _,
            effects,
            changed,
            holds,
            ceiling,
            preview,
            filed,
            expires,
            votes,
            outcome: _,
            alike: _,
            granted: _,
            likeness: _,
            touched: _,
            weighed: _,
            stages: _,
        } = self.request;
        let mut told = json!({
            "id": id,
            "digest": digest,
            "status": status.as_str(),
            "principal": principal,
            "on_behalf_of": on_behalf_of,
            "target": target.as_str(),
            "session": session,
            "shape": summary,
            "effects": effects,
            "changed": changed,
            "rules": holds.iter().map(rule).collect::<Vec<_>>(),
            "ceiling": ceiling,
            "filed": time(*filed),
            "expires": time(*expires),
            "votes": votes.iter().map(vote).collect::<Vec<_>>(),
        });
        if let Some(fields) = told.as_object_mut() {
            if let Some(access) = &preview.access {
                fields.insert("access".to_owned(), json!(access));
            }
            if self.carries_values() {
                fields.insert("text".to_owned(), json!(text));
                fields.insert("values".to_owned(), json!(values));
            }
            if let Some(place) = self.place {
                fields.insert("link".to_owned(), json!(place.link(id)));
                // A link that opens on one machine alone is better said to be one.
                fields.insert("link_is_local".to_owned(), json!(!place.is_for_all()));
            }
        }
        told
    }
}

fn rule(hold: &HoldRule) -> Value {
    let HoldRule {
        id,
        approvers,
        quorum,
        expires: _,
        valid_for: _,
        reason,
        carry: _,
        slack: _,
        by_self: _,
        ceiling,
        tolerance: _,
        preview: _,
        grant: _,
    } = hold;
    json!({ "id": id, "approvers": approvers, "quorum": quorum, "reason": reason, "ceiling": ceiling })
}

fn vote(vote: &Vote) -> Value {
    let Vote { voter, groups: _, approve, words: _, proof, most, access, names: _, at: _ } = vote;
    json!({ "voter": voter, "approve": approve, "proof": proof, "most": most, "access": access })
}

/// RFC 3339, in UTC.
fn time(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}
