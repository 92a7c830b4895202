//! A mark can be found again.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Counter(i64);

#[actor(mark = "Counter")]
impl Counter {
    #[handle]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn main() {}
