//! How the client is told of a refusal.

use policy::{Denied, Grant};
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use super::PostgresSession;
use crate::audit::Noted;
use crate::net::dial::untold;
use crate::protocols::postgres::missing::{self, Told};
use crate::protocols::postgres::request::Request;
use crate::spine::Stop;

/// Why a name that may well be there is not found.
const NOTHING_KNOWN: &str =
    "the gateway cannot read the target's catalogue now, without which it understands no statement";

/// A refusal in the protocol's terms.
pub(super) struct Refused {
    /// The whole message.
    pub error: Vec<u8>,
    /// Why, in words.
    pub reason: String,
    /// The policies that decided; none where it is no matter of a policy's.
    pub policies: Vec<String>,
    /// Whether it is no more than that a name is not there.
    pub is_slip: bool,
}

impl PostgresSession {
    pub(super) fn refused(
        &mut self,
        grant: &Grant,
        message: &Request,
        denied: Denied,
        noted: &Noted,
        times: u32,
    ) -> Result<Refused, Stop> {
        let gateway = std::sync::Arc::clone(&self.gateway);
        let in_block = self.open()?.conversation.in_block();
        let now = gateway.context(&self.origin, in_block);
        let open = self.open()?;
        let (understanding, names) = open.conversation.understands();
        // Where everything is allowed no name is resolved, and none is missed.
        let resolves = !understanding.is_indifferent();
        let mut again = |text: &str| {
            let again = understanding.understand(text.as_bytes(), names, true).ok();
            // What takes long to understand is not looked at again.
            understanding.take_wanted();
            again
        };
        let told = if denied.code() == "42501" && resolves && missing::is_nobody_to_know(message) {
            Some(Told::Denied(untold(grant.target(), "55000", NOTHING_KNOWN.to_owned())))
        } else if denied.code() == "42501" {
            missing::told(message, &mut |rest| gateway.weigh(grant, rest, &now), &mut again)
        } else {
            None
        };
        let mut error = Vec::new();
        let denied = match told {
            Some(Told::Missing(missing)) => {
                build::error(&mut error, &missing.fields());
                return Ok(Refused { error, reason: missing.message, policies: Vec::new(), is_slip: true });
            }
            Some(Told::Denied(rest)) => rest,
            None => denied,
        };
        let again = if times > 1 { format!(" Refused {times} times by now.") } else { String::new() };
        let mut fields = ErrorFields::new(denied.code(), &denied.reason).detail(&format!("{noted}{again}"));
        if let Some(hint) = &denied.hint {
            fields = fields.hint(hint);
        }
        build::error(&mut error, &fields);
        Ok(Refused { error, reason: denied.reason, policies: denied.policies, is_slip: false })
    }
}
