//! A request has one answer.

extern crate odeon_actor as odeon;

use odeon::{Reply, actor};

struct Door;

#[actor]
impl Door {
    #[handle]
    fn enter(&mut self, first: Reply<i64>, second: Reply<i64>) {
        first.send(1);
        second.send(2);
    }
}

fn main() {}
