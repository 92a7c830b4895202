//! What runs on the asker's stack does not wait.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Counter(i64);

#[actor]
impl Counter {
    #[handle(inline)]
    async fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }
}

fn main() {}
