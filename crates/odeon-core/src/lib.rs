//! The vocabulary of Odeon: names, addresses, marks, message types, capabilities, limits, errors and the seams.
//!
//! This crate owns no state and does no I/O. It knows no actor, no socket, no runtime: of tokio it uses only
//! the two I/O traits, without features, so that a simulated network and a real one have one type.

mod address;
mod capability;
mod chain;
mod codec;
mod epoch;
mod exit;
mod fingerprint;
mod hex;
pub mod limits;
mod mark;
mod message;
mod moment;
mod names;
mod protocol;
mod reference;
mod refusal;
mod rights;
pub mod seam;
mod shape;
mod text;
mod time;

pub use address::{Address, AddressError, HostId};
pub use capability::{Capabilities, Capability};
pub use chain::chain;
pub use codec::{CodecError, Encoding, check_nesting, decode, encode};
pub use epoch::Epoch;
pub use exit::{ExitReason, PanicReport};
pub use fingerprint::{Fingerprint, Fingerprints, fingerprint};
pub use hex::{from_hex, to_hex};
pub use mark::{Mark, MarkError};
pub use message::{Message, MessageType, message_type, message_types};
pub use moment::{DAY_S, DURATION_EXPECTED, moment, read_duration, write_duration};
pub use names::{ActorName, Domain, GroupName, NameError, Role, ServerId, Suggestion, suggest};
pub use protocol::{LinkedProtocol, Method, MethodDescription, Protocol, ProtocolDescription, protocols};
pub use reference::{ActorId, Reference};
pub use refusal::{Refusal, RefusalCode};
pub use rights::{Act, CAVEAT_ITEMS_MAX, Caveat, Origin, PATH_BYTES_MAX, PathPrefix, Right};
pub use shape::{Outline, Shape};
pub use time::{Deadline, Instant};

/// What the macros' output names; not for use by hand, and without any promise of stability.
#[doc(hidden)]
pub mod private {
    pub use crate::shape::{NotOutlined, Outlined, Probe};
    pub use {inventory, schemars, serde};

    /// What travels between servers; asked of every type that does, so that one that lacks something is named where
    /// it was written.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot travel between servers",
        label = "put #[message] on the type, or #[handle(local)] on the handler"
    )]
    pub trait Travels {}

    #[diagnostic::do_not_recommend]
    impl<T: serde::Serialize + serde::de::DeserializeOwned + schemars::JsonSchema> Travels for T {}

    /// Refuses what does not travel.
    pub const fn must_be_a_message<T: Travels>() {}
}
