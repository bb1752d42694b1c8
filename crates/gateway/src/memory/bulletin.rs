//! What is kept in memory is told nobody.

use model::News;

use super::Memory;
use crate::state::{Bulletin, Reply};

impl Bulletin for Memory {
    fn lead<'a>(&'a self, _carrier: &'a str, _seconds: i64) -> Reply<'a, bool> {
        self.with(|_| false)
    }

    fn untold<'a>(&'a self, _carrier: &'a str, _since: i64, _most: i64) -> Reply<'a, Vec<News>> {
        self.with(|_| Vec::new())
    }

    fn tell<'a>(&'a self, _carrier: &'a str, _news: &'a News, _mark: Option<&'a str>) -> Reply<'a, ()> {
        self.with(|_| ())
    }

    fn mark<'a>(&'a self, _carrier: &'a str, _request: &'a str) -> Reply<'a, Option<String>> {
        self.with(|_| None)
    }

    fn expire(&self) -> Reply<'_, ()> {
        self.with(|_| ())
    }
}
