//! The actor's handler is the body.

extern crate odeon_actor as odeon;

use odeon::protocol;

#[protocol]
pub trait Counting {
    fn zero(&self) -> i64 {
        0
    }
}

fn main() {}
