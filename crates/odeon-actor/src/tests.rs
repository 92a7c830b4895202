//! Unit tests that look at what users do not see, and what they share.

use std::mem::size_of;

use crate::life::Life;
use crate::local::Local;
use crate::{Actor, Cx, Envelope};

/// Does nothing.
pub(crate) struct Idle;

impl Actor for Idle {
    type Message = ();

    async fn handle(&mut self, (): (), _: &mut Cx<Self>) {}
}

/// An idle actor is this block, its life, and 16 bytes in the table: with the allocator's own bytes less than 400.
#[test]
fn the_block_of_an_actor_stays_small() {
    let block = size_of::<Local<Idle>>();
    let life = size_of::<Life>();
    assert!(block <= 264 && life <= 64, "the block has {block} bytes, the life {life}");
    assert!(size_of::<Envelope<()>>() <= 32, "what is known of a message besides itself");
}
