//! Three servers in three network namespaces, over TCP and over TLS, while packets are dropped between them.

use std::thread;
use std::time::{Duration, Instant};

use crate::network::Network;
use crate::peers::{Peer, Pki, check_tells};

const IDS: [&str; 3] = ["a@/", "b@/", "c@/"];

/// A silent link is believed in for 15 s, after 5 s in which nobody asks.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

/// TCP's own pause before it tries again has grown while nothing passed; a new connection does not wait for it.
const HEALED_WITHIN: Duration = Duration::from_secs(15);

/// Long enough to see the third server undisturbed.
const LOSS_LASTS: Duration = Duration::from_secs(6);

/// The servers of one transport.
struct Trio {
    transport: &'static str,
    peers: Vec<Peer>,
}

impl Trio {
    fn start(network: &Network, transport: &'static str, pki: &Pki) -> Self {
        let port = if transport == "tls" { 7_001 } else { 7_000 };
        let address = |host: usize| format!("{transport}:{}:{port}", Network::address(host));
        let start = |host: usize| {
            let mut arguments = vec![address(host)];
            if transport == "tls" {
                arguments.extend(pki.arguments(IDS[host]));
            }
            let others = (0..IDS.len()).filter(|other| *other != host);
            arguments.extend(others.map(|other| format!("{}={}", IDS[other], address(other))));
            let prefix = network.prefix(host);
            let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
            Peer::start(&prefix, IDS[host], &arguments)
        };
        Self { transport, peers: (0..IDS.len()).map(start).collect() }
    }

    fn pairs() -> impl Iterator<Item = (usize, usize)> {
        (0..IDS.len())
            .flat_map(|from| (0..IDS.len()).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
    }

    /// Waits until everybody is answered by everybody; how long that took.
    fn wait_for_answers(&self, since: Instant, within: Duration) -> Duration {
        let answered = |(from, to): (usize, usize)| {
            self.peers[from].wait_for_line(since, &format!("answered {} ", IDS[to]), within)
        };
        Self::pairs().map(answered).max().unwrap_or_default()
    }

    /// Nobody's link with the third was touched.
    fn check_third(&self, since: Instant) {
        for (from, to) in Self::pairs().filter(|(from, to)| *from == 2 || *to == 2) {
            let (peer, id, transport) = (&self.peers[from], IDS[to], self.transport);
            for trouble in ["failed", "down"] {
                let lines = peer.printed(since, &format!("{trouble} {id} "));
                assert!(lines.is_empty(), "{transport}: {} and {id}, not cut: {lines:?}", peer.id);
            }
            assert!(!peer.printed(since, &format!("answered {id} ")).is_empty());
        }
    }

    /// Returns how many are missing; each was told to its sender.
    fn check_tells(&self) -> usize {
        let missing = Self::pairs().map(|(from, to)| check_tells(&self.peers[from], &self.peers[to])).sum();
        println!("{}: {missing} tells were lost, and their senders told", self.transport);
        missing
    }
}

fn trios(network: &Network) -> [Trio; 2] {
    let pki = Pki::issue(&IDS);
    let trios = ["tcp", "tls"].map(|transport| Trio::start(network, transport, &pki));
    let began = Instant::now();
    for trio in &trios {
        trio.wait_for_answers(began, HEALED_WITHIN);
    }
    trios
}

/// Cuts these paths, waits until both ends have noticed, mends them, and waits until all is well.
fn cut_and_mend(cuts: &[(usize, usize)]) {
    let Some(network) = Network::new(IDS.len()) else { return };
    let trios = trios(&network);
    let cut_at = Instant::now();
    for (from, to) in cuts {
        network.cut(*from, *to);
    }
    for trio in &trios {
        let noticed = |from: usize, to: usize| {
            trio.peers[from].wait_for_line(cut_at, &format!("down {} ", IDS[to]), NOTICED_WITHIN)
        };
        let noticed = [noticed(0, 1), noticed(1, 0)];
        println!("{}: noticed after {noticed:?}", trio.transport);
        trio.check_third(cut_at);
    }
    for (_, to) in cuts {
        network.mend(*to);
    }
    let mended_at = Instant::now();
    for trio in &trios {
        let healed = trio.wait_for_answers(mended_at, HEALED_WITHIN);
        println!("{}: healed after {healed:?}", trio.transport);
        trio.check_third(cut_at);
        trio.check_tells();
    }
}

#[test]
fn a_partition_is_noticed_and_heals_and_harms_no_third() {
    cut_and_mend(&[(0, 1), (1, 0)]);
}

#[test]
fn a_partition_of_one_way_is_noticed_by_both_and_heals_and_harms_no_third() {
    cut_and_mend(&[(0, 1)]);
}

#[test]
fn loss_of_every_tenth_packet_costs_time_and_no_message() {
    let Some(network) = Network::new(IDS.len()) else { return };
    let trios = trios(&network);
    let began = Instant::now();
    (0..IDS.len()).for_each(|host| network.lose(host, 10));
    wait_for_time(LOSS_LASTS);
    (0..IDS.len()).for_each(|host| network.mend(host));
    for trio in &trios {
        let slowest = Trio::pairs().map(|(from, to)| trio.peers[from].slowest_answer(began, IDS[to])).max();
        println!("{}: the slowest answer under loss took {slowest:?}", trio.transport);
        trio.wait_for_answers(Instant::now(), HEALED_WITHIN);
        assert_eq!(trio.check_tells(), 0, "{}", trio.transport);
        for (from, to) in Trio::pairs() {
            let downs = trio.peers[from].printed(began, &format!("down {} ", IDS[to]));
            assert!(downs.is_empty(), "{}: {} gave a link up: {downs:?}", trio.transport, IDS[from]);
        }
    }
}

/// The fault itself lasts for a while; nothing is expected of it but what is looked at afterwards.
fn wait_for_time(time: Duration) {
    thread::sleep(time);
}
