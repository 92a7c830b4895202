//! Servers that could not be reached, and how long each is left alone.
//!
//! While a pause lasts, whoever wants the server is told at once how the last attempt ended. New addresses end it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use odeon_core::{Instant, ServerId};

use crate::backoff::Backoff;
use crate::connect::ConnectError;

/// Most servers remembered as unreachable. Past it the lowest id is forgotten, and tried a little too often.
const PAUSES_MAX: usize = 4_096;

/// The pauses under way.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<BTreeMap<ServerId, (Backoff, ConnectError)>>);

impl Pauses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, (Backoff, ConnectError)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the last attempt ended, if it is too early for the next.
    pub(crate) fn error(&self, peer: &ServerId, now: Instant) -> Option<ConnectError> {
        let pauses = self.lock();
        let (backoff, error) = pauses.get(peer)?;
        (!backoff.is_over(now)).then(|| error.clone())
    }

    /// Takes note of how an attempt ended; `random` is any number. Only of a server whose addresses were tried in
    /// vain is there a pause: a look-up that finds nothing hammers nobody.
    pub(crate) fn attempted<T>(
        &self,
        peer: &ServerId,
        outcome: &Result<T, ConnectError>,
        now: Instant,
        random: u32,
    ) {
        match outcome {
            Ok(_) => self.forget(peer),
            Err(error @ ConnectError::AllFailed { .. }) => {
                let mut pauses = self.lock();
                let (backoff, last) =
                    pauses.entry(peer.clone()).or_insert_with(|| (Backoff::default(), error.clone()));
                backoff.failed(now, random);
                last.clone_from(error);
                if pauses.len() > PAUSES_MAX {
                    pauses.pop_first();
                }
            }
            Err(_) => {}
        }
    }

    /// The server may be tried at once.
    pub(crate) fn forget(&self, peer: &ServerId) {
        self.lock().remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::{BACKOFF_MAX, BACKOFF_MIN};

    fn id(n: usize) -> ServerId {
        format!("s-{n}@/").parse().expect("a server id")
    }

    fn failed(n: usize) -> Result<(), ConnectError> {
        Err(ConnectError::AllFailed { server: id(n), tried: Vec::new() })
    }

    #[test]
    fn a_pause_is_for_one_server_and_ends() {
        let (pauses, now) = (Pauses::default(), Instant::ZERO);
        pauses.attempted(&id(1), &failed(1), now, u32::MAX);
        assert_eq!(pauses.error(&id(1), now), failed(1).err());
        assert_eq!(pauses.error(&id(2), now), None);
        assert_eq!(pauses.error(&id(1), now + BACKOFF_MIN), None);
        for _ in 0..20 {
            pauses.attempted(&id(1), &failed(1), now, u32::MAX);
        }
        assert!(pauses.error(&id(1), now + (BACKOFF_MAX - BACKOFF_MIN)).is_some());
        pauses.attempted(&id(1), &Ok(()), now, 0);
        assert_eq!(pauses.error(&id(1), now), None);
        let nowhere = ConnectError::NoAddresses { server: id(1), why: String::new() };
        pauses.attempted::<()>(&id(1), &Err(nowhere), now, 0);
        assert_eq!(pauses.error(&id(1), now), None);
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let pauses = Pauses::default();
        for n in 0..=PAUSES_MAX {
            pauses.attempted(&id(n), &failed(n), Instant::ZERO, 0);
            assert!(pauses.lock().len() <= PAUSES_MAX);
        }
        assert_eq!(pauses.lock().len(), PAUSES_MAX);
    }
}
