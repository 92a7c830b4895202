//! Arguments are stored in an enum, so their types have names.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Log(Vec<String>);

#[actor]
impl Log {
    #[handle]
    fn note(&mut self, entry: impl Into<String>) {
        self.0.push(entry.into());
    }
}

fn main() {}
