//! Changes that wait for a second person, in a store.

use model::{Draft, DraftStatus};
use zeroize::Zeroizing;

use super::Embedded;
use crate::gateway::now;
use crate::state::{Drafts, Reply};

impl Drafts for Embedded {
    fn add_draft<'a>(&'a self, draft: &'a Draft, secret: &'a [u8], most: i64) -> Reply<'a, Option<String>> {
        Box::pin(async move { Ok(self.0.add_draft(draft, secret, most).await?) })
    }

    fn drafts(&self, most: i64) -> Reply<'_, Vec<Draft>> {
        Box::pin(async move { Ok(self.0.drafts(most, now()).await?) })
    }

    fn waiting_drafts(&self) -> Reply<'_, i64> {
        Box::pin(async move { Ok(self.0.waiting_drafts(now()).await?) })
    }

    fn draft<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Draft, Zeroizing<Vec<u8>>)>> {
        Box::pin(async move { Ok(self.0.draft(id, now()).await?) })
    }

    fn expire_drafts(&self) -> Reply<'_, Vec<String>> {
        Box::pin(async move { Ok(self.0.expire_drafts(now()).await?) })
    }

    fn end_draft<'a>(&'a self, id: &'a str, status: DraftStatus, by: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.end_draft(id, status, by, now()).await?) })
    }
}
