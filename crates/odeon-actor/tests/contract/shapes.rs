//! Fingerprints: what `#[message]`, `#[actor]` and `#[protocol]` make of a type, and which types have none.

use std::collections::BTreeMap;

use odeon::{Actor, Request, Shape, actor, message, protocol};
use odeon_core::{Encoding, Fingerprint, Outline, decode, encode, fingerprint};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn text<T: Shape>() -> Option<String> {
    Outline::text_of(T::shape).map(|text| text["odeon shape 1\n".len()..].to_owned())
}

/// An order of every part that a type can have.
#[message(mark = "shaped-order/1")]
#[derive(Clone, Debug, PartialEq)]
struct Order {
    id: u64,
    #[serde(rename = "who", alias = "customer")]
    customer: Option<String>,
    #[serde(default)]
    items: Vec<Item>,
    totals: BTreeMap<String, (i32, u8)>,
}

#[message]
#[derive(Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Item {
    Nothing,
    Book(String),
    Priced { title: String, price: f64 },
    Pair(bool, char),
}

/// A part of messages alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Shape)]
#[serde(transparent)]
struct Wrapped {
    inner: [u8; 4],
}

#[test]
fn the_shape_of_a_message_is_its_fields_in_order_by_the_names_they_travel_under() {
    let item =
        "|rename_all=kebab-case 7:Nothing() 4:Bookstr 6:Priced< 5:titlestr 5:pricef64 >4:Pair(bool char )|";
    assert_eq!(text::<Item>().as_deref(), Some(item));
    let order = format!("< 2:idu64 3:who?str 5:items[{item}]6:totals{{str (i32 u8 )}}>");
    assert_eq!(text::<Order>(), Some(order));
    assert_eq!(text::<Wrapped>().as_deref(), Some("(u8 *4)"));
}

/// Types that differ in one thing from `Point`.
mod others {
    use odeon::message;

    macro_rules! points {
        ($($name:ident $mark:literal { $($field:tt)* })*) => {
            $(#[message(mark = $mark)]
            #[derive(Debug)]
            pub(crate) struct $name { $($field)* })*
        };
    }

    points! {
        Point "point-a/1" { pub(crate) x: i32, pub(crate) y: i32 }
        Same "point-b/1" { pub(crate) x: i32, pub(crate) y: i32 }
        Aliased "point-c/1" { #[serde(alias = "a")] pub(crate) x: i32, #[serde(default)] pub(crate) y: i32 }
        Added "point-d/1" { pub(crate) x: i32, pub(crate) y: i32, pub(crate) z: i32 }
        Removed "point-e/1" { pub(crate) x: i32 }
        Swapped "point-f/1" { pub(crate) y: i32, pub(crate) x: i32 }
        Wider "point-g/1" { pub(crate) x: i64, pub(crate) y: i32 }
        Unsigned "point-h/1" { pub(crate) x: u32, pub(crate) y: i32 }
        Optional "point-i/1" { pub(crate) x: Option<i32>, pub(crate) y: i32 }
        Renamed "point-j/1" { pub(crate) a: i32, pub(crate) y: i32 }
        SerdeRenamed "point-k/1" { #[serde(rename = "a")] pub(crate) x: i32, pub(crate) y: i32 }
    }

    #[message(mark = "choice-a/1")]
    #[derive(Debug)]
    pub(crate) enum Choice {
        One,
        Two(u8),
    }

    #[message(mark = "choice-b/1")]
    #[derive(Debug)]
    pub(crate) enum Reordered {
        Two(u8),
        One,
    }

    #[message(mark = "choice-c/1")]
    #[derive(Debug)]
    pub(crate) enum Grown {
        One,
        Two(u8),
        Three,
    }
}

#[test]
fn whatever_decides_about_bytes_or_names_is_another_fingerprint() {
    let point = fingerprint("point-a/1");
    assert!(point.is_some());
    assert_eq!(fingerprint("point-b/1"), point, "a type's own name does not travel");
    assert_eq!(fingerprint("point-c/1"), point, "aliases and defaults are for those who differ");
    for mark in ["d", "e", "f", "g", "h", "i", "j", "k"].map(|letter| format!("point-{letter}/1")) {
        let other = fingerprint(&mark);
        assert!(other.is_some() && other != point, "{mark}");
    }
    let choices = ["choice-a/1", "choice-b/1", "choice-c/1"].map(|mark| fingerprint(mark).expect("known"));
    assert!(choices[0] != choices[1] && choices[0] != choices[2] && choices[1] != choices[2]);
}

#[expect(dead_code, reason = "they are looked at by their marks")]
mod opaque {
    use odeon::message;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, schemars_of::JsonSchema)]
    #[schemars(crate = "schemars_of")]
    pub(crate) struct Foreign(u8);

