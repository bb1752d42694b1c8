//! Forms (`application/x-www-form-urlencoded`), of which only what may come several times may.

use gateway::net::form::decoded;
use zeroize::Zeroizing;

/// So many parameters a form may have.
const MOST: usize = 100;

/// What was sent, in its order.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let pairs = body.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, Zeroizing::new(decoded(value)?)))
        });
        let pairs: Vec<_> = pairs.collect::<Option<_>>()?;
        (pairs.len() <= MOST).then_some(Self(pairs))
    }

    /// All of it, in its order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a name that is not empty.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The one value of a name; nothing where it came twice.
    pub(crate) fn text(&self, name: &str) -> &str {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (Some(value), None) => value,
            (Some(_) | None, _) => "",
        }
    }
}
