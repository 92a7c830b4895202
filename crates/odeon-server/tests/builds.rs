//! Servers of different builds keep talking; of equal types, without names.
//!
//! Both builds are in this program: two modules with the same marks. Each server is told which of them it has, where an
//! ordinary one takes what its program links.

extern crate odeon_actor as odeon;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use odeon::{Actor, AskError, Outline, Shape};
use odeon_auth::Cookie;
use odeon_core::{Epoch, Fingerprints, Protocol, Reference, RefusalCode, ServerId};
use odeon_server::{Home, Server, ServerConfig, World};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How the value that holds it came. A decoder gives the fields of a struct by name from CBOR, in order from compact
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Came {
    #[default]
    Never,
    Named,
    Compact,
}

impl Serialize for Came {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Came", 1)?;
        fields.serialize_field("one", &1_u8)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Came {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Came;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one field")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Came, A::Error> {
                while map.next_entry::<String, u8>()?.is_some() {}
                Ok(Came::Named)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Came, A::Error> {
                seq.next_element::<u8>()?;
                Ok(Came::Compact)
            }
        }
        deserializer.deserialize_struct("Came", &["one"], Fields)
    }
}

impl Shape for Came {
    fn shape(to: &mut Outline) {
        to.record("", |to| to.named("one", Outline::value::<u8>));
    }
}

