//! How a link travels, and what the channel below it proves.
//!
//! TLS stands above the network seam: for a `tls:` address the network makes and accepts plain connections, and
//! what is here wraps them. So TLS is the same over real sockets and over those of a test. The hello of
//! `odeon-wire` runs inside, as over every transport; its proof is then made not with the cookie but with a key
//! that both ends of this one TLS connection derive, and nobody between them can. So the hello belongs to the
//! channel, and the channel's certificate says who spoke it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use odeon_actor::message;
use odeon_auth::Cookie;
use odeon_core::{Address, ServerId};

/// How a link travels.
#[message(mark = "link-transport/1")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A unix socket of this host.
    Unix,
    /// Mutual TLS 1.3 over TCP.
    Tls,
    /// Bare TCP.
    Tcp,
}

impl Transport {
    /// That of a connection to or at this address.
    #[must_use]
    pub const fn of(address: &Address) -> Self {
        match address {
            Address::Unix { .. } => Self::Unix,
            Address::Tls(_) => Self::Tls,
            Address::Tcp(_) => Self::Tcp,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unix => "unix",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        })
    }
}

/// What the handshake of TLS has proven.
#[derive(Debug)]
pub(crate) struct Secured {
    /// Whose certificate the peer holds.
    server: ServerId,
    /// What the proofs of the hello are made with.
    key: Cookie,
}

/// The channel of one link.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    transport: Transport,
    /// Set once the handshake of TLS is over; none over other transports.
    secured: Option<Arc<OnceLock<Secured>>>,
}

impl Channel {
    /// One that proves nothing by itself.
    pub(crate) const fn plain(transport: Transport) -> Self {
        Self { transport, secured: None }
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the handshake of TLS is under way: nothing of ours leaves before its end.
    pub(crate) fn is_securing(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.get().is_none())
    }

    /// What proofs are made with. None before the end of the handshake of TLS, when there is nothing to prove.
    pub(crate) fn proof_key<'a>(&'a self, cookie: &'a Cookie) -> Option<&'a Cookie> {
        match &self.secured {
            None => Some(cookie),
            Some(secured) => secured.get().map(|secured| &secured.key),
        }
    }

    /// Whether the channel lets its peer be this server; else a sentence for the peer.
    pub(crate) fn vouches_for(&self, claimed: &ServerId) -> Result<(), String> {
        let Some(secured) = &self.secured else { return Ok(()) };
        match secured.get() {
            Some(secured) if secured.server == *claimed => Ok(()),
            Some(secured) => Err(format!("the certificate is {}'s, and not {claimed}'s", secured.server)),
            None => Err("the channel is not secured yet".to_owned()),
        }
    }
}
