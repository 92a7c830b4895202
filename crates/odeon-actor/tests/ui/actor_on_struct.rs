//! The attribute goes on the methods, not on the state.

extern crate odeon_actor as odeon;

use odeon::actor;

#[actor]
struct Counter(i64);

fn main() {}
