//! The supervisor: the actor that drives the state machine of its tree.
//!
//! It waits for nobody but in its first and last hook, where it waits for its children; all it hears of them, time
//! included, comes through its desk. Killed, it kills its children, as there is nobody left to ask them.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use odeon_core::{ActorId, ActorName, ExitReason, Instant};

use super::desk::{Desk, Notice, Post};
use super::error::{ChildError, StartChildError};
use super::place::Place;
use super::spec::{ChildSpec, Hook, Newcomer, Plan};
use crate::actor;
use crate::actor::{Actor, Failure};
use crate::cx::Cx;
use crate::handle::{Handle, Target};
use crate::local::Contents;
use crate::panic::contained;
use crate::reply::Reply;
use crate::system::{KILL_PATIENCE, System};
use crate::timers::Key;
use crate::tree::{ChildId, ChildStatus, Incarnation, Output, Restart, RestartError, Tree};

/// What to show of a supervised child.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupervisedChild {
    /// Its number, which stays the same through all restarts.
    pub actor: u64,
    /// Its Rust type.
    pub kind: &'static str,
    /// The name it was listed with.
    pub name: Option<ActorName>,
    /// Where it is in its life, how often it was restarted, and how it last ended.
    pub status: ChildStatus,
}

/// An actor that keeps others: made by [`System::supervision`].
///
/// It can be monitored, named, stopped, drained and killed like any actor. Stopped, it stops its children in reverse
/// order before it ends.
pub struct Supervisor {
    system: System,
    tree: Tree,
    /// Whether it will be made again from its plan, with the children listed there.
    is_child: bool,
    /// Listed and not yet in the tree.
    listed: Vec<Newcomer>,
    children: BTreeMap<ChildId, Child>,
    by_number: BTreeMap<u64, ChildId>,
    /// From the start on.
    desk: Option<Arc<Desk>>,
    timer: Option<(Instant, Key)>,
    /// When to give up waiting for those that were killed.
    killed: BTreeSet<(Instant, Incarnation)>,
    seed: Option<u64>,
    /// Draws so far.
    drawn: u64,
    on_restart: Option<Hook>,
    has_started: bool,
    /// The tree is over.
    over: Option<ExitReason>,
}

struct Child {
    place: Arc<dyn Place>,
    /// The plan has it, too.
    is_planned: bool,
    restart: Restart,
    last: Option<ExitReason>,
    /// Its entry among those that were killed.
    killed: Option<(Instant, Incarnation)>,
    /// Waits for its first start.
    starting: Option<Reply<Result<(), StartChildError>>>,
    /// Waits for its removal.
    removing: Option<Reply<Result<(), ChildError>>>,
}

/// Looks after the tree, between two messages.
pub(super) fn attend(contents: &mut dyn Any) {
    if let Some(Contents { actor, cx }) = contents.downcast_mut::<Contents<Supervisor>>() {
        actor.desk.iter().for_each(|desk| desk.look());
        actor.attend();
        if let Some(reason) = &actor.over {
            cx.end(reason.clone());
        }
    }
}

/// A child could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotStarted(String);

