//! The actors of a system by number, in little memory.
//!
//! Numbers rise and are never used again, and most actors that are born together die together: they stand in chunks
//! of consecutive numbers, and a chunk goes when its last actor does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inbox::Inbox;

/// Actors of one chunk: 16 bytes each, against some 45 as entries of a map of their own.
const CHUNK: usize = 32;

type Slot = Option<Arc<dyn Inbox>>;

#[derive(Default)]
pub(crate) struct Table {
    chunks: BTreeMap<u64, Box<Chunk>>,
    len: usize,
}

#[derive(Default)]
struct Chunk {
    live: u64,
    slots: [Slot; CHUNK],
}

impl Table {
    pub(crate) fn insert(&mut self, number: u64, actor: Arc<dyn Inbox>) {
        let (chunk, slot) = place(number);
        let chunk = self.chunks.entry(chunk).or_default();
        if chunk.slots[slot].replace(actor).is_none() {
            chunk.live += 1;
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Slot {
        let (at, slot) = place(number);
        let chunk = self.chunks.get_mut(&at)?;
        let actor = chunk.slots[slot].take()?;
        chunk.live -= 1;
        self.len -= 1;
        if chunk.live == 0 {
            self.chunks.remove(&at);
        }
        Some(actor)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Arc<dyn Inbox>> {
        let (chunk, slot) = place(number);
        self.chunks.get(&chunk)?.slots[slot].as_ref()
    }

    /// In order of their numbers.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<dyn Inbox>> {
        self.chunks.values().flat_map(|chunk| &chunk.slots).flatten()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

fn place(number: u64) -> (u64, usize) {
    let chunk = CHUNK as u64;
    let slot = usize::try_from(number % chunk).expect("less than the length of a chunk");
    (number / chunk, slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;
    use crate::tests::Idle;

    #[tokio::test]
    async fn actors_are_found_until_removed_and_chunks_go_with_their_last() {
        let system = System::new();
        let actor = |number| {
            let _ = system.spawn(Idle);
            Arc::clone(system.inbox_by_number(number).as_ref().expect("spawned"))
        };
        let mut table = Table::default();
        const LAST: u64 = CHUNK as u64 + 1;
        for number in 1..=LAST {
            table.insert(number, actor(number));
        }
        assert_eq!((table.len(), table.chunks.len()), (33, 2));
        let numbers: Vec<_> = table.iter().map(|actor| actor.number()).collect();
        assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
        assert!(table.remove(LAST - 1).is_some());
        assert!(table.remove(LAST - 1).is_none() && table.get(LAST - 1).is_none() && table.get(0).is_none());
        assert_eq!((table.len(), table.chunks.len()), (32, 2));
        assert_eq!(table.get(LAST).map(|actor| actor.number()), Some(LAST));
        assert!(table.remove(LAST).is_some());
        assert_eq!(table.chunks.len(), 1);
    }
}
