//! Changes that wait for a second person, in memory.

use model::{Draft, DraftStatus};
use zeroize::Zeroizing;

use super::Memory;
use crate::gateway::now;
use crate::state::{Drafts, Reply};

fn waits(draft: &Draft) -> bool {
    draft.status == DraftStatus::Open && draft.expires > now()
}

impl Drafts for Memory {
    fn add_draft<'a>(&'a self, draft: &'a Draft, secret: &'a [u8], most: i64) -> Reply<'a, Option<String>> {
        let (mut draft, secret) = (draft.clone(), Zeroizing::new(secret.to_vec()));
        self.with(move |kept| {
            let open = kept.drafts.iter().filter(|(draft, _)| waits(draft)).count();
            if i64::try_from(open).unwrap_or(i64::MAX) >= most {
                return None;
            }
            draft.id = format!("c{}", kept.drafts.len());
            let id = draft.id.clone();
            kept.drafts.push((draft, secret));
            Some(id)
        })
    }

    fn drafts(&self, _most: i64) -> Reply<'_, Vec<Draft>> {
        self.with(|kept| kept.drafts.iter().rev().map(|(draft, _)| draft.clone()).collect())
    }

    fn waiting_drafts(&self) -> Reply<'_, i64> {
        self.with(|kept| {
            let open = kept.drafts.iter().filter(|(draft, _)| waits(draft)).count();
            i64::try_from(open).unwrap_or(i64::MAX)
        })
    }

    fn draft<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Draft, Zeroizing<Vec<u8>>)>> {
        self.with(|kept| kept.drafts.iter().find(|(draft, _)| draft.id == id).cloned())
    }

    fn expire_drafts(&self) -> Reply<'_, Vec<String>> {
        self.with(|kept| {
            let mut over = Vec::new();
            for (draft, secret) in &mut kept.drafts {
                if draft.status == DraftStatus::Open && draft.expires <= now() {
                    draft.status = DraftStatus::Expired;
                    *secret = Zeroizing::default();
                    over.push(draft.id.clone());
                }
            }
            over
        })
    }

    fn end_draft<'a>(&'a self, id: &'a str, status: DraftStatus, by: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let open = |(draft, _): &&mut (Draft, _)| draft.id == id && waits(draft);
            let Some((draft, secret)) = kept.drafts.iter_mut().find(open) else { return false };
            (draft.status, draft.decided_by) = (status, Some(by.to_owned()));
            *secret = Zeroizing::default();
            true
        })
    }
}
