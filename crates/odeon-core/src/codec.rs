//! How payloads become bytes: JSON for people and scripts, CBOR with field names between servers, and without names
//! where both mean the same by a mark.

use minicbor::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::PAYLOAD_DEPTH_MAX;

mod depth;

pub use depth::check_nesting;

/// How a payload is encoded. Numbers are frozen: they travel on links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Encoding {
    /// CBOR with field names, so that servers of different builds understand each other.
    #[n(0)]
    Cbor,
    /// JSON text, as the command line sends it.
    #[n(1)]
    Json,
    /// Fields in their order, without names or types: between servers that have the same [`Fingerprint`] for a mark.
    /// Only for types that have one.
    ///
    /// [`Fingerprint`]: crate::Fingerprint
    #[n(2)]
    Compact,
}

/// Why a payload could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value cannot be expressed, such as a map whose keys are not texts, in JSON.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are not a value of the type.
    #[error("the payload does not fit the schema: {0}")]
    Decode(String),
    /// The bytes nest too deeply.
    #[error("the payload nests deeper than {PAYLOAD_DEPTH_MAX} levels")]
    TooDeep,
}

/// Appends `value` to `out`.
///
/// # Errors
/// [`CodecError::Encode`] when the value cannot be expressed; `out` may then hold a part of it.
pub fn encode<T: Serialize + ?Sized>(
    value: &T,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    match encoding {
        Encoding::Cbor => {
            let mut serializer = minicbor_serde::Serializer::new(out);
            value.serialize(&mut serializer).map_err(|e| CodecError::Encode(e.to_string()))
        }
        Encoding::Json => serde_json::to_writer(out, value).map_err(|e| CodecError::Encode(e.to_string())),
        Encoding::Compact => compact::encode(value, out),
    }
}

/// Reads one value that takes up all of `bytes`.
///
/// # Errors
/// [`CodecError::Decode`] when the bytes do not fit or JSON nests too deeply, [`CodecError::TooDeep`] when CBOR
/// does, past [`PAYLOAD_DEPTH_MAX`].
pub fn decode<T: DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Result<T, CodecError> {
    match encoding {
        Encoding::Cbor => {
            depth::check(bytes)?;
            let mut deserializer = minicbor_serde::Deserializer::new(bytes);
            let value = T::deserialize(&mut deserializer).map_err(|e| CodecError::Decode(e.to_string()))?;
            all_of(bytes.len() - deserializer.decoder().position(), value)
        }
        // serde_json stops by itself, at 128 levels.
        Encoding::Json => serde_json::from_slice(bytes).map_err(|e| CodecError::Decode(e.to_string())),
        Encoding::Compact => compact::decode(bytes),
    }
}

/// The value, if nothing is left after it.
fn all_of<T>(left: usize, value: T) -> Result<T, CodecError> {
    if left == 0 { Ok(value) } else { Err(CodecError::Decode("bytes follow the value".to_owned())) }
}

/// The compact encoding is that of `postcard`. Its decoder believes no length: texts and bytes are cut from what is
/// there, and serde reserves at most 1 MiB for a list or map before its items have come. It neither counts items that
/// take no byte nor knows how deep it is; types for which that would matter have no fingerprint.
#[cfg(feature = "compact")]
mod compact {
    use postcard::ser_flavors::Flavor;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::CodecError;

    struct Appended<'a>(&'a mut Vec<u8>);

    impl Flavor for Appended<'_> {
        type Output = ();

        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.0.push(byte);
            Ok(())
        }

        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }

    pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        postcard::serialize_with_flavor(value, Appended(out)).map_err(|e| CodecError::Encode(e.to_string()))
    }

    pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let (value, rest) =
            postcard::take_from_bytes(bytes).map_err(|e| CodecError::Decode(e.to_string()))?;
        if rest.is_empty() { Ok(value) } else { Err(CodecError::Decode("bytes follow the value".to_owned())) }
    }
}

/// A program of local actors alone is built without the library.
#[cfg(not(feature = "compact"))]
mod compact {
    use super::CodecError;

    const ABSENT: &str = "this program is built without the compact encoding";

    pub(super) fn encode<T: ?Sized>(_: &T, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Err(CodecError::Encode(ABSENT.to_owned()))
    }

