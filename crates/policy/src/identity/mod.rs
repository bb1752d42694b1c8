//! Who a token says its bearer is. Pure: keys, a token's text and the time come in; an identity or a refusal comes out.
//!
//! A token is read strictly ([`Unproven::read`]); its signature is checked with a key that its issuer published, by an
//! algorithm that issuer and key may use ([`Unproven::verify`]); and its claims are a principal's if conditions and times fit
//! ([`Issuer::identify`]). The sources: RFC 7515, 7517, 7518, 7519, 8037, 8693, 8725, OpenID Connect Core.

mod chain;
mod claims;
mod client;
mod condition;
mod config;
mod groups;
mod introspection;
mod issuer;
mod keys;
mod logout;
mod names;
mod preset;
mod refusal;
mod signed_in;
mod token;

use std::sync::Arc;

use model::{MayAct, Principal};

pub use chain::acting;
pub use claims::Claims;
pub use client::{Client, ClientConfig, Clients, Once};
pub use condition::Condition;
pub use config::{IssuerConfig, Kind, PrincipalConfig};
pub use groups::{GroupConfig, GroupProblem, Groups, Member, check_group, is_local};
pub use introspection::{
    Authentication, AuthenticationConfig, Introspected, Introspection, IntrospectionConfig, LONGEST_ANSWER,
    Opaque,
};
pub use issuer::{Issuer, KeysFrom};
pub use keys::{Algorithm, Keys, LONGEST_JWKS, NoKeys};
pub use logout::LoggedOut;
pub use names::{LOCAL, is_address};
pub use preset::Preset;
pub use refusal::Refusal;
pub use signed_in::{SignedIn, is_for};
pub use token::{LONGEST, Proven, Unproven};

/// What a token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who, in which groups, for whom, and whose word that is.
    pub principal: Principal,
    /// Names the token, and tells nothing of it: `jwt_` and digits of its digest.
    pub id: String,
    /// Until when the token is good, in seconds since 1970.
    pub expires: i64,
    /// How long a session of it may last, in seconds.
    pub session_age: i64,
    /// How long a token that is exchanged for it may live, in seconds.
    pub exchange_life: i64,
    /// Who alone may act for the principal, where its issuer says so.
    pub may_act: Option<MayAct>,
}

/// Every issuer whose word is taken.
#[derive(Debug, Clone, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

impl Issuers {
    /// From what was typed.
    ///
    /// # Errors
    /// Which issuer, and what is wrong with it.
    pub fn new(typed: &[IssuerConfig]) -> Result<Self, (String, String)> {
        let mut all: Vec<Issuer> = Vec::new();
        for config in typed {
            let failed = |what: String| (config.name.clone(), what);
            let issuer = Issuer::new(config).map_err(failed)?;
            for other in &all {
                if other.name() == issuer.name() {
                    return Err(failed("there are two of this name".to_owned()));
                }
                if other.url() == issuer.url() {
                    return Err(failed(format!(
                        "{} is the issuer \"{}\" already",
                        other.url(),
                        other.name()
                    )));
                }
                let takes_opaque = |i: &Issuer| i.introspection().is_some_and(Introspection::opaque);
                if takes_opaque(other) && takes_opaque(&issuer) {
                    let what = format!(
                        "introspection: \"{}\" takes opaque tokens already, and nothing tells whose one is: an issuer \
                         would be shown another's",
                        other.name()
                    );
                    return Err(failed(what));
                }
                if other.prefix == issuer.prefix {
                    let what = format!(
                        "it has the prefix of \"{}\", so that one's principals could be the other's",
                        other.name()
                    );
                    return Err(failed(what));
                }
            }
            all.push(issuer);
        }
        let prefixes: Vec<String> = all.iter().map(|issuer| issuer.prefix.clone()).collect();
        for issuer in &mut all {
            let longer = |p: &&String| **p != issuer.prefix && p.starts_with(&issuer.prefix);
            issuer.foreign = prefixes.iter().filter(longer).cloned().collect();
        }
        Ok(Self(all.into_iter().map(Arc::new).collect()))
    }

    /// The issuer whose tokens have exactly this `iss`.
    pub fn by_url(&self, url: &str) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|issuer| issuer.url() == url)
    }

    /// The issuer of a name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|issuer| issuer.name() == name)
    }

    /// The issuer that is asked about tokens that say nothing by themselves.
    pub fn of_opaque(&self) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|issuer| issuer.introspection().is_some_and(Introspection::opaque))
    }

    /// What stands before the names of each.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|issuer| issuer.prefix.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
