//! The context is lent.

extern crate odeon_actor as odeon;

use odeon::{Cx, actor};

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn finish(&mut self, mut cx: Cx<Self>) {
        cx.stop();
    }
}

fn main() {}
