//! How it is answered is the handler's business.

extern crate odeon_actor as odeon;

use odeon::{Reply, protocol};

#[protocol]
pub trait Counting {
    fn add(&self, by: i64, reply: Reply<i64>);
}

fn main() {}
