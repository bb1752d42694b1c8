//! What ends live sessions from outside: tokens that expire or are revoked, access that is denied, policy that does not
//! permit `connect` any more. Whatever happened here ends them at once; what happened elsewhere is looked for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use model::{Principal, TargetName};
use policy::{Context, Identity};
use tokio::time::{sleep, timeout};

use crate::break_glass::CODE_PREFIX;
use crate::gateway::{Gateway, InForce, now};
use crate::sessions::{Ended, Live};
use crate::state::StateError;

/// Changes that come so close to each other are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);
/// So many decisions are made before others get the thread.
const AT_ONCE: usize = 32;

/// Looks until the gateway is gone: whenever something is heard from the store, and often enough where nothing is.
pub(crate) async fn keep(gateway: Weak<Gateway>) {
    let mut permitted_by = Weak::new();
    loop {
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.end_expired();
        gateway.note_folded();
        gateway.look_at_store().await;
        let in_force = gateway.in_force.load_full();
        let is_new = !std::ptr::eq(permitted_by.as_ptr(), Arc::as_ptr(&in_force));
        if is_new || in_force.policies.connect_depends_on_time() {
            permitted_by = Arc::downgrade(&in_force);
            gateway.end_not_permitted(&in_force).await;
        }
        if timeout(gateway.look_often(), gateway.state().changed()).await.is_ok() {
            gateway.holds().changed();
            sleep(TOGETHER).await;
        }
    }
}

/// Everything that leave to connect depends on, but for the time.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    who: Principal,
    target: TargetName,
    address: IpAddr,
    application: Arc<str>,
    encrypted: bool,
    /// It came with a break-glass code.
    emergency: bool,
}

impl From<Live> for Asked {
    fn from(live: Live) -> Self {
        let Live { principal, token, target, address, application, encrypted, .. } = live;
        let emergency = token.starts_with(CODE_PREFIX);
        Self { who: principal, target, address: address.ip(), application, encrypted, emergency }
    }
}

impl Gateway {
    pub(crate) fn end_expired(&self) {
        let now = now();
        self.sessions().end(&Ended::Expired, |live| live.until <= now);
        self.sessions().end(&Ended::TooOld, |live| live.oldest <= now);
    }

    pub(crate) async fn end_revoked(&self) -> Result<(), StateError> {
        self.recent().forget();
        let mut tokens = BTreeSet::new();
        self.sessions().for_each(|live| {
            tokens.extend(live.tokens().cloned());
        });
        if tokens.is_empty() {
            return Ok(());
        }
        let ended = self.known_tokens().ended(&tokens).await?;
        if !ended.is_empty() {
            self.sessions().end(&Ended::Revoked, |live| live.tokens().any(|t| ended.contains(t)));
        }
        Ok(())
    }

    /// Ends sessions that policy would not let begin now. Of those that are alike, one is asked about.
    pub(crate) async fn end_not_permitted(&self, in_force: &InForce) {
        let mut alike: HashMap<Asked, Vec<String>> = HashMap::new();
        for live in self.sessions().list() {
            let id = live.id.clone();
            alike.entry(live.into()).or_default().push(id);
        }
        for (n, (asked, ids)) in alike.into_iter().enumerate() {
            if n % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let Asked { who, target, address, application, encrypted, emergency } = asked;
            // Sessions on a target that is gone end for that reason.
            let Some(facts) = in_force.targets.get(&target).map(|t| &t.facts) else { continue };
            let identity = Identity::verified(who);
            let identity = if emergency { identity.in_emergency() } else { identity };
            let moment = Context {
                now: now(),
                address,
                application,
                in_transaction: false,
                encrypted,
                read_instructions: false,
            };
            if let Err(denied) = in_force.policies.authorize(identity, &target, facts, &moment) {
                let why = Ended::NotPermitted(denied.reason.into());
                self.sessions().end(&why, |live| ids.contains(&live.id));
            }
        }
    }
}
