//! Changes that wait for a second person, wherever they are kept.

use model::{Draft, DraftStatus};

use super::backends;
use crate::gateway::now;

fn draft(author: &str, expires: i64) -> Draft {
    Draft {
        id: String::new(),
        author: author.to_owned(),
        body: "{}".to_owned(),
        digest: "d".to_owned(),
        status: DraftStatus::Open,
        filed: now(),
        expires,
        decided_by: None,
    }
}

#[tokio::test]
async fn a_change_waits_once_and_keeps_no_secret_when_it_is_over() {
    for (name, state, _place) in backends().await {
        let (later, most) = (now() + 600, 2);
        let add = async |expires| state.add_draft(&draft("user:ada", expires), b"pw", most).await;
        let one = add(later).await.expect("kept").expect("an id");
        let two = add(later).await.expect("kept").expect("an id");
        assert_eq!(add(later).await.expect("asked"), None, "there is room for two in {name}");
        let (kept, secret) = state.draft(&one).await.expect("read").expect("one");
        assert_eq!((kept.status, &secret[..]), (DraftStatus::Open, &b"pw"[..]), "{name}");
        assert!(state.end_draft(&one, DraftStatus::Confirmed, "user:dora").await.expect("asked"), "{name}");
        for again in [DraftStatus::Confirmed, DraftStatus::Withdrawn, DraftStatus::Refused] {
            assert!(!state.end_draft(&one, again, "user:eve").await.expect("asked"), "{name}");
        }
        let (kept, secret) = state.draft(&one).await.expect("read").expect("one");
        assert_eq!((kept.status, secret.len()), (DraftStatus::Confirmed, 0), "{name}");
        assert_eq!(kept.decided_by.as_deref(), Some("user:dora"), "{name}");
        // Its time is over.
        let over = add(now() - 1).await.expect("kept").expect("an id");
        assert_eq!(state.waiting_drafts().await.expect("read"), 1, "{name}");
        assert!(!state.end_draft(&over, DraftStatus::Confirmed, "user:dora").await.expect("asked"), "{name}");
        assert_eq!(state.expire_drafts().await.expect("written"), std::slice::from_ref(&over), "{name}");
        assert_eq!(state.expire_drafts().await.expect("written"), [""; 0], "once in {name}");
        let (kept, secret) = state.draft(&over).await.expect("read").expect("one");
        assert_eq!((kept.status, secret.len()), (DraftStatus::Expired, 0), "{name}");
        let mut all: Vec<String> =
            state.drafts(9).await.expect("read").into_iter().map(|draft| draft.id).collect();
        all.sort_unstable();
        let mut expected = [one, two, over];
        expected.sort_unstable();
        assert_eq!(all, expected, "{name}");
    }
}
