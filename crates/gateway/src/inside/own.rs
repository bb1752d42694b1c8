//! What somebody asked for, for them alone: where it stands, where it is answered, and that it is taken back.

use model::{Request, Status, TakenBack};

use crate::gateway::Gateway;
use crate::requests::AdminError;
use crate::state::StateError;
use crate::tokens::Admitted;

impl Gateway {
    /// Where a request stands that somebody made, for them alone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn own_request(&self, admitted: &Admitted, id: &str) -> Result<Option<Request>, StateError> {
        Ok(self.state().request(id).await?.filter(|request| admitted.has_made(request)))
    }

    /// Where a request stands, for whoever made it: that is for the caller to see to.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub async fn standing_of(&self, id: &str) -> Result<Status, StateError> {
        Ok(self.state().standing(id).await?.status)
    }

    /// Takes a request of one's own back that waits, or is approved and not used. Whether there was one.
    ///
    /// # Errors
    /// The store cannot be written, or the journal.
    pub async fn withdraw_own(&self, admitted: &Admitted, id: &str) -> Result<bool, AdminError> {
        let found = self.own_request(admitted, id).await?;
        if found.is_none_or(|request| !request.status.is_open()) {
            return Ok(false);
        }
        let who = admitted.principal().id.to_string();
        self.administered(&who, "request withdrawn", id)?;
        let taken = self.state().withdraw(id).await?;
        self.holds().changed();
        Ok(matches!(taken, TakenBack::Now(_)))
    }

    /// Where people answer a request: a page of the console. Whoever follows it must sign in there.
    pub fn link_to(&self, request: &str) -> Option<String> {
        self.console_place().map(|place| place.link(request))
    }
}
