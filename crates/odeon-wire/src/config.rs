//! What a session must be told about its own side.

use std::time::Duration;

use odeon_core::limits::{FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT};
use odeon_core::{Epoch, ServerId};

use crate::frame::Windows;
use crate::limits::{
    ASKS_MAX, DEAD_AFTER, FLOW_WINDOW_BYTES, FLOW_WINDOW_MESSAGES, FLOWS_MAX, HEARTBEAT, IDLE_AFTER,
    LINK_WINDOW_BYTES, MESSAGE_COST_BYTES, MONITORS_MAX, OUTBOUND_BYTES_MAX,
};

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
    /// The credit that the peer begins with, and that is renewed as messages are taken. Raised to what one frame
    /// of the largest size costs, and to one message.
    pub windows: Windows,
    /// Time for the whole handshake.
    pub handshake_timeout: Duration,
    /// Silence after which a ping goes out.
    pub heartbeat: Duration,
    /// Silence after which the link is given up; longer than `heartbeat`.
    pub dead_after: Duration,
    /// How long the link may carry nothing, with nothing open, before it is closed.
    pub idle_after: Duration,
    /// Most bytes queued and not yet handed to the transport.
    pub outbound_bytes_max: usize,
    /// Most asks open at once, in each direction; [`ASKS_MAX`] at most.
    pub asks_max: usize,
    /// Most monitors at once, in each direction.
    pub monitors_max: usize,
    /// Most flows open at once, in each direction; at least 1. Both sides of a link must have the same:
    /// [`FLOWS_MAX`], except in tests.
    pub flows_max: usize,
}

impl Config {
    /// The defaults, for this server in this incarnation.
    #[must_use]
    pub const fn new(server: ServerId, epoch: Epoch) -> Self {
        Self {
            server,
            epoch,
            frame_bytes_max: FRAME_BYTES_MAX,
            windows: Windows {
                link_bytes: LINK_WINDOW_BYTES,
                flow_messages: FLOW_WINDOW_MESSAGES,
                flow_bytes: FLOW_WINDOW_BYTES,
            },
            handshake_timeout: HANDSHAKE_TIMEOUT,
            heartbeat: HEARTBEAT,
            dead_after: DEAD_AFTER,
            idle_after: IDLE_AFTER,
            outbound_bytes_max: OUTBOUND_BYTES_MAX,
            asks_max: ASKS_MAX,
            monitors_max: MONITORS_MAX,
            flows_max: FLOWS_MAX,
        }
    }

    /// With every setting within its bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.frame_bytes_max = self.frame_bytes_max.max(odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX);
        self.asks_max = self.asks_max.min(ASKS_MAX);
        self.flows_max = self.flows_max.clamp(1, FLOWS_MAX);
        let largest = link_bytes_min(self.frame_bytes_max);
        self.windows.link_bytes = self.windows.link_bytes.max(largest);
        self.windows.flow_messages = self.windows.flow_messages.max(1);
        self
    }
}

/// The smallest link window that goes with a frame limit: one frame of the largest size.
pub(crate) fn link_bytes_min(frame_bytes_max: usize) -> u64 {
    u64::try_from(frame_bytes_max).unwrap_or(u64::MAX).saturating_add(MESSAGE_COST_BYTES)
}
