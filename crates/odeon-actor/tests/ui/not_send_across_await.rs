//! An actor may go on in another thread after it waited.

extern crate odeon_actor as odeon;

use std::rc::Rc;

use odeon::actor;

struct Counter(i64);

#[actor]
impl Counter {
    #[handle]
    async fn add(&mut self, by: i64) -> i64 {
        let kept = Rc::new(by);
        std::future::ready(()).await;
        self.0 += *kept;
        self.0
    }
}

fn main() {}
