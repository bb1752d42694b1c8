//! Codes and refresh tokens of clients, in a store.

use model::{RegisteredClient, Voucher};

use super::Embedded;
use crate::gateway::now;
use crate::state::{Reply, Vouchers};

impl Vouchers for Embedded {
    fn add_voucher<'a>(&'a self, voucher: &'a Voucher) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.add_voucher(voucher).await?) })
    }

    fn voucher<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Voucher>> {
        Box::pin(async move { Ok(self.0.voucher(mark).await?) })
    }

    fn spend_voucher<'a>(&'a self, mark: &'a str, next: Option<&'a Voucher>) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.spend_voucher(mark, next, now()).await?) })
    }

    fn register_client<'a>(&'a self, client: &'a RegisteredClient, most: i64) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.register_client(client, most, now()).await?) })
    }

    fn registered_client<'a>(&'a self, id: &'a str) -> Reply<'a, Option<RegisteredClient>> {
        Box::pin(async move { Ok(self.0.registered_client(id, now()).await?) })
    }

    fn keep_client<'a>(&'a self, id: &'a str, until: i64) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.keep_client(id, until).await?) })
    }
}
