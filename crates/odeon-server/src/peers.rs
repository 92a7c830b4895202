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

/// Most servers whose epoch is remembered. Past it the lowest id is forgotten, of those that no certificate has named
/// if there are any: of a forgotten server an older incarnation would be let in, which is why the number is far above
/// any ensemble's size.
const EPOCHS_MAX: usize = 65_536;

type Waiter = oneshot::Sender<Result<Arc<Link>, ConnectError>>;

/// Why a peer is not taken in, as it is told.
pub(crate) type Unwelcome = (RefuseCode, String);

/// What it stands on that a peer is who it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The cookie, which says "one of us" and not which.
    Cookie,
    /// The kernel: a process of our own user, which could do as it likes anyway.
    SameUser,
    /// A certificate that names it.
    Certificate,
}

/// The highest incarnation of a peer that was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: Epoch,
    /// On what the word for that epoch stands.
    by: Standing,
}

impl Seen {
    /// Whether an incarnation is over. An epoch that stood on the cookie binds nobody who shows a certificate.
    fn is_over(self, epoch: Epoch, by: Standing) -> bool {
        let binds = self.by > Standing::Cookie || by < Standing::Certificate;
        binds && epoch < self.epoch
    }

    /// What is remembered once this incarnation has been taken in.
    fn then(seen: Option<Self>, epoch: Epoch, by: Standing) -> Self {
        let by = seen.filter(|seen| seen.epoch == epoch).map_or(by, |seen| seen.by.max(by));
        Self { epoch, by }
    }
}

/// The peers that were here.
#[derive(Debug, Default)]
struct Remembered {
    /// Those whose name was ever proven here by a certificate. From then on the cookie alone does not do for it.
    certified: BTreeMap<ServerId, Seen>,
    others: BTreeMap<ServerId, Seen>,
}

impl Remembered {
    fn get(&self, peer: &ServerId) -> Option<Seen> {
        self.certified.get(peer).or_else(|| self.others.get(peer)).copied()
    }

    fn is_certified(&self, peer: &ServerId) -> bool {
        self.certified.contains_key(peer)
    }

    /// Whether there is room for one more name, whatever others are forgotten for it. No certified one is for one that
    /// is not: names by the cookie are had without end.
    fn has_room(&self) -> bool {
        self.certified.len() < EPOCHS_MAX
    }

    /// An incarnation has been taken in.
    fn note(&mut self, peer: &ServerId, epoch: Epoch, by: Standing) {
        let seen = Seen::then(self.get(peer), epoch, by);
        if by == Standing::Certificate || self.is_certified(peer) {
            self.others.remove(peer);
            self.certified.insert(peer.clone(), seen);
        } else if self.has_room() {
            self.others.insert(peer.clone(), seen);
        }
        if self.certified.len() + self.others.len() > EPOCHS_MAX && self.others.pop_first().is_none() {
            self.certified.pop_first();
        }
    }
}

