//! Who sent a message, as the receiver may believe it: from the channel, never from the payload.

use std::sync::Arc;

use odeon_core::{Capabilities, Epoch, ServerId};

/// The server at the other end of a link, as the link proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub server: ServerId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// What it may do here.
    pub capabilities: Capabilities,
}

/// Who sent a message.
#[derive(Debug, Clone, Default)]
pub enum Sender {
    /// Code of this process that is no actor.
    #[default]
    Outside,
    /// An actor of this process, by its number.
    Actor(u64),
    /// An actor, by its number, of another server; 0 stands for code there that is no actor.
    Remote(Arc<Peer>, u64),
}

impl Sender {
    /// The actor of that number in this process; 0 is code that is none.
    pub(crate) const fn of_number(number: u64) -> Self {
        match number {
            0 => Self::Outside,
            number => Self::Actor(number),
        }
    }

    /// Whether the sender may do what needs `capability`. Code of this process may do everything.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        match self {
            Self::Outside | Self::Actor(_) => true,
            Self::Remote(peer, _) => peer.capabilities.can(capability),
        }
    }

    /// The server the message came from, if not this one.
    #[must_use]
    pub fn server(&self) -> Option<&ServerId> {
        match self {
            Self::Outside | Self::Actor(_) => None,
            Self::Remote(peer, _) => Some(&peer.server),
        }
    }
}
