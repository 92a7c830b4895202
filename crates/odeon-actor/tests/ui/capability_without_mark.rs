//! Nobody from afar would be asked for it.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Counter(i64);

#[actor]
impl Counter {
    #[handle(needs = "counter:reset")]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn main() {}
