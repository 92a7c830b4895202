//! Frames as a peer may send them.

use odeon_wire::Frame;

/// Bytes are a frame or an error; what is a frame is the same frame after it was written and read again.
pub(crate) fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else { return };
    let mut written = Vec::new();
    frame.encode(&mut written);
    let again = Frame::decode(&written).expect("what was written can be read");
    assert_eq!(again, frame, "a frame changed on its way");
    let mut rewritten = Vec::new();
    again.encode(&mut rewritten);
    assert_eq!(rewritten, written, "a frame has one encoding");
}
