//! What can be in a message, through all three encodings.
//!
//! By the names of the acceptance list: `io_1` is every kind of value with the bytes it begins with, `io_2` is
//! what does not travel (its other half is in `tests/ui.rs`), `io_3` is numbers that are nobody's primitives.

use std::collections::{BTreeMap, HashMap, HashSet, LinkedList};
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use odeon::{Message, Outline, Shape, message};
use odeon_core::{ActorName, Encoding, Mark, Reference, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const ALL: [Encoding; 3] = [Encoding::Cbor, Encoding::Compact, Encoding::Json];

fn encoded<T: Serialize>(value: &T, encoding: Encoding) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, encoding, &mut bytes).expect("encodes");
    bytes
}

fn assert_round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: &T,
    encodings: &[Encoding],
) {
    for encoding in encodings {
        let bytes = encoded(value, *encoding);
        let read = decode::<T>(*encoding, &bytes);
        assert_eq!(read.as_ref().expect("decodes"), value, "{encoding:?} {bytes:x?}");
    }
}

/// The value comes back from all encodings, and each begins as it should.
fn assert_travels<T>(value: &T, cbor: &[u8], compact: &[u8], json: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Shape,
{
    assert!(odeon_core::Fingerprint::of::<T>().is_some(), "{value:?} has a shape");
    assert_round_trips(value, &ALL);
    let begins = |encoding, expected: &[u8]| {
        let bytes = encoded(value, encoding);
        assert!(bytes.starts_with(expected), "{value:?} as {encoding:?}: {bytes:02x?}");
    };
    begins(Encoding::Cbor, cbor);
    begins(Encoding::Compact, compact);
    begins(Encoding::Json, json.as_bytes());
}

#[message]
#[derive(Clone, Debug, PartialEq)]
struct Record {
    name: String,
    size: u32,
}

/// A message that holds another, and says whence and whither.
#[message]
#[derive(Debug, PartialEq)]
struct Letter {
    from: Reference,
    to: Option<Reference>,
    body: Record,
}

#[message]
#[derive(Debug, PartialEq)]
struct EndOfFile;

#[message]
#[derive(Debug, PartialEq)]
enum Keyword {
    Else,
    Then(u8),
    Both { left: bool, right: bool },
}

/// Bytes that serde is told are bytes.
#[derive(Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

impl Shape for Bytes {
    fn shape(to: &mut Outline) {
        to.leaf("bytes", 1);
    }
}

fn letter() -> Letter {
    Letter {
        from: "web-0@/shop:cart".parse().expect("a reference"),
        to: None,
        body: Record { name: "a".to_owned(), size: 7 },
    }
}

#[test]
fn io_1_records_and_letters_travel_and_begin_as_they_should() {
    let record = Record { name: "a".to_owned(), size: 300 };
    assert_travels(
        &record,
        b"\xa2\x64name\x61a\x64size\x19\x01\x2c",
        b"\x01a\xac\x02",
        r#"{"name":"a","size":300}"#,
    );
    assert_travels(
        &letter(),
        b"\xa3\x64from\x70web-0@/shop:cart",
        b"\x10web-0@/shop:cart\x00\x01a",
        r#"{"from":"#,
    );
    assert_travels(&EndOfFile, b"\x80", b"", "null");
}

#[test]
fn io_1_what_is_nothing_or_a_truth_or_a_letter_travels() {
    assert_travels(&(), b"\x80", b"", "null");
    assert_travels(&None::<u8>, b"\xf6", b"\x00", "null");
    assert_travels(&true, b"\xf5", b"\x01", "true");
    assert_travels(&false, b"\xf4", b"\x00", "false");
    assert_travels(&'a', b"\x18\x61", b"\x01a", "\"a\"");
    assert_travels(&'λ', b"\x19\x03\xbb", "\x02λ".as_bytes(), "\"λ\"");
}

#[test]
fn io_1_numbers_of_every_width_travel() {
    assert_travels(&123_i64, b"\x18\x7b", b"\xf6\x01", "123");
    assert_travels(&-123_i64, b"\x38\x7a", b"\xf5\x01", "-123");
    let big = 123_456_789_012_345_678_901_234_567_890_i128;
    assert_travels(&big, b"\xc2\x4d", b"\xa4", "123456789012345678901234567890");
    assert_travels(&-big, b"\xc3\x4d", b"\xa3", "-123456789012345678901234567890");
    assert_travels(&u128::MAX, b"\xc2\x50\xff", b"\xff", "340282366920938463463374607431768211455");
    assert_travels(&i128::MIN, b"\xc3\x50\x7f", b"\xff", "-170141183460469231731687303715884105728");
    assert_travels(&u64::MAX, b"\x1b\xff", b"\xff", "18446744073709551615");
    assert_travels(&i64::MIN, b"\x3b\x7f", b"\xff", "-9223372036854775808");
    assert_travels(&1.234_f64, b"\xfb\x3f\xf3", &1.234_f64.to_le_bytes(), "1.234");
    assert_travels(&-1.234_f64, b"\xfb\xbf\xf3", &(-1.234_f64).to_le_bytes(), "-1.234");
    for infinite in [f64::INFINITY, f64::NEG_INFINITY] {
        assert_round_trips(&infinite, &[Encoding::Cbor, Encoding::Compact]);
        // JSON has no such number, and its reader does not make one up.
        assert_eq!(encoded(&infinite, Encoding::Json), b"null");
        assert!(decode::<f64>(Encoding::Json, b"null").is_err());
    }
}

#[test]
fn io_1_what_holds_others_travels() {
    assert_travels(&(1_u8, true), b"\x82\x01\xf5", b"\x01\x01", "[1,true]");
    assert_travels(&(1_u8, true, 'a'), b"\x83\x01\xf5", b"\x01\x01\x01a", "[1,true,");
    assert_travels(&vec![1_u8, 2], b"\x82\x01\x02", b"\x02\x01\x02", "[1,2]");
    assert_travels(&LinkedList::from([1_u8, 2]), b"\x82\x01\x02", b"\x02\x01\x02", "[1,2]");
    assert_travels(&[1_u8, 2], b"\x82\x01\x02", b"\x01\x02", "[1,2]");
    assert_travels(&Box::new(7_u8), b"\x07", b"\x07", "7");
    assert_travels(&Some(7_u8), b"\x07", b"\x01\x07", "7");
    assert_travels(
        &HashMap::from([("k".to_owned(), 7_u8)]),
        b"\xa1\x61k\x07",
        b"\x01\x01k\x07",
        r#"{"k":7}"#,
    );
    assert_travels(
        &BTreeMap::from([("k".to_owned(), 7_u8)]),
        b"\xa1\x61k\x07",
        b"\x01\x01k\x07",
        r#"{"k":7}"#,
    );
    assert_travels(&HashSet::from([7_u8]), b"\x81\x07", b"\x01\x07", "[7]");
    assert_travels(&Ok::<u8, String>(7), b"\xa1\x62Ok\x07", b"\x00\x07", r#"{"Ok":7}"#);
}

#[test]
fn io_1_texts_bytes_names_and_times_travel() {
    assert_travels(&"hé".to_owned(), b"\x63h\xc3\xa9", b"\x03h\xc3\xa9", "\"hé\"");
    assert_travels(&Bytes(vec![1, 255]), b"\x42\x01\xff", b"\x02\x01\xff", "[1,255]");
    assert_travels(&"cart".parse::<ActorName>().expect("a name"), b"\x64cart", b"\x04cart", "\"cart\"");
    assert_travels(&"cart/1".parse::<Mark>().expect("a mark"), b"\x66cart/1", b"\x06cart/1", "\"cart/1\"");
    assert_travels(&Keyword::Else, b"\x64Else", b"\x00", "\"Else\"");
    assert_travels(&Keyword::Then(7), b"\xa1\x64Then\x07", b"\x01\x07", r#"{"Then":7}"#);
    let both = Keyword::Both { left: true, right: false };
    assert_travels(&both, b"\xa1\x64Both\xa2\x64left\xf5", b"\x02\x01\x00", r#"{"Both":{"left":true"#);
    let time = Duration::new(5, 6);
    assert_travels(&time, b"\xa2\x64secs\x05\x65nanos\x06", b"\x05\x06", r#"{"secs":5,"nanos":6}"#);
    assert_travels(
        &(SystemTime::UNIX_EPOCH + time),
        b"\xa2\x70secs_since_epoch\x05",
        b"\x05\x06",
        r#"{"secs_since"#,
    );
}

#[test]
fn io_2_a_reference_travels_in_the_place_of_a_handle() {
    let sent = letter();
    assert_round_trips(&sent, &ALL);
    let read: Letter = decode(Encoding::Compact, &encoded(&sent, Encoding::Compact)).expect("decodes");
    assert_eq!(read.from.to_string(), "web-0@/shop:cart");
}

/// A fraction.
#[message]
#[derive(Debug, PartialEq)]
struct Ratio {
    numerator: i128,
    denominator: u128,
}

#[message]
#[derive(Debug, PartialEq)]
struct Complex(f64, f64);

/// An integer of any size: its digits to the base of 2⁶⁴, the lowest first.
#[message]
#[derive(Debug, PartialEq)]
struct Big {
    is_negative: bool,
    digits: Vec<u64>,
}

#[test]
fn io_3_ratios_complex_numbers_and_integers_of_any_size_travel_as_types_of_their_own() {
    let ratio = Ratio { numerator: 10, denominator: 3 };
    assert_travels(&ratio, b"\xa2\x69numerator\x0a", b"\x14\x03", r#"{"numerator":10,"denominator":3}"#);
    let widest = Ratio { numerator: i128::MIN, denominator: u128::MAX };
    assert_round_trips(&widest, &ALL);
    assert_travels(&Complex(1.0, 3.0), b"\x82\xfb\x3f\xf0", &1.0_f64.to_le_bytes(), "[1.0,3.0]");
    let big = Big { is_negative: true, digits: vec![u64::MAX; 40] };
    assert_travels(
        &big,
        b"\xa2\x6bis_negative\xf5\x66digits\x98\x28",
        b"\x01\x28\xff",
        r#"{"is_negative":true"#,
    );
    assert_travels(&vec![1.5_f64, -0.0], b"\x82\xfb", b"\x02\x00", "[1.5,-0.0]");
    assert_travels(&Record { name: String::new(), size: 0 }, b"\xa2", b"\x00\x00", r#"{"name":"","size":0}"#);
    assert_eq!(Ratio::message_type().mark, "ratio/1");
}
