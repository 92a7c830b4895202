//! Servers to test with, and waiting for what they do.

use std::time::Duration;

use odeon_auth::Cookie;
use odeon_core::{Address, Epoch, Reference, ServerId};
use odeon_server::{Limits, Server, ServerConfig};

use crate::actors::{Echo, EchoCalls as _};

pub(crate) use crate::common::wait_until;
pub(crate) use crate::site::{PATIENCE, Site, id, soon};

/// The ensemble's secret.
pub(crate) fn cookie() -> Cookie {
    Cookie::from_bytes([7; 32])
}

pub(crate) fn at(server: &Server, actor: &str) -> Reference {
    Reference::new(server.id().clone(), actor.parse().expect("an actor"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Unix, Transport::Tcp];

impl Site {
    pub(crate) fn config(&self, server: &str) -> ServerConfig {
        ServerConfig::new(id(server), cookie(), self.world())
    }

    pub(crate) fn address(&self, server: &str, transport: Transport) -> Address {
        match transport {
            Transport::Unix => self.home.address(&id(server)),
            Transport::Tcp => "tcp:127.0.0.1:0".parse().expect("an address"),
        }
    }

    /// `b@/`, which listens and has an echo.
    pub(crate) async fn listener(&self, transport: Transport, limits: Limits) -> Server {
        let mut config = self.config("b@/").epoch(Epoch(1)).listen(self.address("b@/", transport));
        config.limits = limits;
        let server = Server::start(config).await.expect("starts");
        server.spawn_named("echo".parse().expect("a name"), Echo::default()).expect("registered");
        server
    }

    /// A server that listens nowhere and knows where `peer` is.
    pub(crate) async fn client(&self, server: &str, peer: &Server) -> Server {
        self.knowing(server, peer.id(), peer.addresses()).await
    }

    /// The same, with limits of its own.
    pub(crate) async fn limited(&self, server: &str, peer: &Server, limits: Limits) -> Server {
        let mut config = self.config(server).known(peer.id().clone(), peer.addresses().to_vec());
        config.limits = limits;
        Server::start(config).await.expect("starts")
    }

    /// A server that listens nowhere and knows `peer` to be at `addresses`.
    pub(crate) async fn knowing(&self, server: &str, peer: &ServerId, addresses: &[Address]) -> Server {
        let config = self.config(server).known(peer.clone(), addresses.to_vec());
        Server::start(config).await.expect("starts")
    }

    /// Asks `server` as an honest newcomer would.
    pub(crate) async fn assert_serves(&self, server: &Server) {
        let honest = self.client("honest@/", server).await;
        let echo = honest.actor::<Echo>(at(server, "echo"));
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        honest.shutdown(Duration::ZERO).await;
    }
}
