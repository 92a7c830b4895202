//! The length prefix: cuts the stream of bytes into frames.
//!
//! What a side sends after its proof has a [`Mask`] over the prefixes: bytes that strayed here from another connection
//! are then no frames, whatever they are about.
//!
//! Owns the part of a frame that has arrived so far. Invariant: it holds at most one frame's bytes, never more
//! than the limit and the prefix, and never more than arrived, rounded up to twice as much; a length past the
//! limit is refused before anything is kept for it.

use crate::bugs::bug;

/// Length of the length.
pub(crate) const PREFIX_BYTES: usize = 4;

/// A buffer larger than this is given back after its frame, so that one large frame does not stay paid for.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// What the length of each frame of one direction is xored with: nothing until the sender has proven itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mask(u32);

impl Mask {
    /// The mask of all that a side sends after this proof, which is as good as random and another in each connection.
    pub(crate) fn of(proof: &[u8; 32]) -> Self {
        if bug("bare-lengths") {
            return Self::default();
        }
        Self(u32::from_be_bytes([proof[0], proof[1], proof[2], proof[3]]))
    }

    /// The prefix of a frame of so many bytes.
    pub(crate) const fn prefix(self, length: u32) -> [u8; PREFIX_BYTES] {
        (length ^ self.0).to_be_bytes()
    }

    /// The length that a prefix says, if it is within the limit.
    fn length(self, prefix: [u8; PREFIX_BYTES], max: usize) -> Result<usize, Oversize> {
        let bytes = usize::try_from(u32::from_be_bytes(prefix) ^ self.0).unwrap_or(usize::MAX);
        if bytes > max { Err(Oversize { bytes, max }) } else { Ok(bytes) }
    }
}

/// A frame longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes, where {max} are the limit")]
pub(crate) struct Oversize {
    bytes: usize,
    max: usize,
}

/// Cuts frames out of whatever arrives.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// The frame under way, its prefix included.
    partial: Vec<u8>,
    /// Whether `partial` is a whole frame that has been handed out.
    done: bool,
}

