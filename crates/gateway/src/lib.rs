//! One session, start to end: the only crate with sockets to targets.

pub mod alike;
pub mod approvers;
mod attempts;
pub mod audit;
pub mod break_glass;
pub mod broker;
pub mod carriers;
pub mod catalogue;
pub mod configure;
pub mod console_login;
pub mod credentials;
pub mod denials;
pub mod desk;
pub mod doctor;
pub mod drafts;
pub mod embedded;
mod endings;
pub mod exchange;
pub mod explain;
pub mod freezes;
pub mod freshness;
pub mod gateway;
pub mod holds;
pub mod inbox;
pub mod inside;
mod introspection;
pub mod issuers;
mod lanes;
mod lease;
pub mod logout;
mod looked;
pub mod metrics;
pub mod net;
pub mod people;
pub mod plans;
pub mod presence;
pub mod protocols;
pub mod recordings;
pub mod records;
pub mod requests;
pub mod serve;
pub mod sessions;
pub mod signin;
pub mod spine;
pub mod standing;
pub mod state;
pub mod targets;
pub mod tokens;
pub mod traces;
pub mod visible;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
