//! What the texts of shapes say, and what has none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::*;
use crate::{ActorName, Fingerprint, Refusal};

fn text<T: Shape>() -> Option<String> {
    Outline::text_of(T::shape).map(|text| text[LANGUAGE.len()..].to_owned())
}

fn assert_text<T: Shape>(expected: &str) {
    assert_eq!(text::<T>().as_deref(), Some(expected));
}

#[test]
fn the_language_of_shapes_is_as_written() {
    assert_text::<u8>("u8 ");
    assert_text::<usize>("u64 ");
    assert_text::<Option<String>>("?str ");
    assert_text::<Vec<i128>>("[i128 ]");
    assert_text::<HashMap<String, u8>>("{str u8 }");
    assert_text::<[u16; 3]>("(u16 *3)");
    assert_text::<(char, (f32,), ())>("(char (f32 )() )");
    assert_text::<Result<(), bool>>("| 2:Ok() 3:Errbool |");
    assert_text::<Duration>("< 4:secsu64 5:nanosu32 >");
    assert_text::<Box<ActorName>>("str ");
    assert_text::<Vec<(Refusal, Refusal)>>(
        "[(< 4:code|kebab-case 12:UnknownActor() 11:UnknownMark() 10:BadPayload() 13:NotAuthorised() 4:Full() \
         7:Expired() 8:Internal() 10:BadRequest() 9:NameTaken() 8:NotFound() 12:LimitReached() 11:Unreachable() 11:StaleNumber() |6:detailstr >@0 )]",
    );
}

/// Frozen: a change here is a change of what builds of different ages understand of each other.
#[test]
fn fingerprints_are_frozen() {
    for (fingerprint, expected) in [
        (Fingerprint::of::<u8>(), "6b0400f2d42dd26a"),
        (Fingerprint::of::<Vec<Option<String>>>(), "b76df5fb813bd649"),
        (Fingerprint::of::<BTreeMap<String, (i64, [f64; 2])>>(), "d103f94bcd929751"),
        (Fingerprint::of::<Result<Duration, String>>(), "2283d4d66c44ecb0"),
    ] {
        assert_eq!(fingerprint.map(|hash| hash.to_string()).as_deref(), Some(expected));
    }
}

#[test]
fn what_is_alike_is_one_shape_and_what_differs_is_another() {
    assert_eq!(text::<Vec<u8>>(), text::<Box<[u8]>>());
    assert_eq!(text::<HashSet<u8>>(), text::<Vec<u8>>());
    assert_ne!(text::<(u8, u8)>(), text::<[u8; 2]>(), "alike by chance, and so counted as different");
    assert_ne!(text::<u32>(), text::<u64>());
    assert_ne!(text::<i32>(), text::<u32>());
    assert_ne!(text::<Option<u8>>(), text::<u8>());
}

#[test]
fn a_name_cannot_pass_for_structure() {
    let named =
        |name: &'static str| Outline::text_of(|to| to.record("", |to| to.named(name, Outline::value::<u8>)));
    let two = Outline::text_of(|to| {
        to.record("", |to| {
            to.named("a", Outline::value::<u8>);
            to.named("b", Outline::value::<u8>);
        });
    });
    assert_ne!(named("au8 1:b"), two);
}

#[test]
fn items_that_take_no_byte_make_a_list_opaque() {
    assert_eq!(text::<Vec<()>>(), None);
    assert_eq!(text::<Vec<[u64; 0]>>(), None);
    assert_eq!(text::<BTreeMap<(), [(); 5]>>(), None);
    assert_eq!(text::<HashSet<PhantomData<u8>>>(), None);
    assert!(text::<Vec<((), u8)>>().is_some());
    assert!(text::<Vec<Option<()>>>().is_some());
    assert!(text::<Vec<Vec<u8>>>().is_some());
    assert!(text::<BTreeMap<(), u8>>().is_some());
}

struct Empty;

impl Shape for Empty {
    fn shape(to: &mut Outline) {
        to.define::<Self>(|to| to.record("", |_| {}));
    }
}

#[test]
fn a_type_met_again_is_as_small_as_the_first_time() {
    assert!(text::<(Empty, u8)>().is_some());
    assert_eq!(text::<(Empty, Vec<Empty>)>(), None);
}

struct Tree;

impl Shape for Tree {
    fn shape(to: &mut Outline) {
        to.define::<Self>(|to| to.record("", |to| to.named("children", Outline::value::<Vec<Self>>)));
    }
}

#[test]
fn a_type_within_itself_is_opaque_and_ends() {
    assert_eq!(text::<Tree>(), None);
    assert_eq!(text::<Option<Box<Tree>>>(), None);
}

#[test]
fn shapes_nest_128_levels_and_no_more() {
    fn levels(to: &mut Outline, left: usize) {
        if left == 0 {
            to.value::<u8>();
        } else {
            to.list(|to| levels(to, left - 1));
        }
    }
    assert!(Outline::text_of(|to| levels(to, PAYLOAD_DEPTH_MAX)).is_some());
    assert!(Outline::text_of(|to| levels(to, PAYLOAD_DEPTH_MAX + 1)).is_none());
}

#[test]
fn a_text_of_64_kib_is_a_shape_and_a_longer_one_is_opaque() {
    let room = SHAPE_BYTES_MAX - LANGUAGE.len() - " ".len();
    let of = |bytes: usize| Outline::text_of(|to| to.leaf(&"x".repeat(bytes), 1));
    assert_eq!(of(room).map(|text| text.len()), Some(SHAPE_BYTES_MAX));
    assert_eq!(of(room + 1), None);
}

#[test]
fn a_type_without_a_shape_is_asked_all_the_same() {
    struct Foreign;
    let asked = Outline::text_of(|to| {
        (&Probe::<Foreign>::NEW).outline(to);
    });
    assert_eq!(asked, None);
    let asked = Outline::text_of(|to| (&Probe::<Vec<Foreign>>::NEW).outline(to));
    assert_eq!(asked, None);
    assert_eq!(Outline::text_of(|to| Probe::<Vec<u8>>::NEW.outline(to)), Outline::text_of(Vec::<u8>::shape));
}

/// The names that a schema lists, in its order.
fn names_of<T: schemars::JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T).to_value();
    let name = |one: &serde_json::Value| {
        one["const"].as_str().or_else(|| one["required"][0].as_str()).map(str::to_owned)
    };
    schema["oneOf"].as_array().expect("variants").iter().map(|one| name(one).expect("a name")).collect()
}

fn kebab_names<T: Shape>() -> Vec<String> {
    let names: Vec<String> = text::<T>()
        .expect("a shape")
        .split(|c: char| !c.is_ascii_alphabetic() && c != '-')
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|word| {
            let kebab = word
                .chars()
                .flat_map(|c| [c.is_ascii_uppercase().then_some('-'), Some(c.to_ascii_lowercase())]);
            kebab.flatten().skip(1).collect()
        })
        .collect();
    names
}

#[test]
fn the_shapes_written_by_hand_have_the_variants_of_their_types() {
    assert_eq!(kebab_names::<crate::RefusalCode>(), names_of::<crate::RefusalCode>());
    // A variant's text follows its name without a space.
    let reasons: Vec<String> = kebab_names::<crate::ExitReason>()
        .iter()
        .map(|name| name.trim_end_matches("str").to_owned())
        .collect();
    assert_eq!(reasons, names_of::<crate::ExitReason>());
}
