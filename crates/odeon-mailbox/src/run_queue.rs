//! The run queue: what is ready to run, and the runners that run it.
//!
//! A runner is a future; whoever owns the queue spawns as many as there are threads to use. What becomes ready while
//! a runner runs something goes into that runner's own place, to be run next on the same thread, where the caches are
//! warm and nobody has to be woken; what it displaces goes to the queue that all share. What becomes ready elsewhere
//! goes to the shared queue, and wakes a runner if one is idle.
//!
//! # Invariants
//!
//! - What is pushed is run once, or dropped because the queue has been closed.
//! - A runner is idle only if it found the shared queue empty under the lock by which others push: no push is missed.
//! - Nothing is run, woken or dropped under the lock.

use std::cell::Cell as ThreadCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::slot::Spare;
use crate::sync::{Mutex, MutexGuard, per_thread};
use crate::wake::wake_all;

/// Steps (messages, as a rule) that one entry of the queue runs before it has to give way to the next.
pub const STEPS_PER_TURN_MAX: usize = 128;

/// Steps that a runner runs before it lets the tasks beside it run: sockets and timers are served in between.
const STEPS_PER_POLL_MAX: usize = 512;

/// Entries run from a runner's own place in a row before the shared queue has its turn: two actors that keep sending
/// to each other do not starve the others.
const OWN_IN_A_ROW_MAX: usize = 32;

/// Something that can be run.
pub trait Runnable: Send + Sync + 'static {
    /// Runs until there is nothing to do, or nothing left of the turn. Must not panic.
    fn run(self: Arc<Self>, turn: &mut Turn);

    /// Its queue is closed: no runner will run it. Called instead of [`run`](Self::run), outside the queue's lock. Must
    /// not panic.
    fn abandon(self: Arc<Self>) {}
}

/// What is ready to run. Cheap to clone: all clones are one queue.
#[derive(Clone)]
pub struct RunQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
}

struct State {
    ready: VecDeque<Entry>,
    /// The runners that wait to be woken, by number.
    idle: Vec<(u64, Waker)>,
    runners: usize,
    runner_next: u64,
    is_closed: bool,
    /// Order by choice instead of by arrival: which of so many entries is next.
    choose: Option<Box<dyn FnMut(usize) -> usize + Send>>,
    /// Called when the last runner is dropped although the queue was not closed.
    on_lost: Option<Box<dyn FnOnce() + Send>>,
}

type Entry = Arc<dyn Runnable>;

/// What is left of one turn, and the memory to poll futures in.
pub struct Turn {
    steps_left: usize,
    /// Memory for futures.
    pub spare: Spare,
}

impl Turn {
    /// A whole turn.
    #[must_use]
    pub const fn new() -> Self {
        Self { steps_left: STEPS_PER_TURN_MAX, spare: Spare::new() }
    }

    /// One more step, if the turn has one left.
    pub fn step(&mut self) -> bool {
        let more = self.steps_left > 0;
        self.steps_left = self.steps_left.saturating_sub(1);
        more
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("steps_left", &self.steps_left).finish_non_exhaustive()
    }
}

per_thread! {
    /// Which queue the runner of this thread serves; null outside of a runner.
    static OWNER: ThreadCell<*const Shared> = ThreadCell::new(std::ptr::null());
    /// The runner's own place.
    static NEXT: ThreadCell<Option<Entry>> = ThreadCell::new(None);
}

impl RunQueue {
    /// An empty queue. `on_lost` is called when the last runner is dropped before the queue was closed, as by an
    /// executor that shuts down: nobody runs what is ready then, or becomes so, but whoever [pops](Self::pop) it.
    #[must_use]
    pub fn new(on_lost: impl FnOnce() + Send + 'static) -> Self {
        let state = State {
            ready: VecDeque::new(),
            idle: Vec::new(),
            runners: 0,
            runner_next: 0,
            is_closed: false,
            choose: None,
            on_lost: Some(Box::new(on_lost)),
        };
        Self(Arc::new(Shared { state: Mutex::new(state) }))
    }

    /// Runs entries in the order that `choose` says, one runner's own place included: for schedules from a seed. Given
    /// how many are ready, it returns a number below that; it runs under the queue's lock and must not use the queue.
    pub fn order_by(&self, choose: impl FnMut(usize) -> usize + Send + 'static) {
        let before = self.lock().choose.replace(Box::new(choose));
        drop(before);
    }

    /// Puts something that is ready on the queue.
    ///
    /// # Errors
    ///
    /// An entry to be [abandoned](Runnable::abandon), when the queue is closed: this one, or the one whose place it
    /// has taken.
    pub fn push(&self, entry: Entry) -> Result<(), Entry> {
        if OWNER.with(ThreadCell::get) != Arc::as_ptr(&self.0) {
            return self.push_shared(entry);
        }
        match NEXT.with(|next| next.replace(Some(entry))) {
            Some(displaced) => self.push_shared(displaced),
            None => Ok(()),
        }
    }

