//! A message has one mark.

extern crate odeon_actor as odeon;

use odeon::message;

#[message]
struct Update<T> {
    value: T,
}

fn main() {}
