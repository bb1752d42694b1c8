//! End to end: a real PostgreSQL, the real gateway, real clients; and the house itself.

#[cfg(test)]
mod access;
#[cfg(test)]
mod administration;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod altered;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod caches;
#[cfg(test)]
mod caps;
#[cfg(test)]
mod carriers;
#[cfg(test)]
mod ceilings;
#[cfg(test)]
mod console;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod custody;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod emergencies;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod exactly;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod freezes;
#[cfg(test)]
mod fresh;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hashes;
#[cfg(test)]
mod held_open;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod house;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod introspection;
#[cfg(test)]
mod invisible;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod laptops;
#[cfg(test)]
mod late;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod mcp_agent;
#[cfg(test)]
mod mcp_answers;
#[cfg(test)]
mod mcp_authorization;
#[cfg(test)]
mod mcp_bounds;
#[cfg(test)]
mod mcp_many;
#[cfg(test)]
mod mcp_programs;
#[cfg(test)]
mod mcp_waiting;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod mistyped;
#[cfg(test)]
mod nonsense;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod previews;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod rehearsals;
#[cfg(test)]
mod returned;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod room;
#[cfg(test)]
mod rotations;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod second_lock;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod signins;
#[cfg(test)]
mod signouts;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod sound;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod unusable;
#[cfg(test)]
mod up;
