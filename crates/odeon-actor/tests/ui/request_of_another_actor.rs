//! A recipient takes what its actor takes.

extern crate odeon_actor as odeon;

use odeon::{Handle, Recipient, actor};

struct Counter(i64);

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }
}

struct Log;

#[actor]
impl Log {
    #[handle]
    fn note(&mut self, entry: String) {
        drop(entry);
    }
}

fn adding(log: &Handle<Log>) -> Recipient<CounterAdd, i64> {
    log.recipient()
}

fn main() {}