impl FrameReader {
    /// The next whole frame, without its prefix, or `None` when `input` is used up. Takes from `input` what it
    /// needs. The mask may change between two frames.
    pub(crate) fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
        max: usize,
        mask: Mask,
    ) -> Result<Option<&'s [u8]>, Oversize> {
        if self.done {
            self.done = false;
            self.partial.clear();
            self.partial.shrink_to(KEPT_BYTES_MAX);
        }
        if self.partial.is_empty()
            && let Some((prefix, rest)) = input.split_first_chunk()
            && let Some((frame, rest)) = rest.split_at_checked(mask.length(*prefix, max)?)
        {
            *input = rest;
            return Ok(Some(frame));
        }
        self.fill(PREFIX_BYTES, input);
        let Some(prefix) = self.partial.first_chunk() else {
            return Ok(None);
        };
        let whole = PREFIX_BYTES + mask.length(*prefix, max)?;
        self.fill(whole, input);
        if self.partial.len() < whole {
            return Ok(None);
        }
        self.done = true;
        Ok(Some(&self.partial[PREFIX_BYTES..]))
    }

    /// Moves bytes from `input` until `partial` has at least `whole`.
    fn fill(&mut self, whole: usize, input: &mut &[u8]) {
        let (taken, rest) = input.split_at(input.len().min(whole.saturating_sub(self.partial.len())));
        let needed = self.partial.len() + taken.len();
        if needed > self.partial.capacity() {
            // Twice as much, so that a frame in many parts is not copied for each, but never past its end.
            let roomy = needed.max(2 * self.partial.capacity()).min(whole);
            self.partial.reserve_exact(roomy - self.partial.len());
        }
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: Mask = Mask(0x9a5f_03c1);

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for body in bodies {
            stream.extend_from_slice(&MASK.prefix(u32::try_from(body.len()).expect("small")));
            stream.extend_from_slice(body);
        }
        stream
    }

    proptest! {
        #[test]
        fn frames_survive_every_split(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            cuts in proptest::collection::vec(1usize..64, 1..16),
        ) {
            let stream = framed(&bodies);
            let (mut reader, mut seen, mut rest) = (FrameReader::default(), Vec::new(), stream.as_slice());
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (mut part, after) = rest.split_at(rest.len().min(*cuts.next().expect("endless")));
                rest = after;
                while let Some(frame) = reader.next(&mut part, 200, MASK).expect("within the limit") {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, bodies);
        }

        #[test]
        fn memory_stays_within_the_limit(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..50),
            max in 0usize..100_000,
            small in any::<bool>(),
        ) {
            let mut reader = FrameReader::default();
            for mut part in parts {
                if small && part.len() > 3 {
                    part[..2].copy_from_slice(&MASK.prefix(0)[..2]); // a length that is often within the limit
                }
                let mut input = part.as_slice();
                while let Ok(Some(frame)) = reader.next(&mut input, max, MASK) {
                    prop_assert!(frame.len() <= max);
                }
                prop_assert!(reader.partial.capacity() <= (max + PREFIX_BYTES).max(8));
            }
        }
    }

    #[test]
    fn the_limit_itself_passes_and_one_more_does_not() {
        let max = 1_000;
        for split in [1, 4, 5, 2_000] {
            let stream = framed(&[vec![7; max]]);
            let mut reader = FrameReader::default();
            let mut frames = 0;
            for mut part in stream.chunks(split) {
                while reader.next(&mut part, max, MASK).expect("fits").is_some() {
                    frames += 1;
                }
            }
            assert_eq!(frames, 1);

            let stream = framed(&[vec![7; max + 1]]);
            let mut reader = FrameReader::default();
            let refused = stream
                .chunks(split)
                .position(|mut part| reader.next(&mut part, max, MASK).is_err())
                .expect("refused");
            assert!(refused <= 3, "at the prefix, not at the end");
            assert!(reader.partial.capacity() <= 8);
        }
    }

    #[test]
    fn an_empty_part_changes_nothing() {
        let mut reader = FrameReader::default();
        let stream = framed(&[vec![7, 8]]);
        assert_eq!(reader.next(&mut &stream[..5], 2, MASK), Ok(None));
        assert_eq!(reader.next(&mut [].as_slice(), 2, MASK), Ok(None));
        assert_eq!(reader.next(&mut [8].as_slice(), 2, MASK), Ok(Some([7, 8].as_slice())));
    }

    #[test]
    fn a_frame_under_another_mask_is_none() {
        let stream = framed(&[vec![7; 1_000]]);
        let under = |mask| {
            FrameReader::default()
                .next(&mut stream.as_slice(), 16 << 20, mask)
                .map(|frame| frame.map(<[u8]>::len))
        };
        assert_eq!(under(MASK), Ok(Some(1_000)));
        // Most masks differ in a high bit.
        let bytes = 1_000 ^ (1 << 25);
        assert_eq!(under(Mask(MASK.0 ^ (1 << 25))), Err(Oversize { bytes, max: 16 << 20 }));
        // With others the frame seems longer or shorter than it is, which no array is.
        assert_eq!(under(Mask(MASK.0 ^ (1 << 20))), Ok(None));
        assert_eq!(under(Mask(MASK.0 ^ (1 << 5))), Ok(Some(1_000 ^ (1 << 5))));
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut reader = FrameReader::default();
        let stream = framed(&[vec![7; 1_000_000], vec![8; 10]]);
        let (first, second) = stream.split_at(500_000);
        assert_eq!(reader.next(&mut &*first, 1_000_000, MASK), Ok(None));
        let mut input = second;
        assert!(reader.next(&mut input, 1_000_000, MASK).expect("fits").is_some());
        assert!(reader.next(&mut input, 1_000_000, MASK).expect("fits").is_some());
        assert!(reader.partial.capacity() <= KEPT_BYTES_MAX);
    }
}
