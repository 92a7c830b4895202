//! What a server counts, and the text in which monitoring reads it (OpenMetrics).
//!
//! Counters stand still between scrapes: whoever counts adds to a number, per batch where there are batches, and a
//! scrape reads the numbers and what can be counted then. The names are listed in `docs/metrics.md`, and a test keeps
//! that page.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use odeon_wire::CloseReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::control::Direction;
use crate::server::Server;
use crate::strangers::Crowd;

/// What a server counts as it happens.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) messages_in: Count,
    pub(crate) messages_out: Count,
    pub(crate) addresses_hit: Count,
    pub(crate) addresses_missed: Count,
    pub(crate) not_authorised: Count,
    /// Senders that wait for room on a link.
    pub(crate) waiting: AtomicUsize,
    /// How often no connection could be accepted.
    pub(crate) accept_failures: Count,
    /// Connections closed for the limit of their source, and for that of all.
    strangers_dropped: [Count; 2],
    /// How handshakes ended. Rare, so a lock does.
    handshakes: Mutex<BTreeMap<&'static str, u64>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One sender that waits, for as long as it does.
pub(crate) struct WaitingSender<'a>(&'a AtomicUsize);

impl<'a> WaitingSender<'a> {
    pub(crate) fn begin(counters: &'a Counters) -> Self {
        counters.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&counters.waiting)
    }
}

impl Drop for WaitingSender<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// A handshake has led to a link.
    pub(crate) fn handshake_succeeded(&self) {
        self.handshake("ok");
    }

    /// A link ended that had not come about.
    pub(crate) fn handshake_failed(&self, reason: &CloseReason) {
        self.handshake(outcome(reason));
    }

    /// A connection had to go before it had proven itself.
    pub(crate) fn stranger_dropped(&self, crowd: Crowd) {
        self.strangers_dropped[crowd as usize].add(1);
    }

    fn handshake(&self, outcome: &'static str) {
        *self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    fn handshakes(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The usual one is there from the beginning, so that its rate can be asked for.
        all.entry("ok").or_default();
        all
    }
}

/// How a handshake failed, as the value of a label.
fn outcome(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Refused { code, .. } | CloseReason::Rejected { code, .. } => code.as_str(),
        CloseReason::AuthenticationFailed => "authentication",
        CloseReason::HandshakeTimeout => "timeout",
        CloseReason::Protocol(_) => "protocol",
        CloseReason::Dead | CloseReason::Lost(_) => "lost",
        _ => "closed",
    }
}

impl Server {
    /// What the server has counted, as monitoring reads it: OpenMetrics text. The names are in `docs/metrics.md`.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("odeon");
        registry.register_collector(Box::new(OfServer(self.clone())));
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &registry) {
            // A `String` takes everything, so this is a defect of the encoder.
            tracing::error!(%error, "metrics cannot be encoded");
        }
        text
    }
}

/// What a scrape asks a server.
#[derive(Debug)]
struct OfServer(Server);

impl Collector for OfServer {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let server = &self.0;
        links(server, &mut to)?;
        actors(server, &mut to)?;
        let counters = server.counters();
        counter(
            &mut to,
            "address_cache",
            "Wishes for a server that was not known, by whether its address was remembered",
            &[
                (("outcome", "hit"), counters.addresses_hit.get()),
                (("outcome", "miss"), counters.addresses_missed.get()),
            ],
        )?;
        plain_counter(
            &mut to,
            "audit_refusals",
            "Messages of other servers that were refused for lack of a capability",
            counters.not_authorised.get(),
        )?;
        certificate(server, &mut to)?;
        let uptime = server.clock().now() - server.started_at();
        plain_gauge(&mut to, "uptime_seconds", "How long the server runs", uptime.as_secs())
    }
}

fn links(server: &Server, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters = server.counters();
    let entries = server.connections();
    let count = |direction| entries.iter().filter(|link| link.direction == direction).count() as u64;
    gauge(
        to,
        "links",
        "Links to other servers, by who connected",
        &[
            (("direction", "incoming"), count(Direction::Incoming)),
            (("direction", "outgoing"), count(Direction::Outgoing)),
        ],
    )?;
    let handshakes = counters.handshakes();
    let handshakes: Vec<_> =
        handshakes.iter().map(|(outcome, count)| (("outcome", *outcome), *count)).collect();
    counter(to, "handshakes", "Handshakes, by how they ended", &handshakes)?;
    plain_counter(
        to,
        "accept_failures",
        "Failed attempts to accept a connection, each followed by a pause",
        counters.accept_failures.get(),
    )?;
    let dropped = |crowd: Crowd| counters.strangers_dropped[crowd as usize].get();
    counter(
        to,
        "strangers_dropped",
        "Connections closed since too many had not proven themselves, by whose limit was reached",
        &[(("limit", "source"), dropped(Crowd::Source)), (("limit", "all"), dropped(Crowd::All))],
    )?;
    let waiting = server.turns().waiting() as u64;
    plain_gauge(to, "handshakes_waiting", "Handshakes of TLS that wait for their turn to compute", waiting)?;
    let both = |inward, outward| [(("direction", "in"), inward), (("direction", "out"), outward)];
    let bytes = both(counters.bytes_in.get(), counters.bytes_out.get());
    counter(to, "link_bytes", "Bytes read from and written to connections", &bytes)?;
    let messages = both(counters.messages_in.get(), counters.messages_out.get());
    counter(to, "link_messages", "Asks and tells over links", &messages)?;
    let asks = entries.iter().map(|link| link.open_asks).sum();
    plain_gauge(to, "open_asks", "Asks that wait for the answer of another server", asks)?;
    let waiting = counters.waiting.load(Ordering::Relaxed) as u64;
    plain_gauge(to, "waiting_senders", "Senders that wait for room on a link", waiting)
}

/// Without a certificate there is nothing to tell but that it would stand here.
fn certificate(server: &Server, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Seconds until the server's certificate runs out, where it has one";
    let metric = to.encode_descriptor("certificate_seconds", help, None, MetricType::Gauge)?;
    match server.tls() {
        Some(context) => {
            let left = context.own().not_after.saturating_sub(server.clock().unix_ms() / 1_000);
            ConstGauge::new(left).encode(metric)
        }
        None => Ok(()),
    }
}

fn actors(server: &Server, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let system = server.system();
    plain_gauge(to, "actors", "Actors that live", system.live() as u64)?;
    plain_counter(to, "dead_letters", "Messages that reached nobody", system.dead_letters())?;
    let refused = system.mailbox_refusals();
    plain_counter(to, "mailbox_refusals", "Messages for which a mailbox had no room", refused)
}

type Row<'a> = ((&'a str, &'a str), u64);

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[Row<'_>]) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (label, value) in rows {
        let labels = [*label];
        ConstCounter::new(*value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[Row<'_>]) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (label, value) in rows {
        let labels = [*label];
        ConstGauge::new(*value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn plain_counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn plain_gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}
