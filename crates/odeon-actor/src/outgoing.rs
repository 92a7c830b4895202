//! What goes out over a route: a call that is encoded late, by whoever knows the link it takes.

use std::borrow::Cow;
use std::fmt;

use odeon_core::{CodecError, Encoding, Fingerprint, Instant, Reference};
use serde::Serialize;

/// One message on its way to another server.
#[derive(Debug)]
pub struct RemoteCall {
    /// The actor.
    pub to: Reference,
    /// The number of the sending actor; 0 for code that is none.
    pub from: u64,
    /// The number of the message among those of its sender.
    pub nonce: u64,
    /// The number of the receiver's message that this one answers, if it does.
    pub in_reply_to: Option<u64>,
    /// What kind of message.
    pub mark: Cow<'static, str>,
    /// The arguments.
    pub arguments: Arguments,
    /// When the message stops being worth anything.
    pub expires_at: Option<Instant>,
}

/// Appends a value, encoded.
pub type Encode<'a> = dyn Fn(Encoding, &mut Vec<u8>) -> Result<(), CodecError> + 'a;

/// A message that a route may take at once: nothing of it is copied or boxed before it does.
pub struct Offer<'a> {
    /// The actor.
    pub to: &'a Reference,
    /// The number of the sending actor; 0 for code that is none.
    pub from: u64,
    /// The number of the message among those of its sender.
    pub nonce: u64,
    /// The number of the receiver's message that this one answers, if it does.
    pub in_reply_to: Option<u64>,
    /// What kind of message.
    pub mark: &'static str,
    /// The fingerprint of the arguments and of the answer; none if they travel with their names only.
    pub fingerprint: Option<Fingerprint>,
    /// When the message stops being worth anything.
    pub expires_at: Option<Instant>,
    /// Appends the arguments, encoded. Code of the sender's: nothing of the route's should be locked.
    pub encode: &'a Encode<'a>,
}

impl fmt::Debug for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("to", &self.to).field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// The arguments of a call.
pub enum Arguments {
    /// A value: it becomes bytes once it is known what its receiver understands.
    Value(Box<dyn Outgoing>),
    /// Bytes, which go as they are: from people, who write JSON, or passed on for others.
    Encoded {
        /// How they are encoded.
        encoding: Encoding,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// A value that can be encoded as may be needed.
pub trait Outgoing: Send + Sync + 'static {
    /// The fingerprint of it and of its answer; none if it travels with its names only.
    fn fingerprint(&self) -> Option<Fingerprint>;

    /// Appends it, encoded.
    ///
    /// # Errors
    /// When the value cannot be expressed.
    fn encode(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// A value that travels with its names.
struct Named<T>(T);

impl<T: Serialize + Send + Sync + 'static> Outgoing for Named<T> {
    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }

    fn encode(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), CodecError> {
        odeon_core::encode(&self.0, encoding, out)
    }
}

impl Arguments {
    /// A value that travels with its names, whatever the peer understands.
    #[must_use]
    pub fn named<T: Serialize + Send + Sync + 'static>(value: T) -> Self {
        Self::Value(Box::new(Named(value)))
    }

    /// The fingerprint by which the arguments may travel compactly: none of bytes.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Value(value) => value.fingerprint(),
            Self::Encoded { .. } => None,
        }
    }

    /// The bytes and how they are encoded: as `wanted`, where there is a choice. Nothing of the caller's should be
    /// locked, because a value is encoded by code of its own.
    ///
    /// # Errors
    /// When the value cannot be expressed.
    pub fn encoded(&self, wanted: Encoding) -> Result<(Encoding, Cow<'_, [u8]>), CodecError> {
        match self {
            Self::Value(value) => {
                let mut bytes = Vec::new();
                value.encode(wanted, &mut bytes)?;
                Ok((wanted, bytes.into()))
            }
            Self::Encoded { encoding, bytes } => Ok((*encoding, bytes.into())),
        }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(..)"),
            Self::Encoded { encoding, bytes } => {
                f.debug_struct("Encoded").field("encoding", encoding).field("bytes", &bytes.len()).finish()
            }
        }
    }
}
