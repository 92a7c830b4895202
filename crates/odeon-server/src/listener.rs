//! Accepting connections: each gets a link of its own, and strangers cost little.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use odeon_core::seam::{Connection, Listener};
use odeon_wire::Session;
use tokio::sync::watch;

use crate::control::Direction;
use crate::link::Link;
use crate::secure::{self, Channel, Transport};
use crate::server::Server;

/// Pause after a failed accept: the usual reason is that file descriptors have run out, and it passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections that have not proven themselves, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<VecDeque<Weak<Link>>>);

impl Strangers {
    /// Takes one more; returns the oldest if there are too many.
    fn add(&self, link: &Arc<Link>, max: usize) -> Option<Arc<Link>> {
        let is_stranger = |link: &Arc<Link>| link.peer().is_none() && !link.is_over();
        let mut strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|link| link.upgrade().as_ref().is_some_and(is_stranger));
        strangers.push_back(Arc::downgrade(link));
        if strangers.len() > max { strangers.pop_front()?.upgrade() } else { None }
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        let strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.iter().filter_map(Weak::upgrade).filter(|link| link.peer().is_none()).collect()
    }
}

/// Accepts until the server stops.
pub(crate) async fn accept(
    server: Server,
    mut listener: Box<dyn Listener>,
    mut stopping: watch::Receiver<bool>,
) {
    let transport = Transport::of(&listener.address());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => welcome(&server, transport, connection),
            Err(error) => {
                tracing::warn!(address = %listener.address(), %error, "cannot accept; trying again");
                let clock = server.clock();
                tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                    () = clock.sleep_until(clock.now() + ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    // In this order: once nobody subscribes any longer, nobody listens.
    drop(listener);
    drop(stopping);
}

fn welcome(server: &Server, transport: Transport, connection: Connection) {
    let session = Session::listen(server.wire_config(), server.nonce(), server.clock().now());
    let (connection, channel) = match server.tls() {
        Some(context) if transport == Transport::Tls => secure::welcome(context, connection),
        _ => (connection, Channel::plain(transport)),
    };
    let (link, _) = Link::start(server, Direction::Incoming, session, connection, channel);
    if let Some(oldest) = server.strangers().add(&link, server.limits().handshakes_max) {
        oldest.close("too many connections wait for their handshake");
    }
}
