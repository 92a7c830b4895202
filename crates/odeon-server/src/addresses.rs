//! Where other servers are: what was said beforehand, and what was looked up a while ago.

use std::collections::BTreeMap;
use std::time::Duration;

use odeon_core::{Address, Instant, ServerId};

use odeon_core::limits::ADDRESSES_MAX;

/// Most servers whose addresses are known, and most that are remembered; past it the lowest id is forgotten, and
/// looked up when it is wanted again. Far above any ensemble's size.
const SERVERS_MAX: usize = 65_536;

/// The addresses of other servers.
#[derive(Debug)]
pub(crate) struct Addresses {
    known: BTreeMap<ServerId, Vec<Address>>,
    ttl: Duration,
    /// What was looked up, and when.
    remembered: BTreeMap<ServerId, (Instant, Vec<Address>)>,
}

impl Addresses {
    pub(crate) const fn new(known: BTreeMap<ServerId, Vec<Address>>, ttl: Duration) -> Self {
        Self { known, ttl, remembered: BTreeMap::new() }
    }

    /// What was said of `server`; never looked up, since the way to the registry itself is among this.
    pub(crate) fn known(&self, server: &ServerId) -> Option<Vec<Address>> {
        self.known.get(server).cloned()
    }

    /// Takes somebody's word.
    pub(crate) fn know(&mut self, server: ServerId, mut addresses: Vec<Address>) {
        addresses.truncate(ADDRESSES_MAX);
        self.known.insert(server, addresses);
        if self.known.len() > SERVERS_MAX {
            self.known.pop_first();
        }
    }

    /// All that was said.
    pub(crate) const fn all_known(&self) -> &BTreeMap<ServerId, Vec<Address>> {
        &self.known
    }

    /// How long what was looked up is believed.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Sets that, also for what has been looked up already.
    pub(crate) const fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    /// What was looked up, if that is not too long ago.
    pub(crate) fn remembered(&self, server: &ServerId, now: Instant) -> Option<Vec<Address>> {
        let (at, addresses) = self.remembered.get(server)?;
        (now < *at + self.ttl).then(|| addresses.clone())
    }

    /// Takes what was looked up at the time `at`.
    pub(crate) fn remember(&mut self, server: &ServerId, addresses: &[Address], at: Instant) {
        if self.remembered.len() >= SERVERS_MAX && !self.remembered.contains_key(server) {
            let ttl = self.ttl;
            self.remembered.retain(|_, (then, _)| at < *then + ttl);
            if self.remembered.len() >= SERVERS_MAX {
                self.remembered.pop_first();
            }
        }
        let addresses = addresses.iter().take(ADDRESSES_MAX).cloned().collect();
        self.remembered.insert(server.clone(), (at, addresses));
    }

    /// What was looked up has proven wrong.
    pub(crate) fn forget(&mut self, server: &ServerId) {
        self.remembered.remove(server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ServerId {
        format!("s{n:06}@/").parse().expect("a server id")
    }

    fn at(port: usize) -> Vec<Address> {
        vec![format!("tcp:127.0.0.1:{port}").parse().expect("an address")]
    }

    const NANO: Duration = Duration::from_nanos(1);

    fn nothing(ttl: Duration) -> Addresses {
        Addresses::new(BTreeMap::new(), ttl)
    }

    #[test]
    fn what_was_looked_up_is_believed_until_its_time_and_not_then() {
        let mut addresses = nothing(5 * NANO);
        let at_nano = Instant::from_nanos;
        addresses.remember(&id(1), &at(1), at_nano(5));
        assert_eq!(addresses.remembered(&id(1), at_nano(9)), Some(at(1)));
        assert_eq!(addresses.remembered(&id(1), at_nano(10)), None);
        addresses.set_ttl(6 * NANO);
        assert_eq!(addresses.remembered(&id(1), at_nano(10)), Some(at(1)), "a new time holds at once");
        addresses.set_ttl(5 * NANO);
        addresses.remember(&id(1), &at(2), at_nano(10));
        assert_eq!(addresses.remembered(&id(1), at_nano(10)), Some(at(2)));
        addresses.forget(&id(1));
        assert_eq!(addresses.remembered(&id(1), at_nano(10)), None);
        assert_eq!(addresses.known(&id(1)), None);
    }

    #[test]
    fn the_tables_are_full_at_the_limit() {
        let mut addresses = nothing(2 * NANO);
        let (early, now, soon) = (Instant::ZERO, Instant::from_nanos(1), Instant::from_nanos(2));
        for n in 0..SERVERS_MAX {
            addresses.know(id(n), at(1));
            addresses.remember(&id(n), &at(1), if n == 7 { early } else { now });
        }
        assert!(addresses.known(&id(0)).is_some() && addresses.remembered(&id(0), now).is_some());
        addresses.know(id(SERVERS_MAX), at(1));
        assert!(addresses.known(&id(0)).is_none() && addresses.known(&id(SERVERS_MAX)).is_some());
        addresses.remember(&id(SERVERS_MAX), &at(1), soon);
        assert!(addresses.remembered(&id(7), now).is_none(), "what was stale goes first");
        assert!(addresses.remembered(&id(0), now).is_some());
        addresses.remember(&id(SERVERS_MAX + 1), &at(1), soon);
        assert!(addresses.remembered(&id(0), now).is_none());
        assert_eq!((addresses.known.len(), addresses.remembered.len()), (SERVERS_MAX, SERVERS_MAX));
    }

    #[test]
    fn more_addresses_than_a_server_has_are_not_kept() {
        let mut addresses = nothing(NANO);
        let many: Vec<_> = (1..=ADDRESSES_MAX + 1).flat_map(at).collect();
        addresses.know(id(1), many.clone());
        addresses.remember(&id(1), &many, Instant::ZERO);
        assert_eq!(addresses.known(&id(1)).expect("known").len(), ADDRESSES_MAX);
        assert_eq!(addresses.remembered(&id(1), Instant::ZERO).expect("remembered").len(), ADDRESSES_MAX);
    }
}
