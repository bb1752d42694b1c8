//! Codes and refresh tokens become tokens, each once. Whoever brings one again, or with anything else than it is bound to, has not
//! come by it honestly: all that hangs on the same yes ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use journal::record;
use model::{PrincipalKind, TargetName, Voucher, VoucherKind};
use policy::oauth::Challenge;
use zeroize::Zeroizing;

use super::REFRESH_PREFIX;
use crate::audit::JournalDown;
use crate::exchange::{ExchangeError, Minted, Minting};
use crate::gateway::{Gateway, now};
use crate::people::{mark, secret};
use crate::requests::{AdminError, parse_principal};
use crate::sessions::Ended;
use crate::state::StateError;
use crate::tokens::Admitted;

/// A token lives so long, in seconds.
const LIFE: i64 = 3600;

/// What a client brings for tokens.
pub struct Trade<'a> {
    /// What it calls itself.
    pub client: &'a str,
    /// Where it will use them.
    pub resource: &'a str,
    /// What it has got.
    pub brought: Brought<'a>,
}

/// A code or a refresh token.
pub enum Brought<'a> {
    /// What a person's yes gave.
    Code {
        /// It.
        code: &'a str,
        /// Where it was sent.
        redirect: &'a str,
        /// What its challenge was made of.
        verifier: &'a str,
    },
    /// What came with the last token.
    Refresh(&'a str),
}

/// What it was traded for.
pub struct Traded {
    /// A token for a while.
    pub token: Minted,
    /// What to get the next with.
    pub refresh: Zeroizing<String>,
    /// The targets that both are for; `None` for all.
    pub targets: Option<BTreeSet<TargetName>>,
}

/// Why nothing is given.
#[derive(Debug, thiserror::Error)]
pub enum TradeError {
    /// There is no such server here.
    #[error("codes and refresh tokens are not taken here")]
    Off,
    /// What was brought is not good.
    #[error("{0}")]
    Grant(&'static str),
    /// It is for another resource.
    #[error("resource is not what tokens of this server are for")]
    Resource,
    /// There are too many already.
    #[error("{0}")]
    TooMany(String),
    /// It cannot be done now.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl From<StateError> for TradeError {
    fn from(error: StateError) -> Self {
        Self::Admin(error.into())
    }
}

impl From<JournalDown> for TradeError {
    fn from(error: JournalDown) -> Self {
        Self::Admin(error.into())
    }
}

impl From<ExchangeError> for TradeError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::TooMany(_) => Self::TooMany(error.to_string()),
            other @ (ExchangeError::Unproven(..)
            | ExchangeError::Target
            | ExchangeError::Purpose
            | ExchangeError::Request(_)
            | ExchangeError::State(_)
            | ExchangeError::Journal(_)
            | ExchangeError::Randomness) => Self::Admin(super::of_mint(other)),
        }
    }
}

impl Gateway {
    /// Trades a code or a refresh token.
    ///
    /// # Errors
    /// Why not; it is in the journal.
    pub async fn trade(&self, trade: &Trade<'_>, from: SocketAddr) -> Result<Traded, TradeError> {
        let traded = self.trade_unseen(trade).await;
        match &traded {
            Ok(_) => self.failures().forgive(from.ip()),
            Err(TradeError::Grant(reason)) => {
                self.metrics().logins_refused.inc();
                if self.refusals().is_written(from.ip()) {
                    let (address, reason) = (from.to_string(), format!("client: {reason}"));
                    self.note(&record::Body::LoginRefused { address, target: None, reason })?;
                }
                tokio::time::sleep(self.failures().penalty(from.ip())).await;
            }
            Err(TradeError::Admin(error)) => tracing::error!("a client gets no token: {error}"),
            Err(TradeError::Off | TradeError::Resource | TradeError::TooMany(_)) => (),
        }
        traded
    }

