//! How deep CBOR nests, found out before a derived decoder follows a peer's nesting onto our stack.

use super::CodecError;
use crate::limits::PAYLOAD_DEPTH_MAX;

/// Refuses bytes that nest deeper than [`PAYLOAD_DEPTH_MAX`] levels; of other faults the decoder tells.
pub(super) fn check(bytes: &[u8]) -> Result<(), CodecError> {
    // Each level begins with a byte that says array, map or tag: most payloads have too few of them to be walked.
    let begins_level = |byte: &&u8| matches!(**byte, 0x80..=0xdf);
    if bytes.iter().filter(begins_level).count() <= PAYLOAD_DEPTH_MAX {
        return Ok(());
    }
    Walk(bytes).one_value()
}

/// Sees to it that bytes are one CBOR value, and nest no deeper than [`PAYLOAD_DEPTH_MAX`] levels, without reading
/// what is in it: `minicbor` keeps 16 bytes for each byte that opens one level more, of what it skips too. Costs a
/// step per item.
///
/// # Errors
/// [`CodecError::TooDeep`] or [`CodecError::Decode`].
pub fn check_nesting(bytes: &[u8]) -> Result<(), CodecError> {
    Walk(bytes).one_value()
}

/// The rest of the bytes.
struct Walk<'a>(&'a [u8]);

/// Stands for the number of items of a container that ends with a break. No bytes hold so many.
const UNTIL_BREAK: u64 = u64::MAX;

impl Walk<'_> {
    /// Walks, without recursion, one value that takes up all bytes.
    fn one_value(mut self) -> Result<(), CodecError> {
        // Items still to come at each open level.
        let mut open = [0_u64; PAYLOAD_DEPTH_MAX];
        let mut depth = 0;
        loop {
            let items = match self.head()? {
                (0 | 1 | 7, Some(_)) => None,
                (2 | 3, Some(bytes)) => self.skip(bytes).map(|()| None)?,
                (kind @ (2 | 3), None) => self.pieces(kind).map(|()| None)?,
                (4, items) => Some(items.unwrap_or(UNTIL_BREAK)),
                (5, pairs) => Some(pairs.map_or(UNTIL_BREAK, |pairs| pairs.saturating_mul(2))),
                (6, Some(_)) => Some(1),
                (7, None) if depth > 0 && open[depth - 1] == UNTIL_BREAK => {
                    depth -= 1;
                    None
                }
                _ => return Err(malformed("a break or a length stands where none can be")),
            };
            if let Some(items) = items {
                if depth == PAYLOAD_DEPTH_MAX {
                    return Err(CodecError::TooDeep);
                }
                if items != UNTIL_BREAK && items > self.0.len() as u64 {
                    return Err(malformed("it ends within a value"));
                }
                if items > 0 {
                    open[depth] = items;
                    depth += 1;
                    continue;
                }
            }
            // One item is complete, and with it perhaps those that it was the last of.
            while depth > 0 && open[depth - 1] != UNTIL_BREAK {
                open[depth - 1] -= 1;
                if open[depth - 1] > 0 {
                    break;
                }
                depth -= 1;
            }
            if depth == 0 {
                break;
            }
        }
        if self.0.is_empty() { Ok(()) } else { Err(malformed("bytes follow the value")) }
    }

    /// The kind of the next item, and its number or length; none if that is open.
    fn head(&mut self) -> Result<(u8, Option<u64>), CodecError> {
        let first = self.number(1)?;
        let kind = u8::try_from(first >> 5).unwrap_or_default();
        let argument = match first & 0x1f {
            small @ 0..=23 => Some(small),
            more @ 24..=27 => Some(self.number(1 << (more - 24))?),
            31 => None,
            _ => return Err(malformed("it holds a reserved byte")),
        };
        Ok((kind, argument))
    }

    /// The pieces of a text or of bytes in several pieces.
    fn pieces(&mut self, kind: u8) -> Result<(), CodecError> {
        loop {
            match self.head()? {
                (7, None) => return Ok(()),
                (piece, Some(bytes)) if piece == kind => self.skip(bytes)?,
                _ => return Err(malformed("a text or bytes have a piece of another kind")),
            }
        }
    }

    fn number(&mut self, bytes: usize) -> Result<u64, CodecError> {
        let (number, rest) =
            self.0.split_at_checked(bytes).ok_or_else(|| malformed("it ends within a value"))?;
        self.0 = rest;
        Ok(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), CodecError> {
        let rest = usize::try_from(bytes).ok().and_then(|bytes| self.0.get(bytes..));
        self.0 = rest.ok_or_else(|| malformed("it ends within a value"))?;
        Ok(())
    }
}

