//! Fingerprints: whether two builds of a program mean the same bytes by a mark.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minicbor::{Decode, Encode};

use crate::message::linked_types;
use crate::protocol::{Protocol, protocols};
use crate::shape::{Outline, Shape};

/// The hash of a [`Shape`]: equal on both sides of a link, values travel without their names, compactly.
///
/// It is the FNV-1a hash of the shape's text, 128 bits folded to 64. That is no secret and proves nothing: who
/// sends a wrong one is answered as who sends a wrong payload. Text and hash are frozen; another text begins
/// with another line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Fingerprint(#[n(0)] u64);

impl Fingerprint {
    /// The fingerprint of a type; none of one that is opaque.
    #[must_use]
    pub fn of<T: Shape>() -> Option<Self> {
        Self::written(T::shape)
    }

    /// The fingerprint of what `write` outlines; none if that is opaque.
    #[must_use]
    pub fn written(write: impl FnOnce(&mut Outline)) -> Option<Self> {
        Outline::text_of(write).map(|text| Self(folded(fnv1a(text.as_bytes()))))
    }

    /// The fingerprint of a method: of its arguments and its reply.
    #[must_use]
    pub fn of_method(arguments: impl FnOnce(&mut Outline), reply: impl FnOnce(&mut Outline)) -> Option<Self> {
        Self::written(|to| {
            to.named("arguments", arguments);
            to.named("reply", reply);
        })
    }

    /// The fingerprint of this number, as a peer has sent it.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number that travels.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

fn folded(hash: u128) -> u64 {
    let bytes = hash.to_be_bytes();
    let half = |from: usize| bytes[from..from + 8].iter().fold(0, |half, byte| half << 8 | u64::from(*byte));
    half(0) ^ half(8)
}

/// Every mark linked into this program. A mark that means two things in it has no fingerprint.
static LINKED: LazyLock<ByMark> = LazyLock::new(|| {
    let types = linked_types().map(|ty| (ty.mark, (ty.fingerprint)()));
    let methods = protocols().flat_map(|protocol| protocol.methods);
    by_mark(types.chain(methods.map(|method| (method.mark, (method.fingerprint)()))))
});

type ByMark = BTreeMap<&'static str, Option<Fingerprint>>;

fn by_mark(all: impl Iterator<Item = (&'static str, Option<Fingerprint>)>) -> ByMark {
    let mut known = ByMark::new();
    for (mark, fingerprint) in all {
        let first = known.entry(mark).or_insert(fingerprint);
        if *first != fingerprint {
            *first = None;
        }
    }
    known
}

/// The fingerprint of a message type or method of this program: none for one that is unknown, is opaque, or whose mark
/// belongs to two types that differ.
#[must_use]
pub fn fingerprint(mark: &str) -> Option<Fingerprint> {
    LINKED.get(mark).copied().flatten()
}

/// The fingerprints by which a server knows what it sends and takes; by default those of its program.
#[derive(Clone, Default)]
pub struct Fingerprints(Option<Arc<ByMark>>);

impl Fingerprints {
    /// Those of all that this program links, as [`fingerprint`] says them.
    #[must_use]
    pub const fn linked() -> Self {
        Self(None)
    }

    /// None at all: whatever the server sends and gets is readable, with its names.
    #[must_use]
    pub fn none() -> Self {
        Self::of(&[])
    }

    /// Those of these protocols alone; for several builds of one program in one process.
    #[must_use]
    pub fn of(protocols: &[&'static Protocol]) -> Self {
        let methods = protocols.iter().flat_map(|protocol| protocol.methods);
        Self(Some(Arc::new(by_mark(methods.map(|method| (method.mark, (method.fingerprint)()))))))
    }

    /// The fingerprint of what `mark` names.
    #[must_use]
    pub fn get(&self, mark: &str) -> Option<Fingerprint> {
        match &self.0 {
            Some(known) => known.get(mark).copied().flatten(),
            None => fingerprint(mark),
        }
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.as_ref().map_or_else(|| LINKED.len(), |known| known.len());
        f.debug_struct("Fingerprints").field("known", &known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv1a(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn a_mark_that_means_two_things_has_no_fingerprint() {
        let (one, other) = (Fingerprint::of::<u8>(), Fingerprint::of::<u16>());
        let known =
            by_mark([("a/1", one), ("b/1", one), ("a/1", other), ("b/1", one), ("a/1", one)].into_iter());
        assert_eq!(known["a/1"], None);
        assert_eq!(known["b/1"], one);
    }

    #[test]
    fn a_hash_is_folded_by_its_halves() {
        assert_eq!(folded(0x0123_4567_89ab_cdef_1111_1111_1111_1111), 0x1032_5476_98ba_dcfe);
    }
}
