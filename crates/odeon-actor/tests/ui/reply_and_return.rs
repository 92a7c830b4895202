//! A request has one answer.

extern crate odeon_actor as odeon;

use odeon::{Reply, actor};

struct Door;

#[actor]
impl Door {
    #[handle]
    fn enter(&mut self, reply: Reply<i64>) -> i64 {
        reply.send(1);
        2
    }
}

fn main() {}
