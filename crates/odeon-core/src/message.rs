//! Message types and the registry of all that a program links.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fingerprint::Fingerprint;

/// A value that can travel between servers. Written by `#[message]`; by hand it needs the same three things:
/// serde's traits, a [`MessageType`], and its entry in the registry.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// What the type is called and what it looks like.
    fn message_type() -> &'static MessageType;
}

/// A message type: its mark, its documentation, its schema.
#[derive(Debug)]
pub struct MessageType {
    /// The mark, such as `chat-update/2`.
    pub mark: &'static str,
    /// The first paragraph of the type's documentation.
    pub doc: &'static str,
    /// Makes the JSON Schema of the type.
    pub schema: fn() -> Schema,
    /// The fingerprint of the type; none if it is opaque.
    pub fingerprint: fn() -> Option<Fingerprint>,
}

inventory::collect!(&'static MessageType);

/// Every message type linked into this program, by mark.
static ALL: LazyLock<BTreeMap<&'static str, &'static MessageType>> =
    LazyLock::new(|| inventory::iter::<&'static MessageType>().map(|ty| (ty.mark, *ty)).collect());

/// The message type called `mark`, if this program has one.
#[must_use]
pub fn message_type(mark: &str) -> Option<&'static MessageType> {
    ALL.get(mark).copied()
}

/// Every message type linked into this program, those too whose mark another has.
pub(crate) fn linked_types() -> impl Iterator<Item = &'static MessageType> {
    inventory::iter::<&'static MessageType>().copied()
}

/// Every message type linked into this program, in order of marks.
pub fn message_types() -> impl Iterator<Item = &'static MessageType> {
    ALL.values().copied()
}
