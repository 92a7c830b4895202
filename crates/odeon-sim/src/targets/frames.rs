//! Frames as a peer may send them.

use odeon_wire::Frame;

/// The first byte of several frames, each behind its length in one byte. No frame begins with it.
const SEVERAL: u8 = b'S';

/// Bytes are a frame or an error; what is a frame is the same frame after it was written and read again.
pub(crate) fn frame(bytes: &[u8]) {
    one(bytes);
    if let Some((&SEVERAL, mut rest)) = bytes.split_first() {
        while let Some((length, after)) = rest.split_first() {
            let (frame, after) = after.split_at(usize::from(*length).min(after.len()));
            one(frame);
            rest = after;
        }
    }
}

fn one(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else { return };
    let mut written = Vec::new();
    frame.encode(&mut written);
    let again = Frame::decode(&written).expect("what was written can be read");
    assert_eq!(again, frame, "a frame changed on its way");
    let mut rewritten = Vec::new();
    again.encode(&mut rewritten);
    assert_eq!(rewritten, written, "a frame has one encoding");
}
