//! The table of links: which peers this server is linked to, and which incarnations of them it has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use odeon_core::{Epoch, ServerId};
use tokio::sync::oneshot;

use crate::connect::ConnectError;
use crate::link::Link;

/// Most servers whose epoch is remembered. Past it the lowest id is forgotten: of a forgotten server an older
/// incarnation would be let in, which is why the number is far above any ensemble's size.
const EPOCHS_MAX: usize = 65_536;

type Waiter = oneshot::Sender<Result<Arc<Link>, ConnectError>>;

/// What is known of the peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    links: BTreeMap<ServerId, Vec<Arc<Link>>>,
    epochs: BTreeMap<ServerId, Epoch>,
    connecting: BTreeMap<ServerId, Vec<Waiter>>,
}

/// What becomes of a wish for a link.
pub(crate) enum Wish {
    /// There is one.
    Live(Arc<Link>),
    /// Somebody is connecting already.
    Wait(oneshot::Receiver<Result<Arc<Link>, ConnectError>>),
    /// The caller must see to it that somebody connects.
    Connect(oneshot::Receiver<Result<Arc<Link>, ConnectError>>),
}

impl Peers {
    /// A live link to `peer`, or a place in the queue for one.
    pub(crate) fn wish(&mut self, peer: &ServerId) -> Wish {
        if let Some(link) = self.live(peer) {
            return Wish::Live(link);
        }
        let (waiter, wait) = oneshot::channel();
        match self.connecting.get_mut(peer) {
            Some(waiters) => {
                waiters.push(waiter);
                Wish::Wait(wait)
            }
            None => {
                self.connecting.insert(peer.clone(), vec![waiter]);
                Wish::Connect(wait)
            }
        }
    }

    /// The attempt to connect has ended: those who wait are to be told.
    pub(crate) fn connected(&mut self, peer: &ServerId) -> Vec<Waiter> {
        self.connecting.remove(peer).unwrap_or_default()
    }

    /// The oldest open link to `peer`: one sender's messages keep to one link as long as it lives.
    pub(crate) fn live(&self, peer: &ServerId) -> Option<Arc<Link>> {
        self.links.get(peer)?.iter().find(|link| link.is_open()).cloned()
    }

    /// Every link.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.links.values().flatten().cloned().collect()
    }

    /// How many links there are.
    pub(crate) fn count(&self) -> usize {
        self.links.values().map(Vec::len).sum()
    }

    /// Whether `epoch` of `peer` is not older than one seen before.
    pub(crate) fn check_epoch(&self, peer: &ServerId, epoch: Epoch) -> Result<(), String> {
        match self.epochs.get(peer) {
            Some(seen) if epoch < *seen => {
                Err(format!("{peer} was here as incarnation {seen}; incarnation {epoch} is over"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a link whose peer has proven itself; returns the links of older incarnations, to be closed.
    pub(crate) fn admit(
        &mut self,
        link: &Arc<Link>,
        links_max: usize,
        per_peer_max: usize,
    ) -> Result<Vec<Arc<Link>>, String> {
        let Some(peer) = link.peer() else {
            return Err("the peer has not proven itself".to_owned());
        };
        self.check_epoch(&peer.server, peer.epoch)?;
        if self.count() >= links_max {
            return Err(format!("the server has {links_max} links already"));
        }
        let links = self.links.entry(peer.server.clone()).or_default();
        let is_older = |other: &Arc<Link>| other.peer().is_some_and(|older| older.epoch < peer.epoch);
        let (older, current): (Vec<_>, Vec<_>) = links.drain(..).partition(is_older);
        *links = current;
        if links.len() >= per_peer_max {
            return Err(format!("{} has {per_peer_max} links here already", peer.server));
        }
        links.push(Arc::clone(link));
        if peer.epoch > Epoch(0) {
            self.epochs.insert(peer.server.clone(), peer.epoch);
            if self.epochs.len() > EPOCHS_MAX {
                self.epochs.pop_first();
            }
        }
        Ok(older)
    }

    /// Takes a link out of the table.
    pub(crate) fn remove(&mut self, link: &Arc<Link>) {
        let Some(peer) = link.peer() else { return };
        if let Some(links) = self.links.get_mut(&peer.server) {
            links.retain(|other| !Arc::ptr_eq(other, link));
            if links.is_empty() {
                self.links.remove(&peer.server);
            }
        }
    }
}