    use odeon::private::schemars as schemars_of;

    macro_rules! opaque {
        ($($mark:literal: $(#[$attribute:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {
            pub(super) const MARKS: &[&str] = &[$($mark),*];
            $(#[message(mark = $mark)]
            #[derive(Debug)]
            $(#[$attribute])*
            pub(super) $kind $name { $($body)* })*
        };
    }

    opaque! {
        "opaque-skip/1": struct Skip { #[serde(skip)] a: u8, b: u8 }
        "opaque-skip-ser/1": struct SkipSer { #[serde(skip_serializing)] #[serde(default)] a: u8 }
        "opaque-skip-if/1": struct SkipIf { #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u8> }
        "opaque-flatten/1": struct Flatten { #[serde(flatten)] a: std::collections::BTreeMap<String, u8> }
        "opaque-with/1": struct With { #[serde(with = "super::as_text")] #[schemars(with = "String")] a: u8 }
        "opaque-split/1": struct Split { #[serde(rename(serialize = "b", deserialize = "a"), alias = "b")] a: u8 }
        "opaque-foreign/1": struct HoldsForeign { a: Vec<Foreign> }

        "opaque-nothing/1": struct Nothings { a: Vec<()> }
        "opaque-tree/1": struct Tree { children: Vec<Tree> }
        "opaque-untagged/1": #[serde(untagged)] enum Untagged { A(u8), B(String) }
        "opaque-tag/1": #[serde(tag = "t")] enum Tag { A { a: u8 }, B {} }
        "opaque-content/1": #[serde(tag = "t", content = "c")] enum Content { A(u8) }
        "opaque-other/1": enum Other { A, #[serde(skip)] B }
        "opaque-into/1": #[derive(Clone)] #[serde(from = "u8", into = "u8")] struct Into_ { a: u8 }
    }

    impl From<u8> for Into_ {
        fn from(a: u8) -> Self {
            Self { a }
        }
    }

    impl From<Into_> for u8 {
        fn from(into: Into_) -> Self {
            into.a
        }
    }
}

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[test]
fn what_serde_encodes_in_another_way_has_no_fingerprint() {
    assert_eq!(opaque::MARKS.len(), 14);
    for mark in opaque::MARKS {
        assert!(odeon_core::message_type(mark).is_some(), "{mark} is linked");
        assert_eq!(fingerprint(mark), None, "{mark}");
    }
}

/// Holds every kind of method.
#[derive(Debug)]
struct Shaped;

#[actor(mark = "shaped/1", protocol = Weighing)]
impl Shaped {
    #[handle]
    fn plain(&self, id: u64, item: Item) -> Result<u32, String> {
        let _ = (id, item);
        Ok(0)
    }

    #[handle]
    fn opaque_reply(&self) -> Vec<()> {
        Vec::new()
    }

    #[handle(boxed)]
    fn opaque_argument(&self, tree: opaque::Tree) -> bool {
        let _ = tree;
        true
    }

    #[handle]
    fn weigh(&self, grams: u32) -> f32 {
        grams as f32
    }
}

/// Weighs.
#[protocol(mark = "shaped-weighing/1")]
pub trait Weighing {
    /// Weighs.
    async fn weigh(&self, grams: u32) -> f32;
}

#[test]
fn a_method_has_the_fingerprint_of_its_arguments_and_its_answer() {
    let plain = fingerprint("shaped/1#plain").expect("known");
    assert_eq!(<ShapedPlain as Request<Shaped>>::fingerprint(), Some(plain));
    let by_hand =
        |arguments: fn(&mut Outline), reply: fn(&mut Outline)| Fingerprint::of_method(arguments, reply);
    assert_eq!(by_hand(ShapedPlain::shape, Result::<u32, String>::shape), Some(plain));
    assert_ne!(by_hand(ShapedPlain::shape, Result::<u64, String>::shape), Some(plain));
    assert_eq!(fingerprint("shaped/1#opaque-reply"), None);
    assert_eq!(fingerprint("shaped/1#opaque-argument"), None);
    assert_eq!(fingerprint("shaped/1#nonsense"), None);
    let weigh = fingerprint("shaped-weighing/1#weigh").expect("the protocol's and the actor's agree");
    assert_eq!(<WeighingWeigh as Request<Weighing>>::fingerprint(), Some(weigh));
    let methods = Shaped::protocol().expect("it has a mark").methods;
    assert!(methods.iter().any(|method| (method.fingerprint)() == Some(weigh)));
}

/// Two types of one mark, as no program should have.
mod twice {
    use odeon::message;

    #[message(mark = "shaped-twice/1")]
    #[derive(Debug)]
    pub(crate) struct First(u8);

    #[message(mark = "shaped-twice/1")]
    #[derive(Debug)]
    pub(crate) struct Second(u16);
}

#[test]
fn a_mark_of_two_types_that_differ_has_no_fingerprint() {
    let (first, second) = (Fingerprint::of::<twice::First>(), Fingerprint::of::<twice::Second>());
    assert!(first.is_some() && second.is_some() && first != second);
    assert_eq!(fingerprint("shaped-twice/1"), None);
}

/// Frozen: builds of different ages must come to the same.
#[test]
fn the_fingerprints_of_messages_are_frozen() {
    let marks = [
        ("shaped-order/1", "737efb1da7286032"),
        ("item/1", "7c36e228b7a434ea"),
        ("point-a/1", "38607d89fbbcac3e"),
        ("choice-a/1", "30b378f17b1678e9"),
        ("shaped/1#plain", "a3410169fcc0f414"),
        ("shaped-weighing/1#weigh", "6adca3dedfd1e1a4"),
    ];
    let found =
        marks.map(|(mark, _)| (mark, fingerprint(mark).map(|hash| hash.to_string()).unwrap_or_default()));
    assert_eq!(found, marks.map(|(mark, expected)| (mark, expected.to_owned())));
}

fn items() -> impl Strategy<Value = Item> {
    prop_oneof![
        Just(Item::Nothing),
        any::<String>().prop_map(Item::Book),
        (any::<String>(), any::<i32>())
            .prop_map(|(title, n)| Item::Priced { title, price: f64::from(n) / 4.0 }),
        (any::<bool>(), any::<char>()).prop_map(|(one, two)| Item::Pair(one, two)),
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    let totals = proptest::collection::btree_map(any::<String>(), any::<(i32, u8)>(), 0..4);
    let items = proptest::collection::vec(items(), 0..5);
    (any::<u64>(), any::<Option<String>>(), items, totals).prop_map(|(id, customer, items, totals)| Order {
        id,
        customer,
        items,
        totals,
    })
}

proptest! {
    #[test]
    fn messages_survive_every_encoding_and_their_ends_cut_off_survive_none(order in orders()) {
        for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Compact] {
            let mut bytes = Vec::new();
            encode(&order, encoding, &mut bytes).expect("encodes");
            prop_assert_eq!(&decode::<Order>(encoding, &bytes).expect("decodes"), &order);
            prop_assert!(decode::<Order>(encoding, &bytes[..bytes.len() - 1]).is_err(), "cut short");
            bytes.push(0);
            prop_assert!(decode::<Order>(encoding, &bytes).is_err(), "and one too many");
        }
    }

    #[test]
    fn any_bytes_are_a_compact_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(order) = decode::<Order>(Encoding::Compact, &bytes) {
            let mut again = Vec::new();
            encode(&order, Encoding::Compact, &mut again).expect("encodes");
            prop_assert_eq!(decode::<Order>(Encoding::Compact, &again).expect("decodes"), order);
        }
    }
}
