//! Who somebody in Slack is here: what they say themselves, signed in to the console and shown to be there.

use model::{SlackLink, SlackUser};

use crate::gateway::{Gateway, now};
use crate::people::{Guest, mark};
use crate::presence::{Act, Pledge, Proof};
use crate::requests::AdminError;

impl Act {
    /// Saying that one is somebody in Slack.
    pub fn link_slack(user: &SlackUser) -> Self {
        Self::new("slack link", &[&user.team, &user.id])
    }
}

fn over() -> AdminError {
    AdminError::Refused("this link was used already, or is too old: click in Slack again".to_owned())
}

impl Gateway {
    /// Whether people answer in Slack.
    pub fn is_answered_in_slack(&self) -> bool {
        self.slack().is_some_and(|slack| slack.signing().is_some())
    }

    /// Whom a link of Slack's is of, without using it up.
    ///
    /// # Errors
    /// It is over, or the store cannot be read.
    pub async fn slack_user_of(&self, link: &str) -> Result<SlackUser, AdminError> {
        let kept = self.state().look_once(&mark(link)).await?;
        match kept.and_then(|body| Pledge::read(&body)) {
            Some(Pledge::Slack(user)) => Ok(user),
            Some(
                Pledge::Invitation(_)
                | Pledge::Made { .. }
                | Pledge::Signed { .. }
                | Pledge::SignIn { .. }
                | Pledge::Signing { .. }
                | Pledge::Key { .. },
            )
            | None => Err(over()),
        }
    }

    /// Whoever is there is that user of Slack's from now on, who answers there as them.
    ///
    /// # Errors
    /// The link is over, they have not shown that they mean it, or it cannot be stored or recorded.
    pub async fn link_slack_for(
        &self,
        guest: &Guest,
        link: &str,
        proof: Option<Proof>,
    ) -> Result<SlackUser, AdminError> {
        let user = self.slack_user_of(link).await?;
        let how = proof.and_then(|proof| proof.of(Act::link_slack(&user), guest.id()));
        let how = how.ok_or_else(|| {
            AdminError::Refused("this takes your passkey, or a fresh sign-in, for exactly this".to_owned())
        })?;
        // Of two who use it, one gets it.
        self.state().take_once(&mark(link)).await?.ok_or_else(over)?;
        let owner = guest.id().to_string();
        let detail = format!("{}/{} ({}) by {how}", user.team, user.id, user.name);
        self.administered(&owner, "linked to Slack", &detail)?;
        self.state().link_slack(&SlackLink { user: user.clone(), owner, added: now() }).await?;
        Ok(user)
    }

    /// Who somebody is in Slack.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn slack_links_of(&self, guest: &Guest) -> Result<Vec<SlackLink>, AdminError> {
        Ok(self.state().slack_links(&guest.id().to_string()).await?)
    }

    /// They are that user of Slack's no more.
    ///
    /// # Errors
    /// They were not, or it cannot be stored or recorded.
    pub async fn unlink_slack_for(&self, guest: &Guest, team: &str, id: &str) -> Result<(), AdminError> {
        let owner = guest.id().to_string();
        self.administered(&owner, "unlinked from Slack", &format!("{team}/{id}"))?;
        if self.state().unlink_slack(&owner, team, id).await? {
            return Ok(());
        }
        Err(AdminError::Missing("user of Slack's of yours".to_owned()))
    }
}
