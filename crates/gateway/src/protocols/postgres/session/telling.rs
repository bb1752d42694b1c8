//! What the client is told in the protocol's terms where nothing comes from the server.

use policy::Denied;
use wire::postgres::error::ErrorFields;
use wire::postgres::{Frame, build, split};

use crate::audit::Noted;
use crate::inside::Ear;
use crate::protocols::postgres::garbled::Garbled;
use crate::sessions::Ended;
use crate::spine::Stop;

/// The last message to the client: what ended the session, and what to do about it.
pub(super) fn farewell(stop: &Stop) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = match stop {
        Stop::Done => return out,
        Stop::Denied(denied) => fatal(denied),
        Stop::NoLeave(no_leave) => fatal(&no_leave.told),
        Stop::Unopened(message) => return message.clone(),
        Stop::Login(refused) => return refused.farewell(),
        Stop::Violation(why) => ErrorFields::fatal("08P01", &format!("protocol violation: {why}")),
        Stop::Upstream(_) => ErrorFields::fatal("08006", "the connection to the target was lost"),
        Stop::Ended(why) => {
            let code = match why {
                Ended::Draining
                | Ended::Killed(_)
                | Ended::Reconfigured
                | Ended::Regrouped
                | Ended::Frozen(_)
                | Ended::Narrowed => "57P01",
                Ended::Revoked
                | Ended::Unasked
                | Ended::Expired
                | Ended::TooOld
                | Ended::Denied(_)
                | Ended::NotPermitted(_) => "28000",
                Ended::Tried(_) => "42501",
            };
            ErrorFields::fatal(code, &format!("terminating connection: {why}")).hint(why.hint())
        }
        Stop::Journal => {
            ErrorFields::fatal("58030", "the gateway cannot write its journal, so it forwards nothing")
                .hint("Try again when the gateway's operator has made room.")
        }
        Stop::Recording => {
            ErrorFields::fatal("58030", "the gateway cannot write this session's recording, so it ends here")
                .detail("Policy lets this session happen only if it is recorded.")
                .hint("Try again when the gateway's operator has made room.")
        }
        Stop::Broken(_) => ErrorFields::fatal("XX000", "internal error of the gateway"),
    };
    build::error(&mut out, &fields);
    out
}

fn fatal(denied: &Denied) -> ErrorFields {
    let fields = ErrorFields::fatal(denied.code(), &denied.reason);
    match &denied.hint {
        Some(hint) => fields.hint(hint),
        None => fields,
    }
}

/// Tells a door whose session ends by the gateway's word which that is: what its client reads last may be the target's.
pub(super) fn tell_end(ear: &Ear, farewell: &[u8]) {
    if let Some(Frame { body, .. }) = split(farewell, usize::MAX).ok().flatten() {
        ear.hears_end(body);
    }
}

/// Tells a door that somebody is not let in by the gateway's word: by these policies, where some decided. What the target said itself
/// is no such word.
pub(super) fn tell_shut(ear: &Ear, stop: &Stop) {
    let policies = match stop {
        Stop::Unopened(_) => return,
        Stop::Denied(denied) => denied.policies.clone(),
        Stop::NoLeave(no_leave) => no_leave.told.policies.clone(),
        Stop::Done
        | Stop::Login(_)
        | Stop::Violation(_)
        | Stop::Upstream(_)
        | Stop::Ended(_)
        | Stop::Journal
        | Stop::Recording
        | Stop::Broken(_) => Vec::new(),
    };
    ear.hears_refusal(policies);
}

pub(super) fn garbled_error(garbled: &Garbled, noted: Option<&Noted>) -> Vec<u8> {
    let mut fields = ErrorFields::new(garbled.code, &garbled.message);
    if let Some(hint) = &garbled.hint {
        fields = fields.hint(hint);
    }
    if let Some(position) = garbled.position {
        fields = fields.position(position);
    }
    // A plain syntax error looks as the server's own does: there is nothing to look up about it.
    if let Some(noted) = noted.filter(|_| garbled.code != "42601") {
        fields = fields.detail(&noted.to_string());
    }
    let mut out = Vec::new();
    build::error(&mut out, &fields);
    out
}

#[cfg(test)]
mod tests {
    use wire::postgres::error;

    use super::*;

    #[test]
    fn whoever_is_ended_hears_from_the_gateway_why_and_what_to_do() {
        for (why, code, said) in [
            (Ended::Killed("user:dora".to_owned()), "57P01", "ended by user:dora"),
            (Ended::Revoked, "28000", "the token was revoked"),
            (Ended::Denied("it has left".into()), "28000", "access was revoked: it has left"),
            (Ended::Regrouped, "57P01", "groups"),
            (Ended::NotPermitted("at night".into()), "28000", "any more: at night"),
            (Ended::Unasked, "28000", "issuer"),
            (Ended::Expired, "28000", "expired"),
            (Ended::TooOld, "28000", "too old"),
            (Ended::Draining, "57P01", "shutting down"),
            (Ended::Reconfigured, "57P01", "configuration"),
            (Ended::Frozen("an incident".into()), "57P01", "frozen: an incident"),
            (Ended::Narrowed, "57P01", "not everything"),
            (Ended::Tried(3), "42501", "3 times"),
        ] {
            let (ear, stop) = (Ear::default(), Stop::Ended(why));
            tell_end(&ear, &farewell(&stop));
            let last = ear.ended().expect("it is told");
            let field = |kind| error::field(&last, kind).unwrap_or_default();
            assert_eq!((field(b'C').as_str(), field(b'V').as_str()), (code, "FATAL"));
            assert!(field(b'M').contains(said) && !field(b'H').is_empty(), "{said}: {}", field(b'M'));
        }
        // A client that leaves is told nothing.
        let ear = Ear::default();
        tell_end(&ear, &farewell(&Stop::Done));
        assert_eq!(ear.ended(), None);
    }
}
