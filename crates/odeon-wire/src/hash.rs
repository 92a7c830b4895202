//! A fast hash without a seed, for a table whose keys are this side's own: the types it sends, which stand in
//! programs of this side. Keys that hash alike are easily made, so no table whose keys a peer can choose may
//! use it: the names of actors are such keys, since they come in references from everywhere.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table with the fast hash.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

/// Multiplies and rotates, eight bytes at a time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fast(u64);

impl Fast {
    const fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ (u64::try_from(rest.len()).unwrap_or_default() << 56));
    }

    fn write_u8(&mut self, n: u8) {
        self.add(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }

    fn finish(&self) -> u64 {
        // The table looks at the low bits, which the multiplication mixes least.
        self.0.rotate_left(26)
    }
}
