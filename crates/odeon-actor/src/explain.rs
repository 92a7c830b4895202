//! Who waits for whom, since when and until when; and what one actor is doing.
//!
//! An ask that waits has an entry among the system's timers anyhow, and that entry says whose it is: nothing is kept
//! for this that is not kept without it.

use std::fmt;
use std::sync::Arc;

use odeon_core::{ExitReason, Instant, Reference};
use odeon_mailbox::Activity;

use crate::actor::Actor;
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::label::{ActorLabel, Labels};
use crate::local::Local;
use crate::system::System;
use crate::timers::{Asking, Whom};

/// An ask that waits for its answer, or for room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingAsk {
    /// The asking actor; `None` for code that is none.
    pub asker: Option<ActorLabel>,
    /// The asked one.
    pub target: Asked,
    /// Since when.
    pub since: Instant,
    /// Until when.
    pub expires_at: Instant,
}

/// Whom an ask is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An actor of this system.
    Here(ActorLabel),
    /// An actor of another server.
    There(Reference),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(label) => label.fmt(f),
            Self::There(reference) => reference.fmt(f),
        }
    }
}

/// What an actor is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// Nothing.
    Idle,
    /// It is about to run.
    Ready,
    /// It runs.
    Running,
    /// A handler or hook of it waits for something.
    Waiting {
        /// Since it first did.
        since: Instant,
    },
    /// It has ended, or is ending.
    Ended(ExitReason),
}

/// One actor, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The actor.
    pub actor: ActorLabel,
    /// What it is doing.
    pub doing: Doing,
    /// How many messages wait in its mailbox.
    pub depth: usize,
    /// Its own asks that wait.
    pub asks: Vec<WaitingAsk>,
    /// Those who wait for it.
    pub asked_by: Vec<WaitingAsk>,
}

impl System {
    /// Every ask that waits, to an actor of this system or from here to one of another server; the one that expires
    /// first before the others.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// # use odeon::{System, actor};
    /// # struct Stuck;
    /// # #[actor]
    /// # impl Stuck {
    /// #     #[handle]
    /// #     async fn hang(&mut self) { std::future::pending().await }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let system = System::new();
    /// let stuck = system.spawn(Stuck);
    /// tokio::select! {
    ///     biased;
    ///     _ = stuck.hang() => unreachable!("it hangs"),
    ///     () = std::future::ready(()) => {} // the ask has been sent, and waits no longer
    /// }
    /// assert!(system.explain().is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn explain(&self) -> Vec<WaitingAsk> {
        self.waiting(|_| true)
    }

    fn waiting(&self, is_wanted: impl Fn(&Asking) -> bool) -> Vec<WaitingAsk> {
        let asking: Vec<_> =
            self.timers().asking().into_iter().filter(|(_, asking)| is_wanted(asking)).collect();
        if asking.is_empty() {
            return Vec::new();
        }
        let labels = self.labels();
        let seen = |(expires_at, Asking { from, to, since })| {
            let target = match to {
                // Of a target that has ended, the asker is being told.
                Whom::Here(number) => Asked::Here(labels.of(&*self.inbox_by_number(number)?)),
                Whom::There(there) => Asked::There(there.reference.clone()),
            };
            let asker = self.inbox_by_number(from).map(|asker| labels.of(&*asker));
            Some(WaitingAsk { asker, target, since, expires_at })
        };
        asking.into_iter().filter_map(seen).collect()
    }
}

/// Explains one actor.
pub(crate) fn of<A: Actor>(local: &Arc<Local<A>>) -> Explanation {
    let (system, number) = (&local.system, local.life.number);
    let labels: Labels = system.labels();
    Explanation {
        actor: labels.of(&**local),
        doing: doing(local),
        depth: local.mailbox.len(),
        asks: system.waiting(|asking| asking.from == number),
        asked_by: system.waiting(|asking| matches!(asking.to, Whom::Here(to) if to == number)),
    }
}

fn doing<A: Actor>(local: &Local<A>) -> Doing {
    if let Some(reason) = local.exit_reason() {
        return Doing::Ended(reason);
    }
    if let Some(since) = local.life.progress.waits_since() {
        return Doing::Waiting { since };
    }
    match local.cell.activity() {
        Activity::Idle => Doing::Idle,
        Activity::Ready => Doing::Ready,
        Activity::Running => Doing::Running,
    }
}

impl<A: Actor> Handle<A> {
    /// What the actor is doing, who waits for it, and for whom it waits; of an actor on another server nothing is
    /// known. The actor is not stopped for it.
    #[must_use]
    pub fn explain(&self) -> Option<Explanation> {
        match &self.0 {
            Target::Here(local) => Some(of(local)),
            Target::There(_) => None,
            Target::Via(via) => via.life().and_then(Inbox::explain),
        }
    }
}
