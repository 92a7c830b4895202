//! A handler takes what the protocol sends.

extern crate odeon_actor as odeon;

use odeon::{actor, protocol};

#[protocol]
pub trait Counting {
    async fn add(&self, by: i64) -> i64;
    fn reset(&self);
}

struct Counter(i64);

#[actor(protocol = Counting)]
impl Counter {
    #[handle]
    fn add(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }

    #[handle]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn main() {}
