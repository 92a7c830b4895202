//! Handlers are the actor's own methods.

extern crate odeon_actor as odeon;

use odeon::actor;

trait Counts {
    fn add(&mut self, by: i64) -> i64;
}

struct Counter(i64);

#[actor]
impl Counts for Counter {
    #[handle]
    fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }
}

fn main() {}
