//! The limits of a link that no other crate must know, with their reasons, and what this build speaks.

use std::time::Duration;

/// The first field of the first frame: a peer of another protocol is told from one of another version.
pub const MAGIC: &str = "odeon";

/// Oldest protocol version this build speaks. Version 1 was never released.
pub const VERSION_MIN: u16 = 2;

/// Newest protocol version this build speaks.
pub const VERSION_MAX: u16 = 2;

/// The feature by which a type whose fingerprint both sides share may travel in the compact encoding.
pub const FEATURE_COMPACT: &str = "compact";

/// The features this build offers.
pub const FEATURES: [&str; 1] = [FEATURE_COMPACT];

/// Most features in a hello: all of them fit in a handshake frame beside two ids of full length.
pub const FEATURES_MAX: usize = 32;

/// Longest name of a feature, in bytes, for the same reason.
pub const FEATURE_BYTES_MAX: usize = 63;

/// Most message types in one direction of a link. A program has hundreds; the rest is room for a program that
/// makes them up, and the table's memory stays below 20 MB.
pub const TYPES_MAX: usize = 65_536;

/// Most asks open at once in one direction of a link, and the most that can be set: the low 16 bits of an ask's
/// id are its place in the table.
pub const ASKS_MAX: usize = 65_536;

/// Most monitors at once in one direction of a link, by default: a quarter of what one actor takes, so that no
/// peer alone uses up an actor's places.
pub const MONITORS_MAX: usize = 16_384;

/// Most flows open at once in one direction of a link. When all are taken, those that rest are closed and
/// opened again when they are needed; a flow costs about 200 bytes at each end.
pub const FLOWS_MAX: usize = 16_384;

/// Bytes of messages that may be on their way or waiting at the receiver over all flows of one direction, by
/// default: two of the largest frames, and far more than a fast link has under way.
pub const LINK_WINDOW_BYTES: u64 = 32 * 1024 * 1024;

/// Messages that may be on their way or waiting in one flow, by default: two full mailboxes of the usual size,
/// so that the window does not bound the speed of a link.
pub const FLOW_WINDOW_MESSAGES: u64 = 8_192;

/// Bytes of messages that may be on their way or waiting in one flow, by default: an eighth of the link's, so
/// that it takes eight stuck actors to stop a link.
pub const FLOW_WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// Most messages of one direction that are not known to have been taken, whatever credit the peer gives: as many as the
/// default windows allow at most. So the books stay below 16 MB.
pub const UNKNOWN_MESSAGES_MAX: usize = 524_288;

/// What a message costs in credit beyond its payload: what the books of both ends keep for it.
pub const MESSAGE_COST_BYTES: u64 = 64;

/// A frame longer than this travels as chunks of this size.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of control frames that go ahead of one segment of data: control does not wait, and data does not starve.
pub const CONTROL_BURST_BYTES: usize = 64 * 1024;

/// How long the receiver may keep to itself that messages have been taken. Sooner, when half a window is used up.
pub const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(20);

/// Silence after which a side pings, by default.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// Silence after which a side gives the link up, by default: three heartbeats.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// How long a link may carry nothing, with nothing open, before it is closed, by default.
pub const IDLE_AFTER: Duration = Duration::from_secs(300);

/// The reason in the `Bye` that answers a `Rest`. Frozen: by it the peer knows that both agreed, and that this
/// is not the end of a link which was needed.
pub const BYE_IDLE: &str = "the link was idle";

/// Bytes queued and not yet handed to the transport, by default: two frames of the largest size.
pub const OUTBOUND_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room above the outbound limit for frames that must not be lost, such as answers and pongs. A peer that makes
/// us need more does not read, and loses the link.
pub const CONTROL_RESERVE_BYTES: usize = 1024 * 1024;

/// Longest text for people in a frame, in bytes; longer ones are cut. Two fit in a handshake frame.
pub const TEXT_BYTES_MAX: usize = 1_500;

/// Bytes kept while the driver has a proof to make or to check. It answers between two reads, so one read's
/// worth is enough; this is a generous read.
pub const HELD_BYTES_MAX: usize = 1024 * 1024;
