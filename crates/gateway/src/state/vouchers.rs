//! What the gateway asks of whatever keeps it about codes and refresh tokens of clients, and clients that registered.

use model::{RegisteredClient, Voucher};

use super::Reply;

/// Codes, refresh tokens, and who gets them.
pub trait Vouchers: Send + Sync {
    /// Keeps a new one.
    fn add_voucher<'a>(&'a self, voucher: &'a Voucher) -> Reply<'a, ()>;
    /// One by its mark, used or not.
    fn voucher<'a>(&'a self, mark: &'a str) -> Reply<'a, Option<Voucher>>;
    /// Uses one up and keeps the next in its place, both or neither; whether it was still good.
    fn spend_voucher<'a>(&'a self, mark: &'a str, next: Option<&'a Voucher>) -> Reply<'a, bool>;
    /// Keeps a client that registered, unless so many are kept already; whether it is kept.
    fn register_client<'a>(&'a self, client: &'a RegisteredClient, most: i64) -> Reply<'a, bool>;
    /// A client that registered and is kept still.
    fn registered_client<'a>(&'a self, id: &'a str) -> Reply<'a, Option<RegisteredClient>>;
    /// Keeps a client that registered until a later moment.
    fn keep_client<'a>(&'a self, id: &'a str, until: i64) -> Reply<'a, ()>;
}
