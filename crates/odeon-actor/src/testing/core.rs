//! The core of a world: its clock, its tasks, and the choices of its seed, behind one lock.
//!
//! # Invariants
//!
//! - Nothing is polled, woken or dropped under the lock.
//! - Time stands still but for [`Core::jump`] and [`Core::set_now`].
//! - A task is ready once at most, and is chosen by the seed among those that are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Clock, Spawn, TaskKind};

use super::seed::Stream;
use super::trace::{Ran, Trace};
use crate::life::Life;

/// The date at which every world begins, in milliseconds since 1970: 2030-01-01.
const EPOCH_UNIX_MS: u64 = 1_893_456_000_000;

/// The number of the future given to `block_on`, among the tasks.
pub(super) const TEST: u64 = 0;

/// What the seams of a world, its wakers and its timers share.
pub(super) struct Core {
    thread: ThreadId,
    state: Mutex<State>,
}

struct State {
    now: Instant,
    choices: Stream,
    timers: BTreeMap<(Instant, u64), Waker>,
    tasks: BTreeMap<u64, Task>,
    ready: Vec<u64>,
    /// The number of the next task or timer.
    next: u64,
    trace: Trace,
    /// The largest number of an actor that has run.
    actor_max: u64,
    /// A turn has been given, and its actor has not said yet who it is.
    is_turn: bool,
    /// The system's own runner, the first that is spawned; kept but never polled: the world takes from its
    /// queue itself.
    runner: Option<BoxFuture<'static, ()>>,
    has_runner: bool,
    is_over: bool,
}

/// A task.
pub(super) struct Task {
    kind: TaskKind,
    name: Arc<str>,
    /// `None` while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    wake: Arc<TaskWake>,
}

/// Makes a task ready.
pub(super) struct TaskWake {
    core: Weak<Core>,
    number: u64,
    is_ready: AtomicBool,
}

