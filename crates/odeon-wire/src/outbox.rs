//! Bytes that wait to be handed to the transport.
//!
//! Frames are encoded straight into chunks, many to a chunk, so that one write carries many messages and
//! nothing is moved when a part has been taken.

use std::collections::VecDeque;

use crate::frame::Frame;
use crate::framing::PREFIX_BYTES;

/// A chunk is closed once it has this many bytes: about what one write call takes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a frame was not queued. Nothing of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unqueued {
    /// It is longer than the limit.
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// With it, too much would wait.
    Full,
}

/// The queue of encoded frames.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Vec<u8>>,
    /// How much of the first chunk has been taken.
    taken: usize,
    bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Queues `frame`, if it has at most `frame_bytes_max` bytes and no more than `bytes_max` wait with it. An
    /// empty queue takes any one frame, so that a large one is not put off for ever.
    pub(crate) fn push(
        &mut self,
        frame: &Frame<'_>,
        frame_bytes_max: usize,
        bytes_max: usize,
    ) -> Result<(), Unqueued> {
        let size_hint = PREFIX_BYTES + frame.size_hint();
        let joins = |chunk: &Vec<u8>| chunk.len() + size_hint <= CHUNK_BYTES;
        let mut chunk = match self.chunks.pop_back_if(|chunk| joins(chunk)) {
            Some(chunk) => chunk,
            None => Vec::with_capacity(size_hint),
        };
        let start = chunk.len();
        chunk.extend_from_slice(&[0; PREFIX_BYTES]);
        frame.encode(&mut chunk);
        let bytes = chunk.len() - start - PREFIX_BYTES;
        let full = self.bytes > 0 && self.bytes + PREFIX_BYTES + bytes > bytes_max;
        let outcome = match u32::try_from(bytes) {
            Ok(length) if bytes <= frame_bytes_max && !full => {
                chunk[start..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
                self.bytes += PREFIX_BYTES + bytes;
                Ok(())
            }
            Ok(_) if bytes <= frame_bytes_max => Err(Unqueued::Full),
            _ => Err(Unqueued::TooLarge { bytes }),
        };
        if outcome.is_err() {
            chunk.truncate(start);
        }
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
        outcome
    }

    /// Appends at most `max` bytes to `out`, and says whether there were any.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>, max: usize) -> bool {
        let before = out.len();
        let mut room = max;
        while room > 0
            && let Some(chunk) = self.chunks.front()
        {
            let part = &chunk[self.taken..];
            let part = &part[..part.len().min(room)];
            out.extend_from_slice(part);
            room -= part.len();
            self.taken += part.len();
            if self.taken == chunk.len() {
                self.chunks.pop_front();
                self.taken = 0;
            }
        }
        self.bytes -= out.len() - before;
        out.len() > before
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bye(length: usize) -> Frame<'static> {
        Frame::Bye { reason: "x".repeat(length) }
    }

    fn taken(outbox: &mut Outbox, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while outbox.take(&mut out, max) {}
        out
    }

    #[test]
    fn what_is_taken_is_what_was_pushed_whatever_the_portions() {
        let frames: Vec<_> = [1, 70_000, 5, 64_000, 3_000, 2].map(bye).into();
        let mut streams = Vec::new();
        for max in [1, 7, 4_096, 1_000_000] {
            let mut outbox = Outbox::default();
            for frame in &frames {
                outbox.push(frame, 100_000, 1_000_000).expect("room");
            }
            let waiting = outbox.bytes();
            let stream = taken(&mut outbox, max);
            assert_eq!((stream.len(), outbox.bytes()), (waiting, 0));
            streams.push(stream);
        }
        assert!(streams.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_refused_frame_leaves_no_byte() {
        let mut outbox = Outbox::default();
        outbox.push(&bye(10), 100, 1_000).expect("room");
        let before = outbox.bytes();
        assert_eq!(outbox.push(&bye(200), 100, 1_000), Err(Unqueued::TooLarge { bytes: 204 }));
        assert_eq!(outbox.push(&bye(10), 100, before), Err(Unqueued::Full));
        assert_eq!(outbox.bytes(), before);
        assert_eq!(taken(&mut outbox, 1_000).len(), before);
    }

    #[test]
    fn the_queue_is_filled_to_the_last_byte_and_no_further() {
        let mut outbox = Outbox::default();
        outbox.push(&bye(10), 100, 0).expect("an empty queue takes one");
        let one = outbox.bytes();
        assert_eq!(outbox.push(&bye(10), 100, 2 * one - 1), Err(Unqueued::Full));
        outbox.push(&bye(10), 100, 2 * one).expect("room to the byte");
        assert_eq!(outbox.bytes(), 2 * one);
    }

    #[test]
    fn a_frame_of_the_largest_size_passes() {
        let mut outbox = Outbox::default();
        // `[17, "…"]`: array, number, and a text of 24 to 255 bytes with a two-byte head.
        assert_eq!(outbox.push(&bye(97), 100, 1_000), Err(Unqueued::TooLarge { bytes: 101 }));
        outbox.push(&bye(96), 100, 1_000).expect("the limit itself");
    }
}
