//! Who sent a message, as the receiver may believe it: from the channel, never from the payload.

use std::fmt;
use std::sync::Arc;

use odeon_core::{Capabilities, Epoch, Origin, Refusal, RefusalCode, Right, ServerId};

/// What a peer wants to do, as far as the receiving actor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed<'a> {
    /// The capability that it needs.
    pub capability: &'a str,
    /// The receiving actor, by its number, and the message's full mark.
    pub message: Option<(u64, &'static str)>,
    /// The path that is reached for, if there is one.
    pub path: Option<&'a str>,
}

/// What a peer holds here. The server implements it, and so decides, with the time and the grants of this moment.
pub trait Holds: fmt::Debug + Send + Sync + 'static {
    /// Whether `peer` may do this now.
    fn allows(&self, peer: &Peer, deed: &Deed<'_>) -> bool;

    /// What the peer holds now.
    fn rights(&self, peer: &Peer) -> Vec<Right>;
}

/// The same capabilities all the time and without limits.
impl Holds for Capabilities {
    fn allows(&self, _: &Peer, deed: &Deed<'_>) -> bool {
        self.can(deed.capability)
    }

    fn rights(&self, _: &Peer) -> Vec<Right> {
        vec![Right::new(self.clone(), Origin::Configuration)]
    }
}

/// The server at the other end of a link, as the link proved it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its id.
    pub server: ServerId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// What it may do here.
    pub held: Arc<dyn Holds>,
}

/// An actor of another server.
#[derive(Debug, Clone)]
pub struct RemoteSender {
    /// Its server.
    pub peer: Arc<Peer>,
    /// Its number there; 0 stands for code that is no actor.
    pub number: u64,
    /// What it sent, and to whom: rights can be limited to that.
    message: Option<(u64, &'static str)>,
}

/// Who sent a message.
#[derive(Debug, Clone, Default)]
pub enum Sender {
    /// Code of this process that is no actor.
    #[default]
    Outside,
    /// An actor of this process, by its number.
    Actor(u64),
    /// An actor of another server.
    Remote(RemoteSender),
}

impl RemoteSender {
    /// The receiving actor, by its number, and the full mark of what it got; nothing before it has.
    #[must_use]
    pub const fn message(&self) -> Option<(u64, &'static str)> {
        self.message
    }
}

impl Sender {
    /// The actor of that number at the other end of a link; 0 is code there that is no actor.
    #[must_use]
    pub const fn remote(peer: Arc<Peer>, number: u64) -> Self {
        Self::Remote(RemoteSender { peer, number, message: None })
    }

    /// The actor of that number in this process; 0 is code that is none.
    pub(crate) const fn of_number(number: u64) -> Self {
        match number {
            0 => Self::Outside,
            number => Self::Actor(number),
        }
    }

    /// The same, seen by the actor of that number that has got the message of that mark from it.
    pub(crate) fn of_message(self, actor: u64, mark: &'static str) -> Self {
        match self {
            Self::Remote(remote) => Self::Remote(RemoteSender { message: Some((actor, mark)), ..remote }),
            here => here,
        }
    }

    pub(crate) const fn message(&self) -> Option<(u64, &'static str)> {
        match self {
            Self::Outside | Self::Actor(_) => None,
            Self::Remote(remote) => remote.message,
        }
    }

    /// Whether the sender may do what needs `capability`, by the rights it holds at this moment for the actor and the
    /// message at hand. Code of this process may do everything.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.allows(capability, None)
    }

    /// Whether the sender may do what needs `capability` at `path`: a right that is limited to paths counts only if it
    /// covers this one.
    #[must_use]
    pub fn can_at(&self, capability: &str, path: &str) -> bool {
        self.allows(capability, Some(path))
    }

    /// Refuses a sender that may not do what needs `capability`.
    ///
    /// ```
    /// # use odeon_actor::Sender;
    /// # use odeon_core::Refusal;
    /// fn load(sender: &Sender) -> Result<(), Refusal> {
    ///     sender.require("loader")?;
    ///     // …
    ///     Ok(())
    /// }
    /// assert_eq!(load(&Sender::Outside), Ok(()), "code of this process may do everything");
    /// ```
    ///
    /// # Errors
    /// [`RefusalCode::NotAuthorised`], which names what was sent, the capability and the sender's server.
    pub fn require(&self, capability: &str) -> Result<(), Refusal> {
        if self.can(capability) {
            return Ok(());
        }
        let what = self.message().map_or("this", |(_, mark)| mark);
        let who = self.server().map_or_else(String::new, ToString::to_string);
        let detail = format!("{what} needs the capability `{capability}`, which {who} does not hold here");
        Err(Refusal::new(RefusalCode::NotAuthorised, detail))
    }

    fn allows(&self, capability: &str, path: Option<&str>) -> bool {
        match self {
            Self::Outside | Self::Actor(_) => true,
            Self::Remote(RemoteSender { peer, message, .. }) => {
                peer.held.allows(peer, &Deed { capability, message: *message, path })
            }
        }
    }

    /// What the sender holds at this moment, with its limits and where it comes from.
    #[must_use]
    pub fn rights(&self) -> Vec<Right> {
        match self {
            Self::Outside | Self::Actor(_) => vec![Right::new(Capabilities::admin(), Origin::Process)],
            Self::Remote(remote) => remote.peer.held.rights(&remote.peer),
        }
    }

    /// The server the message came from, if not this one.
    #[must_use]
    pub fn server(&self) -> Option<&ServerId> {
        match self {
            Self::Outside | Self::Actor(_) => None,
            Self::Remote(remote) => Some(&remote.peer.server),
        }
    }
}