    pub(super) fn decode<T>(_: &[u8]) -> Result<T, CodecError> {
        Err(CodecError::Decode(ABSENT.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Compact] {
                let _ = decode::<Everything>(encoding, &bytes);
                let _ = decode::<serde_json::Value>(encoding, &bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn a_real_is_read_as_it_was_written(
            real in prop_oneof![Just(-4.5e300), proptest::num::f64::NORMAL, proptest::num::f64::SUBNORMAL],
        ) {
            for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Compact] {
                let mut bytes = Vec::new();
                encode(&real, encoding, &mut bytes).expect("encodes");
                prop_assert_eq!(decode::<f64>(encoding, &bytes).map(f64::to_bits), Ok(real.to_bits()));
            }
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything {
        text: String,
        number: i64,
        list: Vec<Option<u8>>,
        choice: Choice,
        unit: (),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Choice {
        Nothing,
        One(f64),
        Named { a: bool },
    }

    #[test]
    fn all_encodings_round_trip() {
        for choice in [Choice::Nothing, Choice::One(1.5), Choice::Named { a: true }] {
            let value =
                Everything { text: "hé".into(), number: -7, list: vec![Some(1), None], choice, unit: () };
            for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Compact] {
                let mut bytes = Vec::new();
                encode(&value, encoding, &mut bytes).expect("encodes");
                assert_eq!(decode::<Everything>(encoding, &bytes).expect("decodes"), value);
            }
        }
    }

    #[test]
    fn deep_json_is_an_error_and_no_stack_overflow() {
        let nested = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
        assert!(
            decode::<serde_json::Value>(Encoding::Json, nested(PAYLOAD_DEPTH_MAX - 1).as_bytes()).is_ok()
        );
        for levels in [PAYLOAD_DEPTH_MAX, 100_000] {
            assert!(decode::<serde_json::Value>(Encoding::Json, nested(levels).as_bytes()).is_err());
        }
    }

    /// A length as the compact encoding writes it.
    fn claimed(length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&length, Encoding::Compact, &mut bytes).expect("encodes");
        bytes
    }

    #[test]
    fn compact_bytes_that_are_cut_short_follow_or_do_not_fit_are_errors() {
        let value = (7_u64, "hé".to_owned(), vec![Some(1_u8), None]);
        let mut bytes = Vec::new();
        encode(&value, Encoding::Compact, &mut bytes).expect("encodes");
        type Read = (u64, String, Vec<Option<u8>>);
        for end in 0..bytes.len() {
            assert!(matches!(decode::<Read>(Encoding::Compact, &bytes[..end]), Err(CodecError::Decode(_))));
        }
        bytes.push(0);
        let trailing = decode::<Read>(Encoding::Compact, &bytes);
        assert_eq!(trailing, Err(CodecError::Decode("bytes follow the value".to_owned())));
        assert!(decode::<bool>(Encoding::Compact, &[2]).is_err());
        assert!(decode::<Option<u8>>(Encoding::Compact, &[2, 0]).is_err());
        assert!(decode::<Choice>(Encoding::Compact, &[3]).is_err(), "a variant that there is not");
        assert!(decode::<String>(Encoding::Compact, &[2, 0xff, 0xff]).is_err(), "no text");
        assert!(decode::<u64>(Encoding::Compact, &[0xff; 11]).is_err(), "a number without an end");
    }

    /// Says what the decoder claims to have for it.
    #[derive(Debug)]
    struct Hint(Option<usize>);

    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Hint;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a list")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Hint, A::Error> {
                    Ok(Hint(seq.size_hint()))
                }
            }
            deserializer.deserialize_seq(Visitor)
        }
    }

    #[test]
    fn a_length_that_is_claimed_reserves_nothing() {
        for length in [1 << 60, u64::MAX, 1 << 32] {
            let bytes = claimed(length);
            // Were it believed, no machine would have the room.
            assert!(decode::<String>(Encoding::Compact, &bytes).is_err());
            assert!(decode::<Vec<u64>>(Encoding::Compact, &bytes).is_err());
            assert!(decode::<Vec<[u64; 32]>>(Encoding::Compact, &bytes).is_err());
            assert!(decode::<std::collections::HashSet<u64>>(Encoding::Compact, &bytes).is_err());
            assert!(decode::<std::collections::HashMap<u64, [u64; 32]>>(Encoding::Compact, &bytes).is_err());
            assert!(decode::<std::collections::BTreeMap<u64, String>>(Encoding::Compact, &bytes).is_err());
            assert_eq!(decode::<Hint>(Encoding::Compact, &bytes).map(|hint| hint.0), Ok(None));
        }
    }

    #[test]
    fn garbage_and_trailing_bytes_are_errors() {
        for bad in [
            &[][..],
            &[0x81],
            &[0x00, 0x00],
            &[0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(decode::<Vec<u8>>(Encoding::Cbor, bad).is_err(), "{bad:x?}");
        }
        assert!(decode::<Everything>(Encoding::Json, b"{\"text\":1}").is_err());
    }
}
