extern crate odeon_actor as odeon;

use std::time::Duration;

use odeon::{Cx, actor, receive};

struct Counter;

#[actor]
impl Counter {
    #[handle]
    async fn more(&mut self, cx: &mut Cx<Self>) {
        receive!(cx, {
            CounterMessage::More(..) => {}
            timeout Duration::from_secs(1) => {}
            else => {}
        });
    }
}

fn main() {
    let _ = Duration::ZERO;
}
