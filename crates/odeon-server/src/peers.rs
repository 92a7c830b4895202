//! The table of links: which peers this server is linked to, and which incarnations of them it has seen.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use odeon_actor::Peer;
use odeon_core::{Epoch, ServerId};
use odeon_wire::RefuseCode;
use odeon_wire::bugs::bug;
use tokio::sync::oneshot;

use crate::config::Limits;
use crate::connect::ConnectError;
use crate::link::Link;

/// Most servers whose epoch is remembered. Past it the lowest id is forgotten: of a forgotten server an older
/// incarnation would be let in, which is why the number is far above any ensemble's size.
const EPOCHS_MAX: usize = 65_536;

type Waiter = oneshot::Sender<Result<Arc<Link>, ConnectError>>;

/// Why a peer is not taken in, as it is told.
pub(crate) type Unwelcome = (RefuseCode, String);

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
                // Those who gave up leave before the list grows: it is no longer than twice those who wait.
                if waiters.len() == waiters.capacity() {
                    waiters.retain(|waiter| !waiter.is_closed());
                }
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

    /// There is a link by now, whoever connected: those who wait for one need not wait for the attempt.
    pub(crate) fn linked(&mut self, peer: &ServerId) -> Vec<Waiter> {
        self.connecting.get_mut(peer).map(std::mem::take).unwrap_or_default()
    }

    /// The oldest open link to `peer`: one sender's messages keep to one link as long as it lives.
    pub(crate) fn live(&self, peer: &ServerId) -> Option<Arc<Link>> {
        self.links.get(peer)?.iter().find(|link| link.is_open()).cloned()
    }

    /// Every link.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.links.values().flatten().cloned().collect()
    }

    /// The links to the next servers after `after`, to at most so many, and after whom to go on if there are more.
    pub(crate) fn after(
        &self,
        after: Option<&ServerId>,
        servers: usize,
    ) -> (Vec<Arc<Link>>, Option<ServerId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.links.range::<ServerId, _>((from, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(servers).collect();
        let last = page.last().map(|(server, _)| ServerId::clone(server));
        let next = if rest.next().is_some() { last } else { None };
        (page.into_iter().flat_map(|(_, links)| links).cloned().collect(), next)
    }

    /// How many links there are.
    pub(crate) fn count(&self) -> usize {
        self.links.values().map(Vec::len).sum()
    }

    /// Whether a peer that has proven itself is welcome: its incarnation is not over, and there is room. Links
    /// of older incarnations count for nothing, since it replaces them.
    pub(crate) fn check(&self, peer: &ServerId, epoch: Epoch, limits: &Limits) -> Result<(), Unwelcome> {
        if let Some(seen) = self.epochs.get(peer)
            && epoch < *seen
            && !bug("accept-stale-epoch")
        {
            let detail = format!("{peer} was here as incarnation {seen}; incarnation {epoch} is over");
            return Err((RefuseCode::StaleEpoch, detail));
        }
        let links = self.links.get(peer).map_or(&[][..], Vec::as_slice);
        let current = links.iter().filter(|link| !is_older(link, epoch)).count();
        if current >= limits.links_per_peer_max {
            let detail = format!("{peer} has {current} links here already");
            return Err((RefuseCode::Busy, detail));
        }
        let others = self.count() - links.len();
        if others + current >= limits.links_max {
            return Err((RefuseCode::Busy, format!("the server has {} links already", others + current)));
        }
        Ok(())
    }

    /// Takes in a link whose peer has proven itself; returns the links of older incarnations, to be closed.
    pub(crate) fn admit(
        &mut self,
        link: &Arc<Link>,
        peer: &Arc<Peer>,
        limits: &Limits,
    ) -> Result<Vec<Arc<Link>>, Unwelcome> {
        self.check(&peer.server, peer.epoch, limits)?;
        link.set_peer(Arc::clone(peer));
        let links = self.links.entry(peer.server.clone()).or_default();
        let (older, current) = links.drain(..).partition(|link| is_older(link, peer.epoch));
        *links = current;
        links.push(Arc::clone(link));
        if peer.epoch > Epoch(0) {
            self.epochs.insert(peer.server.clone(), peer.epoch);
            if self.epochs.len() > EPOCHS_MAX {
                self.epochs.pop_first();
            }
        }
        Ok(older)
    }

    /// The peer's first message has come over `link`; returns the links it sent over before, to be closed. Theirs
    /// was sent earlier and must not be delivered later.
    pub(crate) fn carries(&self, link: &Arc<Link>) -> Vec<Arc<Link>> {
        let links = link.peer().and_then(|peer| self.links.get(&peer.server));
        let others = links.into_iter().flatten().filter(|other| !Arc::ptr_eq(other, link));
        let left = others.filter(|other| other.supersede_if_carrying()).cloned().collect();
        link.begin_carrying();
        left
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

fn is_older(link: &Arc<Link>, epoch: Epoch) -> bool {
    link.peer().is_some_and(|peer| peer.epoch < epoch)
}
