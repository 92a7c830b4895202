//! Every message in a mailbox takes the room of the largest.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Picture([u8; 256]);

#[actor]
impl Picture {
    #[handle]
    fn set(&mut self, pixels: [u8; 256]) {
        self.0 = pixels;
    }
}

fn main() {}
