//! The supervisor's state machine: events in, orders out.
//!
//! The tree owns the states of its children. An event changes one or marks a child for a stop, here; what can be
//! ordered then follows from the states alone, in `schedule`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use odeon_core::Instant;

use super::child::{Child, ChildId, ChildState, ChildStatus, Incarnation, Next};
use super::error::{AddError, NoChild, RestartError};
use super::options::{AutoShutdown, ChildOptions, RESTARTS_MAX, Restart, Strategy, TreeOptions};
use crate::ExitReason;

/// Most children of one supervisor: where order matters it looks at all of them at each event. It is half of what
/// an actor may monitor, so that a supervisor that monitors its children is not refused.
pub const CHILDREN_MAX: usize = 16_384;

/// What the driver must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Start this incarnation: behind the mailbox and the address of the one before it, if there was one. Answer
    /// with [`Tree::handle_started`], or with [`Tree::handle_ended`] if it cannot be started.
    Start(Incarnation),
    /// Ask it to stop. Answer with [`Tree::handle_ended`] when it has ended, for whatever reason.
    Stop(Incarnation),
    /// Kill it. It, too, must be answered with [`Tree::handle_ended`]: for an actor that cannot be killed the
    /// driver gives up by itself, since the tree waits.
    Kill(Incarnation),
    /// All children there were have started: the supervisor itself has started. Given once.
    Started,
    /// The child has ended by itself and is not wanted back, but may be restarted with its group or by hand.
    Finished(ChildId),
    /// The child is over: drop what is held for it. Given once for each child, before the end of the tree.
    Forgotten(ChildId),
    /// The tree is over, without any child. Given once, and nothing follows. It is [`ExitReason::Stopped`] by
    /// request, [`ExitReason::Normal`] by [`AutoShutdown`] and [`ExitReason::Failed`] if it gave up.
    Ended(ExitReason),
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Not yet started.
    Idle,
    /// Some child has not started for the first time.
    Starting,
    Running,
    /// All children are being stopped.
    Ending(ExitReason),
    Ended,
}

/// The supervision of some children by one supervisor. It begins without any and does nothing before
/// [`Tree::handle_start`].
///
/// Notices about an incarnation that is not the child's present one, or has ended, are ignored. The driver carries
/// out all outputs after each call: so there are never more than a few per child. For a supervisor that is itself
/// killed there is no order to keep: its driver kills the children and drops the tree.
#[derive(Debug)]
pub struct Tree {
    pub(super) options: TreeOptions,
    pub(super) phase: Phase,
    pub(super) children: BTreeMap<ChildId, Child>,
    /// When time alone changes the state of a child.
    pub(super) due: BTreeSet<(Instant, ChildId)>,
    last_id: u64,
    /// Restarts within the window of intensity, oldest first; [`RESTARTS_MAX`] at most.
    recent: VecDeque<Instant>,
    pub(super) outputs: VecDeque<Output>,
}

