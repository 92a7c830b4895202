//! An actor that understands nothing is none.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Counter(i64);

#[actor]
impl Counter {
    fn add(&mut self, by: i64) {
        self.0 += by;
    }
}

fn main() {}
