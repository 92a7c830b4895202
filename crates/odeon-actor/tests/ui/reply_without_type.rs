//! A port has the type of its answer.

extern crate odeon_actor as odeon;

use odeon::{Reply, actor};

struct Door;

#[actor]
impl Door {
    #[handle]
    fn enter(&mut self, reply: Reply) {
        drop(reply);
    }
}

fn main() {}