impl Tree {
    /// A supervisor without children, not yet started.
    #[must_use]
    pub const fn new(options: TreeOptions) -> Self {
        Self {
            options,
            phase: Phase::Idle,
            children: BTreeMap::new(),
            due: BTreeSet::new(),
            last_id: 0,
            recent: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next; `None` when all is done for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Tree::handle_timeout`], if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The children, in the order of their start.
    pub fn children(&self) -> impl Iterator<Item = ChildStatus> {
        self.children.iter().map(|(id, child)| child.status(*id))
    }

    /// One child; `None` if it is forgotten.
    #[must_use]
    pub fn child(&self, id: ChildId) -> Option<ChildStatus> {
        self.children.get(&id).map(|child| child.status(id))
    }

    /// Starts the children, in the order in which they were added, each when the one before has started.
    /// If one cannot be started, those that were are stopped in reverse order and the tree ends as failed.
    /// A [dynamic](Strategy::Dynamic) supervisor has started at once, and does not depend on any child.
    pub fn handle_start(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Starting;
            self.advance_in_order(now);
        }
    }

    /// Stops the children in reverse order, each when the one after it has ended; then the tree ends as stopped.
    pub fn handle_stop(&mut self, now: Instant) {
        self.end(ExitReason::Stopped);
        self.advance_in_order(now);
    }

    /// Adds a child behind all others. It starts with them, or, when they have started, when its turn comes:
    /// at once, as a rule. Should that first start fail, then it alone is forgotten.
    ///
    /// # Errors
    /// When there are [`CHILDREN_MAX`], or the tree is ending.
    pub fn handle_add(&mut self, options: ChildOptions, now: Instant) -> Result<ChildId, AddError> {
        if self.is_ending() {
            return Err(AddError::Ending);
        }
        if self.children.len() >= CHILDREN_MAX {
            return Err(AddError::TooManyChildren);
        }
        self.last_id += 1;
        let id = ChildId(self.last_id);
        self.children.insert(id, Child::new(options));
        self.advance(id, now);
        Ok(id)
    }

    /// Stops a child, and forgets it. No other child is concerned.
    ///
    /// # Errors
    /// When there is no such child, or it is being removed already.
    pub fn handle_remove(&mut self, id: ChildId, now: Instant) -> Result<(), NoChild> {
        let child = self.wanted(id)?;
        if child.state.is_live() {
            child.next = Some(Next::Forget);
        } else {
            self.forget(id);
        }
        self.advance(id, now);
        Ok(())
    }

    /// Starts a child again in place, at an operator's wish: stops it before if it is up, and does not let it wait
    /// if it is down, nor the group that waits with it. Its past is forgiven. No other child is stopped.
    ///
    /// # Errors
    /// When there is no such child, or it or the tree is going away.
    pub fn handle_restart(&mut self, id: ChildId, now: Instant) -> Result<(), RestartError> {
        if self.is_ending() {
            return Err(RestartError::Ending);
        }
        let child = self.wanted(id)?;
        child.streak = 0;
        match child.state {
            // One that is marked, or being stopped, comes back without being told.
            ChildState::Starting | ChildState::Running { .. } => {
                child.next.get_or_insert(Next::Again(now));
            }
            ChildState::Waiting { .. } => self.wake(id),
            ChildState::Finished => self.set(id, ChildState::Pending),
            ChildState::Pending | ChildState::Stopping { .. } => {}
        }
        self.advance(id, now);
        Ok(())
    }

    /// The incarnation has started.
    pub fn handle_started(&mut self, of: Incarnation, now: Instant) {
        let Some(child) = self.live(of).filter(|child| child.state == ChildState::Starting) else {
            return;
        };
        child.was_up = true;
        self.set(of.child, ChildState::Running { since: now });
        self.advance(of.child, now);
    }

    /// The incarnation has ended, by itself or because it was told to. Without [`Tree::handle_started`] before, it
    /// could not be started, whatever the reason says. `random` spreads restarts.
    pub fn handle_ended(&mut self, of: Incarnation, reason: ExitReason, now: Instant, random: u64) {
        let id = of.child;
        let Some(child) = self.live(of) else {
            return;
        };
        let (was, next) = (child.state, child.next.take());
        child.last_exit = Some(reason.clone());
        self.set(id, ChildState::Finished);
        match next {
            _ if self.is_ending() => self.forget(id),
            Some(Next::Forget) => self.forget(id),
            Some(Next::Again(due)) => self.wait(id, due, now),
            None => self.decide(id, was, &reason, now, random),
        }
        self.advance(id, now);
    }

    /// Time has passed: starts what waited long enough, kills what lingers.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, id));
                break;
            }
            if self.is_waiting(id) {
                self.set(id, ChildState::Pending);
            } else {
                self.set(id, ChildState::Stopping { kill_at: None });
                self.order(id, Output::Kill);
            }
            if self.is_independent() {
                self.advance_one(id, now);
            }
        }
        if !self.is_independent() {
            self.advance_in_order(now);
        }
    }

    /// Decides about an end that nobody asked for.
    fn decide(&mut self, id: ChildId, was: ChildState, reason: &ExitReason, now: Instant, random: u64) {
        let (backoff, intensity) = (self.options.backoff, self.options.intensity);
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let never_started = was == ChildState::Starting;
        if never_started && !child.was_up {
            if matches!(self.phase, Phase::Starting) {
                self.end(ExitReason::Failed(format!("child {id} did not start: {reason}")));
            } else {
                self.forget(id);
            }
            return;
        }
        let restart = child.options.restart;
        let is_due = restart.is_due_after(reason) || (never_started && restart == Restart::Transient);
        if !is_due {
            return self.finish(id);
        }
        if let ChildState::Running { since } = was
            && now - since >= backoff.quiet
        {
            child.streak = 0;
        }
        let due = now + backoff.wait(child.streak, random);
        child.streak = child.streak.saturating_add(1);
        if !self.has_restart_left(now) {
            let (restarts, within) = (intensity.restarts, intensity.within);
            let why =
                format!("more than {restarts} restarts within {within:?}, the last of child {id}: {reason}");
            return self.end(ExitReason::Failed(why));
        }
        let concerned: Vec<_> = match self.options.strategy {
            Strategy::OneForOne | Strategy::Dynamic => vec![id],
            Strategy::OneForAll => self.children.keys().copied().collect(),
            Strategy::RestForOne => self.children.range(id..).map(|(id, _)| *id).collect(),
        };
        for id in concerned {
            self.redo(id, due, now);
        }
    }

    /// Counts a restart, if one more is allowed.
    fn has_restart_left(&mut self, now: Instant) -> bool {
        let intensity = self.options.intensity;
        while self.recent.front().is_some_and(|at| now - *at >= intensity.within) {
            self.recent.pop_front();
        }
        let is_left = self.recent.len() < intensity.restarts.min(RESTARTS_MAX) as usize;
        if is_left {
            self.recent.push_back(now);
        }
        is_left
    }

    /// Has a child start again, not before `due` nor before its own back-off; one that is up is stopped first.
    fn redo(&mut self, id: ChildId, due: Instant, now: Instant) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        match child.state {
            ChildState::Waiting { until } => self.wait(id, due.max(until), now),
            ChildState::Pending | ChildState::Finished => self.wait(id, due, now),
            _ if child.options.restart == Restart::Temporary && child.was_up => {
                child.next = Some(Next::Forget);
            }
            _ if child.next == Some(Next::Forget) => {}
            _ => child.next = Some(Next::Again(due)),
        }
    }

    /// Ends the back-off of a child, and of those that wait with it.
    fn wake(&mut self, id: ChildId) {
        let group: Vec<_> = self.due.iter().map(|(_, other)| *other).collect();
        for id in if self.is_grouped() { group } else { vec![id] } {
            if self.is_waiting(id) {
                self.set(id, ChildState::Pending);
            }
        }
    }

    /// A child has ended for good, by itself.
    fn finish(&mut self, id: ChildId) {
        let Some(options) = self.children.get(&id).map(|child| child.options) else {
            return;
        };
        if options.restart == Restart::Temporary || self.options.strategy == Strategy::Dynamic {
            self.forget(id);
        } else {
            self.outputs.push_back(Output::Finished(id));
        }
        let is_left = |child: &Child| child.options.is_significant() && child.state != ChildState::Finished;
        let ends = match self.options.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::Any => options.is_significant(),
            AutoShutdown::All => options.is_significant() && !self.children.values().any(is_left),
        };
        if ends {
            self.end(ExitReason::Normal);
        }
    }

    /// The end of the tree begins: what is down is forgotten. The first reason stays.
    fn end(&mut self, reason: ExitReason) {
        if self.is_ending() {
            return;
        }
        self.phase = Phase::Ending(reason);
        let down = self.children.iter().rev().filter(|(_, child)| !child.state.is_live());
        for id in down.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget(id);
        }
    }

    /// The child, if it is there to stay.
    fn wanted(&mut self, id: ChildId) -> Result<&mut Child, NoChild> {
        self.children.get_mut(&id).filter(|child| child.next != Some(Next::Forget)).ok_or(NoChild(id))
    }

    /// The child, if that incarnation of it is there.
    fn live(&mut self, of: Incarnation) -> Option<&mut Child> {
        self.children.get_mut(&of.child).filter(|child| child.number == of.number && child.state.is_live())
    }

    fn is_waiting(&self, id: ChildId) -> bool {
        self.children.get(&id).is_some_and(|child| matches!(child.state, ChildState::Waiting { .. }))
    }

    /// Whether all children are being stopped, or have been.
    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_) | Phase::Ended)
    }

    /// Whether an end concerns others too.
    pub(super) const fn is_grouped(&self) -> bool {
        matches!(self.options.strategy, Strategy::OneForAll | Strategy::RestForOne)
    }

    /// Whether no child has to wait for another.
    pub(super) const fn is_independent(&self) -> bool {
        matches!(self.phase, Phase::Running) && !self.is_grouped()
    }
}
