//! What the gateway asks of whatever keeps it about those who are told elsewhere what becomes of requests.

use model::News;

use super::Reply;

/// What becomes of requests, for carriers, each by its name.
pub trait Bulletin: Send + Sync {
    /// Whether this gateway is the one that tells a carrier for so many seconds. Whoever is new is told of what happens from
    /// now on.
    fn lead<'a>(&'a self, carrier: &'a str, seconds: i64) -> Reply<'a, bool>;
    /// What a carrier was not told yet and has happened since a moment, in its order, so much at most.
    fn untold<'a>(&'a self, carrier: &'a str, since: i64, most: i64) -> Reply<'a, Vec<News>>;
    /// Notes that a carrier was told, or will not take it; and what it calls the message, if it matters.
    fn tell<'a>(&'a self, carrier: &'a str, news: &'a News, mark: Option<&'a str>) -> Reply<'a, ()>;
    /// What it calls the message that it was told of a request.
    fn mark<'a>(&'a self, carrier: &'a str, request: &'a str) -> Reply<'a, Option<String>>;
    /// Makes it so that requests whose time is over have expired.
    fn expire(&self) -> Reply<'_, ()>;
}
