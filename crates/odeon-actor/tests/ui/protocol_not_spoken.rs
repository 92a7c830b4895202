//! A handle of a protocol is made of an actor that speaks it.

extern crate odeon_actor as odeon;

use odeon::{Handle, actor, protocol};

#[protocol]
pub trait Counting {
    fn reset(&self);
}

struct Counter(i64);

#[actor]
impl Counter {
    #[handle]
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn counting(counter: Handle<Counter>) -> CountingHandle {
    counter.into()
}

fn main() {}
