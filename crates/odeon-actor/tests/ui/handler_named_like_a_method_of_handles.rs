//! A handle's own methods would hide it.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Lamp;

#[actor]
impl Lamp {
    #[handle]
    fn stop(&mut self) {}
}

fn main() {}
