//! An actor's messages are one enum, so it cannot be generic.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Store<T>(Vec<T>);

#[actor]
impl<T: Send + 'static> Store<T> {
    #[handle]
    fn put(&mut self, item: T) {
        self.0.push(item);
    }
}

fn main() {}