/// A task that was chosen.
pub(super) enum Chosen {
    Test,
    Task(u64, BoxFuture<'static, ()>, Arc<TaskWake>),
}

thread_local! {
    /// The world that runs something on this thread.
    static HERE: RefCell<Option<Arc<Core>>> = const { RefCell::new(None) };
}

/// An actor begins to run on this thread.
pub(crate) fn note(life: &Life) {
    // At the thread's end, and outside of a world, nobody wants to know.
    let here = HERE.try_with(|here| here.try_borrow().ok().and_then(|here| here.clone()));
    if let Ok(Some(core)) = here {
        core.note(life.number, life.kind());
    }
}

/// This thread runs something of a world until this is dropped.
pub(super) struct Here(Option<Arc<Core>>);

impl Here {
    pub(super) fn begin(core: &Arc<Core>) -> Self {
        Self(HERE.replace(Some(Arc::clone(core))))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let own = HERE.replace(self.0.take());
        drop(own);
    }
}

impl Core {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let state = State {
            now: Instant::ZERO,
            choices: Stream::new(seed, 0),
            timers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            next: TEST + 1,
            trace: Trace::new(),
            actor_max: 0,
            is_turn: false,
            runner: None,
            has_runner: false,
            is_over: false,
        };
        Arc::new(Self { thread: thread::current().id(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses by the seed: a number below `bound`.
    pub(super) fn choose(&self, bound: usize) -> usize {
        self.lock().choices.index(bound)
    }

    /// Takes a ready task, if there is one. While the test itself is being polled, it is none.
    pub(super) fn take_ready(&self, has_test: bool) -> Option<Chosen> {
        let mut state = self.lock();
        let skipped = if has_test { None } else { state.ready.iter().position(|number| *number == TEST) };
        let length = state.ready.len() - usize::from(skipped.is_some());
        if length == 0 {
            return None;
        }
        let chosen = state.choices.index(length);
        let at = chosen + usize::from(skipped.is_some_and(|skipped| chosen >= skipped));
        let number = state.ready.remove(at);
        let now = state.now;
        if number == TEST {
            state.trace.record(now, Ran::Test);
            return Some(Chosen::Test);
        }
        let task = state.tasks.get_mut(&number)?;
        let (future, wake, name) = (task.future.take()?, Arc::clone(&task.wake), Arc::clone(&task.name));
        state.trace.record(now, Ran::Task(name));
        Some(Chosen::Task(number, future, wake))
    }

    /// Polls a task that was chosen.
    pub(super) fn run(
        self: &Arc<Self>,
        number: u64,
        mut future: BoxFuture<'static, ()>,
        wake: Arc<TaskWake>,
    ) {
        wake.is_ready.store(false, Ordering::Relaxed);
        let mut polled = Polled { core: self, number, is_over: true };
        let waker = Waker::from(wake);
        polled.is_over = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if polled.is_over {
            drop(future);
        } else if let Some(task) = self.lock().tasks.get_mut(&number) {
            task.future = Some(future);
        }
    }

    /// A turn is about to be given to an actor.
    pub(super) fn begin_turn(&self) {
        self.lock().is_turn = true;
    }

    fn note(&self, number: u64, kind: &'static str) {
        let mut state = self.lock();
        state.actor_max = state.actor_max.max(number);
        let ran = if std::mem::take(&mut state.is_turn) {
            Ran::Turn(number, kind)
        } else {
            Ran::Asked(number, kind)
        };
        let now = state.now;
        state.trace.record(now, ran);
    }

    /// The largest number of an actor that has run.
    pub(super) fn actor_max(&self) -> u64 {
        self.lock().actor_max
    }

    /// The tasks that there are, for people.
    pub(super) fn tasks(&self) -> Vec<String> {
        let state = self.lock();
        state.tasks.values().map(|task| format!("`{}` ({:?})", task.name, task.kind)).collect()
    }

    pub(super) fn trace(&self) -> Trace {
        self.lock().trace.clone()
    }

    pub(super) fn tail(&self, lines: usize) -> String {
        self.lock().trace.tail(lines)
    }

    pub(super) fn now(&self) -> Instant {
        self.lock().now
    }

    /// When the first timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.lock().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Sets the time, and wakes whoever waited for it. Time does not go back.
    pub(super) fn set_now(&self, now: Instant) {
        let mut state = self.lock();
        state.now = state.now.max(now);
        let now = state.now;
        let mut due = Vec::new();
        while let Some(entry) = state.timers.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// The time becomes that of the first timer; `false` when there is none.
    pub(super) fn jump(&self) -> bool {
        match self.next_timer() {
            Some(at) => {
                self.set_now(at);
                true
            }
            None => false,
        }
    }

    /// The waker of the test itself; it is ready.
    pub(super) fn test_waker(self: &Arc<Self>) -> Arc<TaskWake> {
        let wake = TaskWake::new(self, TEST);
        wake.wake_by_ref();
        wake
    }

    /// The test is over, whether or not it is ready.
    pub(super) fn forget_test(&self, wake: &TaskWake) {
        wake.is_ready.store(true, Ordering::Relaxed);
        self.lock().ready.retain(|number| *number != TEST);
    }

    /// Ends all tasks, the runner of the actors first.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let runner = state.runner.take();
        let (tasks, timers) = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.timers));
        state.ready.clear();
        drop(state);
        drop(runner);
        drop(tasks);
        drop(timers);
    }

    fn spawn(self: &Arc<Self>, kind: TaskKind, name: &str, future: BoxFuture<'static, ()>) {
        let mut state = self.lock();
        if state.is_over {
            drop(state);
            drop(future);
            return;
        }
        if !state.has_runner {
            state.has_runner = true;
            state.runner = Some(future);
            return;
        }
        let number = state.next;
        state.next += 1;
        let wake = TaskWake::new(self, number);
        wake.is_ready.store(true, Ordering::Relaxed);
        state.tasks.insert(number, Task { kind, name: name.into(), future: Some(future), wake });
        state.ready.push(number);
    }
}

/// Takes a task out of the table once it is over, also by a panic.
struct Polled<'c> {
    core: &'c Core,
    number: u64,
    is_over: bool,
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            return;
        }
        let mut state = self.core.lock();
        let task = state.tasks.remove(&self.number);
        state.ready.retain(|number| *number != self.number);
        drop(state);
        // Nothing makes it ready any more.
        task.iter().for_each(|task| task.wake.is_ready.store(true, Ordering::Relaxed));
    }
}

impl TaskWake {
    fn new(core: &Arc<Core>, number: u64) -> Arc<Self> {
        Arc::new(Self { core: Arc::downgrade(core), number, is_ready: AtomicBool::new(false) })
    }

    /// It is about to be polled.
    pub(super) fn begin(&self) {
        self.is_ready.store(false, Ordering::Relaxed);
    }
}

impl Wake for TaskWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed)
            && let Some(core) = self.core.upgrade()
        {
            core.lock().ready.push(self.number);
        }
    }
}

/// The seams of a world.
#[derive(Clone)]
pub(super) struct Seams(pub(super) Arc<Core>);

impl Clock for Seams {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        EPOCH_UNIX_MS.saturating_add(self.0.now().as_nanos() / 1_000_000)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { core: Arc::clone(&self.0), at, number: None })
    }
}

impl Spawn for Seams {
    fn spawn(&self, kind: TaskKind, name: &str, future: BoxFuture<'static, ()>) {
        self.0.spawn(kind, name, future);
    }

    /// By the seed: an ask that might be answered on its asker's stack goes through the mailbox every other time.
    fn is_here(&self) -> bool {
        thread::current().id() == self.0.thread && self.0.choose(2) == 0
    }
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams").field("now", &self.0.now()).finish_non_exhaustive()
    }
}

/// A timer; dropped, it is forgotten.
struct Sleep {
    core: Arc<Core>,
    at: Instant,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let this = &mut *self;
        let mut state = this.core.lock();
        if state.now >= this.at {
            return Poll::Ready(());
        }
        let number = *this.number.get_or_insert(state.next);
        state.next = state.next.max(number + 1);
        let replaced = state.timers.insert((this.at, number), waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.core.lock().timers.remove(&(self.at, number));
            drop(waker);
        }
    }
}