    /// Puts something that is ready behind all that is, whoever runs.
    ///
    /// # Errors
    ///
    /// The entry, back, when the queue is closed.
    pub fn push_shared(&self, entry: Entry) -> Result<(), Entry> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(entry);
        }
        state.ready.push_back(entry);
        let idle = state.idle.pop();
        drop(state);
        if let Some((_, idle)) = idle {
            idle.wake();
        }
        Ok(())
    }

    fn push_or_abandon(&self, entry: Entry) {
        if let Err(entry) = self.push_shared(entry) {
            entry.abandon();
        }
    }

    /// Takes what is next in the shared queue, if there is something: for the owner of a queue whose runners are
    /// gone.
    #[must_use]
    pub fn pop(&self) -> Option<Entry> {
        self.lock().take()
    }

    /// A runner: a future that runs what is ready, until the queue is closed.
    pub fn runner(&self) -> Runner {
        let mut state = self.lock();
        state.runners += 1;
        state.runner_next += 1;
        Runner { queue: self.clone(), number: state.runner_next, turn: Turn::new() }
    }

    /// Ends all runners; what is ready is abandoned.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let lost = state.on_lost.take();
        let (ready, idle) = (std::mem::take(&mut state.ready), std::mem::take(&mut state.idle));
        drop(state);
        wake_all(idle.into_iter().map(|(_, waker)| waker));
        drop(lost);
        ready.into_iter().for_each(Runnable::abandon);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What is next in the shared queue; if there is nothing, the runner is idle from now on. `None` ends it.
    fn next(&self, runner: u64, cx: &Context<'_>) -> Option<Poll<Entry>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        if let Some(entry) = state.take() {
            return Some(Poll::Ready(entry));
        }
        drop(state);
        // A waker must not be cloned under the lock, so look a second time now that it is at hand.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.is_closed {
            drop(state);
            return None;
        }
        if let Some(entry) = state.take() {
            drop(state);
            return Some(Poll::Ready(entry));
        }
        // A waker that is here still was never woken: this poll came from elsewhere.
        let stale = state.take_idle(runner);
        state.idle.push((runner, waker));
        drop(state);
        drop(stale);
        Some(Poll::Pending)
    }

    fn has_shared(&self) -> bool {
        !self.lock().ready.is_empty()
    }
}

impl State {
    /// The waker of a runner that is idle.
    fn take_idle(&mut self, runner: u64) -> Option<(u64, Waker)> {
        let at = self.idle.iter().position(|(number, _)| *number == runner)?;
        Some(self.idle.swap_remove(at))
    }

    fn take(&mut self) -> Option<Entry> {
        match &mut self.choose {
            None => self.ready.pop_front(),
            Some(_) if self.ready.is_empty() => None,
            Some(choose) => {
                let at = choose(self.ready.len()).min(self.ready.len() - 1);
                self.ready.remove(at)
            }
        }
    }
}

impl fmt::Debug for RunQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue").field("ready", &self.lock().ready.len()).finish_non_exhaustive()
    }
}

/// The future that runs what is ready.
///
/// # Cancel safety
///
/// Dropped between two polls, it loses nothing; the last one dropped tells the queue's owner.
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Runner {
    queue: RunQueue,
    number: u64,
    turn: Turn,
}

/// Makes this thread the queue's runner, for one poll.
struct Owning<'q> {
    queue: &'q RunQueue,
    before: (*const Shared, Option<Entry>),
}

impl<'q> Owning<'q> {
    fn begin(queue: &'q RunQueue) -> Self {
        let before = (OWNER.with(|owner| owner.replace(Arc::as_ptr(&queue.0))), NEXT.with(ThreadCell::take));
        Self { queue, before }
    }
}

impl Drop for Owning<'_> {
    fn drop(&mut self) {
        OWNER.with(|owner| owner.set(self.before.0));
        if let Some(left) = NEXT.with(|next| next.replace(self.before.1.take())) {
            self.queue.push_or_abandon(left);
        }
    }
}

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { queue, number, turn } = self.get_mut();
        let _owning = Owning::begin(queue);
        let is_by_choice = queue.lock().choose.is_some();
        let (mut steps, mut in_a_row) = (0, 0);
        while steps < STEPS_PER_POLL_MAX {
            let mut own = NEXT.with(ThreadCell::take);
            in_a_row = if own.is_some() { in_a_row + 1 } else { 0 };
            if is_by_choice || (in_a_row > OWN_IN_A_ROW_MAX && queue.has_shared()) {
                in_a_row = 0;
                own.take().into_iter().for_each(|entry| queue.push_or_abandon(entry));
            }
            let entry = match own {
                Some(entry) => entry,
                None => match queue.next(*number, cx) {
                    Some(Poll::Ready(entry)) => entry,
                    Some(Poll::Pending) => return Poll::Pending,
                    None => return Poll::Ready(()),
                },
            };
            turn.steps_left = STEPS_PER_TURN_MAX;
            entry.run(turn);
            // What does not count its steps has made one.
            steps += (STEPS_PER_TURN_MAX - turn.steps_left).max(1);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.runners -= 1;
        let own = state.take_idle(self.number);
        // It may have been woken for what is ready: somebody else has to run that now.
        let heir = if state.ready.is_empty() { None } else { state.idle.pop() };
        // The queue stays open: its owner decides what becomes of what is ready.
        let lost = if state.runners == 0 { state.on_lost.take() } else { None };
        drop(state);
        drop(own);
        wake_all(heir.map(|(_, waker)| waker));
        if let Some(lost) = lost {
            lost();
        }
    }
}
