//! Reaching a server by name: where it is, one attempt for all who want it, the next address when one fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use odeon_core::seam::Connection;
use odeon_core::{Address, ServerId};
use odeon_wire::Session;

use crate::control::Direction;
use crate::link::Link;
use crate::peers::Wish;
use crate::server::Server;

/// Time to connect to one address, before the handshake begins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Most addresses tried for one server.
const ADDRESSES_MAX: usize = 16;

/// One address that was tried, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The address.
    pub address: Address,
    /// What went wrong.
    pub why: String,
}

/// Why a server cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server would be connecting to itself.
    #[error("{0} is this server itself")]
    Itself(ServerId),
    /// Nobody knows where it is.
    #[error("no usable addresses for {server}: {why}")]
    NoAddresses {
        /// The server.
        server: ServerId,
        /// What was looked up, and the outcome.
        why: String,
    },
    /// Every address failed.
    #[error("no usable addresses for {server}: {}", List(.tried))]
    AllFailed {
        /// The server.
        server: ServerId,
        /// What was tried, in order.
        tried: Vec<Tried>,
    },
    /// This server is stopping.
    #[error("this server is stopping")]
    Stopping,
}

struct List<'a>(&'a [Tried]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tried) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "; " };
            write!(f, "{comma}{}: {}", tried.address, tried.why)?;
        }
        Ok(())
    }
}

impl Server {
    /// A link to `peer`: the one there is, or a new one. Attempts are coalesced.
    pub(crate) async fn link_to(&self, peer: &ServerId) -> Result<Arc<Link>, ConnectError> {
        if peer == self.id() {
            return Err(ConnectError::Itself(peer.clone()));
        }
        let wish = self.peers().wish(peer);
        let wait = match wish {
            Wish::Live(link) => return Ok(link),
            Wish::Wait(wait) => wait,
            Wish::Connect(wait) => {
                let (server, peer) = (self.clone(), peer.clone());
                // In a task of its own, so that whoever asked first may give up without harm to the others.
                self.spawn_service("connect", async move |_| {
                    let outcome = server.dial(&peer).await;
                    let waiters = server.peers().connected(&peer);
                    for waiter in waiters {
                        // Each may have given up.
                        let _ = waiter.send(outcome.clone());
                    }
                });
                wait
            }
        };
        wait.await.unwrap_or(Err(ConnectError::Stopping))
    }

    async fn dial(&self, peer: &ServerId) -> Result<Arc<Link>, ConnectError> {
        let mut addresses = self.addresses_of(peer).await?;
        addresses.sort();
        addresses.truncate(ADDRESSES_MAX);
        let mut tried = Vec::new();
        for address in addresses {
            match self.dial_address(peer, &address).await {
                Ok(link) => return Ok(link),
                Err(why) => tried.push(Tried { address, why }),
            }
        }
        // What was looked up may have moved meanwhile.
        self.forget_address(peer);
        Err(ConnectError::AllFailed { server: peer.clone(), tried })
    }

    async fn dial_address(&self, peer: &ServerId, address: &Address) -> Result<Arc<Link>, String> {
        let net = self.net();
        let mut timeout = self.clock().sleep_until(self.clock().now() + CONNECT_TIMEOUT);
        let connection: Connection = tokio::select! {
            biased;
            connected = net.connect(address) => connected.map_err(|e| e.to_string())?,
            () = &mut timeout => return Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        };
        let session = Session::dial(self.wire_config(), peer.clone(), self.nonce(), self.clock().now());
        let connection = Connection { remote: address.to_string(), ..connection };
        let (link, opened) = Link::start(self, Direction::Outgoing, session, connection);
        match opened.await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(reason)) => Err(reason.to_string()),
            Err(_) => Err("the link ended during the handshake".to_owned()),
        }
    }
}
