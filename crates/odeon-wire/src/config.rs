//! What a session must be told about its own side.

use std::time::Duration;

use odeon_core::limits::{FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT};
use odeon_core::{Epoch, ServerId};

use crate::limits::{ASKS_MAX, DEAD_AFTER, HEARTBEAT, MONITORS_MAX, OUTBOUND_BYTES_MAX};

/// One side's settings for a link.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this server is.
    pub server: ServerId,
    /// Which incarnation of it.
    pub epoch: Epoch,
    /// Largest frame taken from the peer, in bytes without the prefix; the peer is told and keeps to it. Taken
    /// as [`HANDSHAKE_FRAME_BYTES_MAX`](odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX) when it is less.
    pub frame_bytes_max: usize,
    /// Time for the whole handshake.
    pub handshake_timeout: Duration,
    /// Silence after which a ping goes out.
    pub heartbeat: Duration,
    /// Silence after which the link is given up; longer than `heartbeat`.
    pub dead_after: Duration,
    /// Most bytes queued and not yet handed to the transport.
    pub outbound_bytes_max: usize,
    /// Most asks open at once, in each direction.
    pub asks_max: usize,
    /// Most monitors at once, in each direction.
    pub monitors_max: usize,
}

impl Config {
    /// The defaults, for this server in this incarnation.
    #[must_use]
    pub const fn new(server: ServerId, epoch: Epoch) -> Self {
        Self {
            server,
            epoch,
            frame_bytes_max: FRAME_BYTES_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            heartbeat: HEARTBEAT,
            dead_after: DEAD_AFTER,
            outbound_bytes_max: OUTBOUND_BYTES_MAX,
            asks_max: ASKS_MAX,
            monitors_max: MONITORS_MAX,
        }
    }
}
