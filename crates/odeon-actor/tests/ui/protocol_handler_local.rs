//! A protocol's handler is for all who speak the protocol.

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
    fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }

    #[handle(local)]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn main() {}
