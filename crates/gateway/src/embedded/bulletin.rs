//! What becomes of requests, in a store.

use model::News;

use super::Embedded;
use crate::gateway::now;
use crate::state::{Bulletin, Reply};

impl Bulletin for Embedded {
    fn lead<'a>(&'a self, carrier: &'a str, seconds: i64) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.lead(carrier, &self.1.claims(seconds), now()).await?) })
    }

    fn untold<'a>(&'a self, carrier: &'a str, since: i64, most: i64) -> Reply<'a, Vec<News>> {
        Box::pin(async move { Ok(self.0.untold(carrier, since, most).await?) })
    }

    fn tell<'a>(&'a self, carrier: &'a str, news: &'a News, mark: Option<&'a str>) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.tell(carrier, news, mark).await?) })
    }

    fn mark<'a>(&'a self, carrier: &'a str, request: &'a str) -> Reply<'a, Option<String>> {
        Box::pin(async move { Ok(self.0.mark(carrier, request).await?) })
    }

    fn expire(&self) -> Reply<'_, ()> {
        Box::pin(async move { Ok(self.0.expire(now()).await?) })
    }
}
