//! A protocol's messages are one enum.

extern crate odeon_actor as odeon;

use odeon::protocol;

#[protocol]
pub trait Storing<T> {
    fn put(&self, item: T);
}

fn main() {}
