//! Connections that have not proven themselves: how many there may be, and from where.
//!
//! Whoever connects from one place too often loses the oldest of its own connections, and nobody else does. When
//! there are too many from everywhere, the oldest of the place with the most goes: so nobody can fill all places, and
//! one who comes from elsewhere always finds one.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::config::Limits;
use crate::link::Link;

/// Where a connection comes from, as far as somebody who floods can be told from everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// This host: whoever can open its unix sockets needs no flood.
    Here,
    /// One address.
    V4(u32),
    /// A network of 64 bits, as one host is given it.
    V6(u64),
}

impl Source {
    /// That of a connection whose other end is called `remote`.
    pub(crate) fn of(remote: &str) -> Self {
        let Ok(remote) = remote.parse::<SocketAddr>() else { return Self::Here };
        match remote.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// That of one source.
    Source,
    /// That of all.
    All,
}

/// The connections that have not proven themselves, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<VecDeque<(Source, Weak<Link>)>>);

impl Strangers {
    /// Takes one more; returns the one that has to go, if there are too many.
    pub(crate) fn add(&self, link: &Arc<Link>, limits: &Limits) -> Option<(Crowd, Arc<Link>)> {
        let is_stranger = |link: &Arc<Link>| link.peer().is_none() && !link.is_over();
        let source = Source::of(&link.remote);
        let mut strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.push_back((source, Arc::downgrade(link)));
        let of = |strangers: &VecDeque<(Source, _)>| strangers.iter().map(|(source, _)| *source).collect();
        let sources: Vec<Source> = of(&strangers);
        surplus(&sources, limits)?;
        // Only now: to look at each of them whenever somebody connects would be the flood's work.
        strangers.retain(|(_, link)| link.upgrade().as_ref().is_some_and(is_stranger));
        let sources: Vec<Source> = of(&strangers);
        let (crowd, oldest) = surplus(&sources, limits)?;
        let (_, link) = strangers.remove(oldest)?;
        Some((crowd, link.upgrade()?))
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        let strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.iter().filter_map(|(_, link)| link.upgrade()).filter(|link| link.peer().is_none()).collect()
    }
}

/// Which one has to go, of strangers from these sources, of whom the last has just come.
fn surplus(sources: &[Source], limits: &Limits) -> Option<(Crowd, usize)> {
    let newest = *sources.last()?;
    let of = |wanted: Source| sources.iter().filter(|source| **source == wanted).count();
    if newest != Source::Here && of(newest) > limits.handshakes_per_source_max {
        return Some((Crowd::Source, sources.iter().position(|source| *source == newest)?));
    }
    if sources.len() <= limits.handshakes_max {
        return None;
    }
    let mut counts = BTreeMap::<Source, usize>::new();
    for source in sources {
        *counts.entry(*source).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    Some((Crowd::All, sources.iter().position(|source| counts.get(source) == Some(&most))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: usize, source: usize) -> Limits {
        Limits { handshakes_max: all, handshakes_per_source_max: source, ..Limits::default() }
    }

    const A: Source = Source::V4(1);
    const B: Source = Source::V4(2);

    #[test]
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        let of = Source::of;
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
        assert_eq!(of("[::ffff:10.0.0.1]:1"), of("10.0.0.1:7"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:2]:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("/run/b.sock"), Source::Here);
    }

    #[test]
    fn a_source_past_its_limit_loses_its_own_oldest() {
        let limits = limits(9, 2);
        assert_eq!(surplus(&[B, A, A], &limits), None);
        assert_eq!(surplus(&[B, A, A, A], &limits), Some((Crowd::Source, 1)));
        assert_eq!(surplus(&[A, A, B, B], &limits), None);
    }

    #[test]
    fn past_the_limit_of_all_the_oldest_of_the_most_goes_and_whoever_is_new_stays() {
        let limits = limits(4, 3);
        assert_eq!(surplus(&[B, A, A, A], &limits), None);
        assert_eq!(surplus(&[B, A, A, A, Source::V4(3)], &limits), Some((Crowd::All, 1)));
        let each_another: Vec<Source> = (0..5).map(Source::V4).collect();
        assert_eq!(surplus(&each_another, &limits), Some((Crowd::All, 0)));
    }

    #[test]
    fn the_limit_of_a_source_is_not_for_this_host() {
        let limits = limits(4, 2);
        assert_eq!(surplus(&[Source::Here; 4], &limits), None);
        assert_eq!(surplus(&[Source::Here; 5], &limits), Some((Crowd::All, 0)));
    }
}
