//! The cases by which the seed's actor server is tested, told in Odeon's words: `srv_1` to `srv_8`.
//!
//! Real servers over real sockets. Where Odeon's answer differs in its words from the seed's, the test says what
//! stands in its place.

#![expect(clippy::disallowed_methods, reason = "tests run tasks of their own, and take the time")]

extern crate odeon_actor as odeon;

#[path = "../common/mod.rs"]
mod common;
mod control;
mod envelopes;
mod explains;
mod links;
mod metrics;
mod several;
#[path = "../common/site.rs"]
mod site;
mod spans;
mod srv;
mod support;
mod traces;
