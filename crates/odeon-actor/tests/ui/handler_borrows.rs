//! Arguments travel through a mailbox, so they are owned.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Log(Vec<String>);

#[actor]
impl Log {
    #[handle]
    fn note(&mut self, entry: &str) {
        self.0.push(entry.to_owned());
    }
}

fn main() {}
