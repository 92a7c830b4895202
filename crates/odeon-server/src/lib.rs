//! The actor server: it makes the actors of one process reachable by name from others.
//!
//! A [`Server`] holds a [`System`](odeon_actor::System) of actors, listens at its addresses, and keeps one link
//! per peer: naming a server is enough to reach it, since lookup and connection are behind the send. The rules of
//! a link are `odeon-wire`'s and the proofs `odeon-auth`'s; this crate drives both over the seams of network and
//! time. It does not know registry or supervisor: where servers are, a [`Locate`] tells it.

// The macros' output says `::odeon`; below the facade that is the actor crate.
extern crate odeon_actor as odeon;

mod addresses;
mod authority;
mod config;
mod connect;
mod control;
mod drive;
mod events;
mod home;
mod intake;
mod link;
mod listener;
mod monitors;
mod os;
mod pauses;
mod peers;
mod route;
mod secure;
mod server;

pub use authority::Authority;
pub use config::{Limits, Locate, ServerConfig, World};
pub use connect::{ConnectError, Fault, Tried};
pub use control::{
    ActorEntry, ConnectionEntry, Control, ControlCalls, ControlMessage, Direction, ServerStatus,
};
pub use home::{Claim, ClaimError, Home, HomeError};
pub use os::{OsDisk, OsNet, OsRng};
pub use secure::{LinkCertificate, Refreshed, Transport};
pub use server::{Server, StartError};
