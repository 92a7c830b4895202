//! Answers travel to the asker, so they are owned.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Log(String);

#[actor]
impl Log {
    #[handle]
    fn last(&self) -> &str {
        &self.0
    }
}

fn main() {}
