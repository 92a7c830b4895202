//! Messages and replies, read and written by hand: most frames are one of these, and the derived code takes
//! several times as long for the same bytes. A frame that is none of them, or unusual, goes the long way.

use odeon_core::Encoding;

use crate::frame::{Body, Frame};

/// Most bytes of a message or a reply beside its payload.
pub(crate) const HEAD_BYTES_MAX: usize = 80;

/// Reads a tell, an ask or a reply in its usual form; nothing, of anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let mut input = Input(rest);
    let frame = match head {
        [0x82, 5] => Frame::Tell(input.body()?),
        [0x83, 6] => Frame::Ask { ask_id: input.uint()?, body: input.body()? },
        [0x84, 7] => {
            Frame::Reply { ask_id: input.uint()?, encoding: input.encoding()?, payload: input.bytes()? }
        }
        _ => return None,
    };
    input.0.is_empty().then_some(frame)
}

struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// The argument of an item whose first byte, without its type, is `head`.
    fn argument(&mut self, head: u8) -> Option<u64> {
        Some(match head {
            0..=23 => u64::from(head),
            24 => u64::from(self.byte()?),
            25 => u64::from(u16::from_be_bytes(self.array()?)),
            26 => u64::from(u32::from_be_bytes(self.array()?)),
            27 => u64::from_be_bytes(self.array()?),
            _ => return None,
        })
    }

    fn uint(&mut self) -> Option<u64> {
        let head = self.byte()?;
        self.argument(head)
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.uint()?).ok()
    }

    fn encoding(&mut self) -> Option<Encoding> {
        match self.byte()? {
            0 => Some(Encoding::Cbor),
            1 => Some(Encoding::Json),
            number => minicbor::decode(&[number]).ok(),
        }
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let head = self.byte()?.checked_sub(0x40)?;
        let length = usize::try_from(self.argument(head)?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number, or null.
    fn optional(&mut self) -> Option<Option<u64>> {
        Some(match self.byte()? {
            0xf6 => None,
            head => Some(self.argument(head)?),
        })
    }

    fn body(&mut self) -> Option<Body<'b>> {
        let fields = self.byte()?;
        if !(0x87..=0x89).contains(&fields) {
            return None;
        }
        Some(Body {
            flow: self.small()?,
            seq: self.uint()?,
            from: self.uint()?,
            type_id: self.small()?,
            encoding: self.encoding()?,
            expires_in_ms: self.optional()?,
            payload: self.bytes()?,
            nonce: if fields > 0x87 { self.optional()? } else { None },
            in_reply_to: if fields > 0x88 { self.optional()? } else { None },
        })
    }
}

/// Appends a tell.
pub(crate) fn tell(body: &Body<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x82, 5]);
    encode_body(body, out);
}

/// Appends an ask.
pub(crate) fn ask(ask_id: u64, body: &Body<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x83, 6]);
    item(0, ask_id, out);
    encode_body(body, out);
}

/// Appends a reply.
pub(crate) fn reply(ask_id: u64, encoding: Encoding, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x84, 7]);
    item(0, ask_id, out);
    encode_encoding(encoding, out);
    encode_bytes(payload, out);
}

/// Appends a chunk.
pub(crate) fn chunk(left: u64, part: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x83, 23]);
    item(0, left, out);
    encode_bytes(part, out);
}

fn encode_body(body: &Body<'_>, out: &mut Vec<u8>) {
    // Options at the end that are absent are left out.
    let fields = match (body.nonce, body.in_reply_to) {
        (None, None) => 0x87,
        (Some(_), None) => 0x88,
        (_, Some(_)) => 0x89,
    };
    out.push(fields);
    item(0, u64::from(body.flow), out);
    item(0, body.seq, out);
    item(0, body.from, out);
    item(0, u64::from(body.type_id), out);
    encode_encoding(body.encoding, out);
    encode_optional(body.expires_in_ms, out);
    encode_bytes(body.payload, out);
    if fields > 0x87 {
        encode_optional(body.nonce, out);
    }
    if fields > 0x88 {
        encode_optional(body.in_reply_to, out);
    }
}

fn encode_optional(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => item(0, number, out),
        None => out.push(0xf6),
    }
}

fn encode_encoding(encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Cbor => out.push(0),
        Encoding::Json => out.push(1),
        other => minicbor::encode(other, out).expect("a vector takes all bytes"),
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    item(0x40, u64::try_from(bytes.len()).expect("a length fits"), out);
    out.extend_from_slice(bytes);
}

/// The head of an item of the type whose high bits are `kind`, in the shortest form.
fn item(kind: u8, argument: u64, out: &mut Vec<u8>) {
    if let Ok(byte) = u8::try_from(argument) {
        if byte < 24 {
            out.push(kind | byte);
        } else {
            out.extend_from_slice(&[kind | 24, byte]);
        }
    } else if let Ok(short) = u16::try_from(argument) {
        out.push(kind | 25);
        out.extend_from_slice(&short.to_be_bytes());
    } else if let Ok(word) = u32::try_from(argument) {
        out.push(kind | 26);
        out.extend_from_slice(&word.to_be_bytes());
    } else {
        out.push(kind | 27);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn by_hand_and_derived_the_bytes_are_the_same(
            numbers in proptest::array::uniform4(prop_oneof![0u64..300, any::<u64>(), 65_000u64..66_000]),
            small in any::<u32>(),
            expires_in_ms in proptest::option::of(any::<u64>()),
            nonce in proptest::option::of(any::<u64>()),
            in_reply_to in proptest::option::of(any::<u64>()),
            is_json in any::<bool>(),
            payload in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let [ask_id, seq, from, left] = numbers;
            let encoding = if is_json { Encoding::Json } else { Encoding::Cbor };
            let body = Body {
                flow: small, seq, from, type_id: small / 3, encoding, expires_in_ms, payload: &payload,
                nonce, in_reply_to,
            };
            let mut written = [const { Vec::new() }; 4];
            tell(&body, &mut written[0]);
            ask(ask_id, &body, &mut written[1]);
            reply(ask_id, encoding, &payload, &mut written[2]);
            chunk(left, &payload, &mut written[3]);
            let frames = [
                Frame::Tell(body.clone()),
                Frame::Ask { ask_id, body },
                Frame::Reply { ask_id, encoding, payload: &payload },
                Frame::Chunk { left, part: &payload },
            ];
            for (bytes, frame) in written.iter().zip(&frames) {
                let mut derived = Vec::new();
                frame.encode(&mut derived);
                prop_assert_eq!(bytes, &derived);
                prop_assert!(bytes.len() <= payload.len() + HEAD_BYTES_MAX);
                if !matches!(frame, Frame::Chunk { .. }) {
                    prop_assert_eq!(decode(bytes), Some(frame.clone()));
                }
            }
        }

        #[test]
        fn what_is_read_by_hand_is_read_the_same_way_by_the_derived_code(
            number in 5u8..8,
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = bytes;
            bytes.splice(0..0, [0x82 + (number - 5), number]);
            if let Some(frame) = decode(&bytes) {
                prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
            }
        }
    }
}
