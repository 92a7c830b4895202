//! Reaching a server by name: where it is, one attempt for all who want it, the next address when one fails.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use odeon_core::limits::ADDRESSES_MAX;
use odeon_core::seam::Connection;
use odeon_core::{Address, ServerId};
use odeon_wire::{CloseReason, RefuseCode, Session};

use crate::control::Direction;
use crate::link::Link;
use crate::peers::Wish;
use crate::secure::{self, Channel, Transport};
use crate::server::Server;

/// Time to connect to one address, before the handshake begins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for a look-up: twice what the question to a registry may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// One address that was tried, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The address.
    pub address: Address,
    /// What went wrong.
    pub why: String,
    /// What kind of failure it was.
    pub fault: Fault,
}

/// Why one address did not lead to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There was no connection, or it was lost.
    Connection,
    /// There was a server that did not accept this one's proof, or whose proof was wrong: the two hold different
    /// cookies.
    Cookie,
    /// There was a server that did not accept this one's certificate, or whose certificate is not accepted here.
    Certificate,
    /// The address takes a certificate, and this server has none.
    NoCertificate,
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
    /// Makes sure that there is a link to `peer`, and says where it leads. `addresses`, if any are given, are
    /// tried instead of those known, this once: when the link is lost, the peer is looked for where it is known to be.
    /// Whoever wants an address remembered says so by [`know`](Self::know).
    ///
    /// # Errors
    /// When the peer cannot be reached; the error names every address tried.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up, unless others wait for it too.
    pub async fn connect(&self, peer: &ServerId, addresses: &[Address]) -> Result<String, ConnectError> {
        if addresses.is_empty() || peer == self.id() {
            return Ok(self.link_to(peer).await?.remote.clone());
        }
        let live = self.peers().live(peer);
        let link = match live {
            Some(link) => link,
            None => self.unless_stopping(self.dial_at(peer, addresses)).await?,
        };
        Ok(link.remote.clone())
    }

    /// A link to `peer`: the one there is, or a new one. Attempts are coalesced.
    pub(crate) async fn link_to(&self, peer: &ServerId) -> Result<Arc<Link>, ConnectError> {
        let wait = match self.wish(peer)? {
            Wish::Live(link) => return Ok(link),
            Wish::Wait(wait) | Wish::Connect(wait) => wait,
        };
        wait.await.unwrap_or(Err(ConnectError::Stopping))
    }

    /// Sees to it that there will be a link to `peer`, and says whether there is one by now.
    pub(crate) fn begin_link(&self, peer: &ServerId) -> Result<bool, ConnectError> {
        if self.peers().is_connecting(peer) {
            return Ok(false);
        }
        Ok(matches!(self.wish(peer)?, Wish::Live(_)))
    }

    /// A link to `peer`, or a place among those who wait for one. Somebody connects.
    fn wish(&self, peer: &ServerId) -> Result<Wish, ConnectError> {
        if peer == self.id() {
            return Err(ConnectError::Itself(peer.clone()));
        }
        let wish = {
            let mut peers = self.peers();
            match peers.live(peer) {
                Some(link) => return Ok(Wish::Live(link)),
                None => match self.pauses().error(peer, self.clock().now()) {
                    Some(error) => return Err(error),
                    None => peers.wish(peer),
                },
            }
        };
        if let Wish::Connect(_) = wish {
            let attempt = Attempt { server: self.clone(), peer: peer.clone(), outcome: None };
            // In a task of its own, so that whoever asked first may give up without harm to the others.
            self.spawn_service("connect", async move |_| attempt.run().await);
        }
        Ok(wish)
    }

    /// Gives `attempt` up when the server stops.
    async fn unless_stopping<T>(
        &self,
        attempt: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let mut stopping = self.stopping();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(ConnectError::Stopping),
            outcome = attempt => outcome,
        }
    }

    async fn dial(&self, peer: &ServerId) -> Result<Arc<Link>, ConnectError> {
        let now = self.clock().now();
        let (known, remembered) = {
            let addresses = self.addresses_known();
            (addresses.known(peer), addresses.remembered(peer, now))
        };
        if let Some(known) = known {
            return self.dial_at(peer, &known).await;
        }
        let counters = self.counters();
        let cache = if remembered.is_some() { &counters.addresses_hit } else { &counters.addresses_missed };
        cache.add(1);
        if let Some(remembered) = remembered {
            if let Ok(link) = self.dial_at(peer, &remembered).await {
                return Ok(link);
            }
            // It may have moved meanwhile, so it is looked up anew.
            self.addresses_known().forget(peer);
        }
        let found = self.look_up(peer).await?;
        let linked = self.dial_at(peer, &found).await;
        if linked.is_err() {
            self.addresses_known().forget(peer);
        }
        linked
    }

    async fn look_up(&self, peer: &ServerId) -> Result<Vec<Address>, ConnectError> {
        let no_addresses = |why| ConnectError::NoAddresses { server: peer.clone(), why };
        let Some(locator) = self.locator() else {
            let why = "it is not among the known servers, and there is no registry to ask";
            return Err(no_addresses(why.to_owned()));
        };
        let asked_at = self.clock().now();
        let found = tokio::select! {
            biased;
            found = locator.locate(peer) => found.map_err(no_addresses)?,
            () = self.clock().sleep_until(asked_at + LOOKUP_TIMEOUT) => {
                return Err(no_addresses(format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs())));
            }
        };
        self.addresses_known().remember(peer, &found, asked_at);
        Ok(found)
    }

    /// Tries the addresses one after the other. Where one of them is of TLS and this server can speak it, bare TCP is
    /// not among them: whoever stands between could have TLS fail and wait for what is not secured.
    async fn dial_at(&self, peer: &ServerId, addresses: &[Address]) -> Result<Arc<Link>, ConnectError> {
        let mut addresses = addresses.to_vec();
        addresses.sort();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        let is_secured =
            self.tls().is_some() && addresses.iter().any(|address| is_by(address, Transport::Tls));
        let mut tried = Vec::new();
        for address in addresses {
            if is_secured && is_by(&address, Transport::Tcp) {
                let why = "not tried, since there is a `tls:` address".to_owned();
                tried.push(Tried { address, why, fault: Fault::Connection });
                continue;
            }
            match self.dial_address(peer, &address).await {
                Ok(link) => return Ok(link),
                Err(failed) => tried.push(failed),
            }
        }
        let server = peer.clone();
        Err(if tried.is_empty() {
            ConnectError::NoAddresses { server, why: "it has none".to_owned() }
        } else {
            ConnectError::AllFailed { server, tried }
        })
    }

    async fn dial_address(&self, peer: &ServerId, address: &Address) -> Result<Arc<Link>, Tried> {
        let failed = |why| Tried { address: address.clone(), why, fault: Fault::Connection };
        let transport = Transport::of(address);
        let context = match self.tls() {
            _ if transport != Transport::Tls => None,
            Some(context) => Some(context),
            None => {
                let why = "this server has no certificate; issue one with `ca cert`".to_owned();
                return Err(Tried { fault: Fault::NoCertificate, ..failed(why) });
            }
        };
        let net = self.net();
        let connection: Connection = tokio::select! {
            biased;
            connected = net.connect(address) => connected.map_err(|e| failed(e.to_string()))?,
            () = self.clock().sleep_until(self.clock().now() + CONNECT_TIMEOUT) => {
                return Err(failed(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())));
            }
        };
        let session = Session::dial(self.wire_config(), peer.clone(), self.nonce(), self.clock().now());
        let connection = Connection { remote: address.to_string(), ..connection };
        let (connection, channel) = match context {
            Some(context) => secure::dial(context, connection, peer),
            None => (connection, Channel::plain(transport)),
        };
        let (link, opened) = Link::start(self, Direction::Outgoing, session, connection, channel);
        let mut dialling = Dialling(Some(Arc::clone(&link)));
        let outcome = opened.await;
        dialling.0 = None;
        match outcome {
            Ok(Ok(())) => Ok(link),
            Ok(Err(reason)) => {
                Err(Tried { fault: fault(&link.channel, &reason), ..failed(reason.to_string()) })
            }
            Err(_) => Err(failed("the link ended during the handshake".to_owned())),
        }
    }
}

