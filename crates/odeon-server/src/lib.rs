//! The actor server: it makes the actors of one process reachable by name from others.
//!
//! A [`Server`] holds a [`System`](odeon_actor::System) of actors, listens at its addresses, and keeps one link
//! per peer: naming a server is enough to reach it, since lookup and connection are behind the send. The rules of
//! a link are `odeon-wire`'s and the proofs `odeon-auth`'s; this crate drives both over the seams of network and
//! time. It does not know registry or supervisor: where servers are, a [`Locate`] tells it.

// The macros' output says `::odeon`; below the facade that is the actor crate.
extern crate odeon_actor as odeon;

mod addresses;
mod admin;
mod audit;
mod authority;
mod backoff;
mod config;
mod connect;
mod control;
mod defaults;
mod drive;
mod events;
mod grants;
mod home;
mod intake;
mod large;
mod link;
mod linking;
mod listener;
mod metrics;
mod monitors;
mod os;
mod pauses;
mod peers;
mod quiet;
mod revocations;
mod rights;
mod route;
mod secure;
mod server;
mod strangers;
mod way;

pub use admin::{GrantEntry, GrantPage, Retract};
pub use audit::{AUDIT_FILE, AUDIT_REFUSED_FILE};
pub use authority::{AdminKey, Authority};
pub use config::{Limits, Locate, ServerConfig, World};
pub use connect::{ConnectError, Fault, Tried};
pub use control::{
    ActorEntry, ActorPage, ConnectionEntry, ConnectionPage, Control, ControlCalls, ControlMessage, Direction,
    ServerStatus, all_actors, all_connections, all_grants,
};
pub use defaults::ServerDefaults;
pub use grants::LINK_CHAINS_MAX;
pub use home::{Claim, ClaimError, Home, HomeError};
pub use os::{OsDisk, OsNet, OsRng};
pub use revocations::ListTaken;
pub use rights::Verdict;
pub use secure::{CONSOLE, LinkCertificate, Refreshed, Transport};
pub use server::{Server, StartError};
