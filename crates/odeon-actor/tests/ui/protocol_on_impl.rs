//! A protocol is a trait.

extern crate odeon_actor as odeon;

use odeon::protocol;

struct Counter;

#[protocol]
impl Counter {
    fn reset(&self) {}
}

fn main() {}
