//! Bytes that wait to be handed to the transport, in two lanes.
//!
//! The control lane goes first: credit, pings and cancels never wait for more than the segment under way. It may
//! send [`CONTROL_BURST_BYTES`] ahead of each segment of data, so that it does not starve them. The data lane is in
//! order, but for frames above [`CHUNK_BYTES`]: each of these begins when what was queued before it has left, and
//! goes out chunk by chunk, one frame at a time, with data of others between the chunks. What must not overtake it
//! waits behind it.
//!
//! Frames are encoded straight into segments, many to a segment, so that one write carries many messages and
//! nothing is moved when a part has been taken.

use std::collections::VecDeque;

use crate::bugs::bug;
use crate::frame::Frame;
use crate::framing::{Mask, PREFIX_BYTES};
use crate::limits::{CHUNK_BYTES, CONTROL_BURST_BYTES};
use crate::quick;

/// A segment is closed once it has this many bytes: about what one write call takes.
const SEGMENT_BYTES: usize = 64 * 1024;

/// Bytes of a frame in one chunk: with them the chunk is itself no longer than [`CHUNK_BYTES`].
const PART_BYTES: usize = CHUNK_BYTES - 16;

/// Bytes that an idle outbox may keep for the next segment.
const SPARE_BYTES_MAX: usize = 2 * SEGMENT_BYTES;

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

/// How much may be queued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Largest frame.
    pub(crate) frame_bytes_max: usize,
    /// Most bytes that may wait, the frame's included.
    pub(crate) bytes_max: usize,
}

/// Where a frame was queued, for what must not overtake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among the small frames, up to this many bytes of the data lane.
    Among(u64),
    /// As the large frame of this number, or behind it.
    Large(u64),
}

/// A frame that travels in chunks.
#[derive(Debug)]
struct Large {
    bytes: Vec<u8>,
    sent: usize,
    /// It begins when so many bytes of the data lane have left.
    begins_at: u64,
    /// Whole frames, with prefixes, that wait behind it.
    behind: Vec<u8>,
}

