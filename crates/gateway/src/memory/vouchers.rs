//! Codes and refresh tokens of clients, in memory.

use model::{RegisteredClient, Voucher};

use super::Memory;
use crate::gateway::now;
use crate::state::{Reply, Vouchers};

impl Vouchers for Memory {
    fn add_voucher<'a>(&'a self, voucher: &'a Voucher) -> Reply<'a, ()> {
        self.with(|kept| kept.vouchers.push(voucher.clone()))
    }

    fn voucher<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Voucher>> {
        self.with(|kept| kept.vouchers.iter().find(|v| v.mark == mark).cloned())
    }

    fn spend_voucher<'a>(&'a self, mark: &'a str, next: Option<&'a Voucher>) -> Reply<'a, bool> {
        self.with(|kept| {
            let good = |v: &&mut Voucher| v.mark == mark && !v.spent && v.expires > now();
            let spent = kept.vouchers.iter_mut().find(good).map(|v| v.spent = true).is_some();
            if spent {
                kept.vouchers.extend(next.cloned());
            }
            spent
        })
    }

    fn register_client<'a>(&'a self, client: &'a RegisteredClient, most: i64) -> Reply<'a, bool> {
        self.with(|kept| {
            let room = i64::try_from(kept.clients.len()).unwrap_or(i64::MAX) < most;
            if room {
                kept.clients.push(client.clone());
            }
            room
        })
    }

    fn registered_client<'a>(&'a self, id: &'a str) -> Reply<'a, Option<RegisteredClient>> {
        self.with(|kept| kept.clients.iter().find(|c| c.id == id && c.until > now()).cloned())
    }

    fn keep_client<'a>(&'a self, id: &'a str, until: i64) -> Reply<'a, ()> {
        self.with(|kept| {
            if let Some(client) = kept.clients.iter_mut().find(|c| c.id == id) {
                client.until = client.until.max(until);
            }
        })
    }
}
