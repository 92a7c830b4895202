//! Message types: what `#[message]` makes of a type is found by its mark.

use odeon::{Message, message};
use odeon_core::{Encoding, decode, encode, message_type, message_types};

/// A line of a chat.
///
/// Long ago.
#[message(version = 2)]
#[derive(Debug, PartialEq)]
struct ChatUpdate {
    text: String,
    colour: Option<Colour>,
}

#[message(mark = "tint/1")]
#[derive(Debug, PartialEq)]
enum Colour {
    Red,
    Mixed { red: u8 },
}

#[test]
fn a_message_type_is_found_by_its_mark() {
    let found = message_type("chat-update/2").expect("registered");
    assert!(std::ptr::eq(found, ChatUpdate::message_type()));
    assert_eq!(found.doc, "A line of a chat.");
    assert!((found.schema)().to_value()["properties"]["text"].is_object());
    assert_eq!(message_type("tint/1").map(|ty| ty.doc), Some(""));
    assert!(message_type("chat-update/1").is_none(), "another version is another type");
    let marks: Vec<_> = message_types().map(|ty| ty.mark).collect();
    assert!(marks.is_sorted() && marks.contains(&"tint/1"), "{marks:?}");
}

#[test]
fn a_message_survives_all_encodings() {
    for colour in [None, Some(Colour::Red), Some(Colour::Mixed { red: 7 })] {
        let update = ChatUpdate { text: "hé".to_owned(), colour };
        for encoding in [Encoding::Cbor, Encoding::Json, Encoding::Compact] {
            let mut bytes = Vec::new();
            encode(&update, encoding, &mut bytes).expect("encodes");
            assert_eq!(decode::<ChatUpdate>(encoding, &bytes).expect("decodes"), update);
        }
    }
}