impl schemars::JsonSchema for Came {
    fn schema_name() -> Cow<'static, str> {
        "Came".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

/// One build: its version of each message, and its actor, which answers what it understood.
macro_rules! build {
    ($build:ident {
        added { $($added:tt)* } $say_added:expr,
        removed { $($removed:tt)* } $say_removed:expr,
        renamed { $($renamed:tt)* } $say_renamed:expr,
    }) => {
        mod $build {
            use odeon::{actor, message};

            use super::Came;

            #[message(mark = "builds-same/1")]
            #[derive(Clone, Debug, Default)]
            pub(crate) struct Same { pub(crate) text: String, pub(crate) n: Option<u32>, pub(crate) came: Came }

            #[message(mark = "builds-added/1")]
            #[derive(Debug)]
            pub(crate) struct Added { $($added)* pub(crate) came: Came }

            #[message(mark = "builds-removed/1")]
            #[derive(Debug)]
            pub(crate) struct Removed { $($removed)* pub(crate) came: Came }

            #[message(mark = "builds-renamed/1")]
            #[derive(Debug)]
            pub(crate) struct Renamed { $($renamed)* pub(crate) came: Came }

            /// The same in both builds; its order is not the one in which serde has it.
            #[message(mark = "builds-opaque/1")]
            #[derive(Debug)]
            pub(crate) struct Opaque {
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub(crate) note: Option<String>,
                pub(crate) came: Came,
            }

            #[derive(Debug)]
            pub(crate) struct Shop;

            /// What it says back, and how it was told.
            #[actor(mark = "builds-shop/1")]
            impl Shop {
                #[handle]
                fn same(&self, same: Same) -> (String, Came, Same) {
                    (same.text.clone(), same.came, same)
                }

                #[handle]
                fn added(&self, added: Added) -> (String, Came) {
                    let say: fn(&Added) -> String = $say_added;
                    (say(&added), added.came)
                }

                #[handle]
                fn removed(&self, removed: Removed) -> (String, Came) {
                    let say: fn(&Removed) -> String = $say_removed;
                    (say(&removed), removed.came)
                }

                #[handle]
                fn renamed(&self, renamed: Renamed) -> (String, Came) {
                    let say: fn(&Renamed) -> String = $say_renamed;
                    (say(&renamed), renamed.came)
                }

                #[handle]
                fn opaque(&self, opaque: Opaque) -> Came {
                    let _ = opaque.note;
                    opaque.came
                }
            }
        }
    };
}

build! { old {
    added { pub(crate) title: String, } |added: &Added| added.title.clone(),
    removed { pub(crate) title: String, #[serde(default)] pub(crate) note: String, }
        |removed: &Removed| format!("{} {}", removed.title, removed.note),
    renamed { pub(crate) amount: u32, } |renamed: &Renamed| renamed.amount.to_string(),
} }

build! { new {
    added { #[serde(default)] pub(crate) price: u64, pub(crate) title: String, }
        |added: &Added| format!("{} for {}", added.title, added.price),
    removed { pub(crate) title: String, } |removed: &Removed| removed.title.clone(),
    renamed { #[serde(alias = "amount")] pub(crate) quantity: u32, }
        |renamed: &Renamed| renamed.quantity.to_string(),
} }

use new::ShopCalls as _;
use old::ShopCalls as _;

fn protocol_of<A: Actor>() -> &'static Protocol {
    A::protocol().expect("it has a mark")
}

fn shop(server: &Server) -> Reference {
    Reference::new(server.id().clone(), "shop".parse().expect("an actor"))
}

struct Pair {
    _directory: tempfile::TempDir,
    one: Server,
    two: Server,
}

/// Two servers with these actors as `shop`, which know these types; each knows where the other is.
async fn pair<A: Actor, B: Actor>(one: A, two: B, types: [Fingerprints; 2]) -> Pair {
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::open(directory.path()).expect("a home");
    let ids: [ServerId; 2] = ["one@/", "two@/"].map(|id| id.parse().expect("an id"));
    let [types_one, types_two] = types;
    let config = |this: usize, types: Fingerprints| {
        let (own, other) = (&ids[this], &ids[1 - this]);
        ServerConfig::new(own.clone(), Cookie::from_bytes([7; 32]), World::real(home.host().clone()))
            .epoch(Epoch(1))
            .listen(home.address(own))
            .known(other.clone(), vec![home.address(other)])
            .fingerprints(types)
    };
    let first = Server::start(config(0, types_one)).await.expect("it starts");
    let second = Server::start(config(1, types_two)).await.expect("it starts");
    first.spawn_named("shop".parse().expect("a name"), one).expect("registered");
    second.spawn_named("shop".parse().expect("a name"), two).expect("registered");
    Pair { _directory: directory, one: first, two: second }
}

async fn two_builds() -> Pair {
    let types =
        [Fingerprints::of(&[protocol_of::<old::Shop>()]), Fingerprints::of(&[protocol_of::<new::Shop>()])];
    pair(old::Shop, new::Shop, types).await
}

/// Asks `ask` until arguments and answer came without names; how often it had to.
async fn wait_until_compact(mut ask: impl AsyncFnMut() -> (Came, Came)) -> usize {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    for asked in 0.. {
        match ask().await {
            (Came::Compact, Came::Compact) => return asked,
            named => assert_eq!(named, (Came::Named, Came::Named), "an answer comes as its ask went"),
        }
        assert!(tokio::time::Instant::now() < deadline, "not within 5 s: the peer agrees");
    }
    unreachable!("it counts without end")
}

#[tokio::test]
async fn equal_types_travel_without_names_once_the_peer_has_agreed() {
    let Pair { one, two, _directory } = two_builds().await;
    let (there, back) = (one.actor::<old::Shop>(shop(&two)), two.actor::<new::Shop>(shop(&one)));
    let named = wait_until_compact(async || {
        let same = old::Same { text: "x".into(), n: Some(1), came: Came::Never };
        let (text, came, again) = there.same(same).await.expect("answered");
        assert_eq!((text.as_str(), again.n), ("x", Some(1)));
        (came, again.came)
    });
    assert!(named.await >= 1, "the first goes before the peer has agreed");
    let named = wait_until_compact(async || {
        let (_, came, again) = back.same(new::Same::default()).await.expect("answered");
        (came, again.came)
    });
    assert!(named.await >= 1, "the other direction has an agreement of its own");
    for _ in 0..10 {
        let (_, came, again) = there.same(old::Same::default()).await.expect("answered");
        assert_eq!((came, again.came), (Came::Compact, Came::Compact), "and so it stays");
    }
}

/// Whatever is agreed upon over a link is so once a later type is.
async fn wait_until_agreed(pair: &Pair) {
    let (there, back) =
        (pair.one.actor::<old::Shop>(shop(&pair.two)), pair.two.actor::<new::Shop>(shop(&pair.one)));
    wait_until_compact(async || {
        let (_, came, again) = there.same(old::Same::default()).await.expect("answered");
        (came, again.came)
    })
    .await;
    wait_until_compact(async || {
        let (_, came, again) = back.same(new::Same::default()).await.expect("answered");
        (came, again.came)
    })
    .await;
}

#[tokio::test]
async fn a_field_that_was_added_has_its_default_and_an_old_server_does_without_it() {
    let pair = two_builds().await;
    let (there, back) =
        (pair.one.actor::<old::Shop>(shop(&pair.two)), pair.two.actor::<new::Shop>(shop(&pair.one)));
    for round in 0..3 {
        let title = || "Emma".to_owned();
        let to_new = there.added(old::Added { title: title(), came: Came::Never }).await;
        assert_eq!(to_new, Ok(("Emma for 0".to_owned(), Came::Named)), "{round}");
        let to_old = back.added(new::Added { price: 7, title: title(), came: Came::Never }).await;
        assert_eq!(to_old, Ok(("Emma".to_owned(), Came::Named)), "{round}");
        wait_until_agreed(&pair).await;
    }
}

#[tokio::test]
async fn a_field_that_was_removed_is_passed_over_and_an_old_server_has_its_default() {
    let pair = two_builds().await;
    let (there, back) =
        (pair.one.actor::<old::Shop>(shop(&pair.two)), pair.two.actor::<new::Shop>(shop(&pair.one)));
    for round in 0..3 {
        let title = || "Emma".to_owned();
        let to_new =
            there.removed(old::Removed { title: title(), note: "!".into(), came: Came::Never }).await;
        assert_eq!(to_new, Ok(("Emma".to_owned(), Came::Named)), "{round}");
        let to_old = back.removed(new::Removed { title: title(), came: Came::Never }).await;
        assert_eq!(to_old, Ok(("Emma ".to_owned(), Came::Named)), "{round}");
        wait_until_agreed(&pair).await;
    }
}

#[tokio::test]
async fn a_field_that_was_renamed_is_found_by_its_alias_and_refused_where_there_is_none() {
    let pair = two_builds().await;
    let (there, back) =
        (pair.one.actor::<old::Shop>(shop(&pair.two)), pair.two.actor::<new::Shop>(shop(&pair.one)));
    for round in 0..3 {
        let to_new = there.renamed(old::Renamed { amount: 3, came: Came::Never }).await;
        assert_eq!(to_new, Ok(("3".to_owned(), Came::Named)), "{round}");
        let to_old = back.renamed(new::Renamed { quantity: 3, came: Came::Never }).await;
        let Err(AskError::Refused(refusal)) = to_old else {
            panic!("the old build knows no such field: {to_old:?}");
        };
        assert_eq!(refusal.code, RefusalCode::BadPayload);
        assert!(refusal.detail.contains("amount"), "{refusal}");
        wait_until_agreed(&pair).await;
    }
}

#[tokio::test]
async fn opaque_types_travel_with_their_names_though_both_have_the_same() {
    let pair = two_builds().await;
    let there = pair.one.actor::<old::Shop>(shop(&pair.two));
    for round in 0..3 {
        for note in [None, Some("x".to_owned())] {
            let came = there.opaque(old::Opaque { note, came: Came::Never }).await;
            assert_eq!(came, Ok(Came::Named), "{round}");
        }
        wait_until_agreed(&pair).await;
    }
}

#[tokio::test]
async fn a_server_told_to_know_no_types_has_everything_travel_with_its_names() {
    let types = [Fingerprints::none(), Fingerprints::of(&[protocol_of::<new::Shop>()])];
    let Pair { one, two, _directory } = pair(new::Shop, new::Shop, types).await;
    let (there, back) = (one.actor::<new::Shop>(shop(&two)), two.actor::<new::Shop>(shop(&one)));
    for _ in 0..20 {
        for handle in [&there, &back] {
            let (_, came, again) = handle.same(new::Same::default()).await.expect("answered");
            assert_eq!((came, again.came), (Came::Named, Came::Named));
        }
    }
}

#[tokio::test]
async fn a_peer_that_lies_about_its_types_is_refused_by_the_actor() {
    // The server believes what it is told of its own types, wrongly; the actor knows its own.
    let wrong = || Fingerprints::of(&[protocol_of::<new::Shop>()]);
    let Pair { one, two, _directory } = pair(new::Shop, old::Shop, [wrong(), wrong()]).await;
    let there = one.actor::<new::Shop>(shop(&two));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let refusal = loop {
        assert!(tokio::time::Instant::now() < deadline, "not within 5 s: the peer agrees");
        match there.added(new::Added { price: 7, title: "Emma".into(), came: Came::Never }).await {
            Err(AskError::Refused(refusal)) => break refusal,
            named => assert_eq!(named, Ok(("Emma".to_owned(), Came::Named))),
        }
    };
    assert_eq!(refusal.code, RefusalCode::BadPayload);
    assert!(refusal.detail.contains("a compact payload of another shape"), "{refusal}");
}