    async fn trade_unseen(&self, trade: &Trade<'_>) -> Result<Traded, TradeError> {
        let server = self.authorization().ok_or(TradeError::Off)?;
        if trade.resource != server.resource() {
            return Err(TradeError::Resource);
        }
        let (text, kind) = match &trade.brought {
            Brought::Code { code, .. } => (*code, VoucherKind::Code),
            Brought::Refresh(token) => (*token, VoucherKind::Refresh),
        };
        let found = self.state().voucher(&mark(text)).await?.filter(|voucher| voucher.kind == kind);
        let voucher = found.ok_or(TradeError::Grant("it is not known, or long over"))?;
        if voucher.spent {
            return Err(self.is_stolen(&voucher, "it was used already").await?);
        }
        if !is_bound_to(&voucher, trade) {
            return Err(self
                .is_stolen(&voucher, "it is not this client's, or was asked for otherwise")
                .await?);
        }
        if voucher.expires <= now() {
            return Err(TradeError::Grant("it is too old"));
        }
        if !server.still_has(&voucher.client) {
            return Err(TradeError::Grant("its client is known here no more"));
        }
        let root = self.root(&voucher).await?;
        let seconds = LIFE.min(root.expires().saturating_sub(now()));
        let next = Zeroizing::new(format!("{REFRESH_PREFIX}{}", secret()?.as_str()));
        let following = Voucher {
            mark: mark(&next),
            kind: VoucherKind::Refresh,
            redirect: String::new(),
            challenge: String::new(),
            expires: root.expires(),
            until: root.expires(),
            spent: false,
            ..voucher.clone()
        };
        let made_of = format!("{} of {} for client {}", kind.as_str(), voucher.token, voucher.client);
        let token = self
            .mint(Minting {
                principal: root.principal().clone(),
                targets: root.targets().cloned(),
                seconds,
                from: &made_of,
                parents: vec![voucher.token.clone()],
                resource: Some(voucher.resource.clone()),
                may_act: root.may_act().cloned(),
            })
            .await?;
        // Last, so that whoever was let down by what failed before may try again. Of two at once one is no client.
        if !self.state().spend_voucher(&voucher.mark, Some(&following)).await? {
            return Err(self.is_stolen(&voucher, "it was used already").await?);
        }
        Ok(Traded { token, refresh: next, targets: root.targets().cloned() })
    }

    /// What a voucher hangs on, as long as that and whoever said yes are good.
    async fn root(&self, voucher: &Voucher) -> Result<Admitted, TradeError> {
        let over = TradeError::Grant("what it was given for was revoked, or is over");
        let Some(root) = self.known_tokens().of_id(&voucher.token).await? else { return Err(over) };
        let who = root.principal();
        if self.denials().of_token(&voucher.token, who, &self.groups(), now()).is_some()
            || !self.issuers().vouch_for(who)
        {
            return Err(over);
        }
        // On nobody's word but the gateway's own: they are one whom it invited, and still there.
        if who.asserted.is_empty() {
            let owner = parse_principal(&voucher.owner)?;
            let here = owner.kind == PrincipalKind::User && self.state().member(&owner.name).await?.is_some();
            if !here {
                return Err(over);
            }
        }
        Ok(root)
    }

    /// Ends all that hangs on what a voucher does.
    async fn is_stolen(&self, voucher: &Voucher, why: &'static str) -> Result<TradeError, TradeError> {
        let Voucher { kind, token, owner, client, .. } = voucher;
        // What has ended already is not ended again for each who tries.
        if self.known_tokens().of_id(token).await?.is_none() {
            return Ok(TradeError::Grant(why));
        }
        let what = match kind {
            VoucherKind::Code => "code misused",
            VoucherKind::Refresh => "refresh token misused",
        };
        let detail = format!("{why}: {token} of {owner} ends with all that was made with it");
        self.administered(&format!("client {client}"), what, &detail)?;
        tracing::warn!(client, token, "a client's {} was misused: {why}", kind.as_str());
        self.end_root(voucher).await?;
        Ok(TradeError::Grant(why))
    }

    async fn end_root(&self, voucher: &Voucher) -> Result<(), AdminError> {
        self.state().revoke_token(&voucher.token).await?;
        self.recent().forget();
        self.state().spend_voucher(&voucher.mark, None).await?;
        self.sessions().end(&Ended::Revoked, |live| live.tokens().any(|token| *token == voucher.token));
        Ok(())
    }

    /// Takes a refresh token back at its bearer's wish, and all that hangs on the same yes (RFC 7009 §2.1). One that is none needs
    /// nothing.
    ///
    /// # Errors
    /// It cannot be stored or recorded.
    pub(crate) async fn give_back_refresh(&self, token: &str, from: SocketAddr) -> Result<(), AdminError> {
        let Some(voucher) = self.state().voucher(&mark(token)).await? else {
            tokio::time::sleep(self.failures().penalty(from.ip())).await;
            return Ok(());
        };
        // What has ended already is not ended again for each who tries.
        if self.known_tokens().of_id(&voucher.token).await?.is_none() {
            tokio::time::sleep(self.failures().penalty(from.ip())).await;
            return Ok(());
        }
        self.administered(&format!("client {}", voucher.client), "token given back", &voucher.token)?;
        self.end_root(&voucher).await
    }
}

fn is_bound_to(voucher: &Voucher, trade: &Trade<'_>) -> bool {
    let as_asked = match &trade.brought {
        Brought::Code { code: _, redirect, verifier } => {
            let challenge = Challenge::read(&voucher.challenge);
            voucher.redirect == *redirect && challenge.is_some_and(|challenge| challenge.is_met_by(verifier))
        }
        Brought::Refresh(_) => true,
    };
    as_asked && voucher.client == trade.client && voucher.resource == trade.resource
}