fn malformed(why: &str) -> CodecError {
    CodecError::Decode(why.to_owned())
}

#[cfg(test)]
mod tests {
    use minicbor::Decoder;
    use proptest::prelude::*;

    use super::*;

    fn walk(bytes: &[u8]) -> Result<(), CodecError> {
        Walk(bytes).one_value()
    }

    proptest! {
        #[test]
        fn what_is_walked_without_complaint_is_one_value_as_the_decoder_sees_it(
            // Bytes in the place of texts, since whether a text is one the walk leaves to the decoder.
            bytes in proptest::collection::vec(
                any::<u8>().prop_map(|byte| if byte >> 5 == 3 { byte - 0x20 } else { byte }),
                0..64,
            ),
        ) {
            if walk(&bytes).is_ok() {
                let mut decoder = Decoder::new(&bytes);
                prop_assert!(decoder.skip().is_ok());
                prop_assert_eq!(decoder.position(), bytes.len());
            }
        }

        #[test]
        fn what_the_decoder_takes_as_one_value_is_walked(
            bytes in proptest::collection::vec(prop_oneof![0x00..0x20_u8, 0x40..0x44_u8, 0x80..0x84_u8, 0xa0..0xa3_u8], 1..64),
        ) {
            let mut decoder = Decoder::new(&bytes);
            if decoder.skip().is_ok() {
                prop_assert_eq!(walk(&bytes[..decoder.position()]), Ok(()));
            }
        }
    }

    fn nested(levels: usize) -> Vec<u8> {
        let mut bytes = vec![0x81; levels];
        bytes.push(0x00);
        bytes
    }

    #[test]
    fn nesting_is_bounded_before_the_decoder_runs() {
        for check in [check, walk] {
            assert_eq!(check(&nested(PAYLOAD_DEPTH_MAX)), Ok(()));
            assert_eq!(check(&nested(PAYLOAD_DEPTH_MAX + 1)), Err(CodecError::TooDeep));
            for endless in [0x9f, 0xbf, 0xc1] {
                assert_eq!(check(&vec![endless; 100_000]), Err(CodecError::TooDeep));
            }
        }
    }

    #[test]
    fn many_values_beside_each_other_are_not_deep() {
        let mut bytes = vec![0x99, 0x03, 0xe8];
        bytes.extend([0x81, 0x80].repeat(1000));
        assert_eq!(check(&bytes), Ok(()));
        bytes.extend(nested(3));
        assert_eq!(check(&bytes), Err(malformed("bytes follow the value")));
    }

    #[test]
    fn what_is_open_ended_or_tagged_is_walked() {
        for good in [
            &[0x9f, 0x01, 0x9f, 0xff, 0xff][..],
            &[0xbf, 0x61, 0x61, 0x01, 0xff],
            &[0xc1, 0x00],
            &[0x80],
            &[0x5f, 0x41, 0x00, 0x40, 0xff],
            &[0x7f, 0xff],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(walk(good), Ok(()), "{good:x?}");
        }
        for bad in [
            &[][..],
            &[0xff],
            &[0x81],
            &[0x81, 0xff],
            &[0x00, 0x00],
            &[0x5f, 0x61, 0x61, 0xff],
            &[0x1c],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(walk(bad).is_err(), "{bad:x?}");
        }
    }
}