/// Keeps other actors.
#[actor]
impl Supervisor {
    #[started]
    async fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        self.desk = Some(Desk::new(cx.local()));
        self.seed.get_or_insert(cx.local().life.number);
        let now = self.system.clock().now();
        for newcomer in std::mem::take(&mut self.listed) {
            // One that was removed, or ended for good, does not come back with its supervisor.
            if !newcomer.place.is_released() {
                let id = self.tree.handle_add(newcomer.options, now)?;
                self.enter(id, Child::new(newcomer, self.is_child));
            }
        }
        self.tree.handle_start(now);
        self.carry_out(now);
        self.attend_until(cx, |supervisor| supervisor.has_started).await;
        match &self.over {
            Some(ExitReason::Failed(why)) => Err(NotStarted(why.clone()).into()),
            Some(reason) => {
                cx.end(reason.clone());
                Ok(())
            }
            None => Ok(()),
        }
    }

    #[stopped]
    async fn finish(&mut self, _: &ExitReason, cx: &mut Cx<Self>) {
        let now = self.system.clock().now();
        self.tree.handle_stop(now);
        self.carry_out(now);
        self.attend_until(cx, |_| false).await;
    }

    /// The children, in the order of their start.
    #[handle]
    fn children(&self) -> Vec<SupervisedChild> {
        self.tree.children().filter_map(|status| self.show(status)).collect()
    }

    /// Stops a child, and forgets it; answers when it is gone. No other child is concerned.
    #[handle]
    fn remove_child(&mut self, child: ActorId, reply: Reply<Result<(), ChildError>>) {
        let now = self.system.clock().now();
        let Some(id) = self.find(&child).filter(|id| self.tree.handle_remove(*id, now).is_ok()) else {
            reply.send(Err(ChildError::NoChild(child)));
            return;
        };
        if let Some(child) = self.children.get_mut(&id) {
            child.removing = Some(reply);
        }
        self.carry_out(now);
    }

    /// Starts a child again in place: stops it before if it is up, and does not let it wait if it is down. Its past is
    /// forgiven. Answers once that is ordered.
    #[handle]
    fn restart_child(&mut self, child: ActorId) -> Result<(), ChildError> {
        let now = self.system.clock().now();
        let Some(id) = self.find(&child) else {
            return Err(ChildError::NoChild(child));
        };
        let done = self.tree.handle_restart(id, now);
        self.carry_out(now);
        done.map_err(|error| match error {
            RestartError::NoChild(_) => ChildError::NoChild(child),
            RestartError::Ending => ChildError::Ending,
        })
    }

    /// What [`Handle::start_child`] sends; not for use by hand.
    #[handle]
    fn take_in(&mut self, newcomer: Newcomer, reply: Reply<Result<(), StartChildError>>) {
        if !reply.is_wanted() {
            // Whoever sent it has gone, and nobody else knows the child.
            return;
        }
        let now = self.system.clock().now();
        match self.tree.handle_add(newcomer.options, now) {
            Ok(id) => {
                self.enter(id, Child { starting: Some(reply), ..Child::new(newcomer, false) });
                self.carry_out(now);
            }
            Err(error) => {
                drop(newcomer);
                reply.send(Err(error.into()));
            }
        }
    }
}

impl Handle<Supervisor> {
    /// Adds a child to a running supervisor, behind all others, and waits until it has started. It is kept like those
    /// that were listed; should its first start fail, then it alone is forgotten.
    ///
    /// # Errors
    /// When its name is taken, the supervisor takes no more children or is on another server, or the child does not
    /// start. After a timeout (of five seconds) it may still be started.
    ///
    /// # Cancel safety
    /// Dropped before the supervisor has seen the child, the child ends unstarted; later, it stays.
    pub async fn start_child<A: Actor>(&self, spec: ChildSpec<A>) -> Result<Handle<A>, StartChildError> {
        let Target::Here(local) = &self.0 else {
            return Err(StartChildError::Remote);
        };
        let (newcomer, handle) = spec.place(&local.system)?;
        self.take_in(newcomer).await??;
        Ok(handle)
    }
}

impl Supervisor {
    pub(super) fn of(plan: Plan, is_child: bool) -> Self {
        Self {
            tree: Tree::new(plan.options),
            is_child,
            listed: plan.children,
            children: BTreeMap::new(),
            by_number: BTreeMap::new(),
            desk: None,
            timer: None,
            killed: BTreeSet::new(),
            seed: plan.seed,
            drawn: 0,
            on_restart: plan.on_restart,
            has_started: false,
            over: None,
            system: plan.system,
        }
    }

    fn enter(&mut self, id: ChildId, child: Child) {
        self.by_number.insert(child.place.number(), id);
        self.children.insert(id, child);
    }

    fn find(&self, child: &ActorId) -> Option<ChildId> {
        let number = match child {
            ActorId::Number(number) | ActorId::NumberOf(number, _) => *number,
            ActorId::Name(name) => self.system.inbox(name)?.number(),
        };
        self.by_number.get(&number).copied()
    }

    fn show(&self, status: ChildStatus) -> Option<SupervisedChild> {
        let place = &self.children.get(&status.id)?.place;
        let (actor, kind, name) = (place.number(), place.kind(), place.name().cloned());
        Some(SupervisedChild { actor, kind, name, status })
    }

