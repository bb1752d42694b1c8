//! What a carrier is told of a request: where, by whom, the rule, the shape. Values only where every rule that holds it says
//! `@carry("values")`. What approvers have said is theirs, and what became of it may quote a row: neither is told.

use model::{HoldRule, News, Request, Vote};
use serde_json::{Value, json};

use crate::presence::Place;

/// One message. The same one has the same id whenever it is sent.
pub(super) struct Message {
    /// `r1234567890.approved`.
    pub id: String,
    /// JSON.
    pub body: String,
}

/// What is told of a request that has come to a state.
pub(super) fn of(news: &News, request: &Request, place: Option<&Place>) -> Message {
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
        filed,
        expires,
        votes,
        outcome: _,
    } = request;
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
        if !holds.is_empty() && holds.iter().all(|hold| hold.carry) {
            fields.insert("text".to_owned(), json!(text));
            fields.insert("values".to_owned(), json!(values));
        }
        if let Some(place) = place {
            fields.insert("link".to_owned(), json!(place.link(id)));
            // A link that opens on one machine alone is better said to be one.
            fields.insert("link_is_local".to_owned(), json!(!place.is_for_all()));
        }
    }
    let word = news.status.as_str();
    let body = json!({ "type": format!("request.{word}"), "timestamp": time(news.at), "data": told });
    Message { id: format!("{id}.{word}"), body: body.to_string() }
}

fn rule(hold: &HoldRule) -> Value {
    let HoldRule { id, approvers, quorum, expires: _, valid_for: _, reason, carry: _, ceiling, tolerance: _ } =
        hold;
    json!({ "id": id, "approvers": approvers, "quorum": quorum, "reason": reason, "ceiling": ceiling })
}

fn vote(vote: &Vote) -> Value {
    let Vote { voter, groups: _, approve, words: _, proof, most, names: _ } = vote;
    json!({ "voter": voter, "approve": approve, "proof": proof, "most": most })
}

/// RFC 3339, in UTC.
fn time(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}
