//! An actor has one handler of a name.

extern crate odeon_actor as odeon;

use odeon::{actor, protocol};

#[protocol]
pub trait Counting {
    fn reset(&self);
}

#[protocol]
pub trait Naming {
    fn reset(&self);
}

struct Counter(i64);

#[actor(protocols(Counting, Naming))]
impl Counter {
    #[handle]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn main() {}
