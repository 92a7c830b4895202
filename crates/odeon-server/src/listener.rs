//! Accepting connections: each gets a link of its own, and strangers cost little.

use std::time::Duration;

use odeon_core::seam::{Connection, Listener};
use odeon_wire::Session;
use tokio::sync::watch;

use crate::control::Direction;
use crate::link::Link;
use crate::secure::{self, Channel, Transport};
use crate::server::Server;
use crate::strangers::Crowd;

/// Pause after a failed accept: the usual reason is that file descriptors have run out, and it passes. Each that
/// follows is twice as long.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest of them.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections accepted one after the other before others are let run: each costs memory and a task.
const ACCEPTED_AT_ONCE: usize = 16;

/// Accepts until the server stops.
pub(crate) async fn accept(
    server: Server,
    mut listener: Box<dyn Listener>,
    mut stopping: watch::Receiver<bool>,
) {
    let transport = Transport::of(&listener.address());
    let (mut at_once, mut pause) = (0, ACCEPT_PAUSE_MIN);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                pause = ACCEPT_PAUSE_MIN;
                welcome(&server, transport, connection);
                at_once += 1;
                if at_once >= ACCEPTED_AT_ONCE {
                    at_once = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                server.counters().accept_failures.add(1);
                if pause == ACCEPT_PAUSE_MIN {
                    tracing::warn!(address = %listener.address(), %error, "cannot accept; trying again");
                }
                let clock = server.clock();
                tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                    () = clock.sleep_until(clock.now() + pause) => {}
                }
                pause = (2 * pause).min(ACCEPT_PAUSE_MAX);
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
        Some(context) if transport == Transport::Tls => secure::welcome(context, connection, server.turns()),
        _ => (connection, Channel::plain(transport)),
    };
    let (link, _) = Link::start(server, Direction::Incoming, session, connection, channel);
    if let Some((crowd, oldest)) = server.strangers().add(&link, server.limits()) {
        server.counters().stranger_dropped(crowd);
        oldest.close(match crowd {
            Crowd::Source => "too many connections from this address wait for their handshake",
            Crowd::All => "too many connections wait for their handshake",
        });
    }
}
