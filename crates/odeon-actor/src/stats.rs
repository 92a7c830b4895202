//! Counters of one actor, readable while it runs.
//!
//! What happens to most messages is counted in plain numbers by whoever runs the actor and published once per turn;
//! what happens rarely is counted under the actor's own lock. A reader sees the state after some recent turn.
//!
//! # Invariants
//!
//! - [`Progress`] is written by whoever runs the actor, one thread at a time.
//! - A message that has begun to be handled is handled, failed, or in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odeon_core::Instant;

use crate::actor::Actor;
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::label::ActorLabel;
use crate::life::Life;
use crate::local::Local;
use crate::spans;
use crate::system::{Switch, System};

/// No handler waits.
const NOBODY: u64 = u64::MAX;

/// Said of the time since when a handler waits: it handles a message, and no notice.
const OF_MESSAGE: u64 = 1;

/// What an actor has done so far.
///
/// A message that was received is handled, failed, expired, displaced or lost, is in hand, or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages that its mailbox took.
    pub received: u64,
    /// Messages whose handler returned.
    pub handled: u64,
    /// Messages whose handler did not return: it panicked, or was dropped with its actor.
    pub failed: u64,
    /// Messages dropped unrun because their deadline had passed.
    pub expired: u64,
    /// Messages dropped for newer ones: see [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    pub displaced: u64,
    /// Messages that waited when it ended.
    pub lost: u64,
    /// Messages that its mailbox did not take, having no room.
    pub refused: u64,
    /// Messages that wait.
    pub depth: usize,
    /// How long it ran, while [`System::measure`] was on.
    pub busy: Duration,
}

/// What a system has done so far.
#[derive(Debug, Clone, Default)]
pub struct SystemStats {
    /// Every actor that lives, oldest first.
    pub actors: Vec<(ActorLabel, Stats)>,
    /// Messages that reached nobody.
    pub dead_letters: u64,
}

/// How far an actor has come: two words, in the place of a lock.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Messages whose handling has begun.
    begun: AtomicU64,
    /// Nanoseconds, to two of them: since when the handler waits. The lowest bit is [`OF_MESSAGE`].
    waits_since: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), waits_since: AtomicU64::new(NOBODY) }
    }
}

/// What is counted under the actor's lock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) failed: u64,
    pub(crate) expired: u64,
    pub(crate) displaced: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) busy: Duration,
}

impl Progress {
    /// Counts messages. Only whoever runs the actor does.
    #[inline]
    pub(crate) fn begin(&self, messages: u64) {
        self.begun.store(self.begun.load(Ordering::Relaxed).wrapping_add(messages), Ordering::Relaxed);
    }

    /// A message's handler is about not to return.
    pub(crate) fn fail(&self) {
        self.waits_since.store(OF_MESSAGE, Ordering::Relaxed);
    }

    /// Since when the handler waits.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let since = self.waits_since.load(Ordering::Relaxed);
        (since != NOBODY).then(|| Instant::from_nanos(since & !OF_MESSAGE))
    }

    fn has_message_in_hand(&self) -> bool {
        let since = self.waits_since.load(Ordering::Relaxed);
        since != NOBODY && since & OF_MESSAGE != 0
    }

    /// The actor, or an incarnation of it, ends: whether a message was in hand.
    pub(crate) fn end(&self) -> bool {
        let was = self.has_message_in_hand();
        self.waits_since.store(NOBODY, Ordering::Relaxed);
        was
    }
}

/// What one turn has counted; published when it is dropped.
pub(crate) struct Tally<'l> {
    life: &'l Life,
    begun: u64,
    expired: u64,
    /// A message's handler has begun and not returned.
    has_in_hand: bool,
    /// A handler has waited before this turn, or does so at its end.
    has_waited: bool,
    /// Whether somebody listens to spans.
    pub(crate) is_traced: bool,
}