/// What is known of the peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    links: BTreeMap<ServerId, Vec<Arc<Link>>>,
    seen: Remembered,
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

    /// Whether somebody is connecting to `peer`.
    pub(crate) fn is_connecting(&self, peer: &ServerId) -> bool {
        self.connecting.contains_key(peer)
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

    /// The links to `peer`.
    pub(crate) fn of(&self, peer: &ServerId) -> &[Arc<Link>] {
        self.links.get(peer).map_or(&[], Vec::as_slice)
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

    /// Whether a peer that has proven itself is welcome: the name is not a certified one that it claims by the cookie,
    /// its incarnation is not over, and there is room. Links that it replaces count for nothing.
    pub(crate) fn check(
        &self,
        peer: &ServerId,
        epoch: Epoch,
        by: Standing,
        limits: &Limits,
    ) -> Result<(), Unwelcome> {
        let links = self.links.get(peer).map_or(&[][..], Vec::as_slice);
        let seen = self.seen.get(peer);
        let is_certified =
            self.seen.is_certified(peer) || links.iter().any(|link| link.standing() == Standing::Certificate);
        if is_certified && by == Standing::Cookie {
            let detail =
                format!("{peer} has shown a certificate here: with the cookie alone nobody is {peer}");
            return Err((RefuseCode::Authentication, detail));
        }
        if let Some(seen) = seen.filter(|seen| seen.is_over(epoch, by))
            && !bug("accept-stale-epoch")
        {
            let seen = seen.epoch;
            let detail = format!("{peer} was here as incarnation {seen}; incarnation {epoch} is over");
            return Err((RefuseCode::StaleEpoch, detail));
        }
        if by == Standing::Cookie && epoch > Epoch(0) && !self.seen.has_room() {
            let detail =
                format!("{EPOCHS_MAX} servers with certificates were here, as many as are remembered");
            return Err((RefuseCode::Busy, detail));
        }
        let current = links.iter().filter(|link| !is_replaced(link, epoch, by)).count();
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

    /// Takes in a link whose peer has proven itself; returns the links that it replaces, to be closed: those of older
    /// incarnations, and where it has shown a certificate those of whoever had its name by the cookie.
    pub(crate) fn admit(
        &mut self,
        link: &Arc<Link>,
        peer: &Arc<Peer>,
        limits: &Limits,
    ) -> Result<Vec<Arc<Link>>, Unwelcome> {
        let by = link.standing();
        self.check(&peer.server, peer.epoch, by, limits)?;
        link.set_peer(Arc::clone(peer));
        let links = self.links.entry(peer.server.clone()).or_default();
        let (replaced, current) = links.drain(..).partition(|link| is_replaced(link, peer.epoch, by));
        *links = current;
        links.push(Arc::clone(link));
        if peer.epoch > Epoch(0) {
            self.seen.note(&peer.server, peer.epoch, by);
        }
        Ok(replaced)
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

/// Whether a link ends when this incarnation of its peer is taken in.
fn is_replaced(link: &Arc<Link>, epoch: Epoch, by: Standing) -> bool {
    let is_older = link.peer().is_some_and(|peer| peer.epoch < epoch);
    is_older || by == Standing::Certificate && link.standing() == Standing::Cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> ServerId {
        format!("s{number:06}@/").parse().expect("a server id")
    }

    #[test]
    fn names_by_the_cookie_push_out_each_other_and_none_that_a_certificate_has_named() {
        let mut seen = Remembered::default();
        let certified = name(0);
        seen.note(&certified, Epoch(3), Standing::Certificate);
        for number in 1..=EPOCHS_MAX {
            seen.note(&name(number), Epoch(1), Standing::Cookie);
        }
        assert!(seen.is_certified(&certified));
        assert_eq!(seen.get(&certified), Some(Seen { epoch: Epoch(3), by: Standing::Certificate }));
        assert_eq!(seen.get(&name(1)), None, "the lowest of the others is forgotten");
        assert!(seen.get(&name(2)).is_some() && seen.get(&name(EPOCHS_MAX)).is_some());
        // By the user of this host too: what was once certified stays so.
        seen.note(&certified, Epoch(4), Standing::SameUser);
        assert!(seen.is_certified(&certified));
    }

    #[test]
    fn where_only_certified_names_are_remembered_there_is_no_room_for_another_by_the_cookie() {
        let mut seen = Remembered::default();
        for number in 0..EPOCHS_MAX {
            assert!(seen.has_room(), "{number}");
            seen.note(&name(number), Epoch(1), Standing::Certificate);
        }
        assert!(!seen.has_room());
        let local = name(EPOCHS_MAX);
        seen.note(&local, Epoch(1), Standing::SameUser);
        assert_eq!((seen.get(&local), seen.is_certified(&name(0))), (None, true));
        seen.note(&local, Epoch(1), Standing::Certificate);
        assert_eq!((seen.is_certified(&local), seen.get(&name(0))), (true, None));
        let peers = Peers { seen, ..Peers::default() };
        let check = |epoch, by| {
            let (newcomer, limits) = ("new@/".parse().expect("a server id"), Limits::default());
            peers.check(&newcomer, epoch, by, &limits).map_err(|(code, _)| code)
        };
        assert_eq!(check(Epoch(1), Standing::Cookie), Err(RefuseCode::Busy));
        assert_eq!(check(Epoch(1), Standing::SameUser), Ok(()));
        assert_eq!(check(Epoch(1), Standing::Certificate), Ok(()));
        assert_eq!(check(Epoch(0), Standing::Cookie), Ok(()), "of whom nothing is remembered");
    }
}
