//! Arguments are stored in an enum, so their types are concrete.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Log(Vec<String>);

#[actor]
impl Log {
    #[handle]
    fn note<T: ToString>(&mut self, entry: T) {
        self.0.push(entry.to_string());
    }
}

fn main() {}