    /// Looks after the tree until `is_done`, or until the tree is over. Whoever has something to say notifies.
    async fn attend_until(&mut self, cx: &Cx<Self>, is_done: fn(&Self) -> bool) {
        let life = &cx.local().life;
        poll_fn(|_| {
            self.attend();
            if is_done(self) || self.over.is_some() {
                return Poll::Ready(());
            }
            if life.is_stop_wanted() && !self.tree.is_ending() {
                let now = self.system.clock().now();
                self.tree.handle_stop(now);
                self.carry_out(now);
            }
            if self.over.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Hears what happened, time included, and does what follows.
    fn attend(&mut self) {
        let now = self.system.clock().now();
        for notice in self.desk.as_ref().map_or_else(Vec::new, |desk| desk.take()) {
            match notice {
                Notice::Started(of) => self.hear_started(of, now),
                Notice::Ended(of, reason) => self.hear_ended(of, reason, now),
            }
        }
        while let Some((at, of)) = self.killed.first().copied()
            && at <= now
        {
            let actor = self.children.get(&of.child).map(|child| child.place.number());
            tracing::warn!(actor, "the child computes without waiting and cannot be ended");
            self.hear_ended(of, ExitReason::Killed, now);
        }
        self.tree.handle_timeout(now);
        self.carry_out(now);
    }

    fn hear_started(&mut self, of: Incarnation, now: Instant) {
        self.tree.handle_started(of, now);
        let Some(child) = self.children.get_mut(&of.child) else {
            return;
        };
        if let Some(reply) = child.starting.take() {
            reply.send(Ok(()));
        }
        if of.number > 1 {
            self.tell_restart(of.child);
        }
        self.carry_out(now);
    }

    fn tell_restart(&self, id: ChildId) {
        let Some(child) = self.tree.child(id).and_then(|status| self.show(status)) else {
            return;
        };
        let last = child.status.last_exit.as_ref().map(ToString::to_string);
        tracing::info!(actor = child.actor, kind = child.kind, last, "the child has been started again");
        if let Some(hook) = &self.on_restart {
            contained("a hook of restarts", || hook(&child));
        }
    }

    fn hear_ended(&mut self, of: Incarnation, reason: ExitReason, now: Instant) {
        if let Some(child) = self.children.get_mut(&of.child) {
            child.last = Some(reason.clone());
            if let Some(killed) = child.killed.take_if(|(_, killed)| *killed == of) {
                self.killed.remove(&killed);
            }
        }
        let random = self.next_random(now);
        self.tree.handle_ended(of, reason, now, random);
        self.carry_out(now);
    }

    /// Carries out what the tree orders.
    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.tree.poll_output() {
            match output {
                Output::Start(of) => {
                    if let (Some(child), Some(desk)) = (self.children.get(&of.child), &self.desk) {
                        child.place.start(Post { of, desk: Arc::clone(desk) });
                    }
                }
                Output::Stop(of) => {
                    if let Some(child) = self.children.get(&of.child) {
                        child.place.stop(of);
                    }
                }
                Output::Kill(of) => {
                    if let Some(child) = self.children.get_mut(&of.child) {
                        let killed = (now + KILL_PATIENCE, of);
                        child.killed = Some(killed);
                        self.killed.insert(killed);
                        child.place.kill(of);
                    }
                }
                Output::Started => self.has_started = true,
                Output::Finished(_) => {}
                Output::Forgotten(id) => self.forget(id),
                Output::Ended(reason) => self.over = Some(reason),
            }
        }
        self.set_timer();
    }

    fn forget(&mut self, id: ChildId) {
        let Some(child) = self.children.remove(&id) else {
            return;
        };
        self.by_number.remove(&child.place.number());
        // What ends with its supervisor comes back with it.
        let comes_back = child.is_planned && self.tree.is_ending() && child.restart != Restart::Temporary;
        if !comes_back {
            child.place.release();
        }
        if let Some(reply) = child.starting {
            let reason = child.last.unwrap_or(ExitReason::Stopped);
            reply.send(Err(StartChildError::NotStarted(reason)));
        }
        if let Some(reply) = child.removing {
            reply.send(Ok(()));
        }
    }

    /// One timer, for whatever comes first.
    fn set_timer(&mut self) {
        let patience = self.killed.first().map(|(at, _)| *at);
        let due = self.tree.poll_timeout().into_iter().chain(patience).min();
        if due == self.timer.map(|(at, _)| at) {
            return;
        }
        let (timers, tasks) = (self.system.timers(), self.system.tasks());
        if let Some((_, key)) = self.timer.take() {
            timers.forget(key);
        }
        if let (Some(at), Some(desk)) = (due, &self.desk) {
            self.timer = Some((at, timers.fire_at(at, Arc::clone(desk) as _, &**tasks)));
        }
    }

    /// The next number of SplitMix64, with the time in it: enough to spread restarts.
    fn next_random(&mut self, now: Instant) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut mixed =
            self.seed.unwrap_or_default().wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed ^= now.as_nanos();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Child {
    fn new(Newcomer { place, options }: Newcomer, is_planned: bool) -> Self {
        let restart = options.restart;
        Self { place, is_planned, restart, last: None, killed: None, starting: None, removing: None }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some((_, key)) = self.timer.take() {
            self.system.timers().forget(key);
        }
        // After an orderly end nothing is left.
        while let Some((_, child)) = self.children.pop_last() {
            child.place.halt();
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("children", &self.children.len()).finish_non_exhaustive()
    }
}
