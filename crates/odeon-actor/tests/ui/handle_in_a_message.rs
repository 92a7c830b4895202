//! A live thing does not travel: a reference does.

extern crate odeon_actor as odeon;

use odeon::{Handle, actor, message};

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self) {}
}

#[message]
struct Letter {
    counter: Handle<Counter>,
}

fn main() {}