/// The queue of encoded frames.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The segment under way, and how much of it has been taken.
    current: Vec<u8>,
    taken: usize,
    control: Vec<u8>,
    /// Bytes of control since the last segment of data.
    burst: usize,
    data: VecDeque<Vec<u8>>,
    /// Bytes of the data lane ever queued, and ever begun to leave.
    queued: u64,
    left: u64,
    large: VecDeque<Large>,
    /// The number of the first in `large`.
    first_large: u64,
    is_chunks_turn: bool,
    bytes: usize,
    spare: Vec<u8>,
    /// Over the prefixes of what is queued from now on.
    mask: Mask,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on frames are queued under this mask.
    pub(crate) const fn put_on(&mut self, mask: Mask) {
        self.mask = mask;
    }

    /// Queues a control frame: it goes before all data.
    pub(crate) fn push_control(&mut self, frame: &Frame<'_>, room: Room) -> Result<(), Unqueued> {
        if bug("drop-control") {
            return Ok(());
        }
        let bytes = append(&mut self.control, self.mask, self.bytes, room, |out| frame.encode(out))?;
        self.bytes += bytes;
        Ok(())
    }

    /// Queues a frame that `write` writes, `hint` bytes or less, behind what its flow waits for, if anything.
    pub(crate) fn push(
        &mut self,
        behind: Option<u64>,
        hint: usize,
        room: Room,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Place, Unqueued> {
        if hint > CHUNK_BYTES {
            return self.push_large(hint, room, write);
        }
        let behind = behind.filter(|_| !bug("overtake-chunks"));
        let pending = behind.and_then(|number| number.checked_sub(self.first_large));
        if let Some(large) = pending.and_then(|index| self.large.get_mut(usize::try_from(index).ok()?)) {
            self.bytes += append(&mut large.behind, self.mask, self.bytes, room, write)?;
            return Ok(Place::Large(behind.unwrap_or_default()));
        }
        let size = PREFIX_BYTES + hint;
        if self.data.back().is_none_or(|segment| segment.len() + size > SEGMENT_BYTES) {
            let segment = std::mem::take(&mut self.spare);
            self.data.push_back(segment);
        }
        let segment = self.data.back_mut().expect("one has just been put there");
        let outcome = append(segment, self.mask, self.bytes, room, write);
        if segment.is_empty() {
            self.data.pop_back();
        }
        let bytes = outcome?;
        self.bytes += bytes;
        self.queued += as_u64(bytes);
        Ok(Place::Among(self.queued))
    }

    /// Queues a frame behind everything that waits.
    pub(crate) fn push_last(&mut self, frame: &Frame<'_>, room: Room) -> Result<Place, Unqueued> {
        let last = self.large.len().checked_sub(1).map(|last| self.first_large + as_u64(last));
        // Less than a chunk, whatever the text in it.
        self.push(last, quick::HEAD_BYTES_MAX, room, |out| frame.encode(out))
    }

    /// Queues a frame of the data lane that must not overtake what is at `place`, and may overtake the rest.
    pub(crate) fn push_after(&mut self, place: Place, frame: &Frame<'_>, room: Room) -> Result<(), Unqueued> {
        match place {
            Place::Among(at) if at <= self.left => self.push_control(frame, room),
            Place::Among(_) => {
                self.push(None, quick::HEAD_BYTES_MAX, room, |out| frame.encode(out)).map(drop)
            }
            Place::Large(number) => {
                self.push(Some(number), quick::HEAD_BYTES_MAX, room, |out| frame.encode(out)).map(drop)
            }
        }
    }

    fn push_large(
        &mut self,
        hint: usize,
        room: Room,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Place, Unqueued> {
        let mut bytes = Vec::with_capacity(hint);
        write(&mut bytes);
        check(bytes.len(), self.bytes, room)?;
        self.bytes += bytes.len();
        let number = self.first_large + as_u64(self.large.len());
        self.large.push_back(Large { bytes, sent: 0, begins_at: self.queued, behind: Vec::new() });
        Ok(Place::Large(number))
    }

    /// Appends at most `max` bytes to `out`, and says whether there were any.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>, max: usize) -> bool {
        let before = out.len();
        let end = before.saturating_add(max);
        while out.len() < end {
            if self.taken == self.current.len() && !self.next_segment() {
                break;
            }
            let part = &self.current[self.taken..];
            let part = &part[..part.len().min(end - out.len())];
            out.extend_from_slice(part);
            self.taken += part.len();
            self.bytes -= part.len();
        }
        out.len() > before
    }

    /// Makes the next segment the current one, if there is any.
    fn next_segment(&mut self) -> bool {
        self.taken = 0;
        let mut used = std::mem::take(&mut self.current);
        used.clear();
        let has_data = !self.data.is_empty() || !self.large.is_empty();
        let is_controls_turn = !has_data || self.burst < CONTROL_BURST_BYTES;
        if is_controls_turn && !self.control.is_empty() {
            self.burst += self.control.len();
            self.current = std::mem::replace(&mut self.control, used);
            return true;
        }
        self.burst = 0;
        let is_ready = self.large.front().is_some_and(|large| large.begins_at <= self.left);
        if is_ready && (self.is_chunks_turn || self.data.is_empty()) {
            self.current = used;
            self.next_chunk();
            self.is_chunks_turn = false;
            return true;
        }
        self.is_chunks_turn = true;
        if used.capacity() <= SPARE_BYTES_MAX {
            self.spare = used;
        }
        let Some(segment) = self.data.pop_front() else {
            return false;
        };
        self.left += as_u64(segment.len());
        self.current = segment;
        true
    }

    fn next_chunk(&mut self) {
        let Some(large) = self.large.front_mut() else {
            return;
        };
        let part = &large.bytes[large.sent..];
        let part = &part[..part.len().min(PART_BYTES)];
        large.sent += part.len();
        let left = large.bytes.len() - large.sent;
        self.current.extend_from_slice(&[0; PREFIX_BYTES]);
        quick::chunk(as_u64(left), part, &mut self.current);
        self.bytes += self.current.len() - part.len();
        close_frame(&mut self.current, 0, self.mask);
        if left == 0 {
            let behind = self.large.pop_front().map(|large| large.behind).unwrap_or_default();
            self.first_large += 1;
            if !behind.is_empty() {
                self.queued += as_u64(behind.len());
                self.data.push_back(behind);
                // It may go on with a flow of which the next large frame is a later message.
                if let Some(next) = self.large.front_mut() {
                    next.begins_at = self.queued;
                }
            }
        }
    }

    /// Gives back the memory that only a busy link needs.
    pub(crate) fn relax(&mut self) {
        self.spare = Vec::new();
        if self.taken == self.current.len() {
            self.current = Vec::new();
            self.taken = 0;
        }
        if self.control.is_empty() {
            self.control = Vec::new();
        }
        self.data.shrink_to(0);
        self.large.shrink_to(0);
    }

    /// Forgets everything but the mask.
    pub(crate) fn clear(&mut self) {
        *self = Self { mask: self.mask, ..Self::default() };
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits")
}

/// Whether a frame of `bytes` may be queued where `waiting` bytes are. An empty queue takes any one frame, so that
/// a large one is not put off for ever.
fn check(bytes: usize, waiting: usize, room: Room) -> Result<(), Unqueued> {
    if bytes > room.frame_bytes_max || u32::try_from(bytes).is_err() {
        return Err(Unqueued::TooLarge { bytes });
    }
    if waiting > 0 && waiting + PREFIX_BYTES + bytes > room.bytes_max {
        return Err(Unqueued::Full);
    }
    Ok(())
}

/// Appends a frame with its prefix, or nothing. Returns how many bytes.
fn append(
    out: &mut Vec<u8>,
    mask: Mask,
    waiting: usize,
    room: Room,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, Unqueued> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    write(out);
    let bytes = out.len() - start - PREFIX_BYTES;
    match check(bytes, waiting, room) {
        Ok(()) => {
            close_frame(out, start, mask);
            Ok(PREFIX_BYTES + bytes)
        }
        Err(unqueued) => {
            out.truncate(start);
            Err(unqueued)
        }
    }
}

/// Fills in the prefix of the frame that begins at `start`.
fn close_frame(out: &mut [u8], start: usize, mask: Mask) {
    let bytes = out.len() - start - PREFIX_BYTES;
    let length = u32::try_from(bytes).expect("frames are checked against a limit below 4 GiB");
    out[start..start + PREFIX_BYTES].copy_from_slice(&mask.prefix(length));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { frame_bytes_max: 16 << 20, bytes_max: 64 << 20 };

    fn bye(length: usize) -> Frame<'static> {
        Frame::Bye { reason: "x".repeat(length) }
    }

    fn push(outbox: &mut Outbox, frame: &Frame<'_>, room: Room) -> Result<Place, Unqueued> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        outbox.push(None, bytes.len().min(CHUNK_BYTES), room, |out| out.extend(&bytes))
    }

    fn room(frame_bytes_max: usize, bytes_max: usize) -> Room {
        Room { frame_bytes_max, bytes_max }
    }

    fn taken(outbox: &mut Outbox, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while outbox.take(&mut out, max) {}
        assert_eq!(outbox.bytes(), 0);
        out
    }

    /// What leaves, frame by frame: the name, and the bytes.
    fn frames(mut bytes: &[u8]) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("small");
            frames.push(match Frame::decode(&rest[..length]).expect("a frame") {
                Frame::Bye { reason } => format!("bye {}", reason.len()),
                Frame::Ping { n } => format!("ping {n}"),
                Frame::Chunk { left, part } => format!("chunk {} of {left}", part.len()),
                other => other.name().to_owned(),
            });
            bytes = &rest[length..];
        }
        frames
    }

    /// Queues a frame of `bytes` bytes that travels in chunks.
    fn push_large(outbox: &mut Outbox, bytes: usize) -> u64 {
        match outbox.push(None, bytes, ROOM, |out| out.extend(std::iter::repeat_n(7, bytes))) {
            Ok(Place::Large(number)) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_taken_is_what_was_pushed_whatever_the_portions() {
        let mut streams = Vec::new();
        for max in [1, 7, 4_096, 1_000_000] {
            let mut outbox = Outbox::default();
            for length in [1, 70_000, 5, 64_000, 3_000, 2] {
                push(&mut outbox, &bye(length), ROOM).expect("room");
            }
            push_large(&mut outbox, 150_000);
            streams.push(taken(&mut outbox, max));
        }
        assert!(streams.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_refused_frame_leaves_no_byte() {
        let mut outbox = Outbox::default();
        push(&mut outbox, &bye(10), room(100, 1_000)).expect("room");
        let before = outbox.bytes();
        let too_large = Err(Unqueued::TooLarge { bytes: 204 });
        assert_eq!(push(&mut outbox, &bye(200), room(100, 1_000)), too_large);
        assert_eq!(outbox.push_control(&bye(200), room(100, 1_000)).err(), too_large.err());
        assert_eq!(push(&mut outbox, &bye(10), room(100, before)), Err(Unqueued::Full));
        assert_eq!(outbox.bytes(), before);
        assert_eq!(taken(&mut outbox, 1_000).len(), before);
    }

    #[test]
    fn the_queue_is_filled_to_the_last_byte_and_no_further() {
        let mut outbox = Outbox::default();
        push(&mut outbox, &bye(10), room(100, 0)).expect("an empty queue takes one");
        let one = outbox.bytes();
        assert_eq!(push(&mut outbox, &bye(10), room(100, 2 * one - 1)), Err(Unqueued::Full));
        push(&mut outbox, &bye(10), room(100, 2 * one)).expect("room to the byte");
        assert_eq!(outbox.bytes(), 2 * one);
    }

    #[test]
    fn a_frame_of_the_largest_size_passes() {
        let mut outbox = Outbox::default();
        // `[17, "…"]`: array, number, and a text of 24 to 255 bytes with a two-byte head.
        let too_large = Err(Unqueued::TooLarge { bytes: 101 });
        assert_eq!(push(&mut outbox, &bye(97), room(100, 1_000)), too_large);
        push(&mut outbox, &bye(96), room(100, 1_000)).expect("the limit itself");
    }

    #[test]
    fn control_goes_first_and_does_not_starve_data() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            push(&mut outbox, &bye(60_000), ROOM).expect("room");
        }
        outbox.push_control(&Frame::Ping { n: 1 }, ROOM).expect("room");
        let mut out = Vec::new();
        outbox.take(&mut out, 9_000);
        outbox.push_control(&Frame::Ping { n: 2 }, ROOM).expect("room");
        while outbox.take(&mut out, 9_000) {
            // As much control as goes ahead of one segment, again and again.
            if outbox.data.len() == 1 && outbox.control.is_empty() {
                let many = CONTROL_BURST_BYTES / 7 + 1;
                (0..many).for_each(|n| {
                    let n = 1_000 + u64::try_from(n % 10).expect("small");
                    outbox.push_control(&Frame::Ping { n }, ROOM).expect("room");
                });
            }
        }
        let seen = frames(&out);
        assert_eq!(seen[..3], ["ping 1", "bye 60000", "ping 2"]);
        assert_eq!(seen.iter().filter(|frame| *frame == "bye 60000").count(), 3);
        let last = seen.iter().rposition(|frame| frame == "bye 60000").expect("it left");
        assert!(last < 3 * CONTROL_BURST_BYTES / 7, "data waited for {last} frames");
    }

    #[test]
    fn a_large_frame_lets_others_pass_and_not_its_own() {
        let mut outbox = Outbox::default();
        push(&mut outbox, &bye(1), ROOM).expect("room");
        let large = push_large(&mut outbox, 3 * PART_BYTES);
        let behind = |outbox: &mut Outbox, length| {
            let frame = bye(length);
            outbox.push(Some(large), 0, ROOM, |out| frame.encode(out)).expect("room");
        };
        behind(&mut outbox, 2);
        push(&mut outbox, &bye(3), ROOM).expect("room");
        behind(&mut outbox, 4);
        outbox.push_last(&bye(5), ROOM).expect("room");
        push_large(&mut outbox, CHUNK_BYTES + 1);
        outbox.push_after(Place::Large(large), &Frame::Ping { n: 6 }, ROOM).expect("room");
        let seen = frames(&taken(&mut outbox, 64));
        let all = &seen[..];
        assert_eq!(
            all,
            [
                "bye 1",
                "bye 3",
                "chunk 65520 of 131040",
                "chunk 65520 of 65520",
                "chunk 65520 of 0",
                "bye 2",
                "bye 4",
                "bye 5",
                "ping 6",
                "chunk 65520 of 17",
                "chunk 17 of 0",
            ]
        );
        // Once it has left, nothing waits for it.
        behind(&mut outbox, 7);
        assert_eq!(frames(&taken(&mut outbox, 64)), ["bye 7"]);
    }

    #[test]
    fn what_comes_after_a_frame_that_left_is_control() {
        let mut outbox = Outbox::default();
        let first = push(&mut outbox, &bye(1), ROOM).expect("room");
        let last = push(&mut outbox, &bye(70_000), ROOM).expect("room");
        let mut out = Vec::new();
        outbox.take(&mut out, 1);
        outbox.push_after(last, &Frame::Ping { n: 2 }, ROOM).expect("room");
        outbox.push_after(first, &Frame::Ping { n: 1 }, ROOM).expect("room");
        while outbox.take(&mut out, 1_000) {}
        assert_eq!(frames(&out), ["bye 1", "ping 1", "bye 70000", "ping 2"]);
    }
}
