//! The protocol between Odeon servers, without I/O.
//!
//! A [`Session`] is one side of one link: bytes and the time go in, bytes, events and the next time-out come
//! out. It knows no socket, no clock and no key; `docs/protocol/link.md` has the protocol for people.
//!
//! ```
//! use odeon_core::{Epoch, Instant};
//! use odeon_wire::{Config, Event, Session};
//!
//! let now = Instant::ZERO;
//! let cli = "cli-7@/".parse().unwrap();
//! let web = "web-0@/".parse().unwrap();
//! let mut session = Session::dial(Config::new(cli, Epoch(0)), web, [7; 32], now);
//!
//! let mut bytes = Vec::new();
//! while session.poll_transmit(&mut bytes, 64 * 1024) {} // write `bytes` to the socket
//! assert!(!bytes.is_empty(), "the dialler speaks first");
//! assert!(session.poll_timeout().is_some(), "and does not wait for ever");
//!
//! session.handle_lost("connection reset by peer"); // read from the socket
//! assert!(matches!(session.poll_event(), Some(Event::Closed(_))));
//! ```

#[doc(hidden)]
pub mod bugs;
mod closing;
mod config;
mod credit;
mod event;
mod flows_in;
mod flows_out;
mod frame;
mod framing;
mod handshake;
mod hash;
mod idle;
mod inbound;
mod ledger;
mod limits;
mod outbound;
mod outbox;
mod quick;
mod session;
mod text;
mod types;

pub use config::Config;
pub use event::{Arrival, AskFailure, CloseReason, Event, Parcel, SendError, Side, Transcript};
pub use frame::{Body, Frame, FrameError, Hello, RefuseCode, Windows};
pub use ledger::ask_place;
pub use limits::{
    ACKNOWLEDGE_AFTER, ASKS_MAX, BYE_IDLE, CHUNK_BYTES, CONTROL_BURST_BYTES, CONTROL_RESERVE_BYTES,
    DEAD_AFTER, FEATURE_BYTES_MAX, FEATURE_COMPACT, FEATURES, FEATURES_MAX, FLOW_WINDOW_BYTES,
    FLOW_WINDOW_MESSAGES, FLOWS_MAX, HEARTBEAT, HELD_BYTES_MAX, IDLE_AFTER, LINK_WINDOW_BYTES, MAGIC,
    MESSAGE_COST_BYTES, MONITORS_MAX, OUTBOUND_BYTES_MAX, TEXT_BYTES_MAX, TYPES_MAX, UNKNOWN_MESSAGES_MAX,
    VERSION_MAX, VERSION_MIN,
};
pub use session::Session;
