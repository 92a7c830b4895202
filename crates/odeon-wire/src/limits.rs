//! The limits of a link that no other crate must know, with their reasons, and what this build speaks.

use std::time::Duration;

/// The first field of the first frame: a peer of another protocol is told from one of another version.
pub const MAGIC: &str = "odeon";

/// Oldest protocol version this build speaks.
pub const VERSION_MIN: u16 = 1;

/// Newest protocol version this build speaks.
pub const VERSION_MAX: u16 = 1;

/// The features this build offers. None yet: version 1 has no options.
pub const FEATURES: [&str; 0] = [];

/// Most features in a hello: all of them fit in a handshake frame beside two ids of full length.
pub const FEATURES_MAX: usize = 32;

/// Longest name of a feature, in bytes, for the same reason.
pub const FEATURE_BYTES_MAX: usize = 63;

/// Most message types in one direction of a link. A program has hundreds; the rest is room for a program that
/// makes them up, and the table's memory stays below 20 MB.
pub const TYPES_MAX: usize = 65_536;

/// Most asks open at once in one direction of a link, by default: 10 seconds' worth at 6,500 a second.
pub const ASKS_MAX: usize = 65_536;

/// Most monitors at once in one direction of a link, by default.
pub const MONITORS_MAX: usize = 65_536;

/// Silence after which a side pings, by default.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// Silence after which a side gives the link up, by default: three heartbeats.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

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