impl<'l> Tally<'l> {
    #[inline]
    pub(crate) fn begin(life: &'l Life) -> Self {
        let since = life.progress.waits_since.load(Ordering::Relaxed);
        let has_waited = since != NOBODY;
        let (has_in_hand, is_traced) = (has_waited && since & OF_MESSAGE != 0, spans::are_wanted());
        Self { life, begun: 0, expired: 0, has_in_hand, has_waited, is_traced }
    }

    /// The handling of a message begins.
    #[inline]
    pub(crate) const fn message_begins(&mut self) {
        self.begun += 1;
        self.has_in_hand = true;
    }

    /// A handler, or a hook, has returned.
    #[inline]
    pub(crate) fn returned(&mut self) {
        self.has_in_hand = false;
        if self.has_waited {
            self.has_waited = false;
            self.life.progress.waits_since.store(NOBODY, Ordering::Relaxed);
        }
    }

    /// The handler in hand waits.
    pub(crate) fn waits(&mut self, now: impl FnOnce() -> Instant) {
        if !self.has_waited {
            self.has_waited = true;
            let since = (now().as_nanos() & !OF_MESSAGE) | u64::from(self.has_in_hand);
            self.life.progress.waits_since.store(since, Ordering::Relaxed);
        }
    }

    pub(crate) const fn message_is_expired(&mut self) {
        self.expired += 1;
    }
}

impl Drop for Tally<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.begun != 0 {
            self.life.progress.begin(self.begun);
        }
        if self.expired != 0 {
            self.life.count(|counts| counts.expired += self.expired);
        }
        if self.has_in_hand && !self.has_waited {
            // It unwinds.
            self.life.progress.fail();
        }
    }
}

/// Measures how long an actor runs, if somebody wants to know.
pub(crate) struct Busy<'l, A: Actor>(Option<(&'l Local<A>, Instant)>);

impl<'l, A: Actor> Busy<'l, A> {
    #[inline]
    pub(crate) fn begin(local: &'l Local<A>) -> Self {
        Self(local.system.is_measured().then(|| (local, local.system.clock().now())))
    }
}

impl<A: Actor> Drop for Busy<'_, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some((local, began)) = self.0 {
            let took = local.system.clock().now() - began;
            local.life.count(|counts| counts.busy += took);
        }
    }
}

pub(crate) fn of<A: Actor>(local: &Local<A>) -> Stats {
    let Counts { failed, expired, displaced, lost, refused, busy } = local.life.counts();
    let progress = &local.life.progress;
    let begun = progress.begun.load(Ordering::Relaxed);
    let depth = local.mailbox.len();
    let unfinished = failed + u64::from(progress.has_message_in_hand());
    Stats {
        received: begun + expired + displaced + lost + depth as u64,
        handled: begun.saturating_sub(unfinished),
        failed,
        expired,
        displaced,
        lost,
        refused,
        depth,
        busy,
    }
}

impl<A: Actor> Handle<A> {
    /// What the actor has done so far; of an actor on another server nothing is known. The actor is not stopped for it.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// # use odeon::{System, actor};
    /// # #[derive(Default)]
    /// # struct Counter { n: i64 }
    /// # #[actor]
    /// # impl Counter {
    /// #     #[handle]
    /// #     async fn add(&mut self, by: i64) -> i64 { self.n += by; self.n }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = System::new().spawn(Counter::default());
    /// counter.add(1).await?;
    /// let stats = counter.stats().expect("it is here");
    /// assert_eq!((stats.received, stats.handled, stats.depth), (1, 1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        match &self.0 {
            Target::Here(local) => Some(of(local)),
            Target::There(_) => None,
            Target::Via(via) => via.life().map(Inbox::stats),
        }
    }
}

impl System {
    /// What the actors that live have done so far.
    #[must_use]
    pub fn stats(&self) -> SystemStats {
        let labels = self.labels();
        let stats = |actor: &Arc<dyn Inbox>| (labels.of(&**actor), actor.stats());
        let actors = self.inboxes().iter().map(stats).collect();
        SystemStats { actors, dead_letters: self.dead_letters() }
    }

    /// Whether the time that actors take is measured: off by default, because it reads the clock twice per turn.
    pub fn measure(&self, measure: Switch) {
        self.set_measured(measure);
    }
}
