//! Links over mutual TLS: who is let in, who is not, and what changes while they stand.

#![expect(clippy::disallowed_methods, reason = "tests run tasks of their own, and play operators")]
#![expect(clippy::print_stdout, reason = "tests of attacks print how the others were served")]

extern crate odeon_actor as odeon;

mod accepting;
mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod ensemble;
mod failures;
mod floods;
mod hostile_peers;
mod intruder;
mod lifetimes;
#[path = "../hostile/memory_net.rs"]
mod memory_net;
mod names;
mod reload;
mod spans;
mod support;
#[path = "../acceptance/traces.rs"]
mod traces;
