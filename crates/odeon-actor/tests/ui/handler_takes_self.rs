//! An actor outlives its messages.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Counter(i64);

#[actor]
impl Counter {
    #[handle]
    fn finish(self) -> i64 {
        self.0
    }
}

fn main() {}