fn is_by(address: &Address, transport: Transport) -> bool {
    Transport::of(address) == transport
}

fn fault(channel: &Channel, reason: &CloseReason) -> Fault {
    let is_denied = match reason {
        CloseReason::Refused { code, .. } | CloseReason::Rejected { code, .. } => {
            *code == RefuseCode::Authentication
        }
        CloseReason::AuthenticationFailed => true,
        _ => channel.is_denied(),
    };
    match (is_denied, channel.transport()) {
        (false, _) => Fault::Connection,
        (true, Transport::Tls) => Fault::Certificate,
        (true, _) => Fault::Cookie,
    }
}

/// An attempt to reach a server. However it ends, those who wait for it are told.
struct Attempt {
    server: Server,
    peer: ServerId,
    outcome: Option<Result<Arc<Link>, ConnectError>>,
}

impl Attempt {
    async fn run(mut self) {
        let outcome = self.server.unless_stopping(self.server.dial(&self.peer)).await;
        let random = u32::from_le_bytes(*self.server.nonce().first_chunk().unwrap_or(&[0; 4]));
        self.server.pauses().attempted(&self.peer, &outcome, self.server.clock().now(), random);
        // The peer may have connected meanwhile, and others may send over that link already: one sender's messages
        // and monitors keep to one link, so those who waited take the same one.
        let live = self.server.peers().live(&self.peer);
        self.outcome = Some(live.map_or(outcome, Ok));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let why = "the attempt to reach it broke off".to_owned();
            Err(ConnectError::NoAddresses { server: self.peer.clone(), why })
        });
        let waiters = self.server.peers().connected(&self.peer);
        for waiter in waiters {
            // Each may have given up.
            let _ = waiter.send(outcome.clone());
        }
    }
}

/// A handshake whose dialler waits. Whoever stops waiting has no use for the link.
struct Dialling(Option<Arc<Link>>);

impl Drop for Dialling {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.close("nobody waits for the link any longer");
        }
    }
}
