//! Servers among strangers, members that misbehave, and each other: over real sockets, except where time must
//! be made to pass.

#![expect(clippy::disallowed_methods, reason = "tests run tasks of their own, and take the time")]

extern crate odeon_actor as odeon;

mod actors;
#[path = "../common/mod.rs"]
mod common;
mod concurrency;
mod connecting;
mod credit;
mod handshakes;
mod limits;
mod members;
mod memory_net;
mod raw;
#[path = "../common/site.rs"]
mod site;
mod stopping;
mod strangers;
mod support;
mod tries;
