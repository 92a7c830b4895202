//! Payloads of messages, in every encoding.

use std::collections::BTreeMap;

use odeon_core::{Encoding, decode, encode};
use serde::{Deserialize, Serialize};

/// Something of everything that a message may hold.
#[derive(Debug, Serialize, Deserialize)]
enum Everything {
    Nothing,
    Numbers(u8, i16, u32, i64, u64),
    Reals { single: f32, double: f64 },
    Texts { text: String, letter: char, maybe: Option<String> },
    Many(Vec<Self>),
    Map(BTreeMap<String, Box<Self>>),
    Mixed { flag: bool, unit: (), pair: (u8, Option<Box<Self>>) },
}

/// What may travel without names: nothing in it holds itself.
#[derive(Debug, Serialize, Deserialize)]
enum Flat {
    Nothing,
    Numbers(u8, i16, u32, i64, u64, i128),
    Reals { single: f32, double: f64 },
    Texts { text: String, letter: char, maybe: Option<String> },
    Many(Vec<(u8, Option<String>)>),
    Map(BTreeMap<String, Vec<u16>>),
}

/// The first byte chooses the encoding. The rest is a value or an error, and what is a value is written as it was
/// after it was written and read again.
pub(crate) fn payload(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    match first % 4 {
        3 => compact(bytes),
        1 => named(Encoding::Json, bytes),
        _ => named(Encoding::Cbor, bytes),
    }
}

fn compact(bytes: &[u8]) {
    if let Ok(value) = decode::<Flat>(Encoding::Compact, bytes) {
        let written = written(&value, Encoding::Compact);
        let again = decode::<Flat>(Encoding::Compact, &written).expect("what was written can be read");
        assert_eq!(self::written(&again, Encoding::Compact), written, "a value changed on its way");
    }
}

fn named(encoding: Encoding, bytes: &[u8]) {
    if let Ok(value) = decode::<Everything>(encoding, bytes) {
        let written = written(&value, encoding);
        // A real that is no number is null in JSON, which is no real.
        if let Ok(again) = decode::<Everything>(encoding, &written) {
            assert_eq!(self::written(&again, encoding), written, "a value changed on its way");
        } else {
            assert_eq!(encoding, Encoding::Json, "what was written can be read");
        }
    }
}

fn written(value: &impl Serialize, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, encoding, &mut out).expect("every value of this type can be expressed");
    out
}
